"""A linear core by an associative scan over time: `h_t = a_t ⊙ h_{t-1} + b_t`.

Two steps in a row are a step of the same form, `(a, b)` and then `(a', b')` being `(a' a, a' b + b')`, and this composition is
associative, so that T steps take log T rounds. A reset makes a step's coefficients `(0, a_t start + b_t)`, padding `(1, 0)`.

The tangent obeys the same recurrence, `ḣ_t = a_t ḣ_{t-1} + e_t` with `e_t = ȧ_t h_{t-1} + ḃ_t`, and its transpose is the
recurrence backwards, `ē_t = h̄_t + a_{t+1} ē_{t+1}`: neither stores the rounds of the scan.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _masked
from momentum_rnn_jax._autodiff import linear_call
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import HiddenState, LinearCore
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with a `LinearCore`."""
    weights, inputs, first, start, _, _ = front.arrange(plan, problem)
    core, masks = weights.core, inputs.masks
    assert isinstance(core, LinearCore)
    us = front.project(weights, inputs.x, inputs.p)
    drive, d, drives = front.apply_drive(plan, weights.drive, first.drive, us, start and start.drive, masks)
    a, b = core.coefficients(weights.params, d)
    if start is not None and masks.resets is not None:
        begun = a * start.core.h[jnp.newaxis] + b
        a, b = _masked.select(masks.resets, (jnp.zeros_like(a), begun), (a, b))
    if masks.valid is not None:
        a, b = _masked.select(masks.valid, (a, b), (jnp.ones_like(a), jnp.zeros_like(b)))
    hs = linear_recurrence(a, b.at[0].add(a[0] * first.core.h))
    outputs = hs if masks.valid is None else _masked.select(masks.valid, hs, jnp.zeros_like(hs))
    states = CellState(drives, HiddenState(hs)) if plan.return_states else None
    return Result(CellState(drive, HiddenState(hs[-1])), outputs, states)


@jax.custom_jvp
def linear_recurrence(a: Array, b: Array) -> Array:
    """Every `h_t = a_t ⊙ h_{t-1} + b_t` from `h_0 = 0`; a, b and h are (time, …)."""
    return _scan(a, b)


@linear_recurrence.defjvp
def _jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (a, b), (da, db) = primals, tangents
    h = linear_recurrence(a, b)
    e = da * _shifted(h) + db
    return h, linear_call(_scan, _scan_backwards, a, e)


def _scan(a: Array, e: Array) -> Array:
    def compose(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
        return other[0] * one[0], other[0] * one[1] + other[1]

    return jax.lax.associative_scan(compose, (a, e))[1]


def _scan_backwards(a: Array, h: Array) -> Array:
    following = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])
    return jnp.flip(_scan(jnp.flip(following, 0), jnp.flip(h, 0)), 0)


def _shifted(h: Array) -> Array:
    return jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
