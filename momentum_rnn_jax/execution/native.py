"""A kernel core's recurrence in native calls for the CPU: the operands of a call, and the results of a sequence.

One call takes the whole sequence, and a drive of the kernels with it. Any other drive after the projection runs chunk by chunk,
ahead of a call for each. With `remat` every chunk is computed again in the backward pass.
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
from momentum_rnn_jax.execution.native_operands import DRIVE_STATES, HYPERPARAMETERS, Operands, Spec
from momentum_rnn_jax.execution.native_support import DRIVE_KINDS
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result
from momentum_rnn_jax.execution.steps import chunks, joined, split

# Of a drive, which runs in blocks of steps: the rows (time x batch) of a block, and its longest.
BLOCK_ROWS, MAX_BLOCK = 1024, 32


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
    if not plan.native_drive and (type(weights.drive) is not Identity or inputs.p is not None):

        @jax.checkpoint  # a drive has more to store than it takes to compute again
        def driven(weights: Any, state: Any, inputs: Any, start: Any) -> Any:
            us = front.project(weights, inputs.x, inputs.p)
            return front.apply_drive(plan, weights.drive, state, us, start, inputs.masks)

        drive, d, drives = driven(weights, state.drive, inputs, start and start.drive)
    operands = _operands(arranged, state.core, inputs, d)
    if plan.native_drive:
        operands = operands._replace(**_drive_operands(arranged, state.drive, operands.kernel))
    found = call(_spec(plan, weights, operands), operands)
    hs = found["hs"]
    hs = hs.reshape(hs.shape[0], *inputs.x.shape[1:-1], hs.shape[-1])
    core = LSTMState(found["last_c"].reshape(hs.shape[1:]), hs[-1]) if "last_c" in found else type(state.core)(hs[-1])
    if plan.native_drive:
        last = (found[f"last_{letter}"] for letter in DRIVE_KINDS[type(weights.drive)].states)
        drive = type(drive)(*(new.reshape(old.shape) for new, old in zip(last, drive, strict=True)))
    return CellState(drive, core), (hs, drives)


def _drive_operands(arranged: Front, first: Any, kernel: Array) -> dict[str, Array]:
    """The drive's operands, with one axis for the batch, and a hyper-parameter for every gate."""
    drive, start = arranged.weights.drive, arranged.start and arranged.start.drive
    gates = kernel.shape[-1:]
    given = {name: getattr(drive, name) for name in HYPERPARAMETERS if hasattr(drive, name)}
    found = {name: jnp.broadcast_to(jnp.asarray(value, kernel.dtype), gates) for name, value in given.items()}
    for when, state in (("first", first), ("start", start)):
        for letter, leaf in zip(DRIVE_KINDS[type(drive)].states, state or (), strict=state is not None):
            found[f"{when}_{letter}"] = leaf.reshape(-1, *gates)
    return found


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
        **dict.fromkeys((*HYPERPARAMETERS, *DRIVE_STATES)),
    )


def _spec(plan: Plan, weights: Any, operands: Operands) -> Spec:
    present = tuple(name for name, value in operands._asdict().items() if value is not None)
    ahead = operands.x is not None and not plan.merged
    store = "gates" if plan.residuals == "pre_activations" else "states"
    drive = type(weights.drive) if plan.native_drive else None
    block = max(1, min(MAX_BLOCK, BLOCK_ROWS // operands.first_h.shape[0], operands.x.shape[0])) if drive else 1
    names = tuple(name for name in Operands._fields if name in present or (ahead and name == "d"))
    return Spec(weights.core, names, "nothing", store, ahead, drive, block)
