"""What is in front of the core: the projection and the drive, in the order that costs least.

The drive does not depend on h. A linear drive commutes with the projection: with scalar coefficients and a start from zero,

    drive([x, 1] W) = drive([x, 1]) W,

where the row of W for the input of one is the bias. So the drive acts on the F + 1 inputs instead of the G·H gates, as a causal
filter ahead of the sequence, and what is left is a plain cell on filtered inputs. An initial velocity v_0 adds `p_t v_0`, where p
is the drive's response to a velocity of one and no input. A `HiPPO` that reads all units alike commutes too, while it starts from
an empty memory. Any other drive stays after the projection.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _compat
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState
from momentum_rnn_jax.cores import Core
from momentum_rnn_jax.drives import Drive, HiPPO, Identity, IdentityState
from momentum_rnn_jax.execution.resolve import DRIVE_STEPS, Plan
from momentum_rnn_jax.execution.scan import Problem, scan


class Inputs(NamedTuple):
    """What is scanned over time: x (time, batch…, F), p (time, batch…, 1) or None, the noise, the masks."""

    x: Array
    p: Array | None
    noise: Any
    masks: Masks


class Weights(NamedTuple):
    """What is the same at every step and has a gradient.

    `drive` and `core` are here for their array leaves; `input` is the projection's kernel, the bias its last row; `params` are
    the core's prepared parameters; `velocity` is v_0 (batch…, G·H), or None.
    """

    drive: Drive
    core: Core
    input: Array
    params: dict[str, Array]
    velocity: Array | None


class Front(NamedTuple):
    """A problem with its drive put in place; `restore` turns states of the filter into states of the drive."""

    weights: Weights
    inputs: Inputs
    first: CellState
    start: CellState | None
    restore: Callable[[Any], Any]
    drive_states: Any


def arrange(plan: Plan, problem: Problem) -> Front:
    """The drive in front of the projection or after it, as the plan says."""
    cell, prepared, xs, state, start, noise, masks = problem
    assert isinstance(cell, Cell)
    given = (cell.drive, cell.core, prepared, xs, state, start, noise, masks)
    drive, core, prepared, xs, state, start, noise, masks = _compat.same_varying_axes(jax.tree.map(jnp.asarray, given))
    first = start if state is None else state
    kernel, bias = prepared["input"]["kernel"], prepared["input"].get("bias")
    if bias is not None:  # a row of the kernel, for an input of one: its gradient is then part of a product too
        kernel = jnp.concatenate([kernel, bias[jnp.newaxis]])
        xs = one_more(xs, 1)
    goes_back = masks.resets is not None
    if not plan.filter_inputs:
        weights = Weights(drive, core, kernel, prepared["core"], None)
        return Front(weights, Inputs(xs, None, noise, masks), first, start if goes_back else None, lambda state: state, None)

    if isinstance(drive, HiPPO):
        empty = drive.start(xs[0])
        final, filtered, states = scan(drive.update, empty, (xs,), empty, masks, return_states=plan.return_states)
        return Front(
            Weights(Identity(), core, kernel, prepared["core"], None),
            Inputs(filtered, None, noise, masks),
            CellState(IdentityState(), first.core),
            CellState(IdentityState(), start.core) if goes_back else None,
            lambda _: drive.projected(final, kernel),
            None if states is None else drive.projected(states, kernel),
        )

    velocity = first.drive.velocity if plan.initial_velocity else None
    final, filtered, states = _filter(plan, drive, first.drive, start.drive, xs, masks)

    def restore(drive_state: Any) -> Any:
        v = drive_state.velocity
        restored = v[..., :-1] @ kernel
        if velocity is not None:
            restored = restored + v[..., -1:] * velocity.reshape((1,) * (v.ndim - velocity.ndim) + velocity.shape)
        return drive_state._replace(velocity=restored)

    p = None if velocity is None else filtered[..., -1:]
    return Front(
        Weights(Identity(), core, kernel, prepared["core"], velocity),
        Inputs(filtered[..., :-1], p, noise, masks),
        CellState(IdentityState(), first.core),
        CellState(IdentityState(), start.core) if goes_back else None,
        lambda _: restore(final),
        None if states is None else restore(states),
    )


def _filter(plan: Plan, drive: Any, state: Any, start: Any, xs: Array, masks: Masks) -> tuple[Any, Array, Any]:
    """The drive on `[x, p]`: the final state, `[x, p]` filtered, and the states of every step where they are returned."""
    one = one_more(jnp.zeros_like(xs[0]), 1)
    return scan(
        drive.update,
        state._replace(velocity=one),
        (one_more(xs, 0),),
        start._replace(velocity=jnp.zeros_like(one)),
        masks,
        return_states=plan.return_states,
    )


def one_more(xs: Array, value: int) -> Array:
    """`[xs, value]`: `xs` with a constant feature added; `xs` may have no features."""
    return jnp.pad(xs, [(0, 0)] * (xs.ndim - 1) + [(0, 1)], constant_values=value)


def project(weights: Weights, x: Array, p: Array | None) -> Array:
    """`u = x W + p v_0`: (time, batch…, F) -> (time, batch…, G·H)."""
    us = x @ weights.input
    return us if p is None or weights.velocity is None else us + p * weights.velocity[jnp.newaxis]


def apply_drive(plan: Plan, drive: Drive, state: Any, us: Array, start: Any, masks: Masks) -> tuple[Any, Array, Any]:
    """The drive over projected inputs: its final state, d, and its states where they are returned.

    A few steps run as straight code, which XLA fuses.
    """
    if type(drive) is Identity:  # a subclass may do anything
        return state, us, state if plan.return_states else None
    few = plan.chunk is not None and plan.chunk <= DRIVE_STEPS
    start = state if start is None else start
    unroll = plan.chunk if few and plan.chunk else 1
    return scan(drive.advance, state, (us,), start, masks, unroll=unroll, return_states=plan.return_states)
