"""Orthogonal matrices from free ones: skew-symmetric maps, their initialisers and the dynamic rebase of DTRIV.

Every matrix is parametrised as `B = base · φ(S)`, with `S = triu(A, 1) - triu(A, 1)ᵀ` skew-symmetric and φ the matrix
exponential or the Cayley map; only the strict upper triangle of the free matrix `A` is used. With `base = I` for good this is
expRNN (arXiv 1901.08428); moving the base as training goes on is DTRIV (arXiv 1909.09501).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32


def skew(A: Array) -> Array:
    """The skew-symmetric matrix of a free one: `triu(A, 1) - triu(A, 1)ᵀ`, shape (H, H).

    >>> import jax.numpy as jnp
    >>> skew(jnp.array([[7.0, 2.0], [7.0, 7.0]])).tolist()
    [[0.0, 2.0], [-2.0, 0.0]]
    """
    upper = jnp.triu(A, 1)
    return upper - upper.T


def expm_map(S: Array) -> Array:
    """`exp(S)`, shape (H, H): orthogonal for skew-symmetric `S`, and every rotation is reached."""
    return jax.scipy.linalg.expm(S)


def cayley_map(S: Array) -> Array:
    """`(I + S)⁻¹ (I - S)`, shape (H, H): orthogonal for skew-symmetric `S`; rotations by exactly π are not reached."""
    identity = jnp.eye(S.shape[-1], dtype=S.dtype)
    return jnp.linalg.solve(identity + S, identity - S)


MAPS: dict[str, Callable[[Array], Array]] = {"expm": expm_map, "cayley": cayley_map}


def orthogonal_matrix(A: Array, base: Array, mapping: str = "expm") -> Array:
    """`base · φ(skew(A))`, shape (H, H), orthogonal when `base` is.

    The base is a constant to differentiation. Computed in at least float32, whatever the dtype of `A`, because the maps
    solve linear systems.

    Args:
      A: free matrix, (H, H); its strict upper triangle is used.
      base: (H, H).
      mapping: "expm" or "cayley".

    >>> import jax.numpy as jnp
    >>> B = orthogonal_matrix(jnp.array([[0.0, jnp.pi / 2], [0.0, 0.0]]), jnp.eye(2))
    >>> B.round(3).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    _checks.choice("mapping", mapping, MAPS)
    size = jnp.shape(A)[-1:] * 2
    _checks.arrays("params", {"A": A, "base": base}, {"A": size, "base": size})
    wide = at_least_float32(A.dtype)
    rotation = MAPS[mapping](skew(A.astype(wide)))
    return (jax.lax.stop_gradient(base).astype(wide) @ rotation).astype(A.dtype)


def nearest_orthogonal(B: Array) -> Array:
    """The orthogonal matrix nearest to `B` in the Frobenius norm, its polar factor `U Vᵀ` with `B = U Σ Vᵀ`; shape (H, H).

    >>> import jax.numpy as jnp
    >>> nearest_orthogonal(jnp.array([[3.0, 0.0], [0.0, -0.5]])).round(3).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    U, _, Vt = jnp.linalg.svd(B.astype(at_least_float32(B.dtype)))
    return (U @ Vt).astype(B.dtype)


def rebase(params: Mapping[str, Array], mapping: str, *, project: bool = False) -> dict[str, Array]:
    """Move the base to where the matrix is now, `base ← base · φ(skew(A))`, `A ← 0`: the network computes the same.

    A core's own `core.rebase(params)` is this with the core's mapping.

    Call it between optimiser steps, every K of them, and with `project=True` now and then (the released code: every 100th
    time) to take away the rounding errors that have piled up in the base. The moments that an optimiser keeps for `A` stay as
    they are, as in the released code.

    Args:
      params: parameters of an `Orthogonal` core, with the entries "A" and "base".
      mapping: the core's mapping, "expm" or "cayley".
      project: replace the new base by its nearest orthogonal matrix.

    Returns:
      New parameters; the other entries are passed on.

    Raises:
      TypeError, ValueError: an entry is missing, or is no square matrix (use `jax.vmap` for a stack of them), or `mapping` is
        unknown.

    Source: DTRIV, arXiv 1909.09501.

    >>> import jax, momentum_rnn_jax as mr
    >>> core = mr.Orthogonal(4)
    >>> params = core.init(jax.random.key(0))
    >>> moved = mr.rebase(params, core.mapping)
    >>> bool(abs(moved["A"]).max() == 0), bool(abs(moved["base"] - core.prepare(params)["kernel"]).max() < 1e-6)
    (True, True)
    """
    _checks.names("params", params, ("A", "base"), optional=set(params) if isinstance(params, Mapping) else ())
    base = orthogonal_matrix(params["A"], params["base"], mapping)
    return {**params, "base": nearest_orthogonal(base) if project else base, "A": jnp.zeros_like(params["A"])}


def _blocks(entries: Array, size: int) -> Array:
    """The free matrix with `entries` just above the diagonal in its 2×2 blocks; an odd last row stays zero."""
    rows = 2 * jnp.arange(size // 2)
    return jnp.zeros((size, size), entries.dtype).at[rows, rows + 1].set(entries)


def henaff(key: Array, size: int, dtype: Any = float) -> Array:
    """Free matrix whose 2×2 blocks rotate by angles uniform in [-π, π) under the exponential map; shape (size, size).

    Source: Henaff, Szlam, LeCun, arXiv 1602.06662, as in the released orthogonal code.
    """
    return _blocks(jax.random.uniform(key, (size // 2,), dtype, -jnp.pi, jnp.pi), size)


def cayley(key: Array, size: int, dtype: Any = float) -> Array:
    """Free matrix with entries `-sqrt((1 - cos a) / (1 + cos a))`, `a` uniform in [0, π/2); shape (size, size).

    Under the Cayley map its 2×2 blocks rotate by the angles `a`.

    Source: Helfrich, Willmott, Ye, arXiv 1707.09520, as in the released orthogonal code.
    """
    angle = jax.random.uniform(key, (size // 2,), dtype, 0.0, jnp.pi / 2)
    return _blocks(-jnp.sqrt((1 - jnp.cos(angle)) / (1 + jnp.cos(angle))), size)


SKEW_INITS: dict[str, Callable[..., Array]] = {"henaff": henaff, "cayley": cayley}
