"""Orthogonal matrices parametrised by unconstrained ones: two maps, the initialisers and the dynamic rebase of DTRIV.

Every orthogonal matrix is `B = base · φ(S)`, with `S = triu(A, 1) - triu(A, 1)ᵀ` skew-symmetric and φ the matrix exponential
or the Cayley map; only the strict upper triangle of the unconstrained matrix `A` is used. With `base = I` throughout this is
expRNN (arXiv 1901.08428); moving the base during training is DTRIV (arXiv 1909.09501).

The functions take one matrix; use `jax.vmap` for a stack of them. One that is not square, or not of floating-point numbers, is
refused with a TypeError or ValueError that names the argument.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32


def skew(A: Array) -> Array:
    """The skew-symmetric matrix `triu(A, 1) - triu(A, 1)ᵀ`, shape (H, H).

    >>> import jax.numpy as jnp
    >>> skew(jnp.array([[7.0, 2.0], [7.0, 7.0]])).tolist()
    [[0.0, 2.0], [-2.0, 0.0]]
    """
    upper = jnp.triu(_checks.square("A", A), 1)
    return upper - upper.T


def expm_map(S: Array) -> Array:
    """`exp(S)`, shape (H, H): orthogonal for skew-symmetric `S`; every rotation is in its range.

    >>> import jax.numpy as jnp
    >>> expm_map(jnp.array([[0.0, jnp.pi], [-jnp.pi, 0.0]])).round(3).tolist()
    [[-1.0, 0.0], [-0.0, -1.0]]
    """
    S = _checks.square("S", S)
    return jax.scipy.linalg.expm(_widened(S)).astype(S.dtype)


def cayley_map(S: Array) -> Array:
    """`(I + S)⁻¹ (I - S)`, shape (H, H): orthogonal for skew-symmetric `S`; rotations by exactly π are not in its range.

    >>> import jax.numpy as jnp
    >>> cayley_map(jnp.array([[0.0, 1.0], [-1.0, 0.0]])).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    S = _checks.square("S", S)
    wide = _widened(S)
    identity = jnp.eye(S.shape[0], dtype=wide.dtype)
    return jnp.linalg.solve(identity + wide, identity - wide).astype(S.dtype)


MAPS: dict[str, Callable[[Array], Array]] = {"expm": expm_map, "cayley": cayley_map}


def orthogonal_matrix(A: Array, base: Array, mapping: str = "expm") -> Array:
    """`base · φ(skew(A))`, shape (H, H), orthogonal if `base` is.

    Gradients do not flow into the base. Computed in at least float32, whatever the dtype of `A`, because the maps solve linear
    systems.

    Args:
      A: unconstrained, (H, H); only its strict upper triangle is used.
      base: (H, H).
      mapping: "expm" or "cayley".

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, shape or dtype, or `mapping` is unknown.

    >>> import jax.numpy as jnp
    >>> B = orthogonal_matrix(jnp.array([[0.0, jnp.pi / 2], [0.0, 0.0]]), jnp.eye(2))
    >>> B.round(3).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    mapping = _checks.choice("mapping", mapping, MAPS)
    A, base = _checks.square("A", A), _checks.square("base", base)
    if base.shape != A.shape:
        raise ValueError(f"base must have the shape of A, {A.shape}, got {base.shape}.")
    rotation = MAPS[mapping](skew(_widened(A)))
    return (jax.lax.stop_gradient(base).astype(rotation.dtype) @ rotation).astype(A.dtype)


def nearest_orthogonal(B: Array) -> Array:
    """The orthogonal matrix nearest to `B` in the Frobenius norm, its polar factor `U Vᵀ` with `B = U Σ Vᵀ`; shape (H, H).

    >>> import jax.numpy as jnp
    >>> nearest_orthogonal(jnp.array([[3.0, 0.0], [0.0, -0.5]])).round(3).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    B = _checks.square("B", B)
    U, _, Vt = jnp.linalg.svd(_widened(B))
    return (U @ Vt).astype(B.dtype)


def _widened(array: Array) -> Array:
    """In at least float32: linear algebra supports no narrower dtype."""
    return array.astype(at_least_float32(array.dtype))


def rebase(params: Mapping[str, Array], mapping: str, *, project: bool = False) -> dict[str, Array]:
    """Move the base to the current matrix: `base ← base · φ(skew(A))`, `A ← 0`. The network computes the same function.

    `core.rebase(params)` is this with the core's own mapping.

    Call it every K optimiser steps, and with `project=True` from time to time (the released code: every 100th call) to remove
    the rounding error accumulated in the base. An optimiser's moments of `A` are left as they are, as in the released code.

    Args:
      params: parameters of an `Orthogonal` core, with the entries "A" and "base".
      mapping: the core's mapping, "expm" or "cayley".
      project: replace the new base by the orthogonal matrix nearest to it.

    Returns:
      New parameters; entries other than "A" and "base" are unchanged.

    Raises:
      TypeError, ValueError: an entry is missing or not a square matrix (use `jax.vmap` for a stack of them), `mapping` is
        unknown, or `project` is not a bool.

    Source: DTRIV, arXiv 1909.09501.

    >>> import jax, momentum_rnn_jax as mr
    >>> core = mr.Orthogonal(4)
    >>> params = core.init(jax.random.key(0))
    >>> moved = mr.rebase(params, core.mapping)
    >>> bool(abs(moved["A"]).max() == 0), bool(abs(moved["base"] - core.prepare(params)["kernel"]).max() < 1e-6)
    (True, True)
    """
    _checks.names("params", params, ("A", "base"), optional=set(params) if isinstance(params, Mapping) else ())
    project = _checks.boolean("project", project)
    shape = _checks.square("params['A']", params["A"]).shape
    matrices = {name: params[name] for name in ("A", "base")}
    _checks.arrays("params", matrices, {"A": shape, "base": shape})
    _checks.one_dtype("params", matrices)
    base = orthogonal_matrix(params["A"], params["base"], mapping)
    return {**params, "base": nearest_orthogonal(base) if project else base, "A": jnp.zeros_like(params["A"])}


def henaff(key: Array, size: int, dtype: Any = float) -> Array:
    """Unconstrained matrix whose 2×2 blocks rotate by angles uniform in [-π, π) under the exponential map; shape (size, size).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed.

    Source: Henaff, Szlam, LeCun, arXiv 1602.06662, as in the released orthogonal code.

    >>> import jax
    >>> henaff(jax.random.key(0), 3).shape
    (3, 3)
    """
    return _block_diagonal(key, size, dtype, -jnp.pi, jnp.pi, lambda angle: angle)


def cayley(key: Array, size: int, dtype: Any = float) -> Array:
    """Unconstrained matrix with entries `-sqrt((1 - cos a) / (1 + cos a))`, `a` uniform in [0, π/2); shape (size, size).

    Under the Cayley map its 2×2 blocks rotate by the angles `a`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed.

    Source: Helfrich, Willmott, Ye, arXiv 1707.09520, as in the released orthogonal code.

    >>> import jax
    >>> cayley(jax.random.key(0), 3).shape
    (3, 3)
    """
    return _block_diagonal(key, size, dtype, 0.0, jnp.pi / 2, lambda a: -jnp.sqrt((1 - jnp.cos(a)) / (1 + jnp.cos(a))))


def _block_diagonal(key: Array, size: int, dtype: Any, low: float, high: float, entry: Callable[[Array], Array]) -> Array:
    """`entry` of angles uniform in [low, high), just above the diagonal in each 2×2 block; an odd last row stays zero."""
    size = _checks.size("size", size)
    _checks.elements("size", size, {"A": (size, size)})
    _checks.float_dtype("dtype", dtype)
    entries = entry(jax.random.uniform(_checks.key(key), (size // 2,), dtype, low, high))
    rows = 2 * jnp.arange(size // 2)
    return jnp.zeros((size, size), entries.dtype).at[rows, rows + 1].set(entries)


SKEW_INITS: dict[str, Callable[..., Array]] = {"henaff": henaff, "cayley": cayley}
