"""Jacobians of a cell's steps, their products, and how these grow or fade."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.analysis._run import Run, check_span, checked, compiled
from momentum_rnn_jax.analysis._scaled import NORMS, Blocks, Scaled, log10, product_log_norms, products
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell

CHUNK = 16  # steps whose Jacobians are worked out together: 784 of size 768 then need little more memory than their result


def step_jacobians(cell: Any, params: Params | None, xs: Array, state: CellState | None = None, wrt: str = "hidden") -> Array:
    """The Jacobian of every step, `J_t = ∂s_t/∂s_{t-1}` for t = 1 … T, along the run of the cell over `xs`.

    Which entries of the state vary, and which are held at the values that the run gave them, is chosen by `wrt`:

    - "hidden": h varies; all else in s_{t-1} is held, the drive's state and an LSTM's c_{t-1} too. For an LSTM this is one block
      of the core's Jacobian, and a product of such blocks leaves out every path through c.
    - "core": all of the core's state varies, (h, c) of an LSTM; the drive's state is held. Since a `Cell`'s drive never sees h,
      these are the Jacobians that backpropagation through time multiplies.
    - "drive": the drive's state varies; the core's is held.
    - "full": everything varies. For a `Cell` this is block triangular, `[[core, ·], [0, drive]]`.

    The coordinates are h, the rest of the core's state and the drive's leaves, in this order. Integers, such as counts, have
    none. Nothing is sampled: a core with noise is analysed without it. `RecurrentDropout` then has the same vector in h and in y;
    the two move together and have the coordinates of one, as in the core that it wraps.

    Args:
      cell: a `Cell` or any other `RecurrentCell`; or an NNX cell of this library, with `params=None`. For a Linen cell, pass the
        cell and params that `module.apply(variables, in_features, method="functional")` returns.
      params: from `cell.init`. Everything is computed in their dtype, or in float32 where that is narrower.
      xs: one sequence, (T, F), T at least 1; use `jax.vmap` for a batch.
      state: where the run starts, without a batch axis; `cell.initial_state(params)` unless given.
      wrt: "hidden", "core", "drive" or "full".

    Returns:
      (T, n, n), entry t - 1 for step t; n is H for "hidden".

    Raises:
      TypeError, ValueError: an argument does not fit the cell or another one, or holds NaN or infinity; the message names it.
        Traced values are not checked.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_lstm(8, mu=0.6)
    >>> params, xs = cell.init(jax.random.key(0), in_features=3), jnp.ones((20, 3))
    >>> [analysis.step_jacobians(cell, params, xs, wrt=wrt).shape for wrt in ("hidden", "core", "full")]
    [(20, 8, 8), (20, 16, 16), (20, 48, 48)]
    """
    arguments = checked(cell, params, xs, state, wrt)
    return _step_jacobians(*arguments, wrt)


@compiled("wrt")
def _step_jacobians(cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, wrt: str) -> Array:
    run = Run.over(cell, params, xs, state)
    # A chunk of steps at a time, by jax.vmap.
    return jax.lax.map(lambda step: run.jacobian(wrt, step), run.steps, batch_size=CHUNK)


def jacobian_product(
    cell: Any,
    params: Params | None,
    xs: Array,
    state: CellState | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    wrt: str = "hidden",
) -> Array:
    """`∂s_stop/∂s_start`: the product `J_stop … J_{start+1}` of the steps' Jacobians, the identity where the two are equal.

    The product is formed without underflow or overflow; the result itself may be outside the dtype's range after many steps.

    Args:
      cell, params, xs, state, wrt: as in `step_jacobians`.
      start, stop: from 0 to T, where s_0 is the initial state and s_T the last; `stop` is T unless given.

    Returns:
      (n, n).

    Raises:
      TypeError, ValueError: as `step_jacobians`; `stop` is less than `start`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.rnn(2, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["core"]["kernel"] = jnp.array([[0.5, 0.0], [1.0, 0.5]])  # rows are h_{t-1}: the transpose of U
    >>> analysis.jacobian_product(cell, params, jnp.ones((9, 1)), start=3, stop=5).tolist()
    [[0.25, 1.0], [0.0, 0.25]]
    """
    product = _product(cell, params, xs, state, start, stop, wrt)
    return jnp.ldexp(product.mantissa, product.exponent)


def singular_spectrum(
    cell: Any,
    params: Params | None,
    xs: Array,
    state: CellState | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    wrt: str = "hidden",
) -> Array:
    """log10 of the singular values of `∂s_stop/∂s_start`, largest first.

    Small singular values of a product are lost to rounding: those below `n · eps` times the largest (n = 128: 1.5e-5 in float32,
    3e-14 in float64) are returned as NaN. `lyapunov_spectrum` resolves all of them.

    Args:
      cell, params, xs, state, start, stop, wrt: as in `jacobian_product`.

    Returns:
      (n,); -inf where the product is exactly zero.

    Raises:
      TypeError, ValueError: as `jacobian_product`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_dtriv(4, activation="identity")  # an orthogonal matrix keeps all lengths
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> bool(abs(analysis.singular_spectrum(cell, params, jnp.ones((500, 1)))).max() < 1e-3)
    True
    """
    return _log10_singular_values(_product(cell, params, xs, state, start, stop, wrt))


@compiled()
def _log10_singular_values(matrix: Scaled) -> Array:
    values = jnp.linalg.svd(matrix.mantissa, compute_uv=False)
    resolved = values >= values.size * jnp.finfo(values.dtype).eps * values[0]
    return jnp.where(resolved, log10(values, matrix.exponent), jnp.nan)


def jacobian_log_norms(
    cell: Any, params: Params | None, xs: Array, state: CellState | None = None, wrt: str = "hidden", norm: str = "spectral"
) -> Array:
    """`log10 ‖∂s_T/∂s_t‖` for t = 0 … T: how much of a small change of s_t is left, or how far it has grown, at the end.

    The product's columns for the core and for the drive each carry a binary exponent, so any length works in any precision, and
    what fades beside a velocity is still there when the velocity restarts. Only one product is kept at a time.

    Args:
      cell, params, xs, state, wrt: as in `step_jacobians`.
      norm: "spectral", the largest factor by which any change is stretched, or "frobenius", which is cheaper for large n, and
        at least the spectral norm and at most √n times it.

    Returns:
      (T + 1,), entry t for s_t; the last is the norm of the identity. -inf where the product is exactly zero, as it is where
      an activation's derivative has rounded to zero.

    Raises:
      TypeError, ValueError: as `step_jacobians`; `norm` is unknown.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.rnn(2, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["core"]["kernel"] = 0.1 * jnp.eye(2)
    >>> analysis.jacobian_log_norms(cell, params, jnp.ones((1000, 1)))[::250].round(2).tolist()
    [-1000.0, -750.0, -500.0, -250.0, 0.0]
    """
    arguments = checked(cell, params, xs, state, wrt)
    _checks.choice("norm", norm, NORMS)
    return _log_norms(*arguments, wrt, norm)


@compiled("wrt", "norm")
def _log_norms(cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, wrt: str, norm: str) -> Array:
    run = Run.over(cell, params, xs, state)
    return product_log_norms(_pull_back(run, wrt), run.steps, run.layout.blocks(wrt), run.dtype, norm)


def _product(
    cell: Any, params: Params | None, xs: Array, state: CellState | None, start: int, stop: int | None, wrt: str
) -> Scaled:
    cell, params, xs, state = checked(cell, params, xs, state, wrt)
    start, stop = check_span(start, stop, xs.shape[0])
    return _scaled_product(cell, params, xs[:stop], state, start, wrt)


@compiled("start", "wrt")
def _scaled_product(cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, start: int, wrt: str) -> Scaled:
    run = Run.over(cell, params, xs, state)
    steps, sizes = run.part(start, len(xs)), run.layout.blocks(wrt)
    product, _ = products(_pull_back(run, wrt), steps, sizes, run.dtype, lambda product: None)
    return product


def _pull_back(run: Run, wrt: str) -> Callable[[Blocks, tuple[CellState, Array]], Blocks]:
    """From a matrix P and step t to `P J_t`."""
    return lambda P, step: run.pull_back(wrt, P, step)[0]
