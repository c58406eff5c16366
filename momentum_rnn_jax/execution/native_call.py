"""A kernel core's recurrence as two calls of the compiled kernels, a forward and a backward pass, in every mode of derivatives.

Each is a primitive, which is lowered to the call on a CPU. All else (forward mode, second derivatives, another platform) runs a
scan in JAX that computes the same, the *reference*.

Every operand has a leading axis of runs, which have weights of their own; an operand that all runs share has it with length one.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import native
from momentum_rnn_jax._autodiff import linear_call, substituted
from momentum_rnn_jax._compat import Primitive, ad, allow_export, batching, mlir, shaped
from momentum_rnn_jax.execution.native_operands import (
    COTANGENTS,
    GRADIENTS,
    HYPERPARAMETERS,
    LANES,
    OUTPUTS,
    RESIDUALS,
    SHARED,
    Operands,
    Spec,
)
from momentum_rnn_jax.execution.native_reference import reference, reference_gradients
from momentum_rnn_jax.execution.native_support import on_cpu as on_the_cpu
from momentum_rnn_jax.execution.native_vmap import batch_backward, batch_forward


def call(spec: Spec, operands: Operands) -> dict[str, Array]:
    """One run: what `Spec.outputs` names: h of every step, and the last c and states of the drive where there are any."""
    if spec.ahead:
        d = jax.lax.stop_gradient(operands.x) @ jax.lax.stop_gradient(operands.input)
        operands = operands._replace(d=d)
    arrays = [getattr(operands, name)[jnp.newaxis] for name in spec.present]
    named = dict(zip(OUTPUTS, _forward.bind(*arrays, spec=spec), strict=True))
    return {name: named[name][0] for name in spec.outputs}


def _is_float(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


# ---- the forward pass, to what OUTPUTS names, each without elements where it is not there ----

_forward = Primitive("native_forward")
_forward.multiple_results = True


def _forward_shapes(*avals: Any, spec: Spec) -> list[Any]:
    operands, runs = spec.operands(avals), _runs(avals)
    time = (operands.x if operands.d is None else operands.d).shape[1]
    batch, H = operands.first_h.shape[1:]
    kind, padded, like, G = spec.kind, -(-H // LANES), operands.kernel, operands.kernel.shape[-1]
    drive, blocks = spec.drive_kind.states, -(-time // spec.block) + 1
    keeps_states, keeps_gates = spec.keep != "nothing" and kind.cell, spec.keep == "gates" and kind.kept > 0
    return [
        shaped(like, (runs, time, batch, H)),
        shaped(like, (runs, batch, H) if kind.cell else (0,)),
        *(shaped(like, (runs, batch, G) if state in drive else (0,)) for state in ("v", "m")),
        shaped(like, (runs, time, batch, padded * LANES) if keeps_states else (0,)),
        shaped(like, (runs, time, batch, padded, kind.kept, LANES) if keeps_gates else (0,)),
        shaped(like, (runs, blocks, batch, len(drive), G) if drive and spec.keep != "nothing" else (0,)),
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
    found = dict(zip(spec.outputs, reference(spec, arrays), strict=True))
    shapes = zip(OUTPUTS, _forward_shapes(*map(jax.typeof, arrays), spec=spec), strict=True)
    # What is kept is for the native backward pass alone.
    return [found[name] if name in found else jnp.zeros(shape.shape, shape.dtype) for name, shape in shapes]


def _native_call(
    target: str, spec: Spec, shapes: Sequence[Any], arrays: Sequence[Array], operands: Operands, *more: Array
) -> list[Array]:
    nothing = jnp.zeros(0, operands.kernel.dtype)
    given = [nothing if operand is None else operand for operand in operands]
    call = jax.ffi.ffi_call(target, shapes)
    told = {"cell": spec.kind.number, "drive": spec.drive_kind.number, "block": spec.block, "runs": _runs(arrays)}
    return list(call(*given, *more, **{name: np.int64(number) for name, number in told.items()}))


def _forward_jvp(primals: Sequence[Array], tangents: Sequence[Any], *, spec: Spec) -> Any:
    found = dict(zip(OUTPUTS, _forward.bind(*primals, spec=dataclasses.replace(spec, keep=spec.store)), strict=True))
    varied = [i for i, tangent in enumerate(tangents) if type(tangent) is not ad.Zero and _is_float(tangent)]
    names = [spec.present[i] for i in varied]
    wanted = {"wants_weights": any(name in SHARED for name in names), "wants_d": "x" in names or "d" in names}

    def tangent(residuals: Any, linear: list[Array]) -> list[Array]:
        arrays, _ = residuals
        return jax.jvp(lambda *values: reference(spec, substituted(arrays, varied, values)), [arrays[i] for i in varied], linear)[
            1
        ]

    def transpose(residuals: Any, cotangents: list[Array]) -> list[Array]:
        arrays, kept = residuals
        operands = spec.operands(arrays)
        found = _backward.bind(*arrays, *kept, *cotangents, spec=spec, **wanted)
        gradients = dict(zip(GRADIENTS, found, strict=True))
        if wanted["wants_d"] and operands.x is not None:
            gradients["x"] = gradients["d"] @ jnp.swapaxes(operands.input, -1, -2)[:, jnp.newaxis]
        # A sum over the runs, where all of them share the operand.
        return [
            gradient if gradient.shape == array.shape else gradient.sum(0, keepdims=True)
            for gradient, array in ((gradients[spec.present[i]], arrays[i]) for i in varied)
        ]

    residuals = (list(primals), [found[name] for name in RESIDUALS])
    tangents_out = linear_call(tangent, transpose, residuals, [tangents[i] for i in varied])
    if spec.keep == "nothing":
        found |= {name: found[name].reshape(-1)[:0] for name in RESIDUALS if name not in spec.outputs}
    named = dict(zip(spec.outputs, tangents_out, strict=True))
    return list(found.values()), [named[name] if name in named else ad.Zero(jax.typeof(found[name])) for name in OUTPUTS]


# ---- the backward pass, of the operands, RESIDUALS and the cotangents of `Spec.outputs`, to what GRADIENTS names ----

_backward = Primitive("native_backward")
_backward.multiple_results = True


def _backward_shapes(*avals: Any, spec: Spec, wants_weights: bool, wants_d: bool) -> list[Any]:
    count = len(spec.present)
    operands, runs = spec.operands(avals[:count]), _runs(avals)
    time, batch, H = avals[count].shape[1:]
    G, like = operands.kernel.shape[-1], operands.kernel
    shapes = {
        "kernel": wants_weights and (runs, H, G),
        "input": wants_weights and operands.x is not None and (runs, operands.x.shape[-1], G),
        "bias": wants_weights and (runs, G),
        "extra": wants_weights and operands.extra is not None and (runs, H),
        "d": wants_d and (runs, time, batch, G),
    }
    shapes |= {name: wants_weights and getattr(operands, name) is not None and (runs, G) for name in HYPERPARAMETERS}
    states = [name for name in GRADIENTS if name not in shapes and getattr(operands, name) is not None]
    shapes |= {name: (runs, *getattr(operands, name).shape[1:]) for name in states}
    return [shaped(like, shapes.get(name) or (0,)) for name in GRADIENTS]


def _backward_native(*arrays: Array, spec: Spec, wants_weights: bool, wants_d: bool) -> list[Array]:
    count = len(spec.present)
    operands, residuals = spec.operands(arrays[:count]), arrays[count : count + len(RESIDUALS)]
    cotangents = dict(zip(spec.outputs, arrays[count + len(RESIDUALS) :], strict=True))
    if spec.ahead:
        operands = operands._replace(input=None)
    nothing = jnp.zeros(0, operands.kernel.dtype)
    given = [cotangents.get(name, nothing) for name in COTANGENTS]
    shapes = _backward_shapes(*map(jax.typeof, arrays), spec=spec, wants_weights=wants_weights, wants_d=wants_d)
    return _native_call(native.BACKWARD, spec, shapes, arrays, operands, *residuals, *given)


def _backward_in_jax(*arrays: Array, spec: Spec, wants_weights: bool, wants_d: bool) -> list[Array]:
    count = len(spec.present)
    found = reference_gradients(spec, arrays[:count], list(arrays[count + len(RESIDUALS) :]))
    shapes = _backward_shapes(*map(jax.typeof, arrays), spec=spec, wants_weights=wants_weights, wants_d=wants_d)
    return [
        found[name] if shape.size and name in found else jnp.zeros(shape.shape, shape.dtype)
        for name, shape in zip(GRADIENTS, shapes, strict=True)
    ]


def _backward_jvp(primals: Sequence[Array], tangents: Sequence[Any], *, spec: Spec, wants_weights: bool, wants_d: bool) -> Any:
    """By the reference; what was kept of the forward pass is a function of the operands, and not varied by itself."""
    count = len(spec.present)
    own = [*range(count), *range(count + len(RESIDUALS), len(primals))]
    varied = [i for i in own if type(tangents[i]) is not ad.Zero and _is_float(tangents[i])]

    def of_varied(*values: Array) -> list[Array]:
        return _backward_in_jax(*substituted(primals, varied, values), spec=spec, wants_weights=wants_weights, wants_d=wants_d)

    _, tangents_out = jax.jvp(of_varied, [primals[i] for i in varied], [tangents[i] for i in varied])
    return _backward.bind(*primals, spec=spec, wants_weights=wants_weights, wants_d=wants_d), tangents_out


def _register(primitive: Any, shapes: Any, on_cpu: Any, in_jax: Any, jvp: Any, batch: Any) -> None:
    primitive.def_abstract_eval(shapes)
    primitive.def_impl(lambda *arrays, **params: (on_cpu if on_the_cpu() else in_jax)(*arrays, **params))  # without `jax.jit`
    ad.primitive_jvps[primitive] = jvp
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")
    mlir.register_lowering(primitive, mlir.lower_fun(in_jax, multiple_results=True))


_register(_forward, _forward_shapes, _forward_native, _forward_in_jax, _forward_jvp, functools.partial(batch_forward, _forward))
_register(
    _backward, _backward_shapes, _backward_native, _backward_in_jax, _backward_jvp, functools.partial(batch_backward, _backward)
)
allow_export(native.TARGETS)
native.why_not()  # an exported program, or a compiled one that is loaded, has the calls before this process decides on any
