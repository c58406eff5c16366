"""What the native calls compute, by a scan in JAX: for forward mode, second derivatives and other platforms."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.execution.native_operands import GRADIENTS, HYPERPARAMETERS, Operands, Spec
from momentum_rnn_jax.execution.scan import scan


def _recur(spec: Spec, d: Array, operands: Operands) -> list[Array]:
    """What `Spec.outputs` names, of one run on projected inputs."""
    masks = Masks(operands.resets, operands.valid)
    last: list[Array] = []
    if spec.drive is not None:
        d, last = _drive(spec, d, operands, masks)
    core: Any = spec.core
    params = {"kernel": operands.kernel, "bias": operands.bias, "modrelu_bias": operands.extra}
    params = {name: value for name, value in params.items() if value is not None}

    def state(h: Any, c: Any) -> Any:
        return type(core.initial_state(params, (), d.dtype))(**({"h": h} if c is None else {"c": c, "h": h}))

    first = state(operands.first_h, operands.first_c)
    start = first if operands.start_h is None else state(operands.start_h, operands.start_c)
    final, _, states = scan(functools.partial(core.step, params), first, (d,), start, masks, return_states=True)
    return [states.h, *([] if operands.first_c is None else [final.c]), *last]


def _drive(spec: Spec, us: Array, operands: Operands, masks: Masks) -> tuple[Array, list[Array]]:
    """d of every step, and the drive's last state."""
    kind: Any = spec.drive
    named = operands._asdict()
    drive = kind(**{name: named[name] for name in HYPERPARAMETERS if named[name] is not None})
    state_type = type(drive.start(us[0]))
    first, start = (state_type(*(named[f"{when}_{state}"] for state in spec.drive_kind.states)) for when in ("first", "start"))
    final, ds, _ = scan(drive.advance, first, (us,), first if masks.resets is None else start, masks)
    return ds, list(final)


def _over_runs(function: Any, *trees: Any) -> Any:
    """`function` of one run each, over all runs."""
    leaves: list[Any]
    structure: Any
    leaves, structure = jax.tree.flatten(trees)
    runs = max(leaf.shape[0] for leaf in leaves)
    axes = [None if leaf.shape[0] == 1 < runs else 0 for leaf in leaves]
    leaves = [leaf[0] if axis is None else leaf for leaf, axis in zip(leaves, axes, strict=True)]
    return jax.vmap(lambda *leaves: function(*structure.unflatten(leaves)), axes, axis_size=runs)(*leaves)


def _projected(operands: Operands) -> Array:
    """d of one run, or u where a drive follows."""
    return operands.d if operands.x is None else operands.x @ operands.input


def reference(spec: Spec, arrays: Sequence[Array]) -> list[Array]:
    """What the forward pass computes and has a derivative."""

    def one(operands: Operands) -> list[Array]:
        return _recur(spec, _projected(operands), operands)

    return list(_over_runs(one, spec.operands(arrays)))


def reference_gradients(spec: Spec, arrays: Sequence[Array], cotangents: list[Array]) -> dict[str, Array]:
    """What the backward pass computes, by name."""

    def one(operands: Operands, cotangents: list[Array]) -> dict[str, Array]:
        named = operands._replace(d=_projected(operands))._asdict()
        floats = {name: value for name, value in named.items() if name in GRADIENTS and name != "input" and value is not None}
        masks = {name: value for name, value in named.items() if name not in floats}
        pull = jax.vjp(lambda floats: _recur(spec, floats["d"], Operands(**floats, **masks)), floats)[1]
        (found,) = pull(cotangents)
        return found | ({} if operands.x is None else {"input": jnp.einsum("tbf,tbg->fg", operands.x, found["d"])})

    return dict(_over_runs(one, spec.operands(arrays), cotangents))
