"""A cell over a whole sequence: the reference scan of `step`, and the exact fast path that hoists the drive."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell

METHODS = ("auto", "stepwise", "hoisted")


def unroll(
    cell: RecurrentCell,
    params: Params,
    xs: Array,
    state: CellState | None = None,
    method: str = "auto",
    *,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    dtype: Any = None,
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
      seq_lengths: (...), integers from 0 to time: how many steps of each example count. Outputs after them are zero, the final
        state is the one after them, and what the inputs hold there, NaN included, changes nothing, gradients neither.
      resets: (time, ...), booleans: where True, a new episode begins with that step, from the zero state. A packed sequence
        equals its episodes run one by one.
      dtype: of computation; the parameters' unless given. An orthogonal matrix is built in the parameters' dtype all the same.

    Returns:
      The final state, and hs, (time, ..., H), in the dtype of computation.

    Raises:
      TypeError, ValueError: an argument does not fit the cell or another argument; the message names it. "hoisted" is refused,
        with the reason, for a cell whose drive sees the hidden state. Traced lengths are not checked; those beyond the
        sequence count as its end.

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
    batch_shape = xs.shape[1:-1]
    ready = cell.prepare(params, dtype)
    xs = xs.astype(ready["input"]["kernel"].dtype)
    if resets is not None:
        _checks.mask("resets", resets, xs.shape[:-1])
    valid = None
    if seq_lengths is not None:
        _checks.lengths("seq_lengths", seq_lengths, batch_shape, xs.shape[0])
        valid = jax.lax.broadcasted_iota(jnp.int32, xs.shape[:-1], 0) < jnp.asarray(seq_lengths)[jnp.newaxis]
        xs = jnp.where(valid[..., jnp.newaxis], xs, jnp.zeros_like(xs))
        resets = None if resets is None else jnp.asarray(resets) & valid

    start = cell.start(ready, batch_shape)
    if state is None:
        state = start
    else:
        cell.check_state(ready, state, batch_shape)
    if xs.shape[0]:
        like = [cell.project(ready, xs[0])[..., 0], *(mask[0] for mask in (resets, valid) if mask is not None)]
        start, state = _varying_like(like, start), _varying_like(like, state)
    if method != "stepwise" and isinstance(cell, Cell):
        return _hoisted(cell, ready, xs, state, start, resets, valid)
    return _scan(lambda state, x: cell.advance(ready, state, x), state, xs, start, resets, valid)


def _hoisted(
    cell: Cell, ready: Params, xs: Array, state: CellState, start: CellState, resets: Array | None, valid: Array | None
) -> tuple[CellState, Array]:
    us = cell.project(ready, xs)
    if resets is None and valid is None:
        drive_state, ds = cell.drive.unroll(state.drive, us)
    else:
        drive_state, ds = _scan(cell.drive.step, state.drive, us, start.drive, resets, valid)

    def step(core_state: Any, d: Array) -> tuple[Any, Array]:
        return cell.core.step(ready["core"], core_state, d)

    core_state, hs = _scan(step, state.core, ds, start.core, resets, valid)
    return CellState(drive_state, core_state), hs


def _scan(
    step: Callable[[Any, Array], tuple[Any, Array]],
    state: Any,
    xs: Array,
    start: Any,
    resets: Array | None,
    valid: Array | None,
) -> tuple[Any, Array]:
    """`jax.lax.scan(step, state, xs)`, back to `start` where `resets` say, and standing still where steps are not `valid`."""

    def body(state: Any, inputs: tuple[Array, Array | None, Array | None]) -> tuple[Any, Array]:
        x, reset, is_valid = inputs
        if reset is not None:
            state = _select(reset, start, state)
        new, y = step(state, x)
        if is_valid is not None:
            new, y = _select(is_valid, new, state), _select(is_valid, y, jnp.zeros_like(y))
        return new, y

    return jax.lax.scan(body, state, (xs, resets, valid))


def _select(mask: Array, chosen: Any, other: Any) -> Any:
    """For every leaf of two trees, `chosen` where the mask, of the batch's shape, is True, and `other` elsewhere."""

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(leaf, chosen, other)


def _varying_like(arrays: list[Array], state: Any) -> Any:
    """A state that is spread over devices as the arrays, of the batch's shape, are; a scan under sharding demands it."""

    def spread(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # an optax state may hold one
            return leaf
        for array in arrays:
            zeros = jnp.zeros_like(array, dtype=leaf.dtype)
            leaf = leaf + zeros.reshape(zeros.shape + (1,) * (leaf.ndim - zeros.ndim))
        return leaf

    return jax.tree.map(spread, state)
