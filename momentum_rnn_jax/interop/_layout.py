"""PyTorch keeps kernels as (out, in); here they are (in, out), so they are transposed. Differentiable in the arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Params

Arrays = Mapping[str, Any]


def last_axis(argument: str, arrays: Arrays, name: str) -> int:
    """The number of columns of a kernel, (out, in): in."""
    array = _checks.floating(f"{argument}[{name!r}]", arrays[name], min_ndim=2, layout="(out, in)")
    return array.shape[-1]


def gated_shapes(names: Sequence[str], in_features: int, hidden_features: int, num_gates: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the input's kernel and the recurrent one, and of the biases where `names` has them, in this order."""
    F, H, rows = in_features, hidden_features, num_gates * hidden_features
    return dict(zip(names, [(rows, F), (rows, H), (rows,), (rows,)], strict=False))


def gated_params(arrays: Arrays, names: Sequence[str]) -> Params:
    """Our parameters from arrays of the shapes of `gated_shapes`; biases that are not there are zero."""
    kernels, biases = [jnp.asarray(arrays[name]) for name in names[:2]], [jnp.asarray(arrays[name]) for name in names[2:]]
    biases = biases or [zero_bias(kernel.T) for kernel in kernels]
    parts = zip(("input", "core"), kernels, biases, strict=True)
    return {part: {"kernel": kernel.T, "bias": bias} for part, kernel, bias in parts}


def zero_bias(kernel: Array) -> Array:
    """The bias of a kernel in our layout, (in, out), that has none."""
    return jnp.zeros(kernel.shape[-1:], kernel.dtype)
