"""What is run at which sizes: each suite is a function of a `Bench`, which has the options and takes the results."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks import memory, problem, sweep
from benchmarks.check import MismatchError, check
from benchmarks.contestant import COMPILING, INFERENCE, TRAINING, Contestant
from benchmarks.peers import PEERS, why_absent
from benchmarks.problem import Problem, Shape
from benchmarks.results import Results
from benchmarks.settings import Settings, apply
from benchmarks.timing import interleaved

# The first three are of the paper's tasks: permuted MNIST, TIMIT, Penn Treebank.
MNIST, TIMIT, PTB = Shape(128, 784, 1, 128), Shape(32, 200, 129, 158), Shape(20, 70, 400, 1150)
WIDE_MNIST, LONG = Shape(128, 784, 1, 256), Shape(1, 4096, 64, 256)
SHAPES = (MNIST, WIDE_MNIST, TIMIT, PTB, LONG)
GROWTH = Shape(batch=32, time=128, features=16, hidden=128)
TIMES, WIDTHS = (64, 256, 1024, 4096, 16384), (64, 128, 256, 512, 1024)
LONGEST = Shape(batch=32, time=16384, features=16, hidden=256)

OURS = ("lstm", "momentum-lstm", "adam-lstm")
FOREIGN = ("torch-lstm", "jax-cudnn-lstm", "flax-nnx-lstm", "flax-linen-lstm", "torch-loop-momentum-lstm")
LSTMS = (*FOREIGN, *OURS, "lstm-chunked", "nnx-momentum-lstm")
GRUS = ("torch-gru", "flax-nnx-gru", "gru", "momentum-gru")
ELMANS = ("torch-rnn", "flax-nnx-elman", "elman", "momentum-elman")
DTRIVS = ("flax-nnx-momentum-dtriv", "momentum-dtriv")
CORES = (*GRUS, *ELMANS, *DTRIVS)
COMPILED = ("flax-nnx-lstm", "flax-linen-lstm", *OURS)
IN_MEMORY = ("torch-lstm", "flax-nnx-lstm", *OURS)
GPU_LSTMS = ("torch-lstm", "jax-cudnn-lstm", "flax-nnx-lstm", "torch-loop-momentum-lstm", *OURS)
GPU_CORES = ("flax-nnx-elman", "elman", "momentum-elman", *DTRIVS)


class Bench(NamedTuple):
    """The options of a run. `shapes`: in the place of the suite's own, where given. `only`: the peers that take part, or all.

    `deadline`: the `time.perf_counter()` after which no case is begun.
    """

    settings: Settings
    results: Results
    repeats: int
    log: Callable[[str], None]
    shapes: tuple[Shape, ...] = ()
    only: tuple[str, ...] = ()
    deadline: float = float("inf")

    def present(self, peers: Iterable[str]) -> list[str]:
        """Those of the peers that were asked for and can take part; who cannot is marked as absent."""
        absent = self.results.data["absent"]
        wanted = [name for name in peers if not self.only or name in self.only]
        for name in wanted:
            reason = why_absent(name)
            if reason and name not in absent:
                absent[name] = reason
                self.log(f"left out: {PEERS[name].label}: {reason}")
        return [name for name in wanted if name not in absent]

    def may_begin(self, case: str) -> bool:
        """Whether there is time for another case; if not, it is noted as left out."""
        if time.perf_counter() < self.deadline:
            return True
        self.leave_out(case, "the time was up")
        return False

    def leave_out(self, case: str, reason: str) -> None:
        """Note what the results do not have."""
        self.results.data["left_out"].append(f"{case}: {reason}".rstrip("."))
        self.log(f"left out: {case}: {reason}")


def made(names: Iterable[str], problems: dict[str, Problem], settings: Settings) -> dict[str, Contestant]:
    """The peers, ready for `problems`, which has one for each kind of cell."""
    apply(settings)
    return {name: PEERS[name].make(problems[PEERS[name].computes], settings) for name in names}


def checked(bench: Bench, section: str, names: Iterable[str], shape: Shape) -> dict[str, Contestant]:
    """The peers after a check, which is made in float32 in whatever precision they are timed.

    Raises:
      MismatchError: two of them compute different things.
    """
    bench.log(f"{section}, {shape}: checking")
    problems = {kind: problem.make(kind, shape) for kind in {PEERS[name].computes for name in names}}
    exact = bench.settings.exact
    contestants = made(names, problems, exact)
    try:
        found = check(contestants, problems, exact)
    except MismatchError as error:
        raise MismatchError(f"{shape}: {error}") from None
    bench.results.data["checks"] += [{"section": section, "case": shape._asdict(), **one} for one in found]
    return contestants if bench.settings == exact else made(names, problems, bench.settings)


def timed(bench: Bench, section: str, peers: Iterable[str], shape: Shape, modes: tuple[str, ...] = (TRAINING, INFERENCE)) -> None:
    """One case: check, then time, first all training steps and then all forward passes."""
    names = bench.present(peers)
    if not names or not bench.may_begin(f"{section}, {shape}"):
        return
    contestants = checked(bench, section, names, shape)
    for mode in modes:
        bench.log(f"{section}, {shape}: {mode}, {len(names)} contestants, {bench.repeats} rounds")
        ready = {name: contestant.ready(mode) for name, contestant in contestants.items()}
        compiling = {name: [one.compile_seconds] for name, one in ready.items() if one.compile_seconds is not None}
        bench.results.add(section, shape, f"{COMPILING}{mode}", compiling)
        bench.results.add(section, shape, mode, interleaved({name: one.call for name, one in ready.items()}, bench.repeats))
    bench.results.save()


def quick(bench: Bench) -> None:
    """The LSTMs at two shapes, a few minutes."""
    for shape in bench.shapes or (MNIST, TIMIT):
        timed(bench, "shapes", LSTMS, shape)


def shapes(bench: Bench) -> None:
    """The LSTMs at five shapes, training steps and inference."""
    for shape in bench.shapes or SHAPES:
        timed(bench, "shapes", LSTMS, shape)


def cores(bench: Bench) -> None:
    """GRU and Elman against PyTorch's and Flax's; orthogonal, at one shape, against the same cell stepped by Flax."""
    for shape, names in [(shape, CORES) for shape in bench.shapes] or [(MNIST, (*GRUS, *ELMANS)), (TIMIT, CORES)]:
        timed(bench, "cores", names, shape)


def growth(bench: Bench) -> None:
    """A training step with more and more steps of time, and hidden units: ours, and the two fastest of all peers."""
    start, section = GROWTH._replace(time=256), "all peers"
    timed(bench, section, (*FOREIGN, "lstm", "momentum-lstm"), start, (TRAINING,))
    peers = [*bench.results.fastest(section, TRAINING, FOREIGN, 2), "lstm", "momentum-lstm"]
    for steps in TIMES:
        timed(bench, "growth in time", peers, GROWTH._replace(time=steps), (TRAINING,))
    for hidden in WIDTHS:
        timed(bench, "growth in hidden units", peers, GROWTH._replace(hidden=hidden), (TRAINING,))


def runs_by_vmap(bench: Bench) -> None:
    """Several runs of one small training step under `jax.vmap`: against one, and a grid of eight against one after another."""
    if not bench.may_begin("sweep"):
        return
    bench.log(f"sweep, {sweep.SHAPE}: {sweep.RUNS} runs by vmap, and a grid of {len(sweep.GRID)}, {bench.repeats} rounds")
    apply(bench.settings.exact)
    grid = sweep.grid()
    for section, runs in ((sweep.SECTION, sweep.many(sweep.RUNS[-1])), (sweep.GRID_SECTION, grid)):
        found = sweep.check(runs, bench.settings.exact)
        bench.results.data["checks"].append({"section": section, "case": sweep.SHAPE._asdict(), **found})
    apply(bench.settings)
    calls = {runs: sweep.together(sweep.many(runs), bench.settings) for runs in sweep.RUNS}
    for runs, samples in interleaved(calls, bench.repeats).items():
        bench.results.add(sweep.SECTION, sweep.SHAPE, TRAINING, {sweep.PEER: samples}, runs=runs)
    both = {sweep.BY_VMAP: sweep.together(grid, bench.settings), sweep.IN_TURN: sweep.in_turn(grid, bench.settings)}
    seconds = interleaved(both, bench.repeats)
    ratio = [a / b for a, b in zip(seconds[sweep.BY_VMAP], seconds[sweep.IN_TURN], strict=True)]
    for quantity, samples in {**seconds, sweep.RATIO: ratio}.items():
        bench.results.add(sweep.GRID_SECTION, sweep.SHAPE, quantity, {sweep.PEER: samples}, runs=len(sweep.GRID))
    bench.results.save()


def peak_memory(bench: Bench) -> None:
    """Peak memory of a training step, in a process of its own for each."""
    for shape, peers in [(shape, IN_MEMORY) for shape in bench.shapes or (WIDE_MNIST,)] + [(LONGEST, OURS)] * (not bench.shapes):
        names = bench.present(peers)
        if not names or not bench.may_begin(f"memory, {shape}"):
            continue
        checked(bench, "memory", names, shape._replace(time=min(shape.time, 100)))
        for name in names:
            if not bench.may_begin(f"memory, {shape}, {name}"):
                continue
            bench.log(f"memory, {shape}: {name}")
            try:
                samples = [float(memory.peak(name, shape, bench.settings)) for _ in range(bench.repeats)]
            except memory.NotMeasuredError as error:
                bench.leave_out(f"memory, {shape}, {name}", str(error))
            else:
                bench.results.add("memory", shape, memory.QUANTITY, {name: samples})
        bench.results.save()


def compile_times(bench: Bench) -> None:
    """How long it takes to compile a training step, at every shape and with sequences ten times longer."""
    for shape in bench.shapes or SHAPES:
        names = bench.present(COMPILED)
        if not names or not bench.may_begin(f"compile, {shape}"):
            continue
        contestants = checked(bench, "compile", names, shape._replace(time=min(shape.time, 100)))
        for longer in (shape, shape._replace(time=10 * shape.time)):
            bench.log(f"compile, {longer}: {bench.repeats} rounds")
            samples = {name: [] for name in names}
            for _ in range(bench.repeats):
                for name in names:
                    samples[name].append(contestants[name].compile_training(longer.time))
            bench.results.add("compile", longer, f"{COMPILING}{TRAINING}", samples)
        bench.results.save()


def gpu(bench: Bench) -> None:
    """Everything for one CUDA GPU in under 8 minutes: what matters most comes first. It has not been run yet."""
    for shape in bench.shapes or (MNIST, TIMIT, PTB):
        timed(bench, "shapes", GPU_LSTMS, shape)
    timed(bench, "cores", GPU_CORES, TIMIT)
    runs_by_vmap(bench)
    peak_memory(bench._replace(repeats=1, shapes=(WIDE_MNIST,)))
    if not bench.shapes:
        timed(bench, "shapes", GPU_LSTMS, LONG)


class Suite(NamedTuple):
    """`repeats`: rounds unless told otherwise. `peers`: who can take part. `shapes`: whether other shapes can be given.

    `seconds`: how long after the start a case may begin.
    """

    run: Callable[[Bench], None]
    repeats: int
    peers: tuple[str, ...]
    shapes: bool = True
    seconds: float = float("inf")
    needs_gpu: bool = False


SUITES = {
    "quick": Suite(quick, 3, LSTMS),
    "shapes": Suite(shapes, 7, LSTMS),
    "cores": Suite(cores, 5, CORES),
    "growth": Suite(growth, 5, (*FOREIGN, "lstm", "momentum-lstm"), shapes=False),
    "sweep": Suite(runs_by_vmap, 15, (), shapes=False),
    "memory": Suite(peak_memory, 3, IN_MEMORY),
    "compile": Suite(compile_times, 3, COMPILED),
    "gpu": Suite(gpu, 10, (*GPU_LSTMS, *GPU_CORES), seconds=360, needs_gpu=True),
}
