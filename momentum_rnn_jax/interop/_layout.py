"""What the readers share: a mapping's arrays and tensors as arrays, and PyTorch's layout beside ours."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Params
from momentum_rnn_jax.cores import Core

Arrays = Mapping[str, Any]

# For each kind of array in PyTorch, where ours is. PyTorch's kernels are (out, in), ours (in, out).
ENTRIES = {
    "weight_ih": ("input", "kernel"),
    "weight_hh": ("core", "kernel"),
    "bias_ih": ("input", "bias"),
    "bias_hh": ("core", "bias"),
}


def read(argument: str, mapping: Any, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """The arrays of a mapping that has exactly these names; tensors become arrays."""
    check_mapping(argument, mapping)
    _checks.names(argument, mapping, names, optional)
    return {name: as_array(f"{argument}[{name!r}]", value) for name, value in mapping.items()}


def check_arrays(argument: str, arrays: Arrays, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
    """Refuse arrays that are not floating-point, of these shapes and of one dtype."""
    _checks.arrays(argument, arrays, shapes)
    _checks.one_dtype(argument, arrays)


def check_mapping(argument: str, value: Any) -> None:
    """Refuse anything but a mapping from strings."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be a dict from names to arrays, got {type(value).__name__}.")
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a dict from names to arrays, got one with a key of type {type(name).__name__}.")


def as_array(name: str, value: Any) -> Any:
    """NumPy's and JAX's arrays as they are, traced ones included; a tensor of another library as a NumPy array."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array, got a masked one of shape {value.shape}; fill it first.")
    if isinstance(value, np.ndarray | Array):
        return value
    if not (hasattr(value, "__dlpack__") or hasattr(value, "__array__")):
        raise TypeError(f"{name} must be an array or a tensor, got {type(value).__name__}.")
    try:
        return _from_tensor(value)
    except Exception as error:  # whatever the other library raises
        raise TypeError(
            f"{name} must be an array or a tensor, got {type(value).__name__}, which cannot be converted to NumPy "
            f"({type(error).__name__})."
        ) from error


def _from_tensor(value: Any) -> np.ndarray:
    # PyTorch exports no tensor that requires gradients, and JAX imports neither other devices' tensors nor gaps between rows.
    for prepare in ("detach", "cpu", "contiguous"):
        value = getattr(value, prepare)() if hasattr(value, prepare) else value
    if not hasattr(value, "__dlpack__"):
        return np.asarray(value)
    with jax.enable_x64(True):  # keeps float64, so that dtypes are compared as they were given
        return np.asarray(jnp.from_dlpack(value))  # by way of JAX, because NumPy knows no bfloat16


def to_jax(array: Any) -> Array:
    """A JAX array, which shares no memory with a NumPy array or tensor that may yet change; differentiable in a JAX array."""
    return array if isinstance(array, Array) else jnp.array(array)


def columns(argument: str, arrays: Arrays, name: str) -> int:
    """The number of columns of a kernel in PyTorch's layout, (out, in): in."""
    return _checks.floating(f"{argument}[{name!r}]", arrays[name], min_ndim=2, layout="(out, in)").shape[-1]


def torch_shapes(core: Core, in_features: int, names: Mapping[str, tuple[str, str]]) -> dict[str, tuple[int | None, ...]]:
    """The shapes of arrays in PyTorch's layout; `names` maps each array's name to our part and entry."""
    ours: dict[str, Mapping[str, tuple[int | None, ...]]] = {"input": core.input_shapes(in_features), "core": core.param_shapes()}
    return {name: tuple(reversed(ours[part][entry])) for name, (part, entry) in names.items()}


def torch_params(arrays: Arrays, names: Mapping[str, tuple[str, str]]) -> Params:
    """Our parameters from arrays in PyTorch's layout; biases that are not there are zero."""
    params: Params = {"input": {}, "core": {}}
    for name, (part, entry) in names.items():
        params[part][entry] = to_jax(arrays[name]).T
    for entries in params.values():
        entries.setdefault("bias", zero_bias(entries["kernel"]))
    return params


def zero_bias(kernel: Array) -> Array:
    """The bias of a kernel in our layout, (in, out), that has none."""
    return jnp.zeros(kernel.shape[-1:], kernel.dtype)
