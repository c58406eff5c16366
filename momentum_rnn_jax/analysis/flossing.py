"""Gradient flossing: a penalty that keeps a cell's leading Lyapunov exponents near zero."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.analysis._run import checked
from momentum_rnn_jax.analysis.lyapunov import lyapunov_spectrum
from momentum_rnn_jax.cell import CellState, Params


def flossing(
    cell: Any,
    params: Params | None,
    xs: Array,
    state: CellState | None = None,
    *,
    leading: int = 1,
    wrt: str = "core",
    warmup: int = 0,
) -> Array:
    """`Σ_i λ_i²` over the k leading Lyapunov exponents of a run: where it is small, gradients neither vanish nor explode.

    A product of the Jacobians of T steps stretches the i-th direction by `e^{λ_i T}`. With λ_1, …, λ_k near 0, gradients reach
    back T steps in k directions. Minimised before or during training, alone or added to a loss; gradients go back through the
    run, the Jacobians and their QR decompositions, with k columns.

    With momentum, floss the core, as by default: no parameter changes the exponents of the velocity, log μ.

    Args:
      cell, params, xs, state, wrt: as in `step_jacobians`; T is the horizon. `jax.vmap` and a mean for a batch.
      leading, warmup: as in `lyapunov_spectrum`.

    Returns:
      One number, in natural logarithms per step, squared. Infinite, with gradients that are NaN, where a step maps one of the
      directions to zero.

    Raises:
      TypeError, ValueError: as `lyapunov_spectrum`.

    Source: Engelken, Gradient Flossing, NeurIPS 2023, arXiv 2312.17306.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.rnn(8)
    >>> params, xs = cell.init(jax.random.key(0), in_features=1), jnp.ones((20, 1))
    >>> penalty = lambda params: analysis.flossing(cell, params, xs, leading=4)
    >>> before = penalty(params)
    >>> for _ in range(10):
    ...     params = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(penalty)(params))
    >>> bool(penalty(params) < 0.5 * before)
    True
    """
    cell, params, xs, state = checked(cell, params, xs, state, wrt)
    leading = _checks.integer("leading", leading, low=1, high=_checks.INT32_MAX)
    return jnp.sum(lyapunov_spectrum(cell, params, xs, state, wrt, warmup=warmup, leading=leading) ** 2)
