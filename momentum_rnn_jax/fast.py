"""The exact fast path: what is done in front of the core, for many time steps at once, and who then runs the core.

The drive never sees h. A linear drive acts on the F inputs instead of the G·H gates, before the sequence starts, and leaves a
plain cell; any other stays behind the projection. The core is run by `chunked`, or by cuDNN.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _masked, chunked, cudnn
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.chunked import Inputs, Weights
from momentum_rnn_jax.cores import KernelCore, LSTMState
from momentum_rnn_jax.drives import Identity, IdentityState
from momentum_rnn_jax.plan import Plan, choose, kernel_core


def run(
    cell: Cell,
    ready: Params,
    xs: Array,
    state: CellState | None,
    start: CellState,
    masks: Masks,
    remat: str | int,
    on_cudnn: bool,
) -> tuple[CellState, Array]:
    """`unroll` for a `Cell` with a `KernelCore`, on arguments that fit; without a state it begins at the start."""
    fresh, state = state is None, start if state is None else state
    # A reset must forget an initial velocity even where that is not finite, which `p v_0` with p = 0 does not; and cuDNN has no
    # place for `p v_0`.
    may_filter = fresh or (masks.resets is None and not on_cudnn)
    plan, core = choose(cell, xs.shape, xs.dtype, remat, may_filter=may_filter), kernel_core(cell)
    ready = {name: dict(part) for name, part in ready.items()}  # for a user's mapping of another kind
    given = (cell.drive, ready, xs, state, start, masks)
    drive, ready, xs, state, start, masks = _on_each_device(jax.tree.map(jnp.asarray, given))
    run_core = _run_on_cudnn if on_cudnn else chunked.run
    kernel, bias = ready["input"]["kernel"], ready["input"].get("bias")
    if bias is not None:  # a row of the kernel, for an input of one: its gradient is then part of a product too
        kernel = jnp.concatenate([kernel, bias[jnp.newaxis]])
        xs = jnp.concatenate([xs, jnp.ones_like(xs[..., :1])], axis=-1)
    if not plan.filter_inputs:
        weights = Weights(drive, kernel, ready["core"], None)
        return run_core(plan, core, weights, Inputs(xs, None, masks), state, start.drive)
    drive_state, xs, p = _filter(drive, state.drive, start.drive, xs, masks)
    final, hs = run_core(
        plan,
        core,
        Weights(Identity(), kernel, ready["core"], None if fresh else state.drive.velocity),
        Inputs(xs, None if fresh else p, masks),
        CellState(IdentityState(), state.core),
        IdentityState(),
    )
    last = drive_state.velocity
    velocity = last[..., :-1] @ kernel
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


@dataclasses.dataclass(frozen=True)
class _LSTM:
    """What cuDNN computes, by the chunks."""

    plan: Plan
    core: KernelCore

    def __call__(self, args: cudnn.Arguments) -> cudnn.Outputs:
        weights = Weights(Identity(), args.input, {"kernel": args.kernel, "bias": args.bias}, None)
        inputs = Inputs(args.x, None, Masks())
        state = CellState(IdentityState(), LSTMState(args.c, args.h))
        final, hs = chunked.run(self.plan, self.core, weights, inputs, state, IdentityState())
        return cudnn.Outputs(hs, final.core.h, final.core.c)


def _run_on_cudnn(
    plan: Plan, core: KernelCore, weights: Weights, inputs: Inputs, state: CellState, drive_start: Any
) -> tuple[CellState, Array]:
    """The drive where it is not in the inputs already, and then cuDNN's LSTM over its d, which needs no projection any more."""
    x, kernel, drive = inputs.x, weights.input, state.drive
    if type(weights.drive) is not Identity:
        drive, x = chunked.apply_drive(weights.drive, drive, chunked.project(weights, inputs), drive_start, inputs.masks)
        kernel = jnp.eye(x.shape[-1], dtype=x.dtype)
    batch = x.shape[1:-1]
    h, c = (leaf.reshape(-1, leaf.shape[-1]) for leaf in (state.core.h, state.core.c))
    args = cudnn.Arguments(x.reshape(x.shape[0], -1, x.shape[-1]), h, c, kernel, weights.core["kernel"], weights.core["bias"])
    hs, h, c = cudnn.lstm(_LSTM(plan, core), args)
    h, c = (leaf.reshape(*batch, leaf.shape[-1]) for leaf in (h, c))
    return CellState(drive, LSTMState(c, h)), hs.reshape(hs.shape[0], *batch, hs.shape[-1])
