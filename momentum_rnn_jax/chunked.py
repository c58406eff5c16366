"""The exact fast path: a sequence in chunks that fit the cache, with the backward pass written by hand.

The drive never sees h, so everything in front of the core is computed for many time steps at once. A linear drive acts on the F
inputs instead of the G·H gates, before the sequence starts, and leaves a plain cell. Any other drive runs chunk by chunk, behind
one product for the projection. Only `h_{t-1} @ kernel` and the element-wise rest of the core go step by step.

Backwards likewise: the pre-activations of a chunk come from one product with the stored states, the steps carry the gradient
through the element-wise part and `kernel`ᵀ, and the gradient of every kernel is one product per chunk. A chunk is small enough to
stay in cache, and large enough for such products to be fast.

`linear_call` makes this backward pass one of JAX's own: forward mode, second derivatives and `vmap` work.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from momentum_rnn_jax import _masked, cudnn
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._linear import linear_call
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.cores import KernelCore, LSTMState, affine
from momentum_rnn_jax.drives import Drive, Identity, IdentityState, Momentum, Nesterov

ROWS = 2048  # of a chunk's products: time steps times batch
DRIVE_ROWS, DRIVE_STEPS = 512, 16  # likewise, at most, with a drive on the gates: it then runs as straight code, which XLA fuses
STORED_BYTES = 1 << 26  # up to here, pre-activations are kept for the backward pass rather than computed again
FEW_FEATURES = 8  # up to here, the projection is part of every step's product


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a sequence is run.

    `chunk`: time steps at once. `filter_inputs`: the drive acts on the inputs, in front of the projection. `joint`: the gates are
    one product of states and inputs with `[kernel; input kernel; bias]`; `in_step`: at every step, and not only backwards.
    `keep`: what the forward pass leaves for the backward pass,
    "gates" (states and pre-activations), "states", or "boundaries" (the states between chunks).
    """

    chunk: int
    filter_inputs: bool
    joint: bool
    in_step: bool
    keep: str


def choose(cell: Cell, xs_shape: tuple[int, ...], dtype: Any, remat: str | int) -> Plan:
    """The plan for a sequence of the shape (time, batch…, F)."""
    time, batch, features = xs_shape[0], math.prod(xs_shape[1:-1]), xs_shape[-1]
    core = _kernel_core(cell)
    gates = core.drive_features
    filter_inputs = (
        type(cell.drive) in (Momentum, Nesterov)  # a subclass may do anything with its velocity
        and all(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(cell.drive))
        and features + 2 < gates
        and at_least_float32(dtype) == dtype
    )
    joint = core.additive and (filter_inputs or type(cell.drive) is Identity)
    in_step = joint and features <= FEW_FEATURES
    if isinstance(remat, int):
        return Plan(min(remat, time), filter_inputs, joint, in_step, "boundaries")
    behind = not filter_inputs and type(cell.drive) is not Identity
    wanted = max(1, min(time, (DRIVE_ROWS if behind else ROWS) // max(1, batch), DRIVE_STEPS if behind else time))
    divisors = [n for n in range(wanted, wanted // 2, -1) if time % n == 0]
    chunk = divisors[0] if divisors else wanted
    small = time * batch * gates * jnp.dtype(dtype).itemsize <= STORED_BYTES
    return Plan(chunk, filter_inputs, joint, in_step, "gates" if small or remat == "none" else "states")


def describe(cell: Cell, xs_shape: tuple[int, ...], dtype: Any, remat: str | int) -> str:
    """The plan in words."""
    plan, time = choose(cell, xs_shape, dtype, remat), xs_shape[0]
    rest = f" and {time % plan.chunk}" if time % plan.chunk else ""
    where = "the drive acts on the gates, behind the projection"
    if plan.filter_inputs:
        where = f"the drive acts on the input features ({xs_shape[-1]}), in front of the projection"
    elif isinstance(cell.drive, Identity):
        where = "no drive acts in front or behind of the projection"
    in_step = ", which is part of every step's product" if plan.in_step else ""
    backward = {
        "gates": "gets the states and pre-activations of every step",
        "states": "gets the states of every step and computes the pre-activations again",
        "boundaries": "gets the states between chunks and computes all else again",
    }[plan.keep]
    return f"{time // plan.chunk} x {plan.chunk} steps{rest}; {where}{in_step}; the backward pass {backward}"


def _kernel_core(cell: Cell) -> KernelCore:
    assert isinstance(cell.core, KernelCore)
    return cell.core


class Inputs(NamedTuple):
    """What is scanned over time: inputs (time, batch…, F), how much is left of an initial velocity (…, 1) or None, masks."""

    x: Array
    p: Any
    masks: Masks


class Weights(NamedTuple):
    """What is learnt, and the initial velocity: everything that is the same at every step and has a gradient."""

    drive: Drive
    input: Array
    core: dict[str, Array]
    velocity: Any


def run(
    plan: Plan, cell: Cell, ready: Params, xs: Array, state: CellState | None, start: CellState, masks: Masks, on_cudnn: bool
) -> tuple[CellState, Array]:
    """`unroll` for a `Cell` with a `KernelCore`, on arguments that fit; without a state it begins at the start."""
    fresh, state = state is None, start if state is None else state
    if (masks.resets is not None or on_cudnn) and not fresh:
        # A reset must forget an initial velocity even where that is not finite, which `p v_0` with p = 0 does not; and cuDNN has
        # no place for `p v_0`.
        joint = plan.joint and not plan.filter_inputs
        plan = dataclasses.replace(plan, filter_inputs=False, joint=joint, in_step=plan.in_step and joint)
    given = (cell.drive, ready, xs, state, start, masks)
    drive, ready, xs, state, start, masks = _on_each_device(jax.tree.map(jnp.asarray, given))
    run_core = _run_on_cudnn if on_cudnn else _run_in_pieces
    weights, bias = ready["input"]["kernel"], ready["input"].get("bias")
    if bias is not None:  # a row of the kernel, for an input of one: its gradient is then part of a product too
        weights = jnp.concatenate([weights, bias[jnp.newaxis]])
        xs = jnp.concatenate([xs, jnp.ones_like(xs[..., :1])], axis=-1)
    if not plan.filter_inputs:
        return run_core(
            plan,
            _kernel_core(cell),
            Weights(drive, weights, ready["core"], None),
            Inputs(xs, None, masks),
            state,
            start.drive,
        )
    drive_state, xs, p = _filter(drive, state.drive, start.drive, xs, masks)
    final, hs = run_core(
        plan,
        _kernel_core(cell),
        Weights(Identity(), weights, ready["core"], None if fresh else state.drive.velocity),
        Inputs(xs, None if fresh else p, masks),
        CellState(IdentityState(), state.core),
        IdentityState(),
    )
    last = drive_state.velocity
    velocity = last[..., :-1] @ weights
    if not fresh:
        velocity = velocity + last[..., -1:] * state.drive.velocity
    return CellState(drive_state._replace(velocity=velocity), final.core), hs


def _on_each_device(tree: Any) -> Any:
    """Inside `shard_map`, what all devices share becomes each device's own, before the hand-written backward pass sees it."""

    def axes(leaf: Array) -> frozenset[Any]:
        return jax.typeof(leaf).manual_axis_type.varying

    every = frozenset().union(*map(axes, jax.tree.leaves(tree)))
    return jax.tree.map(
        lambda leaf: jax.lax.pcast(leaf, tuple(every - axes(leaf)), to="varying") if every - axes(leaf) else leaf, tree
    )


def _filter(drive: Any, state: Any, start: Any, xs: Array, masks: Masks) -> tuple[Any, Array, Array]:
    """A linear drive on the inputs: `drive(x W) = drive(x) W + p v_0`, with p what it makes of a velocity of 1 and no input.

    Returns the final state, whose velocity is that of `(x, p)`, the filtered inputs, and p.
    """
    zeros = jnp.zeros_like(xs[..., :1])
    first = jnp.concatenate([jnp.zeros_like(xs[0]), zeros[0] + 1], axis=-1)
    final, filtered = _masked.scan(
        drive.update,
        state._replace(velocity=first),
        jnp.concatenate([xs, zeros], axis=-1),
        start._replace(velocity=jnp.zeros_like(first)),
        masks,
    )
    return final, filtered[..., :-1], filtered[..., -1:]


def _run_in_pieces(
    plan: Plan, core: KernelCore, weights: Weights, inputs: Inputs, state: CellState, start: Any
) -> tuple[CellState, Array]:
    """The chunks, and then what is left of the sequence as a shorter chunk."""
    time = inputs.x.shape[0]
    whole = time // plan.chunk * plan.chunk
    outputs = []
    for part, chunk in ((slice(0, whole), plan.chunk), (slice(whole, None), time - whole)):
        if part.start < time and chunk:
            piece = jax.tree.map(lambda leaf, part=part: leaf[part], inputs)
            state, hs = _run(dataclasses.replace(plan, chunk=chunk), core, (weights, piece, state, start))
            outputs.append(hs)
    hs = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs)
    return state, hs if inputs.masks.valid is None else _masked.select(inputs.masks.valid, hs, jnp.zeros_like(hs))


@dataclasses.dataclass(frozen=True)
class _LSTM:
    """What cuDNN computes, by the chunks."""

    plan: Plan
    core: KernelCore

    def __call__(self, args: cudnn.Arguments) -> cudnn.Outputs:
        weights = Weights(Identity(), args.input, {"kernel": args.kernel, "bias": args.bias}, None)
        inputs = Inputs(args.x, None, Masks(None, None))
        state = CellState(IdentityState(), LSTMState(args.c, args.h))
        final, hs = _run_in_pieces(self.plan, self.core, weights, inputs, state, IdentityState())
        return cudnn.Outputs(hs, final.core.h, final.core.c)


def _run_on_cudnn(
    plan: Plan, core: KernelCore, weights: Weights, inputs: Inputs, state: CellState, start: Any
) -> tuple[CellState, Array]:
    """The drive where it is not in the inputs already, and then cuDNN's LSTM over its d, which needs no projection any more."""
    x, kernel, drive = inputs.x, weights.input, state.drive
    if type(weights.drive) is not Identity:
        drive, x = _drive(weights.drive, drive, _project(weights, inputs), start, inputs.masks)
        kernel = jnp.eye(x.shape[-1], dtype=x.dtype)
    batch = x.shape[1:-1]
    h, c = (leaf.reshape(-1, leaf.shape[-1]) for leaf in (state.core.h, state.core.c))
    args = cudnn.Arguments(x.reshape(x.shape[0], -1, x.shape[-1]), h, c, kernel, weights.core["kernel"], weights.core["bias"])
    hs, h, c = cudnn.lstm(_LSTM(plan, core), args)
    h, c = (leaf.reshape(*batch, leaf.shape[-1]) for leaf in (h, c))
    return CellState(drive, LSTMState(c, h)), hs.reshape(hs.shape[0], *batch, hs.shape[-1])


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
    weights, inputs, state, start = args

    def chunk(state: CellState, inputs: Inputs) -> tuple[CellState, Kept]:
        drive, d = state.drive, None
        if not plan.in_step:
            drive, d = _drive(weights.drive, state.drive, _project(weights, inputs), start, inputs.masks)
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


def _project(weights: Weights, inputs: Inputs) -> Array:
    """The projected inputs of a chunk, and what is left of the initial velocity: (chunk, batch…, G·H)."""
    us = inputs.x @ weights.input
    return us if inputs.p is None else us + inputs.p * weights.velocity[jnp.newaxis]


def _drive(drive: Drive, state: Any, us: Array, start: Any, masks: Masks) -> tuple[Any, Array]:
    """The drive over a chunk: its state after it, and d."""
    if not jax.tree.leaves(state):
        return drive.unroll(state, us)
    return _masked.scan(drive.step, state, us, start, masks, unroll=len(us) if len(us) <= DRIVE_STEPS else 1)


def _core(core: KernelCore, weights: Weights, state: Any, inputs: Inputs, d: Array | None, keep: str) -> tuple[Any, Any]:
    """The core over a chunk: its state after it, and of every step the state (or only h) and, for "gates", `pre`.

    Without `d`, the inputs are projected with the state, in one product a step.
    """
    start = jax.tree.map(jnp.zeros_like, state)
    others = _others(weights.core)
    joint = jnp.concatenate([weights.core["kernel"], weights.input]) if d is None else None
    source = inputs.x if d is None else d

    def pre_activations(state: Any, now: Array, p: Array | None) -> tuple[Array, ...]:
        if joint is None:
            return core.pre_activations(affine(weights.core, state.h), now)
        z = affine(dict(weights.core, kernel=joint), jnp.concatenate([state.h, now], axis=-1))
        return (z if p is None else z + p * weights.velocity,)

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
    features = None
    if plan.joint:
        ones = [jnp.ones_like(before.h[..., :1])] if "bias" in weights.core else []
        features = jnp.concatenate([before.h, inputs.x, *ones], axis=-1)
    if plan.keep == "states" and features is not None:
        z = features @ _joint_kernel(weights)
        pre = (z if inputs.p is None else z + inputs.p * weights.velocity[jnp.newaxis],)
    elif plan.keep == "states":
        pre = core.pre_activations(affine(weights.core, before.h), d)
    return before, pre, features


def _joint_kernel(weights: Weights) -> Array:
    bias = [weights.core["bias"][jnp.newaxis]] if "bias" in weights.core else []
    return jnp.concatenate([weights.core["kernel"], weights.input, *bias])


def _tangent(plan: Plan, core: KernelCore, args: Any, kept: Kept, moves: Any) -> tuple[Any, Array]:
    """The derivative along `moves`: of the final state's floating-point leaves and of the outputs."""
    weights, inputs, _, start = args
    dweights, dinputs, dstate = moves
    update, kernel, others = _update_of(core), weights.core["kernel"], _others(weights.core)
    dbias = dweights.core.get("bias")

    def chunk(dstate: CellState, chunk_inputs: Any) -> tuple[CellState, Array]:
        inputs, dinputs, kept = chunk_inputs
        us, dus = jax.jvp(
            lambda input, velocity, x, p: _project(weights._replace(input=input, velocity=velocity), Inputs(x, p, inputs.masks)),
            (weights.input, weights.velocity, inputs.x, inputs.p),
            (dweights.input, dweights.velocity, dinputs.x, dinputs.p),
        )
        drive, floats = _drive_of(start, inputs.masks, (weights.drive, kept.drive, us))
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
    weights, inputs, _, start = args
    update, others = _update_of(core), _others(weights.core)
    backwards = weights.core["kernel"].T
    floats_of_inputs = _floats(inputs)

    def chunk(carry: Any, chunk_inputs: Any) -> tuple[Any, Any]:
        inputs, dhs, kept = chunk_inputs
        dstate, total = carry
        drive, floats = _drive_of(start, inputs.masks, (weights.drive, kept.drive, _project(weights, inputs)))
        (_, d), pull_drive = jax.vjp(drive, floats)
        before, pre, features = _before(plan, core, weights, inputs, kept, d)

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
        ones = jnp.ones_like(before.h[..., :1])
        if features is None:
            dinput, dcore_weights = _outer(inputs.x, dus), {"kernel": _outer(before.h, da)}
            dcore_weights |= {"bias": _outer(ones, da)[0]} if "bias" in weights.core else {}
        else:
            H, F = weights.core["kernel"].shape[0], weights.input.shape[0]
            joint = _outer(features, da)
            dinput, dcore_weights = joint[H : H + F], {"kernel": joint[:H]}
            dcore_weights |= {"bias": joint[-1]} if "bias" in weights.core else {}
        dvelocity = dp = None
        if inputs.p is not None:
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


def _drive_of(start: Any, masks: Masks, given: Any) -> tuple[Any, Any]:
    """`_drive` as a function of the floating-point leaves of `(drive, state, us)`, and these leaves."""

    def run(floats: Any) -> tuple[Any, Array]:
        drive, state, us = jax.tree.map(
            lambda leaf, value: leaf if value is None else value, given, floats, is_leaf=lambda x: x is None
        )
        state, d = _drive(drive, state, us, start, masks)
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
