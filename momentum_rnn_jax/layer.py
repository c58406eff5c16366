"""What the NNX and Linen modules share: dtypes, initialisers, learnable hyper-parameters, a cell over a batch of sequences."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks, named
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
        if "bias" not in params["core"]:
            raise ValueError(f"bias_init must be None for {cell.core!r}, which has no bias.")
        for part, part_key in zip(params.values(), jax.random.split(bias_key), strict=True):
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
    final, hs = unroll(cell, params, xs, state, method, seq_lengths=seq_lengths, resets=resets, dtype=dtype)
    if reverse and keep_order:
        hs = _flip(hs, seq_lengths)
    like = jax.eval_shape(lambda: cell.initial_state(params)) if initial_carry is None else initial_carry
    return _with_dtypes_of(like, final), jnp.moveaxis(hs, 0, time_axis)


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
    inside = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, expected)
    _checks.same_structure(name, inside, expected)
    return inside


def _with_dtypes_of(carry: CellState, state: CellState) -> CellState:
    """A state in the carry's own dtypes, which Flax's scans demand."""
    return jax.tree.map(lambda new, old: new.astype(jnp.result_type(old)), state, carry)


_DRIVES = {"": "", "Momentum": "momentum_", "Adam": "adam_", "RMSProp": "rmsprop_", "Nesterov": "nesterov_"}
_CORES = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru", "Orthogonal": "dtriv"}
CONSTRUCTORS: dict[str, Callable[..., Cell]] = {
    f"{drive}{core}Cell": getattr(named, f"{prefix}{name}") for core, name in _CORES.items() for drive, prefix in _DRIVES.items()
}
"""The name of every Flax cell, and the function that makes its core and drive."""


class NamedCell:
    """How a named Flax cell takes its arguments: its sizes, the options of its functional constructor, the generic cell's.

    Args:
      name: one of `CONSTRUCTORS`.
      sizes: the names of the sizes, hidden features last.
      generic: the generic Flax cell, whose options the named one has too.
    """

    def __init__(self, name: str, sizes: tuple[str, ...], generic: Callable[..., Any]):
        self.name, self.constructor, self.sizes = name, CONSTRUCTORS[name], sizes
        own = [p for p in inspect.signature(self.constructor).parameters.values() if p.name != "hidden_features"]
        others = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in inspect.signature(generic).parameters.values()
            if p.name not in ("self", "core", "drive", *sizes)
        ]
        positional = [inspect.Parameter(size, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int) for size in sizes]
        self.signature = inspect.Signature([*positional, *own, *others])
        self.own, self.generic = tuple(p.name for p in own), tuple(p.name for p in others)

    def bind(self, args: Any, kwargs: Any) -> tuple[Cell, dict[str, Any], dict[str, Any]]:
        """The functional cell, the sizes and the generic cell's options; wrong arguments are refused with the signature."""
        try:
            given = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}; the signature is {self.name}{self.signature}.") from None
        cell = self.constructor(given[self.sizes[-1]], **{name: given[name] for name in self.own if name in given})
        options = {name: given[name] for name in self.generic if name in given}
        return cell, {name: given[name] for name in self.sizes}, options

    def describe(self, kind: str, sizes: str, example: str) -> str:
        """The docstring of a named cell."""
        return f"""`{self.constructor.__name__}` as {kind}.

    Args:
      {sizes}
      {", ".join(self.own) or "(nothing)"}: as in `momentum_rnn_jax.{self.constructor.__name__}`.
      {", ".join(self.generic)}: as in `RecurrentCell`.

    Raises:
      TypeError, ValueError: as there.

{example}    """
