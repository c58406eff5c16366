"""One step of the "legs" memory in O(N), by a rotation of its coefficients, and its zero-order hold by quadrature.

A constant past f has the coefficients `f e_0`, because `A e_0 = -B`. So the discretisations have one form,

    c' = c + δ A x,   (I - κδA) x = c - f e_0,   κ = 0 "forward", 1/2 "bilinear", 1 "backward",

in which rounding affects the increment alone, and "zoh" is `c' = f e_0 + exp(A log(1 + δ)) (c - f e_0)`.

A is normal plus rank one: `A = -I/2 + S - r rᵀ/2` with S skew-symmetric. A real orthogonal Q brings S to 2×2 blocks,
`Qᵀ S Q = [[0, -w], [w, 0]]`, and with `q = Qᵀ c` and `p = Qᵀ r` the inverse is that of blocks and a rank-one term:

    (I - αA) x = q:   y = D q,   x = y - D p (α/2) (pᵀ y) / (1 + (α/2) pᵀ D p),   D = ((1 + α/2) I - α Qᵀ S Q)⁻¹

Element-wise work and two inner products, for any δ, one of its own for each example. Q is a constant of N, made in float64.
A itself must not be diagonalised: its eigenvectors have a condition number of 1e17 at N = 24.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax.hippo.transition import Matrix, basis_at, nodes, transition


class Rotation(NamedTuple):
    """`Q` (N, N), the blocks' `w` (N // 2,), `p = Qᵀ r` and `start = Qᵀ e_0`, (N,).

    The columns of Q are the first vectors of all blocks, then their second ones, then one without a block if N is odd.
    """

    Q: Matrix
    w: Matrix
    p: Matrix
    start: Matrix


@functools.cache
def rotation(order: int) -> Rotation:
    """The rotation for N coefficients, float64."""
    A, r = transition(order)
    S = A + (np.eye(order) + np.outer(r, r)) / 2
    values, vectors = np.linalg.eigh(1j * (S - S.T) / 2)  # (x + iy) with value w > 0: S x = w y, S y = -w x
    pairs = vectors[:, values.argsort()[::-1][: order // 2]] * np.sqrt(2)
    Q = np.concatenate([pairs.real, pairs.imag], axis=1)
    if order % 2:
        Q = np.concatenate([Q, np.linalg.svd(Q, full_matrices=True)[0][:, -1:]], axis=1)
    for _ in range(2):  # to the nearest orthogonal matrix
        Q = Q @ (3 * np.eye(order) - Q.T @ Q) / 2
    x, y = Q[:, : order // 2], Q[:, order // 2 : 2 * (order // 2)]
    return Rotation(Q, np.einsum("nk,nm,mk->k", y, S, x), Q.T @ r, Q[0])


def step(discretization: str, q: Array, f: Array, delta: Array, fresh: Array | None) -> Array:
    """One step of a rational discretisation: q (..., N), f (...), δ broadcastable against f -> q' (..., N).

    Where `fresh`, broadcastable against f, the past is taken to have been f throughout.
    """
    rotated = rotation(q.shape[-1])
    constant = f[..., np.newaxis] * _like(q, rotated.start)
    delta = jnp.expand_dims(delta, -1)
    kappa = {"forward": 0.0, "bilinear": 0.5, "backward": 1.0}[discretization]
    x = q - constant
    if kappa:
        x = _solve(rotated, kappa * delta, x)
    new = q + delta * _transition(rotated, x)
    return new if fresh is None else jnp.where(jnp.expand_dims(fresh, -1), constant, new)


def hold(c: Array, f: Array, ratio: Array, fresh: Array | None) -> Array:
    """One step of "zoh": the past shrinks to the first `ratio` of the interval, f fills the rest; c (..., N), f (...).

    Exact, in O(N²): the polynomial of c is evaluated at N Gauss nodes and projected onto the basis of the longer interval.
    """
    order = c.shape[-1]
    y, weights = (jnp.asarray(array, c.dtype) for array in nodes(order))
    start = jnp.zeros(order, c.dtype).at[0].set(1)
    constant = f[..., np.newaxis] * start.reshape((1,) * f.ndim + (order,))
    ratio = jnp.expand_dims(ratio, -1)
    past = c - constant if fresh is None else jnp.where(jnp.expand_dims(fresh, -1), jnp.zeros_like(c), c - constant)
    at_nodes = past @ jnp.asarray(basis_at(nodes(order)[0], order, "legs").T, c.dtype)
    at_nodes = at_nodes * ratio * weights.reshape((1,) * f.ndim + (order,))
    x = 2 * ratio * y.reshape((1,) * f.ndim + (order,)) - 1

    def project(legendre: tuple[Array, Array], n: Array) -> tuple[tuple[Array, Array], Array]:
        now, before = legendre  # P_n and P_{n-1} at x
        later = ((2 * n + 1) * x * now - n * before) / (n + 1)
        return (later, now), jnp.sqrt(2 * n + 1) * jnp.sum(now * at_nodes, axis=-1)

    _, projected = jax.lax.scan(project, (jnp.ones_like(x), jnp.zeros_like(x)), jnp.arange(order, dtype=c.dtype))
    return constant + jnp.moveaxis(projected, 0, -1)


def _solve(rotated: Rotation, alpha: Array, q: Array) -> Array:
    """`(I - αA)⁻¹ q` in the rotated basis; α (..., 1), q (..., N)."""
    p = jnp.broadcast_to(_like(q, rotated.p), (*alpha.shape[:-1], q.shape[-1]))
    y, Dp = (_inverse_blocks(rotated, alpha, vector) for vector in (q, p))
    half = alpha / 2
    gain = half * _inner(p, y) / (1 + half * _inner(p, Dp))
    return y - Dp * gain


def _inverse_blocks(rotated: Rotation, alpha: Array, q: Array) -> Array:
    """`((1 + α/2) I - αΩ)⁻¹ q`: for each block a 2×2 system."""
    diagonal, off = 1 + alpha / 2, alpha * _like(q, rotated.w)
    x, y, rest = _parts(q)
    scale = 1 / (diagonal * diagonal + off * off)
    return jnp.concatenate([scale * (diagonal * x - off * y), scale * (off * x + diagonal * y), rest / diagonal], axis=-1)


def _transition(rotated: Rotation, q: Array) -> Array:
    """`A q` in the rotated basis."""
    w, p = _like(q, rotated.w), _like(q, rotated.p)
    x, y, rest = _parts(q)
    return jnp.concatenate([-w * y, w * x, jnp.zeros_like(rest)], axis=-1) - q / 2 - p * _inner(p, q) / 2


def _parts(q: Array) -> tuple[Array, Array, Array]:
    """The first and the second coordinates of all blocks, and those without a block."""
    blocks = q.shape[-1] // 2
    return q[..., :blocks], q[..., blocks : 2 * blocks], q[..., 2 * blocks :]


def _inner(p: Array, q: Array) -> Array:
    return jnp.sum(p * q, axis=-1, keepdims=True)


def _like(q: Array, vector: Matrix) -> Array:
    """A vector of constants that broadcasts against q, in its dtype."""
    return jnp.asarray(vector.reshape((1,) * (q.ndim - 1) + vector.shape), q.dtype)
