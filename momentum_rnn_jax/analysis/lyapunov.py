"""Lyapunov exponents: the rates per step at which small changes of a cell's state grow or shrink, in every direction."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.analysis._coordinates import Layout
from momentum_rnn_jax.analysis._run import Run, check_finite, checked, compiled
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell
from momentum_rnn_jax.drives import Adam, Momentum, Nesterov, RMSProp

# Each entry of these drives' states depends on itself and the input alone. A subclass may do anything.
DIAGONAL = (Momentum, Nesterov, Adam, RMSProp)


def lyapunov_spectrum(
    cell: Any,
    params: Params | None,
    xs: Array,
    state: CellState | None = None,
    wrt: str = "full",
    frame: Array | None = None,
    warmup: int = 0,
    leading: int | None = None,
) -> Array:
    """The n Lyapunov exponents of a run, or the leading ones, largest first: natural logarithms, per step.

    An exponent λ means that lengths in its direction change like e^{λt}; in decades per step it is λ / ln 10. The QR method:
    a frame is carried along, `J_t Q_{t-1} = Q_t R_t`, and `λ_i = 1/N · Σ_t log |R_t,ii|`. Unlike the singular values of a product
    this resolves small ones too, as long as no single step shrinks one direction by more than rounding (eps) against another.
    The exponents are means over the N steps that are counted, and depend on where the frame starts, by O(1/N): from a random
    frame, 2,000 steps of a momentum RNN give log μ to 2e-3, and to 1e-3 if 500 of them are a warmup.

    The full map of a `Cell` is block triangular, so a frame that starts with the core's coordinates remains so: the full spectrum
    is exactly the core's together with the drive's, at any N. Momentum adds log μ, once for each gate of each unit; the
    others are the core's, along the states of this run. With `frame=None` the two blocks are computed separately, and the drives
    `Momentum`, `Nesterov`, `Adam` and `RMSProp`, whose Jacobians are diagonal, without a decomposition.

    Args:
      cell, params, xs, state, wrt: as in `step_jacobians`.
      frame: (n, k), of rank k, where the frame starts, made orthogonal by a QR decomposition; the identity unless given. k < n
        columns give k exponents: the largest, as almost all frames turn to these directions.
      warmup: how many steps at the start, less than T, turn the frame and are not counted. They remove most of the effect of a
        poor frame.
      leading: k, for the k largest exponents alone, from the first k columns of `frame`, or of a random one, always the same,
        unless given. A step takes k Jacobian-vector products and O(n k²). More columns would not change what the first k find.

    Returns:
      (n,), or (k,). -inf for directions that a step maps to zero; otherwise gradients flow, in reverse mode too.

    Raises:
      TypeError, ValueError: as `step_jacobians`; `frame` has another shape, less than full rank, or NaN or infinity in it;
        `warmup` is T or more; `leading` is more than n, or than the columns of `frame`.

    Source: Benettin et al. 1980; for recurrent networks Engelken, Wolf, Abbott, arXiv 2006.02427; Vogt et al., arXiv 2006.14123.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_rnn(2, mu=0.5, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["core"]["kernel"] = jnp.diag(jnp.array([0.9, 0.1]))
    >>> [round(float(rate), 3) for rate in jnp.exp(analysis.lyapunov_spectrum(cell, params, jnp.ones((50, 1))))]
    [0.9, 0.5, 0.5, 0.1]
    """
    cell, params, xs, state = checked(cell, params, xs, state, wrt)
    n = Layout.of(cell, params, xs).size(wrt)
    if frame is not None:
        frame = _checked_frame(frame, n).astype(xs.dtype)
    if leading is not None:
        leading = _checks.integer("leading", leading, low=1, high=n if frame is None else frame.shape[1])
        frame = (jax.random.normal(jax.random.key(0), (n, n), xs.dtype) if frame is None else frame)[:, :leading]
    warmup = _checks.integer("warmup", warmup, low=0, high=_checks.INT32_MAX)
    if warmup >= xs.shape[0]:
        raise ValueError(f"warmup must be less than the {xs.shape[0]} steps of xs, got {warmup}.")
    return _spectrum(cell, params, xs, state, wrt, frame, warmup)


def _checked_frame(frame: Any, n: int) -> Array:
    array = _checks.floating("frame", frame, min_ndim=2, layout="(n, k)")
    if array.ndim != 2 or array.shape[0] != n or not 1 <= array.shape[1] <= n:
        raise ValueError(f"frame must have shape ({n}, k) with k from 1 to {n}, got {array.shape}.")
    check_finite("frame", array)
    if not isinstance(array, jax.core.Tracer) and (rank := np.linalg.matrix_rank(array)) < array.shape[1]:
        raise ValueError(f"frame must have {array.shape[1]} independent columns, got a matrix of rank {rank}.")
    return array


@compiled("wrt", "warmup")
def _spectrum(
    cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, wrt: str, frame: Array | None, warmup: int
) -> Array:
    run = Run.over(cell, params, xs, state)
    if frame is not None:
        logs = _by_qr(run, wrt, jnp.linalg.qr(frame)[0])
    elif wrt == "full":
        logs = jnp.concatenate([_of_block(run, block) for block in diagonal_blocks(cell, run.layout)], axis=1)
    else:
        logs = _of_block(run, wrt)
    return -jnp.sort(-logs[warmup:].mean(axis=0))


def diagonal_blocks(cell: RecurrentCell, layout: Layout) -> tuple[str, ...]:
    """The diagonal blocks of the full map: a `Cell`'s core and, where it has a state, its drive; one block for another cell."""
    return tuple(block for block in ("core", "drive") if layout.size(block)) if type(cell) is Cell else ("full",)


def _of_block(run: Run, wrt: str) -> Array:
    """log |R_t,ii| for every step, (T, n), from a frame that starts with the coordinates."""
    if wrt == "drive" and type(run.cell) is Cell and type(run.cell.drive) in DIAGONAL:
        ones = jnp.ones(run.layout.size(wrt), run.dtype)
        _, factors = jax.lax.scan(lambda _, step: (None, _push_forward(run, wrt, step)(ones)), None, run.steps)
        return jnp.log(jnp.abs(factors))
    return _by_qr(run, wrt, jnp.eye(run.layout.size(wrt), dtype=run.dtype))


def _by_qr(run: Run, wrt: str, frame: Array) -> Array:
    """log |R_t,ii| for every step, (T, n), in the order of the frame's columns."""

    def carry(Q: Array, step: tuple[CellState, Array]) -> tuple[Array, Array]:
        Q, R = jnp.linalg.qr(jax.vmap(_push_forward(run, wrt, step), -1, -1)(Q))
        return Q, jnp.log(jnp.abs(jnp.diagonal(R)))

    return jax.lax.scan(carry, frame, run.steps)[1]


def _push_forward(run: Run, wrt: str, step: tuple[CellState, Array]) -> Callable[[Array], Array]:
    """From a vector q to `J_t q`."""
    before, x = step
    z, advance = run.step(wrt, before)
    return lambda q: jax.jvp(lambda z: advance(z, x)[0], (z,), (q,))[1]
