"""Cores that recur in any way: the projection and the drive for the whole sequence ahead, then a scan of the core's step.

The drive does not depend on h, and the projection of all T·B inputs is one product, or one convolution. A linear drive with
scalar coefficients commutes with an affine projection `u = L x + b`:

    drive(u)_t = L drive(x)_t + β_t b + p_t v_0,

where β is the drive of ones and p its response to a velocity of one and no input. So where there are fewer inputs than gates it
filters them, as a causal filter in front of the projection. A bias is added after a convolution and not by an input of one, which
would fade at the border. The derivatives are JAX's own.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _compat
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result, scan


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with any core."""
    cell, prepared, xs, state, start, noise, masks = problem
    assert isinstance(cell, Cell)
    given = (cell, prepared, xs, state, start, noise, masks)
    cell, prepared, xs, state, start, noise, masks = _compat.same_varying_axes(jax.tree.map(jnp.asarray, given))
    first = start if state is None else state
    if plan.filter_inputs:
        drive, ds, drives = _filtered(plan, cell, prepared, xs, first.drive, start.drive, masks)
    else:
        us = cell.project(prepared, xs)
        drive, ds, drives = front.apply_drive(plan, cell.drive, first.drive, us, start.drive, masks)

    def step(state: Any, d: Array, noise: Any) -> tuple[Any, Array]:
        options = {} if noise is None else {"noise": noise}
        return cell.core.step(prepared["core"], state, d, **options)

    core, ys, cores = scan(step, first.core, (ds, noise), start.core, masks, return_states=plan.return_states)
    return Result(CellState(drive, core), ys, CellState(drives, cores) if plan.return_states else None)


def _filtered(plan: Plan, cell: Cell, prepared: Any, xs: Array, first: Any, start: Any, masks: Masks) -> tuple[Any, Array, Any]:
    """The drive in front of the projection: its final state, d, and its states where they are returned."""
    drive: Any = cell.drive
    bias = cell.project(prepared, jnp.zeros(xs.shape[xs.ndim - cell.core.feature_axes :], xs.dtype))
    velocity = first.velocity if plan.initial_velocity else None

    def rejoined(x: Array) -> Array:
        """`L x + β b + p v_0` of `[x, β, p]`, for any leading axes."""
        one, p = x[..., -2:-1], x[..., -1:]
        u = cell.project(prepared, x[..., :-2]) + (one - 1) * bias.reshape((1,) * (x.ndim - bias.ndim) + bias.shape)
        return u if velocity is None else u + p * velocity.reshape((1,) * (x.ndim - velocity.ndim) + velocity.shape)

    inputs = front.one_more(front.one_more(xs, 1), 0)  # [x, 1, 0]
    at_rest = jnp.zeros_like(inputs[0])
    final, filtered, states = scan(
        drive.update,
        first._replace(velocity=at_rest.at[..., -1].set(1)),
        (inputs,),
        start._replace(velocity=at_rest),
        masks,
        return_states=plan.return_states,
    )
    restored = None if states is None else states._replace(velocity=rejoined(states.velocity))
    return final._replace(velocity=rejoined(final.velocity)), rejoined(filtered), restored
