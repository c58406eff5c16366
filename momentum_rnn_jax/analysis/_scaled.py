"""Matrices with a binary exponent of their own, so that products of any length neither underflow nor overflow."""

import math
from collections.abc import Callable
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


def identity(size: int, dtype: np.dtype) -> Scaled:
    """The identity matrix, (size, size)."""
    return Scaled(jnp.eye(size, dtype=dtype), jnp.zeros((), jnp.int32))


def rescale(mantissa: Array, exponent: Array) -> Scaled:
    """The same matrix with its largest entry in [1/2, 1). Powers of two round nothing; zero, infinity and NaN stay."""
    _, shift = jnp.frexp(jnp.abs(mantissa).max())
    return Scaled(jnp.ldexp(mantissa, -shift), exponent + shift)


def products(
    times: Callable[[Array, Any], Array], steps: Any, size: int, dtype: np.dtype, read: Callable[[Scaled], Any]
) -> tuple[Scaled, Any]:
    """The products `P_t = J_T … J_{t+1}` from t = T back to 0: P_0, and `read(P_t)` for t = 0 … T-1, stacked.

    Args:
      times: from a matrix P, (size, size), and one step to `P J` of that step.
      steps: stacked, a pytree with T as its leading axis.
    """

    def multiply(product: Scaled, step: Any) -> tuple[Scaled, Any]:
        product = rescale(times(product.mantissa, step), product.exponent)
        return product, read(product)

    return jax.lax.scan(multiply, identity(size, dtype), steps, reverse=True)


def product_log_norms(times: Callable[[Array, Any], Array], steps: Any, size: int, dtype: np.dtype, norm: str) -> Array:
    """log10 of the norms of `products`, (T + 1,); the last is that of P_T, the identity."""
    _, norms = products(times, steps, size, dtype, lambda product: log10_norm(product, norm))
    return jnp.append(norms, log10_norm(identity(size, dtype), norm))


def log10_norm(matrix: Scaled, norm: str) -> Array:
    """log10 of the spectral or the Frobenius norm; -inf for a matrix of zeros."""
    value = spectral_norm(matrix.mantissa) if norm == "spectral" else jnp.linalg.norm(matrix.mantissa)
    return log10(value, matrix.exponent)


def spectral_norm(A: Array) -> Array:
    """The largest singular value of A, (m, n), by squaring its Gram matrix G over and over.

    `‖G^p‖^{1/p}` falls to the largest eigenvalue as p = 2^k grows, and is too large by a factor of at most `f^{-1/p}`, where f is
    what the last squaring has left of a norm of 1: at least n^{-1/2}, and more each time. Rounding is reached after 5 to 10
    products if one direction stands out, as in long products, and after 25 in float32 or 54 in float64 if all are equal. A
    singular value decomposition would do, but in a loop on a busy CPU its threads make it ten times slower, or worse.
    """
    gram = A @ A.T if A.shape[0] < A.shape[1] else A.T @ A
    size = jnp.linalg.norm(gram)

    def square(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        G, log, weight, _ = carry
        G = G @ G
        f = jnp.linalg.norm(G)
        return G / f, log + weight * jnp.log(f), weight / 2, -weight * jnp.log(f)

    one, is_zero = jnp.ones_like(size), size == 0
    start = (gram / jnp.where(is_zero, one, size), jnp.log(size), one / 2, jnp.where(is_zero, 0 * one, one))
    _, log, _, _ = jax.lax.while_loop(lambda carry: carry[3] > jnp.finfo(A.dtype).eps, square, start)
    return jnp.exp(log / 2)


def log10(mantissa: Array, exponent: Array) -> Array:
    """`log10(mantissa · 2^exponent)`, entry by entry."""
    return jnp.log10(mantissa) + exponent.astype(mantissa.dtype) * math.log10(2)
