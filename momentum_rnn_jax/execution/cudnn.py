"""cuDNN's LSTM, which `jax.experimental.rnn` calls, in every mode of differentiation and under `vmap`.

cuDNN has one forward pass and one backward pass, for one set of weights. All else (forward mode, second derivatives, a batch of
weights, another platform) is left to a function that computes the same in JAX, the *reference*.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _compat
from momentum_rnn_jax._autodiff import linear_call
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState
from momentum_rnn_jax.cores import LSTM, LSTMState
from momentum_rnn_jax.drives import Identity, IdentityState
from momentum_rnn_jax.execution import chunked, front
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result

ONE_LAYER = (1, 0.0, False, None)  # one layer, no dropout, one direction, JAX's default precision


class Arguments(NamedTuple):
    """`x` (time, batch, F); `h`, `c` (batch, H); `input` (F, 4H), `kernel` (H, 4H), `bias` (4H,), gate order (i, f, g, o)."""

    x: Array
    h: Array
    c: Array
    input: Array
    kernel: Array
    bias: Array


class Outputs(NamedTuple):
    """`hs` (time, batch, H); the last `h` and `c` (batch, H)."""

    hs: Array
    h: Array
    c: Array


Reference = Callable[[Arguments], Outputs]


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with an `LSTM`: the drive, unless it filtered the inputs, and then cuDNN's LSTM over its d."""
    weights, inputs, first, _, restore, _ = front.arrange(plan, problem)
    x, kernel, drive = inputs.x, weights.input, first.drive
    if type(weights.drive) is not Identity:
        us = front.project(weights, x, inputs.p)
        drive, x, _ = front.apply_drive(plan, weights.drive, drive, us, None, inputs.masks)
        kernel = jnp.eye(x.shape[-1], dtype=x.dtype)
    batch = x.shape[1:-1]
    h, c = (leaf.reshape(-1, leaf.shape[-1]) for leaf in (first.core.h, first.core.c))
    kernel_and_bias = (weights.params["kernel"], weights.params["bias"])
    args = Arguments(x.reshape(x.shape[0], -1, x.shape[-1]), h, c, kernel, *kernel_and_bias)
    hs, h, c = lstm(_Chunked(plan, weights.core.hidden_features), args)
    h, c = (leaf.reshape(*batch, leaf.shape[-1]) for leaf in (h, c))
    return Result(CellState(restore(drive), LSTMState(c, h)), hs.reshape(hs.shape[0], *batch, hs.shape[-1]), None)


@dataclasses.dataclass(frozen=True)
class _Chunked:
    """The reference: what cuDNN computes, in chunks."""

    plan: Plan
    hidden_features: int

    def __call__(self, args: Arguments) -> Outputs:
        prepared = {"input": {"kernel": args.input}, "core": {"kernel": args.kernel, "bias": args.bias}}
        first = CellState(IdentityState(), LSTMState(args.c, args.h))
        plan = dataclasses.replace(self.plan, filter_inputs=False, initial_velocity=False)
        cell = Cell(LSTM(self.hidden_features))
        final, hs, _ = chunked.run(plan, Problem(cell, prepared, args.x, first, first, None, Masks()))
        return Outputs(hs, final.core.h, final.core.c)


def lstm(reference: Reference, args: Arguments) -> Outputs:
    """A whole sequence; `reference` is a hashable function that computes the same."""
    return _forward(reference, args)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(reference: Reference, args: Arguments) -> tuple[Outputs, Array]:
    """The outputs, and the reserve space of its backward pass."""
    return _run_forward(reference, args)


@functools.partial(jax.jit, static_argnums=0, inline=True)  # outside of a user's jit, compiled once a shape
def _run_forward(reference: Reference, args: Arguments) -> tuple[Outputs, Array]:
    reserve = jax.eval_shape(_cudnn_forward, args)[1]

    def forward(args: Arguments) -> tuple[Outputs, Array]:
        return reference(args), jnp.zeros(reserve.shape, reserve.dtype)

    return _with_fallback(_cudnn_forward, forward, args)


@_forward.defjvp
def _forward_jvp(reference: Reference, primals: Any, tangents: Any) -> Any:
    (args,) = primals
    outputs, reserve = _forward(reference, args)
    tangents_out = linear_call(
        lambda residuals, given: jax.jvp(reference, residuals[:1], (given,))[1],
        lambda residuals, cotangents: _backward(reference, *residuals, cotangents),
        (args, outputs.hs, reserve),
        tangents[0],
    )
    return (outputs, reserve), (tangents_out, jnp.zeros_like(reserve))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _backward(reference: Reference, args: Arguments, hs: Array, reserve: Array, cotangents: Outputs) -> Arguments:
    """Cotangents of the arguments. `hs` and `reserve` are what `_forward` makes of `args`, and not varied on their own."""
    return _run_backward(reference, args, hs, reserve, cotangents)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _run_backward(reference: Reference, args: Arguments, hs: Array, reserve: Array, cotangents: Outputs) -> Arguments:
    def backward(args: Arguments, hs: Array, reserve: Array, cotangents: Outputs) -> Arguments:
        return _pull(reference, args, cotangents)

    return _with_fallback(_cudnn_backward, backward, args, hs, reserve, cotangents)


@_backward.defjvp
def _backward_jvp(reference: Reference, primals: Any, tangents: Any) -> tuple[Arguments, Arguments]:
    (args, _, _, cotangents), (dargs, _, _, dcotangents) = primals, tangents
    tangents_out = jax.jvp(functools.partial(_pull, reference), (args, cotangents), (dargs, dcotangents))[1]
    return _backward(reference, *primals), tangents_out


def _pull(reference: Reference, args: Arguments, cotangents: Outputs) -> Arguments:
    return jax.vjp(reference, args)[1](cotangents)[0]


def _with_fallback(on_cudnn: Callable[..., Any], otherwise: Callable[..., Any], *args: Any) -> Any:
    """`on_cudnn(*args)` where the program is compiled for CUDA and nothing is mapped over, else `otherwise(*args)`."""

    @jax.custom_batching.custom_vmap
    def run(*args: Any) -> Any:
        return _by_platform(*args, cuda=on_cudnn, default=otherwise)

    @run.def_vmap
    def rule(size: int, mapped: Any, *args: Any) -> Any:
        axes = jax.tree.map(lambda one: 0 if one else None, tuple(mapped))
        results = jax.vmap(otherwise, axes, axis_size=size)(*args)
        return results, jax.tree.map(lambda _: True, results)

    return run(*args)


_by_platform = jax.lax.platform_dependent


def _cudnn_forward(args: Arguments) -> tuple[Outputs, Array]:
    x, lengths = _sequence(args)
    (ys, h, c), residuals = _compat.cudnn_rnn().lstm_fwd(
        x, args.h[jnp.newaxis], args.c[jnp.newaxis], _flat(args), lengths, x.shape[-1], args.h.shape[-1], *ONE_LAYER
    )
    return Outputs(jnp.swapaxes(ys, 0, 1), h[0], c[0]), residuals[-1]


def _cudnn_backward(args: Arguments, hs: Array, reserve: Array, cotangents: Outputs) -> Arguments:
    x, lengths = _sequence(args)
    residuals = (x, args.h[jnp.newaxis], args.c[jnp.newaxis], _flat(args), lengths, jnp.swapaxes(hs, 0, 1), reserve)
    given = (jnp.swapaxes(cotangents.hs, 0, 1), cotangents.h[jnp.newaxis], cotangents.c[jnp.newaxis])
    dx, dh, dc, dflat, _ = _compat.cudnn_rnn().lstm_bwd(x.shape[-1], args.h.shape[-1], *ONE_LAYER, residuals, given)
    (F, G), H = args.input.shape, args.h.shape[-1]
    dinput, dkernel, dbias, _ = jnp.split(dflat, (F * G, (F + H) * G, (F + H) * G + G))
    return Arguments(jnp.swapaxes(dx, 0, 1), dh[0], dc[0], dinput.reshape(G, F).T, dkernel.reshape(G, H).T, dbias)


def _sequence(args: Arguments) -> tuple[Array, Array]:
    """x with the batch first, and every example's length."""
    x = jnp.swapaxes(args.x, 0, 1)
    return x, jnp.full(x.shape[0], x.shape[1], jnp.int32)


def _flat(args: Arguments) -> Array:
    """The weights as cuDNN has them: each kernel transposed, then two biases, all in one vector."""
    return jnp.concatenate([args.input.T.ravel(), args.kernel.T.ravel(), args.bias, jnp.zeros_like(args.bias)])
