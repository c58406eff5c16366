"""A linear function whose transpose is written by hand, in every mode of differentiation.

`jax.custom_vjp` forbids forward mode. Here a function that is linear in some of its arguments comes with its transpose, and JAX
does the rest: reverse mode uses the hand-written transpose, forward mode the function, second derivatives differentiate either
with respect to the other arguments, and `vmap` maps both.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax._compat import (
    ClosedJaxpr,
    Primitive,
    ad,
    batching,
    jaxpr_as_fun,
    mlir,
    partial_eval,
    with_leading_axis,
)

Function = Callable[..., Sequence[Array]]


def linear_call(fun: Callable[[Any, Any], Any], transpose: Callable[[Any, Any], Any], residuals: Any, linear: Any) -> Any:
    """`fun(residuals, linear)`, which must be linear in `linear`, with `transpose(residuals, cotangents)` for its transpose.

    Args:
      fun: of two pytrees of arrays, to a pytree of floating-point arrays. It may close over constants, never over traced values.
      transpose: from the residuals and cotangents like the outputs of `fun`, to cotangents like `linear`.
      residuals: arrays of any dtype.
      linear: floating-point arrays.
    """
    residual_tree: Any = jax.tree.structure(residuals)
    linear_tree: Any = jax.tree.structure(linear)
    out_tree: Any = jax.tree.structure(jax.eval_shape(fun, residuals, linear))
    residual_leaves, linear_leaves = jax.tree.leaves(residuals), jax.tree.leaves(linear)
    num = len(residual_leaves)

    def flat_fun(*args: Array) -> Sequence[Array]:
        return jax.tree.leaves(fun(residual_tree.unflatten(args[:num]), linear_tree.unflatten(args[num:])))

    def flat_transpose(*args: Array) -> Sequence[Array]:
        return linear_tree.flatten_up_to(transpose(residual_tree.unflatten(args[:num]), out_tree.unflatten(args[num:])))

    return out_tree.unflatten(_bind(flat_fun, flat_transpose, residual_leaves, linear_leaves))


_primitive = Primitive("hand_transposed_linear_call")
_primitive.multiple_results = True


def _bind(fun: Function, transpose: Function, residuals: Sequence[Array], linear: Sequence[Array]) -> Sequence[Array]:
    closed = jax.make_jaxpr(fun)(*residuals, *linear)
    # What no output needs is not computed: not all cotangents are asked for.
    jaxpr, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.out_avals), instantiate=True)
    assert all(used)
    closed = ClosedJaxpr(jaxpr, closed.consts)
    return _primitive.bind(*residuals, *linear, jaxpr=closed, transpose=transpose, num_residuals=len(residuals))


def _evaluate(*args: Array, jaxpr: Any, transpose: Function, num_residuals: int) -> Sequence[Array]:
    return jaxpr_as_fun(jaxpr)(*args)


def _abstract_eval(*avals: Any, jaxpr: Any, transpose: Function, num_residuals: int) -> Sequence[Any]:
    return jaxpr.out_avals


def _jvp(primals: Any, tangents: Any, *, jaxpr: Any, transpose: Function, num_residuals: int) -> Any:
    fun, n = jaxpr_as_fun(jaxpr), num_residuals
    params = {"jaxpr": jaxpr, "transpose": transpose, "num_residuals": n}
    residuals, linear = primals[:n], primals[n:]
    out = _primitive.bind(*residuals, *linear, **params)
    tangents_out = _primitive.bind(*residuals, *map(ad.instantiate_zeros, tangents[n:]), **params)
    varied = [i for i, t in enumerate(tangents[:n]) if type(t) is not ad.Zero and t.dtype != jax.dtypes.float0]
    if varied:

        def of_residuals(*values: Array) -> Sequence[Array]:
            return fun(*substituted(residuals, varied, values), *linear)

        _, more = jax.jvp(of_residuals, [residuals[i] for i in varied], [tangents[i] for i in varied])
        tangents_out = [a + b for a, b in zip(tangents_out, more, strict=True)]
    return out, tangents_out


def _transpose(cotangents: Any, *args: Any, jaxpr: Any, transpose: Function, num_residuals: int) -> Any:
    residuals, linear = args[:num_residuals], args[num_residuals:]
    wanted = [ad.is_undefined_primal(arg) for arg in linear]
    constant = [None if want else jax.typeof(arg) for want, arg in zip(wanted, linear, strict=True)]

    def transpose_wanted(*args: Array) -> Sequence[Array]:
        return [ct for ct, want in zip(transpose(*args), wanted, strict=True) if want]

    def fun_of_wanted(*args: Array) -> Sequence[Array]:
        given = iter(args[num_residuals:])
        full = (next(given) if aval is None else ad.zeros_like_aval(aval) for aval in constant)
        return jaxpr_as_fun(jaxpr)(*args[:num_residuals], *full)

    found = iter(_bind(transpose_wanted, fun_of_wanted, residuals, [ad.instantiate_zeros(ct) for ct in cotangents]))
    return [None] * num_residuals + [next(found) if want else None for want in wanted]


def _batch(args: Sequence[Array], dims: Sequence[Any], *, jaxpr: Any, transpose: Function, num_residuals: int) -> Any:
    (size,) = {arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None}
    n = num_residuals
    residuals = [_to_front(arg, dim) for arg, dim in zip(args[:n], dims[:n], strict=True)]
    # The cotangent of an unmapped argument is a sum over the map; broadcasting it first leaves that sum to JAX.
    spread = next(jax.typeof(arg).sharding.spec[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None)
    linear = [
        with_leading_axis(arg, size, spread) if dim is None else _to_front(arg, dim)
        for arg, dim in zip(args[n:], dims[n:], strict=True)
    ]
    axes = [None if dim is None else 0 for dim in dims[:n]]
    mapped = jax.vmap(jaxpr_as_fun(jaxpr), in_axes=(*axes, *[0] * len(linear)))
    mapped_transpose = jax.vmap(transpose, in_axes=(*axes, *[0] * len(jaxpr.out_avals)))
    out = _bind(mapped, mapped_transpose, residuals, linear)
    return out, [0] * len(out)


def substituted(arrays: Sequence[Array], where: Sequence[int], values: Sequence[Array]) -> list[Array]:
    """The arrays, with `values` at some places."""
    given = list(arrays)
    for i, value in zip(where, values, strict=True):
        given[i] = value
    return given


def _to_front(arg: Array, dim: int | None) -> Array:
    return arg if dim is None else jnp.moveaxis(arg, dim, 0)


_primitive.def_impl(_evaluate)
_primitive.def_abstract_eval(_abstract_eval)
ad.primitive_jvps[_primitive] = _jvp
ad.primitive_transposes[_primitive] = _transpose
batching.primitive_batchers[_primitive] = _batch
mlir.register_lowering(_primitive, mlir.lower_fun(_evaluate, multiple_results=True))
