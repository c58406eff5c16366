"""What the NNX and Linen modules share: initialisers, a cell's step, and a cell over a batch of sequences."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.unroll import unroll

Initializer = Callable[..., Array]


def init_params(
    cell: Cell,
    key: Array,
    in_features: int,
    dtype: Any,
    *,
    kernel_init: Initializer | None = None,
    recurrent_kernel_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Params:
    """`cell.init`, with Flax's initialisers in the place of the core's own where they are given.

    Kernels are drawn gate by gate, (F, H) and (H, H), as Flax's cells do; `bias_init` draws the input's bias and the core's, and
    so replaces a forget-gate bias too.
    """
    _checks.float_dtype("param_dtype", dtype)
    inits = {"kernel_init": kernel_init, "recurrent_kernel_init": recurrent_kernel_init, "bias_init": bias_init}
    for name, init in inits.items():
        if init is not None and not callable(init):
            raise TypeError(f"{name} must be a function of a key, a shape and a dtype, or None, got {init!r}.")
    params = cell.init(key, in_features, dtype)
    input_key, core_key, bias_key = jax.random.split(jax.random.fold_in(key, 1), 3)
    if kernel_init is not None:
        params["input"]["kernel"] = _gate_by_gate(cell, kernel_init, input_key, params["input"]["kernel"])
    if recurrent_kernel_init is not None:
        if "kernel" not in params["core"]:
            raise ValueError(
                f"recurrent_kernel_init must be None for {cell.core!r}, whose recurrent matrix comes from skew_init."
            )
        params["core"]["kernel"] = _gate_by_gate(cell, recurrent_kernel_init, core_key, params["core"]["kernel"])
    if bias_init is not None:
        if "bias" not in params["core"]:
            raise ValueError(f"bias_init must be None for {cell.core!r}, which has no bias.")
        for part, part_key in zip(params.values(), jax.random.split(bias_key), strict=True):
            part["bias"] = bias_init(part_key, part["bias"].shape, dtype)
    return params


def _gate_by_gate(cell: Cell, init: Initializer, key: Array, kernel: Array) -> Array:
    shape = (kernel.shape[0], cell.core.hidden_features)
    gates = [init(k, shape, kernel.dtype) for k in jax.random.split(key, cell.core.num_gates)]
    return jnp.concatenate(gates, axis=1)


def step(cell: Cell, params: Params, carry: CellState, inputs: Array, dtype: Any) -> tuple[CellState, Array]:
    """One step of a Flax cell: computes in `dtype`, and returns the new carry in the carry's own dtypes."""
    inputs = cell.check_inputs(params, inputs, "inputs", min_ndim=1).astype(dtype)
    state = _entering(cell, params, dtype, carry, "carry", inputs.shape[:-1])
    state, h = cell.advance(cell.prepare(params, dtype), state, inputs)
    return _with_dtypes_of(carry, state), h


def run(
    cell: Cell,
    params: Params,
    inputs: Array,
    *,
    dtype: Any,
    initial_carry: CellState | None = None,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    time_major: bool = False,
    reverse: bool = False,
    keep_order: bool = False,
    method: str = "auto",
    remat: str | int = "auto",
) -> tuple[CellState, Array]:
    """A cell over a batch of sequences, as a Flax RNN layer is called: `(final carry, outputs)`.

    Args:
      dtype: of computation.
      inputs: (batch…, time, F), or (time, batch…, F) when `time_major`; so are `resets` and the outputs, less the features.
      reverse: run from each sequence's last valid step to its first.
      keep_order: with `reverse`, outputs in the order of the inputs rather than of the running.
      The rest is as in `unroll`.
    """
    inputs = cell.check_inputs(params, inputs, "inputs", min_ndim=2)
    time_axis = 0 if time_major else inputs.ndim - 2
    xs = jnp.moveaxis(inputs, time_axis, 0)
    if resets is not None:
        _checks.mask("resets", resets, inputs.shape[:-1])
        resets = jnp.moveaxis(jnp.asarray(resets), time_axis, 0)
    if seq_lengths is not None:
        _checks.lengths("seq_lengths", seq_lengths, xs.shape[1:-1], xs.shape[0])
        seq_lengths = jnp.minimum(jnp.asarray(seq_lengths).astype(jnp.int32), xs.shape[0])
    if reverse:
        xs = _flip(xs, seq_lengths)
        if resets is not None:
            # Backwards, an episode begins with the step after the one that begins it forwards.
            resets = jnp.roll(_flip(resets, seq_lengths), 1, axis=0).at[0].set(False)
    state = None
    if initial_carry is not None:
        state = _entering(cell, params, dtype, initial_carry, "initial_carry", xs.shape[1:-1])
    final, hs = unroll(cell, params, xs, state, method, seq_lengths=seq_lengths, resets=resets, dtype=dtype, remat=remat)
    if reverse and keep_order:
        hs = _flip(hs, seq_lengths)
    like = jax.eval_shape(lambda: cell.initial_state(params)) if initial_carry is None else initial_carry
    return _with_dtypes_of(like, final), jnp.moveaxis(hs, 0, time_axis)


def num_features(inputs: Array, min_ndim: int) -> int:
    """F of inputs that have at least so many axes."""
    return int(_checks.floating("inputs", inputs, min_ndim=min_ndim, layout="(..., features)").shape[-1])


def default(given: bool | None, otherwise: bool) -> bool:
    """An argument of a call, or where it is None the module's own."""
    return otherwise if given is None else given


def _flip(xs: Array, seq_lengths: Array | None) -> Array:
    """Each sequence of (time, batch…, …) backwards, its padding left behind its last step."""
    if seq_lengths is None:
        return jnp.flip(xs, axis=0)
    lengths = seq_lengths[jnp.newaxis]
    t = jax.lax.broadcasted_iota(jnp.int32, (xs.shape[0], *seq_lengths.shape), 0) + jnp.zeros_like(lengths)
    source = jnp.where(t < lengths, lengths - 1 - t, t)
    return jnp.take_along_axis(xs, source.reshape(source.shape + (1,) * (xs.ndim - source.ndim)), axis=0)


def _entering(cell: Cell, params: Params, dtype: Any, carry: CellState, name: str, batch_shape: tuple[int, ...]) -> CellState:
    """A carry in the dtypes that the cell computes in; one of another structure or shape is refused."""
    expected = jax.eval_shape(lambda params: cell.start(cell.prepare(params, dtype), batch_shape), params)
    _checks.same_tree(name, carry, expected)
    for (path, like), leaf in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(carry), strict=True):
        # A carry of integers would come back as integers, with nothing left of the state.
        if jnp.issubdtype(like.dtype, jnp.floating) != jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"{name}{jax.tree_util.keystr(path)} must be like {like.dtype}, got {jnp.result_type(leaf)}.")
    inside = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, expected)
    _checks.same_structure(name, inside, expected)
    return inside


def _with_dtypes_of(carry: CellState, state: CellState) -> CellState:
    """A state in the carry's own dtypes, which Flax's scans demand."""
    return jax.tree.map(lambda new, old: new.astype(jnp.result_type(old)), state, carry)
