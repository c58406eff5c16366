"""The core in chunks that fit the cache, with the backward pass written by hand.

The projection, and a drive behind it, run for a chunk of time steps at once. Only `h_{t-1} @ kernel` and the element-wise rest of
the core go step by step.

Backwards likewise: the pre-activations of a chunk come from one product with the stored states, the steps carry the gradient
through the element-wise part and `kernel`ᵀ, and the gradient of every kernel is one product per chunk. A chunk is small enough to
stay in cache, and large enough for such products to be fast.

`linear_call` makes this backward pass one of JAX's own: forward mode, second derivatives and `vmap` work.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from momentum_rnn_jax import _masked
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._linear import linear_call
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import KernelCore, affine
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.plan import DRIVE_STEPS, Plan


class Inputs(NamedTuple):
    """What is scanned over time: inputs (time, batch…, F), how much is left of an initial velocity (…, 1) or None, masks."""

    x: Array
    p: Array | None
    masks: Masks


class Weights(NamedTuple):
    """What is learnt, and the initial velocity: everything that is the same at every step and has a gradient."""

    drive: Drive
    input: Array
    core: dict[str, Array]
    velocity: Array | None


def run(
    plan: Plan, core: KernelCore, weights: Weights, inputs: Inputs, state: CellState, drive_start: Any
) -> tuple[CellState, Array]:
    """A sequence: the chunks, and then what is left of it as a shorter chunk."""
    time = inputs.x.shape[0]
    whole = time // plan.chunk * plan.chunk
    pieces = [(slice(0, whole), plan.chunk)] + ([(slice(whole, None), time - whole)] if whole < time else [])
    outputs = []
    for part, chunk in pieces:
        piece = jax.tree.map(lambda leaf, part=part: leaf[part], inputs)
        state, hs = _run(dataclasses.replace(plan, chunk=chunk), core, (weights, piece, state, drive_start))
        outputs.append(hs)
    hs = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs)
    return state, hs if inputs.masks.valid is None else _masked.select(inputs.masks.valid, hs, jnp.zeros_like(hs))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run(plan: Plan, core: KernelCore, args: Any) -> tuple[CellState, Array]:
    final, hs, _ = _forward(plan, core, args, "nothing")
    return final, hs


@_run.defjvp
def _run_jvp(plan: Plan, core: KernelCore, primals: Any, tangents: Any) -> Any:
    (args,) = primals
    final, hs, kept = _forward(plan, core, args, plan.keep)
    moved, dhs = linear_call(
        lambda residuals, moves: _tangent(plan, core, residuals[0], residuals[1], moves),
        lambda residuals, cotangents: _transpose(plan, core, *residuals, *cotangents),
        (args, kept),
        _floats(args[:3], tangents[0][:3]),  # the start is zeros
    )
    return (final, hs), (_with_float0(final, moved), dhs)


class Kept(NamedTuple):
    """What the backward pass gets of every chunk: the drive's and the core's state before it, its core states, its gates."""

    drive: Any
    first: Any
    states: Any
    pre: Any


@functools.partial(jax.jit, static_argnums=(0, 1, 3), inline=True)  # outside of a user's jit, compiled once a shape
def _forward(plan: Plan, core: KernelCore, args: Any, keep: str) -> tuple[CellState, Array, Kept]:
    """The final state, the outputs, and what the backward pass needs."""
    weights, inputs, state, drive_start = args

    def chunk(state: CellState, inputs: Inputs) -> tuple[CellState, Kept]:
        drive, d = state.drive, None
        if not plan.in_step:
            drive, d = apply_drive(weights.drive, state.drive, project(weights, inputs), drive_start, inputs.masks)
        last, (states, pre) = _core(core, weights, state.core, inputs, d, keep)
        return CellState(drive, last), Kept(state.drive, state.core if keep == "boundaries" else None, states, pre)

    final, kept = jax.lax.scan(chunk, state, _chunks(plan, inputs))
    hs = _joined(kept.states.h)
    if keep == "boundaries":
        return final, hs, kept._replace(states=None)
    if keep != "nothing":
        first = jax.tree.map(lambda one, all: jnp.concatenate([one[jnp.newaxis], all[:-1, -1]]), state.core, kept.states)
        kept = kept._replace(first=first)
    return final, hs, kept


def project(weights: Weights, inputs: Inputs) -> Array:
    """The projected inputs of a chunk, and what is left of the initial velocity: (chunk, batch…, G·H)."""
    return _add_velocity(inputs.x @ weights.input, inputs.p, weights)


def _add_velocity(us: Array, p: Array | None, weights: Weights) -> Array:
    """What is left of the initial velocity; with an axis of time or without."""
    if p is None or weights.velocity is None:
        return us
    return us + p * weights.velocity.reshape((1,) * (p.ndim - weights.velocity.ndim) + weights.velocity.shape)


def apply_drive(drive: Drive, state: Any, us: Array, start: Any, masks: Masks) -> tuple[Any, Array]:
    """The drive over a chunk: its state after it, and d."""
    if type(drive) is Identity:  # a subclass may do anything
        return state, us
    return _masked.scan(drive.step, state, us, start, masks, unroll=len(us) if len(us) <= DRIVE_STEPS else 1)


def _core(core: KernelCore, weights: Weights, state: Any, inputs: Inputs, d: Array | None, keep: str) -> tuple[Any, Any]:
    """The core over a chunk: its state after it, and of every step the state (or only h) and, for "gates", `pre`.

    Without `d`, the inputs are projected with the state, in one product a step.
    """
    start = jax.tree.map(jnp.zeros_like, state)
    others = _others(weights.core)
    joint_kernel = jnp.concatenate([weights.core["kernel"], weights.input]) if d is None else None
    source = inputs.x if d is None else d

    def pre_activations(state: Any, now: Array, p: Array | None) -> tuple[Array, ...]:
        if joint_kernel is None:
            return core.pre_activations(affine(weights.core, state.h), now)
        z = affine(dict(weights.core, kernel=joint_kernel), jnp.concatenate([state.h, now], axis=-1))
        return (_add_velocity(z, p, weights),)

    def step(carry: tuple[Any, Array], step_inputs: Any) -> tuple[Any, Any]:
        state, now = carry
        later, p, masks = step_inputs
        state = _masked.enter(state, start, masks)
        pre = pre_activations(state, now, p)
        new = _masked.leave(core.update(others, state, *pre), state, masks)
        kept = new if keep in ("gates", "states") else jax.tree.map(lambda _: None, new)._replace(h=new.h)
        following = jax.lax.dynamic_index_in_dim(source, later, keepdims=False)
        return (new, following), (kept, pre if keep == "gates" else None)

    # XLA vectorises the element-wise code on the CPU only where it reads whole buffers: the next slice travels with the state.
    later = jnp.minimum(jnp.arange(1, source.shape[0] + 1), source.shape[0] - 1)
    (state, _), kept = jax.lax.scan(step, (state, source[0]), (later, inputs.p, inputs.masks))
    return state, kept


def _before(
    plan: Plan, core: KernelCore, weights: Weights, inputs: Inputs, kept: Kept, d: Array
) -> tuple[Any, Any, Array | None]:
    """Of every step of a chunk: the core's state before it, the pre-activations in it, and `[h, x, 1]` for a joint product."""
    states, pre = kept.states, kept.pre
    if plan.keep == "boundaries":
        _, (states, pre) = _core(core, weights, kept.first, inputs, d, "gates")
    states = jax.tree.map(lambda one, all: jnp.concatenate([one[jnp.newaxis], all[:-1]]), kept.first, states)
    before = _masked.enter(states, jax.tree.map(jnp.zeros_like, states), inputs.masks)
    joint_inputs = None
    if plan.joint:
        ones = [jnp.ones_like(before.h[..., :1])] if "bias" in weights.core else []
        joint_inputs = jnp.concatenate([before.h, inputs.x, *ones], axis=-1)
    if plan.keep == "states" and joint_inputs is not None:
        pre = (_add_velocity(joint_inputs @ _joint_kernel(weights), inputs.p, weights),)
    elif plan.keep == "states":
        pre = core.pre_activations(affine(weights.core, before.h), d)
    return before, pre, joint_inputs


def _joint_kernel(weights: Weights) -> Array:
    bias = [weights.core["bias"][jnp.newaxis]] if "bias" in weights.core else []
    return jnp.concatenate([weights.core["kernel"], weights.input, *bias])


def _tangent(plan: Plan, core: KernelCore, args: Any, kept: Kept, moves: Any) -> tuple[Any, Array]:
    """The derivative along `moves`: of the final state's floating-point leaves and of the outputs."""
    weights, inputs, _, drive_start = args
    dweights, dinputs, dstate = moves
    update, kernel, others = _update_of(core), weights.core["kernel"], _others(weights.core)
    dbias = dweights.core.get("bias")

    def chunk(dstate: CellState, chunk_inputs: Any) -> tuple[CellState, Array]:
        inputs, dinputs, kept = chunk_inputs
        us, dus = jax.jvp(
            lambda input, velocity, x, p: project(weights._replace(input=input, velocity=velocity), Inputs(x, p, inputs.masks)),
            (weights.input, weights.velocity, inputs.x, inputs.p),
            (dweights.input, dweights.velocity, dinputs.x, dinputs.p),
        )
        drive, floats = _drive_of(drive_start, inputs.masks, (weights.drive, kept.drive, us))
        (_, d), (ddrive, dd) = jax.jvp(drive, (floats,), ((dweights.drive, dstate.drive, dus),))
        before, pre, _ = _before(plan, core, weights, inputs, kept, d)
        da = before.h @ dweights.core["kernel"]
        if dbias is not None:
            da = da + dbias.reshape((1,) * (da.ndim - 1) + (-1,))

        def step(dstate: Any, step_inputs: Any) -> tuple[Any, Array]:
            before, pre, da, dd, masks = step_inputs
            dbefore = _masked.enter(dstate, jax.tree.map(jnp.zeros_like, dstate), masks)
            dpre = core.pre_activations(da + dbefore.h @ kernel, dd)
            _, dnew = jax.jvp(update, (before, pre, others), (dbefore, dpre, _others(dweights.core)))
            dnew = _masked.leave(dnew, dbefore, masks)
            return dnew, dnew.h

        dcore, dhs = jax.lax.scan(step, dstate.core, (before, pre, da, dd, inputs.masks))
        return CellState(ddrive, dcore), dhs

    dstate, dhs = jax.lax.scan(chunk, dstate, (*_chunks(plan, (inputs, dinputs)), kept))
    return dstate, _joined(dhs)


def _transpose(plan: Plan, core: KernelCore, args: Any, kept: Kept, dfinal: Any, dhs: Array) -> Any:
    """The transpose of `_tangent`: back-propagation through time."""
    weights, inputs, _, drive_start = args
    update, others = _update_of(core), _others(weights.core)
    backwards = weights.core["kernel"].T
    floats_of_inputs = _floats(inputs)

    def chunk(carry: Any, chunk_inputs: Any) -> tuple[Any, Any]:
        inputs, dhs, kept = chunk_inputs
        dstate, total = carry
        drive, floats = _drive_of(drive_start, inputs.masks, (weights.drive, kept.drive, project(weights, inputs)))
        (_, d), pull_drive = jax.vjp(drive, floats)
        before, pre, joint_inputs = _before(plan, core, weights, inputs, kept, d)

        def step(carry: Any, step_inputs: Any) -> tuple[Any, Any]:
            before, pre, dh, masks = step_inputs
            dnew, dothers = carry
            dnew = dnew._replace(h=dnew.h + dh)
            zeros = jax.tree.map(jnp.zeros_like, dnew)
            _, pull = jax.vjp(update, before, pre, others)
            dbefore, dpre, more = pull(_masked.leave(dnew, zeros, masks))
            dbefore = dbefore._replace(h=dbefore.h + dpre[0] @ backwards)
            if masks.valid is not None:
                dbefore = jax.tree.map(jnp.add, dbefore, _masked.select(masks.valid, zeros, dnew))
            dothers = jax.tree.map(lambda a, b: a + b.astype(a.dtype), dothers, more)
            return (_masked.enter(dbefore, zeros, masks), dothers), dpre

        zeros = jax.tree.map(_wide_zeros, others)
        (dcore, dothers), dpre = jax.lax.scan(step, (dstate.core, zeros), (before, pre, dhs, inputs.masks), reverse=True)
        da, dd = dpre[0], dpre[-1]
        ddrive_weights, ddrive, dus = pull_drive((dstate.drive, dd))[0]
        if joint_inputs is None:
            ones = jnp.ones_like(before.h[..., :1])
            dinput, dcore_weights = _outer(inputs.x, dus), {"kernel": _outer(before.h, da)}
            dcore_weights |= {"bias": _outer(ones, da)[0]} if "bias" in weights.core else {}
        else:
            H, F = weights.core["kernel"].shape[0], weights.input.shape[0]
            joint_gradient = _outer(joint_inputs, da)
            dinput, dcore_weights = joint_gradient[H : H + F], {"kernel": joint_gradient[:H]}
            dcore_weights |= {"bias": joint_gradient[-1]} if "bias" in weights.core else {}
        dvelocity = dp = None
        if inputs.p is not None and weights.velocity is not None:
            dvelocity = (inputs.p * dus).sum(0)
            dp = (weights.velocity[jnp.newaxis] * dus).sum(-1, keepdims=True)
        dweights = Weights(ddrive_weights, dinput, dcore_weights | dothers, dvelocity)
        total = jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, dweights)
        return (CellState(ddrive, dcore), total), floats_of_inputs._replace(x=dus @ weights.input.T, p=dp)

    total = jax.tree.map(_wide_zeros, _floats(weights))
    (dstate, total), dinputs = jax.lax.scan(chunk, (dfinal, total), (*_chunks(plan, (inputs, dhs)), kept), reverse=True)
    dweights = jax.tree.map(lambda a, like: a.astype(like.dtype), total, _floats(weights))
    return dweights, jax.tree.map(_joined, dinputs), dstate


def _wide_zeros(leaf: Array) -> Array:
    """Where gradients are summed up, in at least float32."""
    return jnp.zeros_like(leaf, at_least_float32(leaf.dtype))


def _outer(a: Array, b: Array) -> Array:
    """The sum of outer products over time and batch, `aᵀ b`: (time, batch…, m), (time, batch…, n) -> (m, n), on every device."""
    axes = tuple(range(a.ndim - 1))
    mesh = jax.typeof(a).sharding.mesh
    everywhere = NamedSharding(mesh, PartitionSpec()) if AxisType.Explicit in mesh.axis_types else None
    wide = at_least_float32(a.dtype)
    return jax.lax.dot_general(a, b, ((axes, axes), ((), ())), preferred_element_type=wide, out_sharding=everywhere)


def _drive_of(drive_start: Any, masks: Masks, given: Any) -> tuple[Any, Any]:
    """`apply_drive` as a function of the floating-point leaves of `(drive, state, us)`, and these leaves."""

    def run(floats: Any) -> tuple[Any, Array]:
        drive, state, us = jax.tree.map(
            lambda leaf, value: leaf if value is None else value, given, floats, is_leaf=lambda x: x is None
        )
        state, d = apply_drive(drive, state, us, drive_start, masks)
        return _floats(state), d

    return run, _floats(given)


def _update_of(core: KernelCore) -> Any:
    return lambda state, pre, others: core.update(others, state, *pre)


def _others(params: dict[str, Array]) -> dict[str, Array]:
    """A core's parameters that its `update` uses: not those of the product."""
    return {name: value for name, value in params.items() if name not in ("kernel", "bias")}


def _chunks(plan: Plan, tree: Any) -> Any:
    """(time, …) -> (chunks, chunk, …)."""
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] // plan.chunk, plan.chunk, *leaf.shape[1:]), tree)


def _joined(leaf: Array) -> Array:
    """(chunks, chunk, …) -> (time, …)."""
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])


def _floats(tree: Any, values: Any = None) -> Any:
    """A tree with None in the place of the leaves of `tree` that are no floating-point numbers (counts of steps, masks)."""
    return jax.tree.map(
        lambda leaf, value: value if jnp.issubdtype(leaf.dtype, jnp.floating) else None, tree, tree if values is None else values
    )


def _with_float0(tree: Any, moved: Any) -> Any:
    """Tangents of a tree, from those of its floating-point leaves."""
    return jax.tree.map(
        lambda leaf, move: np.zeros(leaf.shape, jax.dtypes.float0) if move is None else move,
        tree,
        moved,
        is_leaf=lambda x: x is None,
    )
