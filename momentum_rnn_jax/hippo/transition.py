"""The measures of HiPPO: their transition matrices and bases, and what a discretisation makes of them. NumPy, in float64.

Memory is a linear system, `dc/dt = A c + B f`, for "legs" `dc/dt = (A c + B f) / t`, driven by a scalar signal f. With
`r_n = sqrt(2n + 1)`, n and k from 0:

  "legs"  scaled Legendre, the whole past: `A[n,k] = -r_n r_k` (n > k), `-(n + 1)` (n = k), 0 (n < k); `B = r`.
  "legt"  translated Legendre, a window of length 1: `A[n,k] = -r_n r_k ((-1)^(n-k) if n < k else 1)`; `B = r`.
  "lmu"   the same window in another basis: `A[n,k] = (2n + 1) (-1 if n < k else (-1)^(n-k+1))`; `B_n = (2n + 1) (-1)^n`.
  "lagt"  translated Laguerre, a past that fades: `A = I/2 - tril(1)`; `B = 1`.

Source: HiPPO, arXiv 2008.07669, with the signs of the released code; LMU: Voelker, Kajić and Eliasmith, NeurIPS 2019.
"""

import functools
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe, describe_values

MEASURES = ("legs", "legt", "lmu", "lagt")
DISCRETIZATIONS = ("forward", "backward", "bilinear", "zoh")
Matrix = NDArray[np.float64]


def transition(order: int, measure: str = "legs") -> tuple[Matrix, Matrix]:
    """`(A, B)` of a measure, (N, N) and (N,), float64: `dc/dt = A c + B f`, for "legs" divided by t.

    Args:
      order: N, the number of coefficients.
      measure: "legs", "legt", "lmu" or "lagt".

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: HiPPO, arXiv 2008.07669, with the signs of the released code.

    >>> from momentum_rnn_jax import hippo
    >>> A, B = hippo.transition(2)
    >>> A.round(3).tolist(), B.round(3).tolist()
    ([[-1.0, 0.0], [-1.732, -2.0]], [1.0, 1.732])
    """
    _checks.choice("measure", measure, MEASURES)
    n = np.arange(_order(order), dtype=float)
    r, (row, column) = np.sqrt(2 * n + 1), np.meshgrid(n, n, indexing="ij")
    sign = (-1.0) ** (row - column)
    if measure == "legs":
        return np.where(row > column, -np.outer(r, r), np.diag(-(n + 1))), r
    if measure == "legt":
        return -np.outer(r, r) * np.where(row < column, sign, 1), r
    if measure == "lmu":
        return (2 * row + 1) * np.where(row < column, -1, -sign), (2 * n + 1) * (-1.0) ** n
    return np.eye(len(n)) / 2 - np.tril(np.ones((len(n), len(n)))), np.ones(len(n))


def discretize(order: int, measure: str = "legs", discretization: str = "bilinear", *, dt: float) -> tuple[Matrix, Matrix]:
    """`(Ā, B̄)` of one step, `c' = Ā c + B̄ f`, (N, N) and (N,), float64.

    With δ = dt: "forward" `I + δA`, `δB`; "backward" `(I - δA)⁻¹`, `(I - δA)⁻¹ δB`; "bilinear" `(I - δA/2)⁻¹ (I + δA/2)`,
    `(I - δA/2)⁻¹ δB`; "zoh" (zero-order hold) `E = exp(δA)`, `A⁻¹ (E - I) B`. For "legs" δ is `1/t`, where t is the number of
    inputs so far, and "zoh" is exact in the logarithm of time, `E = exp(A log(1 + δ))`.

    Args:
      order, measure: as in `transition`.
      discretization: one of the four.
      dt: δ > 0, a number.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    >>> from momentum_rnn_jax import hippo
    >>> A, B = hippo.discretize(1, "legs", "backward", dt=1 / 3)  # the fourth of four numbers enters their mean
    >>> A.round(12).tolist(), B.round(12).tolist()
    ([[0.75]], [0.25])
    """
    A, B = transition(order, measure)
    _checks.choice("discretization", discretization, DISCRETIZATIONS)
    dt = _checks.scalar("dt", dt, low=0.0, low_open=True)
    identity = np.eye(len(B))
    if discretization == "forward":
        return identity + dt * A, dt * B
    if discretization == "zoh" and measure == "legs":
        E = rescaling(len(B), 1 / (1 + dt))
        return E, identity[0] - E[:, 0]  # A e_0 = -B
    if discretization == "zoh":
        both = np.zeros((len(B) + 1,) * 2)
        both[:-1, :-1], both[:-1, -1] = dt * A, dt * B
        exponential = _exponential(both)
        return exponential[:-1, :-1], exponential[:-1, -1]
    half = dt if discretization == "backward" else dt / 2
    inverse = np.linalg.inv(identity - half * A)
    return inverse @ (identity if discretization == "backward" else identity + half * A), dt * inverse @ B


def basis(points: Any, order: int, measure: str = "legs") -> Matrix:
    """The functions whose coefficients a memory holds, at some points of the past: `f̂ = basis(points, N) @ c`.

    "legs", "legt": `r_n P_n(2s - 1)`; "lmu": `(-1)^n P_n(2s - 1)`, where s is 0 at the oldest point and 1 at the newest, of the
    whole past or of the window. "lagt": `exp(-τ/2) L_n(τ)`, where τ ≥ 0 is how long ago, in the unit of `dt`. P_n and L_n are
    the polynomials of Legendre and Laguerre.

    Args:
      points: (P,), s in [0, 1], or τ ≥ 0; not traced.
      order, measure: as in `transition`.

    Returns:
      (P, N), float64.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    >>> import numpy as np
    >>> from momentum_rnn_jax import hippo
    >>> hippo.basis(np.array([0.0, 0.5, 1.0]), 3, "lmu").tolist()
    [[1.0, 1.0, 1.0], [1.0, -0.0, -0.5], [1.0, -1.0, 1.0]]
    """
    _checks.choice("measure", measure, MEASURES)
    return basis_at(_points(points, np.inf if measure == "lagt" else 1.0), _order(order), measure)


def basis_at(at: Matrix, order: int, measure: str) -> Matrix:
    """`basis` of points that are known to be allowed; in NumPy alone, so that constructing a drive runs nothing on a device."""
    n = np.arange(order)
    if measure == "lagt":
        return _laguerre(at, order)
    return np.polynomial.legendre.legvander(2 * at - 1, order - 1) * ((-1.0) ** n if measure == "lmu" else np.sqrt(2 * n + 1))


@functools.cache
def nodes(order: int) -> tuple[Matrix, Matrix]:
    """Gauss-Legendre nodes and weights on [0, 1], which integrate products of two basis functions of "legs" exactly."""
    x, weights = np.polynomial.legendre.leggauss(order)
    return (x + 1) / 2, weights / 2


def rescaling(order: int, ratio: float) -> Matrix:
    """`exp(-A log ratio)` of "legs": the coefficients of a past that is squeezed into its first part, `ratio` of the whole.

    `E[n,k] = ratio ∫ g_k(y) g_n(ratio y) dy` over [0, 1], with `g_n(s) = r_n P_n(2s - 1)`: no exponential, no eigenvectors.
    """
    y, weights = nodes(order)
    return ratio * (basis_at(ratio * y, order, "legs") * weights[:, None]).T @ basis_at(y, order, "legs")


def _laguerre(tau: Matrix, order: int) -> Matrix:
    """`exp(-τ/2) L_n(τ)`, (P, N); the factor is part of the recurrence, so that nothing overflows."""
    values = [np.exp(-tau / 2), (1 - tau) * np.exp(-tau / 2)]
    for n in range(1, order - 1):
        values.append(((2 * n + 1 - tau) * values[n] - n * values[n - 1]) / (n + 1))
    return np.stack(values[:order], axis=-1)


def _exponential(matrix: Matrix) -> Matrix:
    """exp of a matrix by scaling and squaring of its series, which after scaling has an error below float64's."""
    squarings = max(0, int(np.ceil(np.log2(max(np.abs(matrix).sum(axis=1).max(), 1e-300)))) + 1)
    scaled = matrix / 2.0**squarings
    term = total = np.eye(len(matrix))
    for k in range(1, 20):
        term = term @ scaled / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total


def _order(order: Any) -> int:
    order = _checks.size("order", order)
    _checks.elements("order", order, {"A": (order, order)})
    return order


def _points(points: Any, high: float) -> Matrix:
    if isinstance(points, jax.core.Tracer):
        raise TypeError(f"points must be known before tracing, got {describe(points)}.")
    _checks.floating("points", points, min_ndim=1, layout="(points,)")
    at = np.asarray(points, float)
    if at.ndim != 1 or not np.all((at >= 0) & (at <= high)):
        raise ValueError(f"points must be of shape (points,) and in [0, {high:g}], got {describe_values(points)}.")
    return at
