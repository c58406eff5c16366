"""A cell's parameters, with Flax's initialisers instead of the core's own where they are given."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax.cell import Params, RecurrentCell

Initializer = Callable[..., Array]
"""A function of a key, a shape and a dtype, as in `jax.nn.initializers`."""


def init_params(
    cell: RecurrentCell,
    key: Array,
    in_features: int,
    dtype: Any,
    *,
    kernel_init: Initializer | None = None,
    recurrent_kernel_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Params:
    """`cell.init`, with initialisers instead of the core's own where they are given.

    Kernels are drawn gate by gate, (F, H) and (H, H), as Flax's cells do, or whole where their columns are not gates. `bias_init`
    draws the input's bias and the core's, and so replaces a forget-gate bias too.

    Raises:
      TypeError, ValueError: an initialiser is not a function of a key, a shape and a dtype, returns something else than an array
        of that shape, or the cell has no such parameter; the message names it.
    """
    _checks.float_dtype("param_dtype", dtype)
    params = cell.init(key, in_features, dtype)
    core = type(cell.core).__name__
    input_key, core_key, bias_key = jax.random.split(jax.random.fold_in(key, 1), 3)
    if kernel_init is not None:
        params["input"]["kernel"] = _by_gate(cell, "kernel_init", kernel_init, input_key, params["input"]["kernel"])
    if recurrent_kernel_init is not None:
        if "kernel" not in params["core"]:
            raise ValueError(f"recurrent_kernel_init must be None for {core}, which has no recurrent kernel to draw.")
        kernel = params["core"]["kernel"]
        params["core"]["kernel"] = _by_gate(cell, "recurrent_kernel_init", recurrent_kernel_init, core_key, kernel)
    if bias_init is not None:
        parts = [(params[name], k) for name, k in zip(("input", "core"), jax.random.split(bias_key), strict=True)]
        if not any("bias" in part for part, _ in parts):
            raise ValueError(f"bias_init must be None for {core}, which has no bias.")
        for part, part_key in parts:
            if "bias" in part:
                part["bias"] = _drawn("bias_init", bias_init, part_key, part["bias"].shape, dtype)
    return params


def _by_gate(cell: RecurrentCell, name: str, init: Initializer, key: Array, kernel: Array) -> Array:
    *rows, columns = kernel.shape
    H = cell.core.hidden_features
    size = columns if columns % H else H  # a core may have kernels of another width, which are drawn whole
    gates = [_drawn(name, init, k, (*rows, size), kernel.dtype) for k in jax.random.split(key, columns // size)]
    return jnp.concatenate(gates, axis=-1)


def _drawn(name: str, init: Any, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """What an initialiser draws, which is a function of others' making."""
    if not (callable(init) and _accepts(init, key, shape, dtype)):
        raise TypeError(f"{name} must be a function of a key, a shape and a dtype, or None, got {describe(init)}.")
    value = init(key, shape, dtype)
    if not isinstance(value, np.ndarray | Array) or value.shape != shape:
        raise ValueError(f"{name} must return an array of the shape it is given, {shape}, got {describe(value)}.")
    return jnp.asarray(value).astype(dtype)


def _accepts(function: Callable[..., Any], *args: Any) -> bool:
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:  # some built-in functions have no signature
        return True
    return True
