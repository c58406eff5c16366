"""A cell over a whole sequence: the reference scan of `step`, and the exact fast path that hoists the drive."""

import jax
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell

METHODS = ("auto", "stepwise", "hoisted")


def unroll(
    cell: RecurrentCell, params: Params, xs: Array, state: CellState | None = None, method: str = "auto"
) -> tuple[CellState, Array]:
    """Run a cell over a sequence: `(state_T, (h_1, …, h_T))`.

    Any split of a sequence into chunks, with the state handed on, gives the result of the whole.

    Args:
      cell: a `Cell`, or a `ReleasedNesterovLSTM`.
      params: from `cell.init`.
      xs: (time, ..., F), floating point, cast to the parameters' dtype; any number of batch axes, and none is fine.
      state: where to go on from; zeros, `cell.initial_state`, unless given.
      method: how, never what: every method gives the same outputs, states and gradients to rounding.
        "stepwise": a `jax.lax.scan` of the cell's step, the reference.
        "hoisted": the projection and the drive for all time steps at once, then a scan of the core alone.
        "auto": "hoisted" where it exists, else "stepwise". Under `jax.jit`, make it static: `static_argnames="method"`.

    Returns:
      The final state, and hs, (time, ..., H), in the parameters' dtype.

    Raises:
      TypeError, ValueError: an argument does not fit the cell or another argument; the message names it. "hoisted" is refused,
        with the reason, for a cell whose drive sees the hidden state.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(8, mu=0.6, step_size=0.6)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> xs = jnp.ones((20, 2, 3))
    >>> state, hs = jax.jit(mr.unroll)(cell, params, xs)
    >>> hs.shape
    (20, 2, 8)
    >>> _, rest = mr.unroll(cell, params, xs[15:], mr.unroll(cell, params, xs[:15])[0])
    >>> bool(jnp.allclose(hs[15:], rest, atol=1e-6))
    True
    """
    _checks.instance("cell", cell, RecurrentCell)
    _checks.choice("method", method, METHODS)
    if method == "hoisted" and not isinstance(cell, Cell):
        raise ValueError(f"method must be 'stepwise' or 'auto' for this cell: {cell.why_stepwise}.")
    xs = cell.check_inputs(params, xs, "xs", min_ndim=2)
    ready = cell.prepare(params)
    if state is None:
        state = cell.start(ready, xs.shape[1:-1])
    else:
        cell.check_state(ready, state, xs.shape[1:-1])
    if method != "stepwise" and isinstance(cell, Cell):
        return _hoisted(cell, ready, xs, state)
    return _stepwise(cell, ready, xs, state)


def _stepwise(cell: RecurrentCell, ready: Params, xs: Array, state: CellState) -> tuple[CellState, Array]:
    return jax.lax.scan(lambda state, x: cell.advance(ready, state, x), state, xs)


def _hoisted(cell: Cell, ready: Params, xs: Array, state: CellState) -> tuple[CellState, Array]:
    drive_state, ds = cell.drive.unroll(state.drive, cell.project(ready, xs))
    core_state, hs = jax.lax.scan(lambda core_state, d: cell.core.step(ready["core"], core_state, d), state.core, ds)
    return CellState(drive_state, core_state), hs
