"""Peak memory of one training step, in a process of its own: `python -m benchmarks.memory PEER SHAPE SETTINGS` prints the bytes.

On a CPU it is the highest resident memory above that before the step, on a GPU the same of the framework's own allocator. What
the step finds (weights, inputs, the compiled program) does not count. A tiny step before it loads whatever is loaded only once.
"""

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

import jax

from benchmarks import problem
from benchmarks.contestant import TRAINING, Contestant
from benchmarks.peers import PEERS
from benchmarks.problem import Shape
from benchmarks.settings import Settings, apply, on_gpu

QUANTITY = "peak memory, training step"
TINY = Shape(2, 3, 2, 4)
STATUS = Path("/proc/self/status")


class NotMeasuredError(Exception):
    """The process that was to measure has no number; the message says why."""


def peak(peer: str, shape: Shape, settings: Settings) -> int:
    """Bytes, measured in a new process.

    Raises:
      NotMeasuredError: it ended without a result, for want of memory for example.
    """
    command = [sys.executable, "-m", "benchmarks.memory", peer, json.dumps(shape), json.dumps(settings)]
    result = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        killed = f"signal {-result.returncode}" if result.returncode < 0 else f"status {result.returncode}"
        raise NotMeasuredError(f"the process ended with {killed}: {last}")
    return int(result.stdout)


def measure(peer: str, shape: Shape, settings: Settings) -> int:
    """Bytes, measured in this process; its first and only measurement.

    Raises:
      NotMeasuredError: the system does not tell.
    """
    _contestant(peer, TINY, settings).ready(TRAINING).call()
    contestant = _contestant(peer, shape, settings)
    call = contestant.ready(TRAINING).call
    gc.collect()
    if not on_gpu():
        return _peak_resident(call)
    return _peak_torch(call) if "torch" in PEERS[peer].needs else _peak_jax(call)


def _contestant(peer: str, shape: Shape, settings: Settings) -> Contestant:
    return PEERS[peer].make(problem.make(PEERS[peer].computes, shape), settings)


def _peak_resident(call) -> int:
    if not STATUS.exists():
        raise NotMeasuredError("only Linux tells the peak of resident memory from a given moment on")
    ctypes.CDLL(None).malloc_trim(0)  # else the step would reuse pages that compiling left behind
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, from what is resident now
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def _peak_torch(call) -> int:
    import torch

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


def _peak_jax(call) -> int:
    # JAX's peak cannot be begun anew, and compiling allocates too, to try kernels.
    device = jax.devices()[0]
    before = device.memory_stats()
    call()
    after = device.memory_stats()
    if after["peak_bytes_in_use"] == before["peak_bytes_in_use"]:
        raise NotMeasuredError("compiling needed more memory than the step, whose own peak is hidden below it")
    return after["peak_bytes_in_use"] - before["bytes_in_use"]


def main() -> int:
    """Measure what the command line says; print the bytes."""
    peer, shape, settings = sys.argv[1], Shape(*json.loads(sys.argv[2])), Settings(*json.loads(sys.argv[3]))
    apply(settings)
    try:
        print(measure(peer, shape, settings))
    except NotMeasuredError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
