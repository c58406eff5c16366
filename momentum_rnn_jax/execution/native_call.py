"""A kernel core's recurrence as two calls of the compiled kernels, a forward and a backward pass, in every mode of derivatives.

Each is a primitive, which is lowered to the call on a CPU. All else (forward mode, second derivatives, another platform) runs a
scan in JAX that computes the same, the *reference*.

Every operand has a leading axis of runs, which have weights of their own; an operand that all runs share has it with length one.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import native
from momentum_rnn_jax._autodiff import linear_call
from momentum_rnn_jax._compat import Primitive, ad, allow_export, batching, mlir, shaped
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.execution.native_support import kind_of
from momentum_rnn_jax.execution.scan import scan

LANES = 16  # what the hidden units of residuals are padded to a multiple of


class Operands(NamedTuple):
    """What both passes get. Without runs: T steps, B examples, F features, H hidden units, G gates; None for what is left out.

    `x` (T, B, F) and `input` (F, G·H), or `d` (T, B, G·H); or all three, where `d` is `x @ input`, computed ahead and without a
    derivative of its own. `kernel` (H, G·H), `bias` (G·H,), `extra` (H,) the bias of modReLU; the first state and the start,
    (B, H); the masks (T, B).
    """

    x: Any
    d: Any
    input: Any
    kernel: Array
    bias: Array | None
    extra: Array | None
    first_h: Array
    first_c: Any
    resets: Array | None
    valid: Array | None
    start_h: Any
    start_c: Any


SHARED = ("input", "kernel", "bias", "extra")  # operands without a batch axis
STATES = (
    "first_h",
    "first_c",
    "start_h",
    "start_c",
)  # operands whose first axis, behind the runs, is the batch; of others it is the second


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known when a program is traced: the core, which operands there are, and what the forward pass keeps.

    Args:
      core: the core.
      present: the names of the operands that are given.
      keep: "nothing", "states" or "gates" (and states).
      store: what is kept when there is a derivative to compute, "states" or "gates".
      ahead: whether `d` is `x @ input`, computed ahead.
    """

    core: KernelCore
    present: tuple[str, ...]
    keep: str
    store: str
    ahead: bool

    def operands(self, arrays: Sequence[Any]) -> Operands:
        """The operands, by name."""
        return Operands(**{**dict.fromkeys(Operands._fields), **dict(zip(self.present, arrays, strict=True))})


def call(spec: Spec, operands: Operands) -> tuple[Array, Array | None]:
    """One run: h of every step, and the last c, None where the core has no cell state."""
    if spec.ahead:
        d = jax.lax.stop_gradient(operands.x) @ jax.lax.stop_gradient(operands.input)
        operands = operands._replace(d=d)
    arrays = [getattr(operands, name)[jnp.newaxis] for name in spec.present]
    hs, last_c, _, _ = _forward.bind(*arrays, spec=spec)
    return hs[0], last_c[0] if last_c.size else None


# ---- the reference ----


def _recur(core: Any, d: Array, operands: Operands) -> list[Array]:
    """h of every step, and the last c where there is one, of one run on projected inputs."""
    params = {"kernel": operands.kernel, "bias": operands.bias, "modrelu_bias": operands.extra}
    params = {name: value for name, value in params.items() if value is not None}

    def state(h: Any, c: Any) -> Any:
        return type(core.initial_state(params, (), d.dtype))(**({"h": h} if c is None else {"c": c, "h": h}))

    def step(before: Any, d: Array) -> tuple[Any, Array]:
        new, _ = core.step(params, before, d)
        return new, new.h

    first = state(operands.first_h, operands.first_c)
    start = first if operands.start_h is None else state(operands.start_h, operands.start_c)
    final, _, states = scan(step, first, d, start, Masks(operands.resets, operands.valid), return_states=True)
    return [states.h] if operands.first_c is None else [states.h, final.c]


def _over_runs(function: Any, *trees: Any) -> Any:
    """`function` of one run each, over all runs."""
    leaves: list[Any]
    structure: Any
    leaves, structure = jax.tree.flatten(trees)
    runs = max(leaf.shape[0] for leaf in leaves)
    axes = [None if leaf.shape[0] == 1 < runs else 0 for leaf in leaves]
    leaves = [leaf[0] if axis is None else leaf for leaf, axis in zip(leaves, axes, strict=True)]
    return jax.vmap(lambda *leaves: function(*structure.unflatten(leaves)), axes, axis_size=runs)(*leaves)


def _driven(operands: Operands) -> Array:
    """d of one run."""
    return operands.d if operands.x is None else operands.x @ operands.input


def _reference(spec: Spec, arrays: Sequence[Array]) -> list[Array]:
    """What the forward pass computes: hs, and the last c where there is one."""

    def one(operands: Operands) -> list[Array]:
        return _recur(spec.core, _driven(operands), operands)

    return list(_over_runs(one, spec.operands(arrays)))


def _reference_gradients(spec: Spec, arrays: Sequence[Array], cotangents: list[Array]) -> dict[str, Array]:
    """What the backward pass computes, by name."""

    def one(operands: Operands, cotangents: list[Array]) -> dict[str, Array]:
        named = operands._replace(d=_driven(operands))._asdict()
        floats = {name: value for name, value in named.items() if name in GRADIENTS and name != "input" and value is not None}
        masks = {name: value for name, value in named.items() if name not in floats}
        pull = jax.vjp(lambda floats: _recur(spec.core, floats["d"], Operands(**floats, **masks)), floats)[1]
        (found,) = pull(cotangents)
        return found | ({} if operands.x is None else {"input": jnp.einsum("tbf,tbg->fg", operands.x, found["d"])})

    return dict(_over_runs(one, spec.operands(arrays), cotangents))


def _is_float(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


# ---- the forward pass: (hs, last c, cs, gates), each without elements where it is not there ----

_forward = Primitive("native_forward")
_forward.multiple_results = True


def _forward_shapes(*avals: Any, spec: Spec) -> list[Any]:
    operands, runs = spec.operands(avals), _runs(avals)
    time = (operands.x if operands.d is None else operands.d).shape[1]
    batch, H = operands.first_h.shape[1:]
    kind, padded, like = kind_of(spec.core), -(-H // LANES), operands.kernel
    keeps_states, keeps_gates = spec.keep != "nothing" and kind.cell, spec.keep == "gates" and kind.kept > 0
    return [
        shaped(like, (runs, time, batch, H)),
        shaped(like, (runs, batch, H) if kind.cell else (0,)),
        shaped(like, (runs, time, batch, padded * LANES) if keeps_states else (0,)),
        shaped(like, (runs, time, batch, padded, kind.kept, LANES) if keeps_gates else (0,)),
    ]


def _runs(arrays: Sequence[Any]) -> int:
    return max(array.shape[0] for array in arrays)


def _forward_native(*arrays: Array, spec: Spec) -> list[Array]:
    operands = spec.operands(arrays)
    if spec.ahead:
        operands = operands._replace(x=None, input=None)
    shapes = _forward_shapes(*map(jax.typeof, arrays), spec=spec)
    return _native_call(native.FORWARD, spec, shapes, arrays, operands)


def _forward_in_jax(*arrays: Array, spec: Spec) -> list[Array]:
    outputs = _reference(spec, arrays)
    # What is kept is for the native backward pass alone.
    rest = _forward_shapes(*map(jax.typeof, arrays), spec=spec)[len(outputs) :]
    return outputs + [jnp.zeros(shape.shape, shape.dtype) for shape in rest]


def _native_call(
    target: str, spec: Spec, shapes: Sequence[Any], arrays: Sequence[Array], operands: Operands, *more: Array
) -> list[Array]:
    nothing = jnp.zeros(0, operands.kernel.dtype)
    given = [nothing if operand is None else operand for operand in operands]
    call = jax.ffi.ffi_call(target, shapes)
    return list(call(*given, *more, cell=np.int64(kind_of(spec.core).number), runs=np.int64(_runs(arrays))))


def _forward_jvp(primals: Sequence[Array], tangents: Sequence[Any], *, spec: Spec) -> Any:
    hs, last_c, cs, gates = _forward.bind(*primals, spec=dataclasses.replace(spec, keep=spec.store))
    outputs = [hs, last_c] if kind_of(spec.core).cell else [hs]
    varied = [i for i, tangent in enumerate(tangents) if type(tangent) is not ad.Zero and _is_float(tangent)]
    wants_d = any(spec.present[i] in ("x", "d") for i in varied)

    def tangent(residuals: Any, linear: list[Array]) -> list[Array]:
        arrays, _ = residuals
        return jax.jvp(lambda *values: _reference(spec, _with(arrays, varied, values)), [arrays[i] for i in varied], linear)[1]

    def transpose(residuals: Any, cotangents: list[Array]) -> list[Array]:
        arrays, kept = residuals
        operands = spec.operands(arrays)
        found = _backward.bind(*arrays, *kept, *cotangents, spec=spec, wants_d=wants_d)
        gradients = dict(zip(GRADIENTS, found, strict=True))
        if wants_d and operands.x is not None:
            gradients["x"] = gradients["d"] @ jnp.swapaxes(operands.input, -1, -2)[:, jnp.newaxis]
        # A sum over the runs, where all of them share the operand.
        return [
            gradient if gradient.shape == array.shape else gradient.sum(0, keepdims=True)
            for gradient, array in ((gradients[spec.present[i]], arrays[i]) for i in varied)
        ]

    tangents_out = linear_call(tangent, transpose, (list(primals), (hs, cs, gates)), [tangents[i] for i in varied])
    if spec.keep == "nothing":
        cs, gates = (array.reshape(-1)[:0] for array in (cs, gates))
    outputs_all = [hs, last_c, cs, gates]
    return outputs_all, [*tangents_out, *(ad.Zero(jax.typeof(output)) for output in outputs_all[len(outputs) :])]


def _with(arrays: Sequence[Array], where: Sequence[int], values: Sequence[Array]) -> list[Array]:
    """The arrays, with `values` at some places."""
    given = list(arrays)
    for i, value in zip(where, values, strict=True):
        given[i] = value
    return given


# ---- the backward pass, of the operands, (hs, cs, gates) and the cotangents of hs and the last c, to what GRADIENTS names ----

GRADIENTS = ("kernel", "input", "bias", "extra", "first_h", "first_c", "start_h", "start_c", "d")
KEPT = 3

_backward = Primitive("native_backward")
_backward.multiple_results = True


def _backward_shapes(*avals: Any, spec: Spec, wants_d: bool) -> list[Any]:
    count = len(spec.present)
    operands, runs = spec.operands(avals[:count]), _runs(avals)
    time, batch, H = avals[count].shape[1:]
    G, like = operands.kernel.shape[-1], operands.kernel
    shapes = {
        "kernel": (runs, H, G),
        "input": operands.x is not None and (runs, operands.x.shape[-1], G),
        "bias": (runs, G),
        "extra": operands.extra is not None and (runs, H),
        "d": wants_d and (runs, time, batch, G),
    }
    shapes |= {name: getattr(operands, name) is not None and (runs, batch, H) for name in GRADIENTS if name not in shapes}
    return [shaped(like, shapes[name] or (0,)) for name in GRADIENTS]


def _backward_native(*arrays: Array, spec: Spec, wants_d: bool) -> list[Array]:
    count = len(spec.present)
    operands, (hs, cs, gates), cotangents = spec.operands(arrays[:count]), arrays[count : count + KEPT], arrays[count + KEPT :]
    if spec.ahead:
        operands = operands._replace(input=None)
    dlast_c = cotangents[1] if len(cotangents) > 1 else jnp.zeros(0, hs.dtype)
    shapes = _backward_shapes(*map(jax.typeof, arrays), spec=spec, wants_d=wants_d)
    return _native_call(native.BACKWARD, spec, shapes, arrays, operands, hs, cs, gates, cotangents[0], dlast_c)


def _backward_in_jax(*arrays: Array, spec: Spec, wants_d: bool) -> list[Array]:
    count = len(spec.present)
    found = _reference_gradients(spec, arrays[:count], list(arrays[count + KEPT :]))
    shapes = _backward_shapes(*map(jax.typeof, arrays), spec=spec, wants_d=wants_d)
    return [
        found[name] if shape.size and name in found else jnp.zeros(shape.shape, shape.dtype)
        for name, shape in zip(GRADIENTS, shapes, strict=True)
    ]


def _backward_jvp(primals: Sequence[Array], tangents: Sequence[Any], *, spec: Spec, wants_d: bool) -> Any:
    """By the reference; what was kept of the forward pass is a function of the operands, and not varied by itself."""
    count = len(spec.present)
    own = [*range(count), *range(count + KEPT, len(primals))]
    varied = [i for i in own if type(tangents[i]) is not ad.Zero and _is_float(tangents[i])]

    def of_varied(*values: Array) -> list[Array]:
        return _backward_in_jax(*_with(primals, varied, values), spec=spec, wants_d=wants_d)

    _, tangents_out = jax.jvp(of_varied, [primals[i] for i in varied], [tangents[i] for i in varied])
    return _backward.bind(*primals, spec=spec, wants_d=wants_d), tangents_out


# ---- vmap ----


def _batch_forward(args: Sequence[Array], dims: Sequence[Any], *, spec: Spec) -> Any:
    size = _size(args, dims)
    mapped = dict(zip(spec.present, dims, strict=True))
    if _runs_without(args, dims) > 1 or any(mapped.get(name) is not None for name in SHARED):
        return _batch_by_runs(_forward, args, dims, spec=spec)
    # One set of weights: what is mapped over joins the batch, behind the runs and, where there is one, time.
    axis = {name: 1 if name in STATES else 2 for name in spec.present if name not in SHARED}
    joined = [
        arg if name in SHARED else _join(_front(arg, dim, size), axis[name])
        for name, arg, dim in zip(spec.present, args, dims, strict=True)
    ]
    out = _forward.bind(*joined, spec=spec)
    parts = [_part(one, size, axis) for one, axis in zip(out, (2, 1, 2, 2), strict=True)]
    return parts, [0] * len(parts)


def _batch_by_runs(primitive: Any, args: Sequence[Array], dims: Sequence[Any], **params: Any) -> Any:
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


def _register(primitive: Any, shapes: Any, on_cpu: Any, in_jax: Any, jvp: Any, batch: Any) -> None:
    primitive.def_abstract_eval(shapes)
    primitive.def_impl(lambda *arrays, **params: jax.jit(lambda *arrays: primitive.bind(*arrays, **params))(*arrays))
    ad.primitive_jvps[primitive] = jvp
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")
    mlir.register_lowering(primitive, mlir.lower_fun(in_jax, multiple_results=True))


_register(_forward, _forward_shapes, _forward_native, _forward_in_jax, _forward_jvp, _batch_forward)
_register(
    _backward, _backward_shapes, _backward_native, _backward_in_jax, _backward_jvp, functools.partial(_batch_by_runs, _backward)
)
allow_export(native.TARGETS)
