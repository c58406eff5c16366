"""The past from its coefficients."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.hippo.transition import basis


def reconstruct(c: Array, points: Any, *, measure: str = "legs") -> Array:
    """The signal that a memory stands for, at points of the past: `f̂ = Σ_n c_n g_n`, with the functions of `basis`.

    Args:
      c: coefficients, (..., N), such as those of `HiPPO.coefficients`.
      points: (P,), as in `basis`: for "legs", "legt" and "lmu" s in [0, 1], from the oldest point to the newest; for "lagt"
        τ ≥ 0, how long ago.
      measure: the measure that c belongs to.

    Returns:
      (..., P), in the dtype of c.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    >>> import jax.numpy as jnp
    >>> from momentum_rnn_jax import hippo
    >>> hippo.reconstruct(jnp.array([3.0, 0.0]), jnp.array([0.0, 0.5, 1.0])).tolist()  # a constant
    [3.0, 3.0, 3.0]
    """
    c = _checks.floating("c", c, min_ndim=1, layout="(..., N)")
    functions = basis(points, _checks.size("c", c.shape[-1]), measure)
    return c @ jnp.asarray(functions.T, c.dtype)
