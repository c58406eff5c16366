"""Matrices that carry a binary exponent, so that products of any length neither underflow nor overflow."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

NORMS = ("spectral", "frobenius")


class Scaled(NamedTuple):
    """The matrix `mantissa · 2^exponent`."""

    mantissa: Array
    exponent: Array


# A matrix as blocks of columns, each with an exponent of its own. With one exponent for all, columns that fade fast would be
# rounded to zero beside the others, and be missing once those vanish, as the velocity's do at a restart of Nesterov's momentum.
Blocks = list[Scaled]


def identity(sizes: Sequence[int], dtype: np.dtype) -> Blocks:
    """The identity matrix, with column blocks of these sizes."""
    unit = jnp.eye(sum(sizes), dtype=dtype)
    return [Scaled(columns, jnp.zeros((), jnp.int32)) for columns in jnp.split(unit, np.cumsum(sizes)[:-1], axis=1)]


def rescale(mantissa: Array, exponent: Array) -> Scaled:
    """The same matrix with its largest entry in [1/2, 1). Powers of two round nothing; zero, infinity and NaN stay."""
    return joined([Scaled(mantissa, exponent)])


def total(terms: Sequence[Scaled]) -> Scaled:
    """The sum of matrices."""
    mantissas, exponent = _aligned(terms)
    return Scaled(functools.reduce(jnp.add, mantissas), exponent)


def joined(blocks: Blocks) -> Scaled:
    """The whole matrix of these blocks."""
    mantissas, exponent = _aligned(blocks)
    return Scaled(mantissas[0] if len(mantissas) == 1 else jnp.concatenate(mantissas, axis=1), exponent)


def _aligned(matrices: Sequence[Scaled]) -> tuple[list[Array], Array]:
    """Their mantissas for one exponent, that of the largest entry of all, which is also returned."""
    largest = [jnp.abs(matrix.mantissa).max() for matrix in matrices]
    of_zero = jnp.iinfo(jnp.int32).min // 2  # below any other, and nothing overflows when exponents are subtracted
    exponents = [
        jnp.where(entry == 0, of_zero, matrix.exponent + jnp.frexp(entry)[1])
        for entry, matrix in zip(largest, matrices, strict=True)
    ]
    exponent = functools.reduce(jnp.maximum, exponents)
    return [_times_power_of_two(matrix.mantissa, matrix.exponent - exponent) for matrix in matrices], exponent


def _times_power_of_two(A: Array, power: Array) -> Array:
    """`A · 2^power`, in two factors, each of which the dtype can hold."""
    limit = jnp.finfo(A.dtype).maxexp - 2
    half = jnp.clip(power // 2, -limit, limit)
    rest = jnp.clip(power - half, -limit, limit)
    one = jnp.ones((), A.dtype)
    return A * jnp.ldexp(one, half) * jnp.ldexp(one, rest)


def products(
    times: Callable[[Blocks, Any], Blocks], steps: Any, sizes: Sequence[int], dtype: np.dtype, read: Callable[[Scaled], Any]
) -> tuple[Scaled, Any]:
    """The products `P_t = J_T … J_{t+1}` from t = T back to 0: P_0, and `read(P_t)` for t = 0 … T-1, stacked.

    Args:
      times: from P, a square matrix, and one step to `P J` of that step.
      steps: stacked, a pytree with T as its leading axis.
      sizes: of the blocks of columns.
    """

    def multiply(product: Blocks, step: Any) -> tuple[Blocks, Any]:
        product = times(product, step)
        return product, read(joined(product))

    first, found = jax.lax.scan(multiply, identity(sizes, dtype), steps, reverse=True)
    return joined(first), found


def product_log_norms(
    times: Callable[[Blocks, Any], Blocks], steps: Any, sizes: Sequence[int], dtype: np.dtype, norm: str
) -> Array:
    """log10 of the norms of `products`, (T + 1,); the last is that of P_T, the identity."""
    _, norms = products(times, steps, sizes, dtype, lambda product: log10_norm(product, norm))
    return jnp.append(norms, log10_norm(joined(identity(sizes, dtype)), norm))


def log10_norm(matrix: Scaled, norm: str) -> Array:
    """log10 of the spectral or the Frobenius norm; -inf for a matrix of zeros."""
    value = spectral_norm(matrix.mantissa) if norm == "spectral" else jnp.linalg.norm(matrix.mantissa)
    return log10(value, matrix.exponent)


@jax.custom_jvp
def spectral_norm(A: Array) -> Array:
    """The largest singular value of A, (m, n), by squaring its Gram matrix G over and over.

    `‖G^p‖^{1/p}` falls to the largest eigenvalue as p = 2^k grows, and is too large by a factor of at most `f^{-1/p}`, where f is
    what the last squaring has left of a norm of 1: at least n^{-1/2}, and more each time. Rounding is reached after 5 to 10
    products if one direction stands out, as in long products, and after 25 in float32 or 54 in float64 if all are equal. A
    singular value decomposition would do, but in a loop its threads wait for each other on a busy CPU.
    """
    return _largest(A)[0]


@spectral_norm.defjvp
def _spectral_norm_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """`dσ = uᵀ dA v`, with u and v the singular vectors of σ: no differentiation goes through the loop.

    Where several singular values are the largest, v is one of their vectors, and dσ one of the directional derivatives. Of a
    matrix of zeros it is NaN.
    """
    (A,), (dA,) = primals, tangents
    norm, G = _largest(A)
    v = G[:, jnp.argmax(jnp.diagonal(G))]  # G^p is a multiple of v vᵀ, in which the largest column has the smallest error
    v = v / jnp.linalg.norm(v)
    if A.shape[0] < A.shape[1]:
        return norm, (v @ dA) @ (v @ A) / norm
    return norm, (A @ v) @ (dA @ v) / norm


def _largest(A: Array) -> tuple[Array, Array]:
    """The largest singular value, and the last power of the smaller Gram matrix, of norm 1."""
    gram = A @ A.T if A.shape[0] < A.shape[1] else A.T @ A
    size = jnp.linalg.norm(gram)

    def square(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        G, log, weight, _ = carry
        G = G @ G
        f = jnp.linalg.norm(G)
        return G / f, log + weight * jnp.log(f), weight / 2, -weight * jnp.log(f)

    one, is_zero = jnp.ones_like(size), size == 0
    start = (gram / jnp.where(is_zero, one, size), jnp.log(size), one / 2, jnp.where(is_zero, 0 * one, one))
    G, log, _, _ = jax.lax.while_loop(lambda carry: carry[3] > jnp.finfo(A.dtype).eps, square, start)
    return jnp.exp(log / 2), G


def log10(mantissa: Array, exponent: Array) -> Array:
    """`log10(mantissa · 2^exponent)`, entry by entry."""
    return jnp.log10(mantissa) + exponent.astype(mantissa.dtype) * math.log10(2)
