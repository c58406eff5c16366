"""`vmap` of the native calls: what is mapped over joins the batch, or the runs where it has weights of its own."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax.execution.native_operands import GRADIENTS, OUTPUTS, RESIDUALS, SHARED, STATES, Spec


def batch_forward(primitive: Any, args: Sequence[Array], dims: Sequence[Any], *, spec: Spec) -> Any:
    """The batching rule of the forward pass."""
    if _one_set_of_weights(spec.present, args, dims):
        return _by_batch(primitive, spec.present, OUTPUTS, args, dims, {"spec": spec})
    return _by_runs(primitive, args, dims, {"spec": spec})


def batch_backward(primitive: Any, args: Sequence[Array], dims: Sequence[Any], **params: Any) -> Any:
    """The batching rule of the backward pass. Each of what is mapped over has gradients of the weights, if they are wanted."""
    names = (*params["spec"].present, *RESIDUALS, *params["spec"].outputs)
    if not params["wants_weights"] and _one_set_of_weights(names, args, dims):
        return _by_batch(primitive, names, GRADIENTS, args, dims, params)
    return _by_runs(primitive, args, dims, params)


def _one_set_of_weights(names: Sequence[str], args: Sequence[Array], dims: Sequence[Any]) -> bool:
    mapped = [name for name, dim in zip(names, dims, strict=True) if dim is not None]
    return _runs_without(args, dims) == 1 and not any(name in SHARED for name in mapped)


def _by_batch(
    primitive: Any, names: Sequence[str], outputs: Sequence[str], args: Sequence[Array], dims: Sequence[Any], params: Any
) -> Any:
    """What is mapped over joins the batch, after the runs and, where there is one, time."""
    size = _size(args, dims)
    if not size:
        return _none(primitive, args, dims, params)

    def joined(name: str, arg: Array, dim: Any) -> Array:
        if _is_left_out(arg, dim):
            return arg.reshape(-1)
        if name in SHARED:
            return arg
        axis = _batch_axis(name)
        arg = jnp.moveaxis(_front(arg, dim, size), 0, axis)
        return arg.reshape(*arg.shape[:axis], arg.shape[axis] * arg.shape[axis + 1], *arg.shape[axis + 2 :])

    def parted(name: str, arg: Array) -> Array:
        if _is_left_out(arg, None):
            return jnp.zeros((size, 0), arg.dtype)
        axis = _batch_axis(name)
        return jnp.moveaxis(arg.reshape(*arg.shape[:axis], size, arg.shape[axis] // size, *arg.shape[axis + 1 :]), axis, 0)

    found = primitive.bind(*(joined(*one) for one in zip(names, args, dims, strict=True)), **params)
    found = [parted(name, one) for name, one in zip(outputs, found, strict=True)]
    return found, [0] * len(found)


def _by_runs(primitive: Any, args: Sequence[Array], dims: Sequence[Any], params: Any) -> Any:
    """What is mapped over joins the axis of runs."""
    size, runs = _size(args, dims), _runs_without(args, dims)
    if not size:
        return _none(primitive, args, dims, params)

    def joined(arg: Array, dim: Any) -> Array:
        if _is_left_out(arg, dim):
            return arg.reshape(-1)
        if dim is None and arg.shape[0] == 1:
            return arg
        arg = _front(arg, dim, size)
        return jnp.broadcast_to(arg, (size, runs, *arg.shape[2:])).reshape(size * runs, *arg.shape[2:])

    found = primitive.bind(*(joined(arg, dim) for arg, dim in zip(args, dims, strict=True)), **params)
    found = [
        jnp.zeros((size, 0), one.dtype) if _is_left_out(one, None) else one.reshape(size, runs, *one.shape[1:]) for one in found
    ]
    return found, [0] * len(found)


def _none(primitive: Any, args: Sequence[Array], dims: Sequence[Any], params: Any) -> Any:
    """The results of a map over nothing."""
    one = [jax.ShapeDtypeStruct(_without(arg, dim), arg.dtype) for arg, dim in zip(args, dims, strict=True)]
    shapes = jax.eval_shape(lambda *args: primitive.bind(*args, **params), *one)
    return [jnp.zeros((0, *shape.shape), shape.dtype) for shape in shapes], [0] * len(shapes)


def _batch_axis(name: str) -> int:
    """Where the batch is: after the runs in states, after the runs and time elsewhere."""
    return 1 if name in STATES else 2


def _is_left_out(arg: Array, dim: Any) -> bool:
    """Whether this stands for an array that is not there."""
    return _without(arg, dim) == (0,)


def _without(arg: Array, dim: Any) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(arg.shape) if i != dim)


def _size(args: Sequence[Array], dims: Sequence[Any]) -> int:
    return next(arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None)


def _runs_without(args: Sequence[Array], dims: Sequence[Any]) -> int:
    """How many runs there were before mapping."""
    return max(_without(arg, dim)[0] for arg, dim in zip(args, dims, strict=True))


def _front(arg: Array, dim: int | None, size: int) -> Array:
    return jnp.broadcast_to(arg, (size, *arg.shape)) if dim is None else jnp.moveaxis(arg, dim, 0)
