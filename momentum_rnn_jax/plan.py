"""How the fast path runs a sequence, decided from shapes alone."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import Cell
from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.drives import Identity, Momentum, Nesterov

ROWS = 2048  # of a chunk's products: time steps times batch
DRIVE_ROWS, DRIVE_STEPS = 512, 16  # likewise, at most, with a drive on the gates: it then runs as straight code, which XLA fuses
STORED_BYTES = 1 << 26  # up to here, pre-activations are kept for the backward pass rather than computed again
FEW_FEATURES = 8  # up to here, the projection is part of every step's product


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a sequence is run.

    Args:
      chunk: time steps at once.
      filter_inputs: the drive acts on the inputs, in front of the projection.
      joint: the gates are one product of states and inputs with `[kernel; input kernel; bias]`.
      in_step: they are so at every step, and not only backwards.
      keep: what the forward pass leaves for the backward pass, "gates" (states and pre-activations), "states", or "boundaries"
        (the states between chunks).
    """

    chunk: int
    filter_inputs: bool
    joint: bool
    in_step: bool
    keep: str


def choose(cell: Cell, xs_shape: tuple[int, ...], dtype: Any, remat: str | int, *, may_filter: bool = True) -> Plan:
    """The plan for a sequence of the shape (time, batch…, F); `may_filter` says whether `filter_inputs` is allowed."""
    time, batch, features = xs_shape[0], math.prod(xs_shape[1:-1]), xs_shape[-1]
    core = kernel_core(cell)
    gates = core.drive_features
    filter_inputs = (
        may_filter
        and type(cell.drive) in (Momentum, Nesterov)  # a subclass may do anything with its velocity
        and all(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(cell.drive))
        and features + 2 < gates
        and at_least_float32(dtype) == dtype
    )
    joint = core.additive and (filter_inputs or type(cell.drive) is Identity)
    in_step = joint and features <= FEW_FEATURES
    if isinstance(remat, int):
        return Plan(min(remat, time), filter_inputs, joint, in_step, "boundaries")
    behind = not filter_inputs and type(cell.drive) is not Identity
    rows, steps = (DRIVE_ROWS, DRIVE_STEPS) if behind else (ROWS, time)
    wanted = max(1, min(time, steps, rows // max(1, batch)))
    chunk = next((n for n in range(wanted, wanted // 2, -1) if time % n == 0), wanted)
    small = time * batch * gates * jnp.dtype(dtype).itemsize <= STORED_BYTES
    return Plan(chunk, filter_inputs, joint, in_step, "gates" if small or remat == "none" else "states")


def describe(cell: Cell, xs_shape: tuple[int, ...], dtype: Any, remat: str | int) -> str:
    """The plan in words, for a sequence from the start."""
    plan, time = choose(cell, xs_shape, dtype, remat), xs_shape[0]
    rest = f" and {time % plan.chunk}" if time % plan.chunk else ""
    where = "the drive acts on the gates, behind the projection"
    if plan.filter_inputs:
        where = f"the drive acts on the input features ({xs_shape[-1]}), in front of the projection"
    elif type(cell.drive) is Identity:
        where = "no drive acts in front or behind of the projection"
    in_step = ", which is part of every step's product" if plan.in_step else ""
    backward = {
        "gates": "gets the states and pre-activations of every step",
        "states": "gets the states of every step and computes the pre-activations again",
        "boundaries": "gets the states between chunks and computes all else again",
    }[plan.keep]
    return f"{time // plan.chunk} x {plan.chunk} steps{rest}; {where}{in_step}; the backward pass {backward}"


def kernel_core(cell: Cell) -> KernelCore:
    """The cell's core, which is of the kind that the fast path knows."""
    assert isinstance(cell.core, KernelCore)
    return cell.core
