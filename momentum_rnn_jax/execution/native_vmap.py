"""`vmap` of the native calls: what is mapped over joins the batch, or the runs where it has weights of its own."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax.execution.native_operands import SHARED, STATES, Spec


def batch_forward(primitive: Any, args: Sequence[Array], dims: Sequence[Any], *, spec: Spec) -> Any:
    """The batching rule of the forward pass."""
    size = _size(args, dims)
    mapped = dict(zip(spec.present, dims, strict=True))
    if _runs_without(args, dims) > 1 or any(mapped.get(name) is not None for name in SHARED):
        return batch_by_runs(primitive, args, dims, spec=spec)
    # One set of weights: what is mapped over joins the batch, behind the runs and, where there is one, time.
    axis = {name: 1 if name in STATES else 2 for name in spec.present if name not in SHARED}
    joined = [
        arg if name in SHARED else _join(_front(arg, dim, size), axis[name])
        for name, arg, dim in zip(spec.present, args, dims, strict=True)
    ]
    out = primitive.bind(*joined, spec=spec)
    parts = [_part(one, size, axis) for one, axis in zip(out, (2, 1, 2, 2), strict=True)]
    return parts, [0] * len(parts)


def batch_by_runs(primitive: Any, args: Sequence[Array], dims: Sequence[Any], **params: Any) -> Any:
    """What is mapped over joins the axis of runs."""
    size, runs = _size(args, dims), _runs_without(args, dims)

    def joined(arg: Array, dim: int | None) -> Array:
        if not arg.size:
            return arg.reshape(-1)
        if dim is None and arg.shape[0] == 1:
            return arg
        arg = _front(arg, dim, size)
        return jnp.broadcast_to(arg, (size, runs, *arg.shape[2:])).reshape(size * runs, *arg.shape[2:])

    out = primitive.bind(*(joined(arg, dim) for arg, dim in zip(args, dims, strict=True)), **params)
    out = [one.reshape(size, runs, *one.shape[1:]) if one.size else jnp.zeros((size, 0), one.dtype) for one in out]
    return out, [0] * len(out)


def _size(args: Sequence[Array], dims: Sequence[Any]) -> int:
    return next(arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None)


def _runs_without(args: Sequence[Array], dims: Sequence[Any]) -> int:
    """How many runs there were before mapping."""
    shapes = [[n for i, n in enumerate(arg.shape) if i != dim] for arg, dim in zip(args, dims, strict=True)]
    return max([shape[0] for shape in shapes if shape[0]])


def _front(arg: Array, dim: int | None, size: int) -> Array:
    return jnp.broadcast_to(arg, (size, *arg.shape)) if dim is None else jnp.moveaxis(arg, dim, 0)


def _join(arg: Array, axis: int) -> Array:
    """The first axis in front of another one, as one; `axis` does not count the first."""
    arg = jnp.moveaxis(arg, 0, axis)
    return arg.reshape(*arg.shape[:axis], arg.shape[axis] * arg.shape[axis + 1], *arg.shape[axis + 2 :])


def _part(arg: Array, size: int, axis: int) -> Array:
    """The inverse of `_join`."""
    if not arg.size:
        return jnp.zeros((size, 0), arg.dtype)
    return jnp.moveaxis(arg.reshape(*arg.shape[:axis], size, arg.shape[axis] // size, *arg.shape[axis + 1 :]), axis, 0)
