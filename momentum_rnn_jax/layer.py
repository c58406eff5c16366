"""What the NNX and Linen modules share: dtypes, initialisers, learnable hyper-parameters, a cell over a batch of sequences."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.drives import Drive
from momentum_rnn_jax.unroll import unroll

Initializer = Callable[..., Array]
LEARNABLE = ("mu", "step_size")
FIXED = ("base",)  # parameters that no optimiser may touch


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
        for part, part_key in zip(params.values(), jax.random.split(bias_key), strict=True):
            if "bias" in part:
                part["bias"] = bias_init(part_key, part["bias"].shape, dtype)
    return params


def _gate_by_gate(cell: Cell, init: Initializer, key: Array, kernel: Array) -> Array:
    shape = (kernel.shape[0], cell.core.hidden_features)
    gates = [init(k, shape, kernel.dtype) for k in jax.random.split(key, cell.core.num_gates)]
    return jnp.concatenate(gates, axis=1)


def init_learnable(cell: Cell, learnable: str | None, dtype: Any) -> dict[str, Array]:
    """Zeros for each hyper-parameter that is to be learnt: what `learnt_drive` adds to where it starts.

    Args:
      cell: the cell whose drive it is.
      learnable: None for nothing; "scalar" for one μ and one step size, "per_unit" for one of each for every gate of every unit.

    Raises:
      ValueError: `learnable` is something else, the drive has neither μ nor a step size, or its μ is 0, from where the map
        cannot move.
    """
    if learnable is None:
        return {}
    _checks.choice("learnable", learnable, ("scalar", "per_unit"))
    names = [name for name in LEARNABLE if hasattr(cell.drive, name)]
    if not names:
        raise ValueError(f"learnable must be None for {cell.drive!r}, which has neither mu nor step_size.")
    mu = getattr(cell.drive, "mu", None)
    if mu is not None and not isinstance(mu, jax.core.Tracer) and not np.all(np.asarray(mu) > 0):
        raise ValueError(f"mu must start above 0 to be learnt, got {mu!r}.")
    shape = () if learnable == "scalar" else (cell.core.drive_features,)
    return {name: jnp.zeros(shape, dtype) for name in names}


def learnt_drive(drive: Drive, offsets: Mapping[str, Array]) -> Any:
    """The drive with its hyper-parameters moved from where they start by unconstrained offsets, inside their ranges.

    `mu = m / (m + (1 - m) e^{-offset})`, a sigmoid through `m`, the μ it starts at; `step_size = s e^{offset}`. An offset of zero
    gives the start exactly.
    """
    if not offsets:
        return drive
    moved = {}
    for name, offset in offsets.items():
        start = jnp.asarray(getattr(drive, name)).astype(offset.dtype)
        growth = jnp.exp(jnp.clip(offset, -60, 60))  # finite in float32, and so are its gradients
        if name == "mu":
            value = start * growth / (1 + start * (growth - 1))
            moved[name] = jnp.minimum(value, 1 - jnp.finfo(offset.dtype).epsneg)
        else:
            moved[name] = start * growth
    return dataclasses.replace(drive, **moved)  # type: ignore[type-var]


def step(cell: Cell, params: Params, carry: CellState, inputs: Array, dtype: Any) -> tuple[CellState, Array]:
    """One step of a Flax cell: computes in `dtype`, and returns the new carry in the carry's own dtypes."""
    params = cast(params, dtype)
    carry_in, cast_back = _enter(cell, params, carry)
    state, h = cell.step(params, carry_in, inputs)
    return cast_back(state), h


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
) -> tuple[CellState, Array]:
    """A cell over a batch of sequences, as a Flax RNN layer is called: `(final carry, outputs)`.

    Args:
      inputs: (batch…, time, F), or (time, batch…, F) when `time_major`; so are `resets` and the outputs, less the features.
      reverse: run from each sequence's last valid step to its first.
      keep_order: with `reverse`, outputs in the order of the inputs rather than of the running.
      The rest is as in `unroll`.
    """
    inputs = _checks.floating(
        "inputs", inputs, min_ndim=2, layout="(time, ..., features)" if time_major else "(..., time, features)"
    )
    params = cast(params, dtype)
    time_axis = 0 if time_major else inputs.ndim - 2
    xs = jnp.moveaxis(inputs, time_axis, 0)
    if resets is not None:
        _checks.mask("resets", resets, inputs.shape[:-1])
        resets = jnp.moveaxis(jnp.asarray(resets), time_axis, 0)
    if seq_lengths is not None:
        _checks.lengths("seq_lengths", seq_lengths, xs.shape[1:-1], xs.shape[0])
    if reverse:
        xs = flip(xs, seq_lengths)
        if resets is not None:
            # Backwards, an episode begins with the step before the next one's first.
            next_begins = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
            if seq_lengths is not None:
                last = jax.lax.broadcasted_iota(jnp.int32, resets.shape, 0) == (jnp.asarray(seq_lengths) - 1)[jnp.newaxis]
                next_begins = next_begins & ~last
            resets = flip(next_begins, seq_lengths)
    state, cast_back = (None, None) if initial_carry is None else _enter(cell, params, initial_carry)
    final, hs = unroll(cell, params, xs, state, method, seq_lengths=seq_lengths, resets=resets)
    if reverse and keep_order:
        hs = flip(hs, seq_lengths)
    return final if cast_back is None else cast_back(final), jnp.moveaxis(hs, 0, time_axis)


def flip(xs: Array, seq_lengths: Array | None) -> Array:
    """Each sequence of (time, batch…, …) backwards, its padding left behind its last step."""
    if seq_lengths is None:
        return jnp.flip(xs, axis=0)
    lengths = jnp.asarray(seq_lengths)[jnp.newaxis]
    t = jax.lax.broadcasted_iota(lengths.dtype, (xs.shape[0], *lengths.shape[1:]), 0)
    source = jnp.where(t < lengths, lengths - 1 - t, t)
    return jnp.take_along_axis(xs, source.reshape(source.shape + (1,) * (xs.ndim - source.ndim)), axis=0)


def cast(params: Params, dtype: Any) -> Params:
    """Parameters in the dtype of computation."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _enter(cell: Cell, params: Params, carry: CellState) -> tuple[CellState, Callable[[CellState], CellState]]:
    """A carry in the dtypes that the cell computes in, and the way back to its own (a scan's carry must keep its dtypes)."""
    expected = jax.eval_shape(lambda params: cell.start(cell.prepare(params), ()), params)
    _checks.same_tree("carry", carry, expected)
    inside = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, expected)
    return inside, lambda state: jax.tree.map(lambda new, old: new.astype(jnp.result_type(old)), state, carry)
