"""A kernel core's recurrence in one native call for the CPU: the operands of the call, and what is made of its results."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _masked
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import LSTMState
from momentum_rnn_jax.drives import Identity
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.native_call import Operands, Spec, call
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with a core that the kernels have."""
    arranged = front.arrange(plan, problem)
    weights, inputs, first = arranged.weights, arranged.inputs, arranged.first
    x: Array | None = inputs.x
    d, drive, drives = None, first.drive, arranged.drive_states
    if type(weights.drive) is not Identity or inputs.p is not None:
        us = front.project(weights, inputs.x, inputs.p)
        start = arranged.start and arranged.start.drive
        drive, d, drives = front.apply_drive(plan, weights.drive, first.drive, us, start, inputs.masks)
        x = None
    masks = inputs.masks
    operands = _flat_batch(weights, x, d, first.core, arranged.start and arranged.start.core, masks)
    spec = _spec(weights.core, operands, plan)
    hs, last_c = _pieces(plan, spec, operands)
    batch = inputs.x.shape[1:-1]
    hs = hs.reshape(hs.shape[0], *batch, hs.shape[-1])
    h = hs[-1]
    core = type(first.core)(h) if last_c is None else LSTMState(last_c.reshape(h.shape), h)
    final = CellState(arranged.restore(drive), core)
    outputs = hs if masks.valid is None else _masked.select(masks.valid, hs, jnp.zeros_like(hs))
    return Result(final, outputs, CellState(drives, type(first.core)(hs)) if plan.return_states else None)


def _flat_batch(weights: front.Weights, x: Array | None, d: Array | None, first: Any, start: Any, masks: Masks) -> Operands:
    """The operands, with one axis for the batch."""

    def steps(array: Array | None, trailing: int = 1) -> Any:
        return None if array is None else array.reshape(array.shape[0], -1, *array.shape[array.ndim - trailing :])

    def state(part: Any, name: str) -> Any:
        leaf = getattr(part, name, None)
        return None if leaf is None else leaf.reshape(-1, leaf.shape[-1])

    params, has_cell = weights.params, hasattr(first, "c")
    return Operands(
        steps(x),
        steps(d),
        None if x is None else weights.input,
        params["kernel"],
        params.get("bias"),
        params.get("modrelu_bias"),
        state(first, "h"),
        state(first, "c") if has_cell else None,
        steps(masks.resets, 0),
        steps(masks.valid, 0),
        state(start, "h"),
        state(start, "c") if has_cell else None,
    )


def _spec(core: Any, operands: Operands, plan: Plan) -> Spec:
    present = tuple(name for name, value in operands._asdict().items() if value is not None)
    ahead = operands.x is not None and not plan.merged
    store = "gates" if plan.residuals == "pre_activations" else "states"
    return Spec(core, present + (("d",) if ahead else ()), "nothing", store, ahead)


def _pieces(plan: Plan, spec: Spec, operands: Operands) -> tuple[Array, Array | None]:
    """h of every step and the last c: in one call, or in pieces whose residuals are computed again, piece by piece."""
    time = (operands.x if operands.d is None else operands.d).shape[0]
    if plan.chunk is None or plan.chunk >= time:
        return call(spec, operands)
    over_time = {name: getattr(operands, name) for name in ("x", "d", "resets", "valid") if getattr(operands, name) is not None}
    whole = time // plan.chunk

    @jax.checkpoint
    def piece(state: Any, part: dict[str, Array]) -> tuple[Any, Array]:
        hs, c = call(spec, operands._replace(first_h=state[0], first_c=state[1], **part))
        return (hs[-1], c), hs

    head = {name: a[: whole * plan.chunk].reshape(whole, plan.chunk, *a.shape[1:]) for name, a in over_time.items()}
    state, hs = jax.lax.scan(piece, (operands.first_h, operands.first_c), head)
    hs = hs.reshape(-1, *hs.shape[2:])
    if whole * plan.chunk < time:
        state, more = piece(state, {name: a[whole * plan.chunk :] for name, a in over_time.items()})
        hs = jnp.concatenate([hs, more])
    return hs, state[1]
