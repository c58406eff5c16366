"""Several processes, on one host or on several, that train one run together: what they tell each other.

Each computes its part of every step and knows all of the run; the first one alone writes files and prints. A process by itself
is the first, and tells itself.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.configs import ConfigError
from experiments.datasets import DataError
from experiments.fit.errors import RunError

CHUNK = 4096  # bytes; messages are filled up to a multiple, so that few programs are compiled


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Wait for the other processes; None for what the cluster knows. Nothing may have been computed before.

    Raises:
      RunError: they do not come together.
    """
    # SIGTERM is ours: see `signals`.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes do not come together: {' '.join(str(error).split())}") from error


def several() -> bool:
    """Whether this process has joined others."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return not several() or jax.process_index() == 0


def from_first(content: bytes) -> bytes:
    """What the first process gives here, whatever others give."""
    if not several():
        return content
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    mine = content if is_first() else b""
    return multihost_utils.broadcast_one_to_all(_filled(mine, size)).tobytes()[:size]


def from_each(value: Any) -> list[Any]:
    """What each process gives here, plain values for JSON, in the order of the processes."""
    if not several():
        return [value]
    content = json.dumps(value).encode()
    sizes = multihost_utils.process_allgather(np.int32(len(content)))
    rows = multihost_utils.process_allgather(_filled(content, max(sizes)))
    return [json.loads(row.tobytes()[:size]) for row, size in zip(rows, sizes, strict=True)]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What fails in here for one process fails for all of them, each with the line of the first that it failed for.

    Raises:
      RunError: it failed for another process.
    """
    if not several():
        yield
        return
    mine = None
    try:
        yield
    except (ConfigError, DataError, RunError) as error:
        mine = error
    for process, line in enumerate(from_each(None if mine is None else str(mine))):
        if line is not None:
            if process == jax.process_index() and mine is not None:
                raise mine
            raise RunError(f"process {process}: {line}") from mine


def check_same(name: str, mine: dict[str, Any]) -> None:
    """Refuse to compute together what is not the same.

    Raises:
      RunError: processes differ; the message says where.
    """
    told = from_each(mine)
    for process, other in enumerate(told):
        for key in {**told[0], **other}:
            if (there := other.get(key)) != (here := told[0].get(key)):
                raise RunError(f"process {process} has another {name}: {key} is {there!r} there and {here!r} in process 0")


def on_first(work: Callable[[], None]) -> None:
    """Let the first process do something, and fail everywhere if it fails there."""
    with together():
        if is_first():
            work()


def _filled(content: bytes, size: int) -> np.ndarray:
    room = np.zeros(-(-size // CHUNK) * CHUNK, np.uint8)
    room[: len(content)] = np.frombuffer(content, np.uint8)
    return room
