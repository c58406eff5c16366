"""The tangent and the transpose of a kernel core in chunks, line by line as `chunked` derives them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _compat, _masked
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import rest
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.front import Weights
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.steps import Residuals, chunks, entering, is_plain, joined


def differentiable(args: Any) -> Any:
    """The arguments that have tangents: all but the noise and the masks."""
    weights, inputs, first, start = args
    return weights, (inputs.x, inputs.p), first, start


def tangent(plan: Plan, args: Any, residuals: Residuals, tangents: Any) -> tuple[CellState, Any]:
    """The derivative along `tangents`: of the final state's floating-point leaves, and of what is emitted."""
    weights, inputs, _, start = args
    dweights, (dx, dp), dfirst, dstart = tangents
    core, kernel = weights.core, weights.params["kernel"]
    update = _update_of(weights)

    def chunk(dstate: CellState, chunk_inputs: Any) -> tuple[CellState, Any]:
        inputs, (dx, dp), residuals = chunk_inputs
        us, dus = jax.jvp(
            lambda input, velocity, x, p: front.project(weights._replace(input=input, velocity=velocity), x, p),
            (weights.input, weights.velocity, inputs.x, inputs.p),
            (dweights.input, dweights.velocity, dx, dp),
        )
        drive, given = _drive_of(plan, inputs.masks, (weights.drive, residuals.drive, us, start and start.drive))
        (_, d, _), (ddrive, dd, ddrives) = jax.jvp(
            drive, (given,), ((dweights.drive, dstate.drive, dus, dstart and dstart.drive),)
        )
        entered, pre = entering(plan, weights, inputs, residuals, d, start)
        ahead = entered.h @ dweights.params["kernel"]
        if "bias" in dweights.params:
            ahead = ahead + dweights.params["bias"].reshape((1,) * (ahead.ndim - 1) + (-1,))

        def step(dstate: Any, step_inputs: Any) -> tuple[Any, Any]:
            entered, pre, ahead, dd, noise, masks = step_inputs
            dentered = _masked.enter(dstate, dstart and dstart.core, masks)
            dpre = core.pre_activations(ahead + dentered.h @ kernel, dd)
            _, dnew = jax.jvp(
                lambda core, params, state, pre: update(core, params, state, pre, noise),
                (floats(core), rest(weights.params), entered, pre),
                (dweights.core, rest(dweights.params), dentered, dpre),
            )
            dnew = _masked.leave(dnew, dentered, masks)
            return dnew, dnew if plan.return_states else getattr(dnew, core.output)

        dcore, demitted = jax.lax.scan(step, dstate.core, (entered, pre, ahead, dd, inputs.noise, inputs.masks))
        return CellState(ddrive, dcore), CellState(ddrives, demitted) if plan.return_states else demitted

    dfinal, demitted = jax.lax.scan(chunk, dfirst, (*chunks(plan, (inputs, (dx, dp))), residuals))
    return dfinal, jax.tree.map(joined, demitted)


def transpose(plan: Plan, args: Any, residuals: Residuals, dfinal: Any, demitted: Any) -> Any:
    """The transpose of `tangent`."""
    weights, inputs, _, start = args
    core, params = weights.core, weights.params
    backwards, update = params["kernel"].T, _update_of(weights)

    def chunk(carry: Any, chunk_inputs: Any) -> Any:
        (dstate, dstart, total), (inputs, demitted, residuals) = carry, chunk_inputs
        us = front.project(weights, inputs.x, inputs.p)
        drive, given = _drive_of(plan, inputs.masks, (weights.drive, residuals.drive, us, start and start.drive))
        (_, d, _), pull_drive = jax.vjp(drive, given)
        entered, pre = entering(plan, weights, inputs, residuals, d, start)

        def step(carry: Any, step_inputs: Any) -> tuple[Any, Any]:
            (dstate, dstart, dtheta), (entered, pre, demitted, noise, masks) = carry, step_inputs
            if plan.return_states:
                dstate = jax.tree.map(jnp.add, dstate, demitted)
            else:
                dstate = dstate._replace(**{core.output: getattr(dstate, core.output) + demitted})
            zeros = jax.tree.map(jnp.zeros_like, dstate)
            _, pull = jax.vjp(
                lambda theta, state, pre: update(*theta, state, pre, noise), (floats(core), rest(params)), entered, pre
            )
            more, dentered, dpre = pull(_masked.leave(dstate, zeros, masks))
            dentered = dentered._replace(h=dentered.h + dpre[0] @ backwards)
            if masks.valid is not None:
                dentered = jax.tree.map(jnp.add, dentered, _masked.select(masks.valid, zeros, dstate))
            if dstart is not None:
                dstart = jax.tree.map(jnp.add, dstart, _masked.select(masks.resets, dentered, zeros))
            dtheta = jax.tree.map(lambda a, b: a + b.astype(a.dtype), dtheta, more)
            return (_masked.enter(dentered, zeros, masks), dstart, dtheta), dpre

        demitted_core = demitted.core if plan.return_states else demitted
        dtheta = jax.tree.map(_wide_zeros, (floats(core), rest(params)))
        (dcore, dstart_core, (dcore_leaves, dparams)), dpre = jax.lax.scan(
            step,
            (dstate.core, dstart and dstart.core, dtheta),
            (entered, pre, demitted_core, inputs.noise, inputs.masks),
            reverse=True,
        )
        da, dd = dpre[0], dpre[-1]
        demitted_drive = demitted.drive if plan.return_states else None
        ddrive_leaves, ddrive, dus, more_start = pull_drive((dstate.drive, dd, demitted_drive))[0]
        dinput, dproduct = _products(weights, entered.h, inputs.x, da, dus)
        dvelocity = dp = None
        if inputs.p is not None and weights.velocity is not None:
            dvelocity = (inputs.p * dus).sum(0)
            dp = (weights.velocity[jnp.newaxis] * dus).sum(-1, keepdims=True)
        dweights = Weights(ddrive_leaves, dcore_leaves, dinput, dproduct | dparams, dvelocity)
        total = jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, dweights)
        if dstart is not None:
            dstart = CellState(jax.tree.map(jnp.add, dstart.drive, more_start), dstart_core)
        return (CellState(ddrive, dcore), dstart, total), (dus @ weights.input.T, dp)

    like = floats((weights, start))
    total, dstart = jax.tree.map(_wide_zeros, like[0]), jax.tree.map(jnp.zeros_like, like[1])
    (dfirst, dstart, total), dinputs = jax.lax.scan(
        chunk, (dfinal, dstart, total), (*chunks(plan, (inputs, demitted)), residuals), reverse=True
    )
    dweights = jax.tree.map(lambda a, like: a.astype(like.dtype), total, like[0])
    return dweights, jax.tree.map(joined, dinputs), dfirst, dstart


def _products(weights: Weights, h: Array, x: Array, da: Array, du: Array) -> tuple[Array, dict[str, Array]]:
    """The gradients of W, and of U and b, over a chunk: in one product where the core is plain."""
    H, F = weights.params["kernel"].shape[0], weights.input.shape[0]
    ones = [jnp.ones_like(h[..., :1])] if "bias" in weights.params else []
    if is_plain(weights):
        all_rows = _outer(jnp.concatenate([h, x, *ones], axis=-1), da)
        dinput, dproduct = all_rows[H : H + F], {"kernel": all_rows[:H]}
        return dinput, dproduct | ({"bias": all_rows[-1]} if ones else {})
    dproduct = {"kernel": _outer(h, da)} | ({"bias": _outer(ones[0], da)[0]} if ones else {})
    return _outer(x, du), dproduct


def _outer(a: Array, b: Array) -> Array:
    """The sum of outer products over time and batch, `aᵀ b`: (time, batch…, m), (time, batch…, n) -> (m, n), on every device."""
    axes = tuple(range(a.ndim - 1))
    wide = at_least_float32(a.dtype)
    everywhere = _compat.replicated(a)
    return jax.lax.dot_general(a, b, ((axes, axes), ((), ())), preferred_element_type=wide, out_sharding=everywhere)


def _update_of(weights: Weights) -> Any:
    """The core's update as a function of its floating-point leaves, its parameters, its state and the pre-activations."""

    def update(leaves: Any, params: Any, state: Any, pre: Any, noise: Any) -> Any:
        return combine(weights.core, leaves).advance(params, state, pre, noise)

    return update


def _drive_of(plan: Plan, masks: _masked.Masks, given: Any) -> tuple[Any, Any]:
    """The drive as a function of the floating-point leaves of `(drive, state, us, start)`, and these leaves."""

    def run(values: Any) -> tuple[Any, Array, Any]:
        drive, state, us, start = combine(given, values)
        state, d, states = front.apply_drive(plan, drive, state, us, start, masks)
        return floats(state), d, floats(states)

    return run, floats(given)


def _wide_zeros(leaf: Array) -> Array:
    """Where gradients are accumulated, in at least float32."""
    return jnp.zeros_like(leaf, at_least_float32(leaf.dtype))


def floats(tree: Any, values: Any = None) -> Any:
    """A tree, or `values` of its structure, with None where a leaf of `tree` is not floating-point (counts of steps, keys)."""
    return jax.tree.map(
        lambda leaf, value: value if jnp.issubdtype(leaf.dtype, jnp.floating) else None, tree, tree if values is None else values
    )


def combine(tree: Any, values: Any) -> Any:
    """`tree` with the leaves that are not None in `values` in their places."""
    return jax.tree.map(lambda value, leaf: leaf if value is None else value, values, tree, is_leaf=_is_none)


def _is_none(leaf: Any) -> bool:
    return leaf is None
