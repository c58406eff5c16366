"""A kernel core's recurrence in native calls for the CPU: the operands of a call, and the results of a sequence.

One call takes the whole sequence, except that a drive after the projection runs chunk by chunk, ahead of a call for each, and
that with `remat` every chunk is computed again in the backward pass.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _masked
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import LSTMState
from momentum_rnn_jax.drives import Identity
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.front import Front, Inputs
from momentum_rnn_jax.execution.native_call import call
from momentum_rnn_jax.execution.native_operands import Operands, Spec
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result
from momentum_rnn_jax.execution.steps import chunks, joined, split


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with a core that the kernels support."""
    arranged = front.arrange(plan, problem)
    final, hs, drives = _over_chunks(plan, arranged)
    final = final._replace(drive=arranged.restore(final.drive))
    drives = drives if arranged.drive_states is None else arranged.drive_states
    states = CellState(drives, type(final.core)(hs)) if plan.return_states else None
    return Result(final, _masked.zero_padding(hs, problem.masks), states)


def _over_chunks(plan: Plan, arranged: Front) -> tuple[CellState, Array, Any]:
    """The final state, h of every step, and the drive's states where they are returned."""
    inputs, time = arranged.inputs, arranged.inputs.x.shape[0]

    def chunk(state: CellState, inputs: Inputs) -> tuple[CellState, tuple[Array, Any]]:
        return _chunk(plan, arranged, state, inputs)

    if plan.chunk is None or plan.chunk >= time:
        state, (hs, drives) = chunk(arranged.first, inputs)
        return state, hs, drives
    if plan.residuals == "checkpoints":
        chunk = jax.checkpoint(chunk)
    whole = time // plan.chunk * plan.chunk
    head, tail = split(inputs, whole)
    state, steps = jax.lax.scan(chunk, arranged.first, chunks(plan, head))
    steps = jax.tree.map(joined, steps)
    if whole < time:
        state, more = chunk(state, tail)
        steps = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), steps, more)
    return state, *steps


def _chunk(plan: Plan, arranged: Front, state: CellState, inputs: Inputs) -> tuple[CellState, tuple[Array, Any]]:
    """The state after some steps, their h, and the drive's states where they are returned."""
    weights, start = arranged.weights, arranged.start
    drive, d, drives = state.drive, None, state.drive if plan.return_states else None
    if type(weights.drive) is not Identity or inputs.p is not None:

        @jax.checkpoint  # a drive has more to store than it takes to compute again
        def driven(weights: Any, state: Any, inputs: Any, start: Any) -> Any:
            us = front.project(weights, inputs.x, inputs.p)
            return front.apply_drive(plan, weights.drive, state, us, start, inputs.masks)

        drive, d, drives = driven(weights, state.drive, inputs, start and start.drive)
    operands = _operands(arranged, state.core, inputs, d)
    hs, last_c = call(_spec(plan, weights.core, operands), operands)
    hs = hs.reshape(hs.shape[0], *inputs.x.shape[1:-1], hs.shape[-1])
    core = type(state.core)(hs[-1]) if last_c is None else LSTMState(last_c.reshape(hs.shape[1:]), hs[-1])
    return CellState(drive, core), (hs, drives)


def _operands(arranged: Front, first: Any, inputs: Inputs, d: Array | None) -> Operands:
    """The operands of a call, with one axis for the batch."""

    def steps(array: Array | None, trailing: int = 1) -> Any:
        return None if array is None else array.reshape(array.shape[0], -1, *array.shape[array.ndim - trailing :])

    def state(state: Any, name: str) -> Any:
        leaf = getattr(state, name, None)
        return None if leaf is None else leaf.reshape(-1, leaf.shape[-1])

    weights, start = arranged.weights, arranged.start and arranged.start.core
    x = inputs.x if d is None else None
    return Operands(
        steps(x),
        steps(d),
        None if x is None else weights.input,
        weights.params["kernel"],
        weights.params.get("bias"),
        weights.params.get("modrelu_bias"),
        state(first, "h"),
        state(first, "c"),
        steps(inputs.masks.resets, 0),
        steps(inputs.masks.valid, 0),
        state(start, "h"),
        state(start, "c"),
    )


def _spec(plan: Plan, core: Any, operands: Operands) -> Spec:
    present = tuple(name for name, value in operands._asdict().items() if value is not None)
    ahead = operands.x is not None and not plan.merged
    store = "gates" if plan.residuals == "pre_activations" else "states"
    return Spec(core, present + (("d",) if ahead else ()), "nothing", store, ahead)
