"""Several processes that train one run together: each has all of its state, and only the first writes files and prints.

A single process is the first.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.command import CommandError, RunError


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Connect to the other processes; None for what the cluster provides. JAX must not have been used before."""
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is handled by `command.Signals`
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes cannot connect: {' '.join(str(error).split())}") from error


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def from_each(value: Any) -> list[Any]:
    """The value that each process passes, in the order of the processes; plain values for JSON."""
    if jax.process_count() == 1:
        return [value]
    content = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(content)))
    padded = np.pad(content, (0, -(-max(sizes) // 4096) * 4096 - len(content)))  # few sizes, so few programs are compiled
    return [json.loads(row[:size].tobytes()) for row, size in zip(multihost_utils.process_allgather(padded), sizes, strict=True)]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """An error of one process in here is an error of all: each fails with the message of the first that did."""
    mine = None
    try:
        yield
    except (CommandError, Exception) as error:
        if jax.process_count() == 1 or not (isinstance(error, CommandError) and isinstance(error, Exception)):
            raise
        mine = error
    for process, line in enumerate(from_each(None if mine is None else str(mine))):
        if line is not None:
            raise (mine if process == jax.process_index() and mine is not None else RunError(f"process {process}: {line}"))


def on_first(work: Callable[[], None]) -> None:
    """Let the first process do some work; an error there is an error of all."""
    with together():
        if is_first():
            work()
