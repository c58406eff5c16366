"""A linear core by an associative scan over time: `h_t = a_t ⊙ h_{t-1} + b_t`.

Two steps in a row are a step of the same form, `(a, b)` and then `(a', b')` being `(a' a, a' b + b')`, and this composition is
associative, so that T steps take log T rounds. Padding has the coefficients `(1, 0)`.

At a reset, b is `a_t start + b_t` and a flag r is set: where the later of two steps has the flag, their composition is
`(0, b')`, by selection. Setting a to zero instead would let NaN from before a reset through, because 0 · NaN is NaN.

The tangent obeys the same recurrence, `ḣ_t = a_t ḣ_{t-1} + e_t` with `e_t = ȧ_t h_{t-1} + ḃ_t`, and its transpose is the
recurrence backwards, `ē_t = h̄_t + a_{t+1} ē_{t+1}`. In both, terms that would cross a reset are zero. Neither stores the
intermediate results of the scan.
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
    h = first.core.h
    if start is not None and masks.resets is not None:
        # Selected before and after the product, so that no value and no gradient passes through it at the other steps.
        restarted = _masked.select(masks.resets, start.core.h[jnp.newaxis], jnp.zeros_like(b))
        b = _masked.select(masks.resets, a * restarted + b, b)
        h = _masked.select(masks.resets[0], jnp.zeros_like(h), h)
    if masks.valid is not None:
        a, b = _masked.select(masks.valid, (a, b), (jnp.ones_like(a), jnp.zeros_like(b)))
    hs = linear_recurrence(a, b.at[0].add(a[0] * h), masks.resets)
    states = CellState(drives, HiddenState(hs)) if plan.return_states else None
    return Result(CellState(drive, HiddenState(hs[-1])), _masked.zero_padding(hs, masks), states)


@jax.custom_jvp
def linear_recurrence(a: Array, b: Array, resets: Array | None) -> Array:
    """Every `h_t = a_t ⊙ h_{t-1} + b_t` from `h_0 = 0`, and `h_t = b_t` at a reset.

    a, b and h are (time, batch…, H), `resets` (time, batch…) or None.
    """

    def compose(one: Any, other: Any) -> Any:
        (a, b, reset), (a_other, b_other, reset_other) = one, other
        product, total = a_other * a, a_other * b + b_other
        if reset is None:
            return product, total, None
        product, total = _masked.select(reset_other, (jnp.zeros_like(product), b_other), (product, total))
        return product, total, reset | reset_other

    return jax.lax.associative_scan(compose, (a, b, resets))[1]


@linear_recurrence.defjvp
def _jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (a, b, resets), (da, db, _) = primals, tangents
    h = linear_recurrence(a, b, resets)
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
    if resets is None:
        e = da * before + db
    else:  # selected on both sides of the product, as in `run`
        before = _masked.select(resets, jnp.zeros_like(before), before)
        e = _masked.select(resets, db, da * before + db)
    return h, linear_call(_forwards, _backwards, (a, resets), e)


def _forwards(residuals: Any, e: Array) -> Array:
    a, resets = residuals
    return linear_recurrence(a, e, resets)


def _backwards(residuals: Any, h: Array) -> Array:
    a, resets = jax.tree.map(_following, residuals)
    return jnp.flip(linear_recurrence(a, jnp.flip(h, 0), resets), 0)


def _following(leaf: Array) -> Array:
    """For each step the entry of the step after it, zero for the last, in reversed order of time."""
    return jnp.flip(jnp.concatenate([leaf[1:], jnp.zeros_like(leaf[:1])]), 0)
