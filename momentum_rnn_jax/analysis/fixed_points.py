"""Fixed points of a cell under a constant input, and the linearised map at each of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._fixed_point import changed_count, newton
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.analysis._coordinates import Layout, start_like
from momentum_rnn_jax.analysis._run import Run, checked, compiled, full_precision
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell

CHUNK = 64  # starts that are searched from together


@pytree_dataclass
class FixedPoints:
    """What `fixed_points` found: M points, stable ones first, then by how many starts led to each, then by the first of these.

    Args:
      states: a `CellState` whose leaves are (M, …); `states.core.h` is (M, H).
      residuals: (M,), the largest entry of |F(s) - s|.
      counts: (M,), how many starts led there. The search is not the cell's own dynamics, so these are no volumes of basins.
      index: for each start, with the starts' batch axes, which of the M points it led to; -1 where none was found.
      jacobians: (M, n, n), the linearised map.
      eigenvalues: its eigenvalues, (M, n), complex, those of largest modulus first; NaN where the map has no derivative.
    """

    states: CellState
    residuals: Array
    counts: Array
    index: Array
    jacobians: Array
    eigenvalues: Array

    @property
    def spectral_radius(self) -> Array:
        """The largest modulus of each point's eigenvalues, (M,)."""
        return jnp.abs(self.eigenvalues).max(axis=-1)

    @property
    def stable(self) -> Array:
        """Where the spectral radius is less than 1, (M,): small changes of the state fade."""
        return self.spectral_radius < 1

    @property
    def converged(self) -> Array:
        """Which starts led to a fixed point, with the starts' batch axes."""
        return self.index >= 0


def fixed_points(
    cell: Any,
    params: Params | None,
    x: Array,
    starts: CellState,
    wrt: str = "core",
    *,
    max_steps: int = 100,
    tolerance: float | None = None,
    distance: float | None = None,
) -> FixedPoints:
    """The states that a cell stays in while its input is constant, `s = F(s, x)`, searched for from many states.

    Newton's method with backtracking on `F(s) - s`, for all starts in parallel, finds stable and unstable points alike. A drive
    never sees h, so that of a `Cell` is at rest by itself, in `Drive.fixed_point`, and the search is over the core's state
    alone. Momentum at rest hands on `step_size u / (1 - mu)`, u the projected input: a momentum cell has the fixed points of the
    plain cell whose input is scaled by this gain. Of another `RecurrentCell`, drive and core are searched together.

    The joint map of a `Cell` is block triangular: its eigenvalues (`wrt="full"`) are the core's and the drive's, and momentum's
    are μ, once for each gate of each unit. It is stable where both are.

    Args:
      cell, params: as in `step_jacobians`.
      x: the constant input, (F,).
      starts: where to search from, a `CellState` with any batch axes: states of a run, by `unroll(…, return_states=True)`, or
        `cell.initial_state(params, (N,))` with another core's state in it. Of a `Cell` the drive's part is not read.
      wrt: what the linearised map is of, "core", or "full": the core's and the drive's state.
      max_steps: of Newton's method, at least 1.
      tolerance: the largest residual of a fixed point; 1e-11 in float64 and 1e-5 in float32 unless given.
      distance: points that differ by less in every entry, relative to entries above 1, count as one; 1e-6 in float64 and 1e-3 in
        float32 unless given. What a further step of Newton's method would move by more is no point: behind a saturated gate a
        state hardly moves, and its residual is small, far from any fixed point.

    Returns:
      `FixedPoints`. A continuum of fixed points (a line attractor) is returned as many of them.

    Raises:
      TypeError, ValueError: as `step_jacobians`; the drive or the core cannot be at rest, as when it counts steps; or arguments
        are traced: how many points there are depends on values, so that this is no function for `jax.jit`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_rnn(1, mu=0.5)
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["core"]["kernel"] = jnp.array([[2.0]])  # h = tanh(2 h): 0, and two stable points
    >>> starts = cell.initial_state(params, (5,))._replace(core=mr.HiddenState(jnp.linspace(-1, 1, 5)[:, None]))
    >>> points = analysis.fixed_points(cell, params, jnp.zeros(1), starts)
    >>> sorted(round(float(h), 2) for h in points.states.core.h[:, 0]), points.stable.tolist()
    ([-0.96, 0.0, 0.96], [True, True, False])
    """
    cell, params, xs, states = checked(cell, params, x, starts, constant=True)
    _checks.choice("wrt", wrt, ("core", "full"))
    max_steps = _checks.integer("max_steps", max_steps, low=1, high=_checks.INT32_MAX)
    tolerance = _limit("tolerance", tolerance, xs, 1e-11, 1e-5)
    distance = _limit("distance", distance, xs, 1e-6, 1e-3)
    assert states is not None
    batch_shape = states.core.h.shape[: states.core.h.ndim - start_like(cell, params).core.h.ndim]
    states = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch_shape) :]), states)
    if type(cell) is Cell:
        states = states._replace(drive=_drive_at_rest(cell, params, xs[0], len(states.core.h)))
    found = _search(cell, params, xs, states, max_steps)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(found)):
        raise TypeError(
            "fixed_points must be called outside of jax.jit, jax.vmap and jax.grad, but got traced values: how many points there "
            "are depends on values."
        )
    found = jax.tree.map(np.asarray, found)  # from here on sizes depend on values: nothing that would be compiled
    if count := changed_count(found.searched, found.settled):
        raise ValueError(f"cell must have a state at rest, but a step changes {count!r} in its state, whatever the others are.")
    chosen, index = _distinct(found.z, np.where(found.errors < distance, found.residuals, np.nan), tolerance, distance)
    size = Layout.of(cell, params, xs).size(wrt)
    jacobians = [_jacobian(cell, params, xs, jax.tree.map(lambda leaf, i=i: leaf[i], found.settled), wrt) for i in chosen]
    linear = np.reshape(jacobians, (-1, size, size))
    eigenvalues = _eigenvalues(linear)
    counts = np.bincount(index[index >= 0], minlength=len(chosen))
    first = [np.argmax(index == number) for number in range(len(chosen))]
    order = np.lexsort((first, -counts, ~(np.abs(eigenvalues).max(axis=1) < 1)))
    place = np.append(np.argsort(order), -1)  # -1 stays
    return FixedPoints(
        states=jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen[order]]), found.settled),
        residuals=jnp.asarray(found.residuals[chosen[order]]),
        counts=jnp.asarray(counts[order]),
        index=jnp.asarray(place[index].reshape(batch_shape)),
        jacobians=jnp.asarray(linear[order]),
        eigenvalues=jnp.asarray(eigenvalues[order]),
    )


def _limit(name: str, value: Any, like: Array, wide: float, narrow: float) -> float:
    if value is None:
        return wide if jnp.finfo(like.dtype).bits == 64 else narrow
    return _checks.scalar(name, value, low=0.0, low_open=True)


def _drive_at_rest(cell: Cell, params: Params, x: Array, number: int) -> Any:
    """The drive's state under a constant input, once for each of a number of states."""
    with full_precision():
        try:
            state = cell.drive.fixed_point(cell.project(cell.prepare(params), x))
        except ValueError as error:
            raise ValueError(f"cell must have a drive that can be at rest; {error}") from None
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)), state)


class _Found(NamedTuple):
    """For each start: the coordinates found, their residual and error, the state with them after one step, and before it."""

    z: Array
    residuals: Array
    errors: Array
    settled: CellState
    searched: CellState


@compiled("max_steps")
def _search(cell: RecurrentCell, params: Params, xs: Array, starts: CellState, max_steps: int) -> _Found:
    run = Run.over(cell, params, xs, None)
    wrt = "core" if type(cell) is Cell else "full"

    def search(start: CellState) -> _Found:
        z, put = run.layout.coordinates(start, wrt)
        _, advance = run.step(wrt, start)
        z, residual, error = newton(lambda z: advance(z, xs[0])[0], z, max_steps)
        after, _ = cell.advance(run.prepared, put(z), xs[0])  # entries without coordinates, such as copies, follow from a step
        return _Found(z, residual, error, run.layout.coordinates(after, wrt)[1](z), put(z))

    return jax.lax.map(search, starts, batch_size=CHUNK)


def _distinct(z: np.ndarray, residuals: np.ndarray, tolerance: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of z stand for the points found, those of the smallest residuals; and for each row its point, or -1."""
    index = np.full(len(z), -1)
    waiting = np.argsort(residuals, kind="stable")
    waiting = waiting[residuals[waiting] <= tolerance]  # False for NaN
    chosen: list[int] = []
    while len(waiting):
        point = z[waiting[0]]
        near = (np.abs(z[waiting] - point) / np.maximum(1, np.abs(point))).max(axis=1) < distance
        index[waiting[near]] = len(chosen)
        chosen.append(waiting[0])
        waiting = waiting[~near]
    return np.array(chosen, int), index


def _eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Those of each matrix, complex, the largest modulus first; by LAPACK, as JAX has none for every device. NaN of NaN."""
    values = np.full(matrices.shape[:2], np.nan, np.result_type(matrices.dtype, np.complex64))
    finite = np.isfinite(matrices).all(axis=(1, 2))
    values[finite] = np.linalg.eigvals(matrices[finite])
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=1, kind="stable"), axis=1)


@compiled("wrt")
def _jacobian(cell: RecurrentCell, params: Params, xs: Array, state: CellState, wrt: str) -> Array:
    return Run.over(cell, params, xs, state).jacobian(wrt, (state, xs[0]))
