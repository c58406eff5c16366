"""A cell's step, and a cell over a batch of sequences, as Flax's cells and layers are called."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell
from momentum_rnn_jax.unroll import Method, Remat, unroll


def samples_noise(cell: RecurrentCell) -> bool:
    """Whether the cell's steps are random, as with zoneout.

    >>> import momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import layer
    >>> layer.samples_noise(mr.lstm(3))
    False
    """
    return jax.eval_shape(lambda: sample_noise(cell, jax.random.key(0), (), jnp.float32)) is not None


def sample_noise(cell: RecurrentCell, key: Array | None, shape: tuple[int, ...], dtype: Any) -> Any:
    """The noise of steps of `shape` (time, batch…), or None without a key or where the cell samples none."""
    return None if key is None else cell.sample_noise(key, shape, dtype)


def step(
    cell: RecurrentCell, params: Params, carry: CellState, inputs: Array, dtype: Any, noise_key: Array | None = None
) -> tuple[CellState, Array]:
    """One step of a Flax cell: computes in `dtype`, and returns the new carry in the carry's own dtypes.

    Every step draws its own noise, that of variational dropout too, which a layer draws once for a sequence.
    """
    inputs = cell.check_inputs(params, inputs, "inputs", time=False).astype(dtype)
    batch_shape = cell.core.batch_shape(inputs.shape)
    state = _entering(cell, params, dtype, carry, "carry", batch_shape)
    noise = sample_noise(cell, noise_key, (1, *batch_shape), dtype)
    noise = jax.tree.map(lambda leaf: leaf[0], noise)
    state, y = cell.advance(cell.prepare(params, dtype), state, inputs, noise)
    return _with_dtypes_of(carry, state), y


def run(
    cell: RecurrentCell,
    params: Params,
    inputs: Array,
    *,
    dtype: Any,
    noise_key: Array | None,
    initial_carry: CellState | None,
    seq_lengths: Array | None,
    resets: Array | None,
    return_carry: bool,
    return_states: bool,
    time_major: bool,
    reverse: bool,
    keep_order: bool,
    method: Method,
    remat: Remat,
) -> Any:
    """A cell over a batch of sequences, as an `RNN` is called: the outputs, after the final carry and before the states if asked.

    Args:
      cell, params: what the layer's cell holds.
      inputs: (batch…, time, F), or (time, batch…, F) when `time_major`; so are `resets`, the outputs and the states.
      dtype: of computation.
      noise_key: for a cell that samples noise; None for no randomness.
      initial_carry: to continue from; the cell's initial state, which may be trained, where None.
      return_states: also return the state after every step.
      reverse: run from each sequence's last valid step to its first.
      keep_order: with `reverse`, outputs and states in the order of the inputs.
      seq_lengths, resets, method, remat: as in `unroll`.
    """
    inputs = cell.check_inputs(params, inputs, "inputs", time=True)
    leading = cell.core.batch_shape(inputs.shape)
    time_axis = 0 if time_major else len(leading) - 1
    xs = jnp.moveaxis(inputs, time_axis, 0)
    batch_shape = cell.core.batch_shape(xs.shape)[1:]
    if resets is not None:
        _checks.mask("resets", resets, leading)
        resets = jnp.moveaxis(jnp.asarray(resets), time_axis, 0)
    if seq_lengths is not None:
        _checks.lengths("seq_lengths", seq_lengths, batch_shape, xs.shape[0])
        seq_lengths = _checks.clamped_lengths(seq_lengths, xs.shape[0])
    if reverse:
        if cell.why_not_reversed:
            raise ValueError(f"reverse must be False for {type(cell).__name__}, {cell.why_not_reversed}.")
        xs = _flip(xs, seq_lengths)
        if resets is not None:
            # Backwards, an episode begins with the step after the one that begins it forwards.
            flipped = _flip(resets, seq_lengths)
            resets = jnp.concatenate([jnp.zeros_like(flipped[:1]), flipped[:-1]])
    state = None
    if initial_carry is not None:
        state = _entering(cell, params, dtype, initial_carry, "initial_carry", batch_shape)
    noise = sample_noise(cell, noise_key, (xs.shape[0], *batch_shape), dtype)
    options: dict[str, Any] = {"noise": noise, "dtype": dtype, "remat": remat, "return_states": return_states}
    final, *series = unroll(cell, params, xs, state, method, seq_lengths=seq_lengths, resets=resets, **options)
    if reverse and keep_order:
        series = jax.tree.map(lambda leaf: _flip(leaf, seq_lengths), series)
    like = jax.eval_shape(lambda: cell.initial_state(params)) if initial_carry is None else initial_carry
    series = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, time_axis), series)
    return packed(_with_dtypes_of(like, final) if return_carry else None, *series)


def packed(carry: Any, outputs: Array, states: Any = None) -> Any:
    """What a layer returns: the outputs alone, or a tuple, with the carry before them and the states after them."""
    results = (outputs,) if carry is None else (carry, outputs)
    results = results if states is None else (*results, states)
    return results[0] if len(results) == 1 else results


def num_features(inputs: Array, min_ndim: int) -> int:
    """F of inputs that have at least so many axes."""
    return int(_checks.floating("inputs", inputs, min_ndim=min_ndim, layout="(..., features)").shape[-1])


def _flip(xs: Array, seq_lengths: Array | None) -> Array:
    """Each sequence of (time, batch…, …) backwards, its padding left at the end."""
    if seq_lengths is None:
        return jnp.flip(xs, axis=0)
    lengths = seq_lengths[jnp.newaxis]
    t = jax.lax.broadcasted_iota(jnp.int32, (xs.shape[0], *seq_lengths.shape), 0) + jnp.zeros_like(lengths)
    source = jnp.where(t < lengths, lengths - 1 - t, t)
    return jnp.take_along_axis(xs, source.reshape(source.shape + (1,) * (xs.ndim - source.ndim)), axis=0)


def _entering(
    cell: RecurrentCell, params: Params, dtype: Any, carry: CellState, name: str, batch_shape: tuple[int, ...]
) -> CellState:
    """A carry in the dtypes that the cell computes in; one of another structure or shape is refused."""
    expected = jax.eval_shape(lambda params: cell.start(cell.prepare(params, dtype), batch_shape), params)
    _checks.same_tree(name, carry, expected)
    _checks.array_leaves(name, carry)
    for (path, like), leaf in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(carry), strict=True):
        # The new carry has the dtypes of the old one, and integers would lose the state.
        if _checks.is_float(like.dtype) != _checks.is_float(leaf.dtype):
            raise TypeError(f"{name}{jax.tree_util.keystr(path)} must be like {like.dtype}, got {jnp.result_type(leaf)}.")
    inside = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, expected)
    _checks.same_structure(name, inside, expected)
    return inside


def _with_dtypes_of(carry: CellState, state: CellState) -> CellState:
    """A state in the carry's own dtypes, which Flax's scans demand."""
    return jax.tree.map(lambda new, old: new.astype(jnp.result_type(old)), state, carry)
