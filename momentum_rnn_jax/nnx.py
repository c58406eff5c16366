"""Flax NNX modules: momentum cells, and an RNN layer that runs them by the exact fast path.

A module holds variables and calls the functions of the library; the mathematics is in `drives` and `cores`. Every cell works in
`flax.nnx.RNN` and `flax.nnx.Bidirectional` too; `RNN` here has the same call, and is faster, masks padding and takes `resets`.

>>> import jax.numpy as jnp
>>> from flax import nnx
>>> from momentum_rnn_jax import nnx as mnnx
>>> rnn = mnnx.RNN(mnnx.MomentumLSTMCell(3, 8, mu=0.6, step_size=0.6, rngs=nnx.Rngs(0)))
>>> rnn(jnp.ones((2, 5, 3))).shape
(2, 5, 8)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from momentum_rnn_jax import _checks, flax_names, layer
from momentum_rnn_jax import learnable as learning
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.cores import Core
from momentum_rnn_jax.drives import Drive
from momentum_rnn_jax.unroll import METHODS

FROZEN = ("base",)  # the names of parameters that no optimiser touches


class Hyperparameter(nnx.Variable):
    """A drive's hyper-parameter: part of the state, so that changing it recompiles nothing, but no `nnx.Param`."""


class Frozen(nnx.Variable):
    """A parameter that no optimiser touches: the base of an orthogonal core, which only `rebase` moves."""


class Group(nnx.Module):
    """Variables under one name, such as `cell.core.kernel`. (`nnx.tabulate` cannot print modules that hold an `nnx.Dict`.)"""

    def __init__(self, variables: Mapping[str, nnx.Variable]):
        for name, variable in variables.items():
            setattr(self, name, variable)


def _values(group: Group) -> dict[str, Array]:
    """The arrays of a group's variables, by name."""
    return {name: variable[...] for name, variable in vars(group).items() if isinstance(variable, nnx.Variable)}


class CellModule(nnx.Module):
    """What a `RecurrentCell` and a `WeightDrop` do alike, over `_functional` and `compute_dtype`."""

    compute_dtype: Any

    def functional(self) -> tuple[Cell, Params]:
        """The `Cell` and the parameters that this module holds: what `unroll` and the analysis take."""
        return self._functional()

    # The modules call this one: `nnx.tabulate` makes a row of every public method called, and cannot print a Cell.
    def _functional(self) -> tuple[Cell, Params]:
        raise NotImplementedError

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> CellState:
        """The carry before the first step, zeros, for inputs of shape (batch…, F). `rngs` is not needed.

        Raises:
          TypeError, ValueError: `input_shape` is no tuple of sizes, or `carry_init` is given: a momentum cell's carry is no
            single array; make one with `jax.tree.map`.
        """
        if carry_init is not None:
            raise ValueError("carry_init must be None: map over the zeros that initialize_carry returns instead.")
        cell, params = self._functional()
        return cell.initial_state(params, _checks.sizes("input_shape", input_shape, 1)[:-1])

    def __call__(self, carry: CellState, inputs: Array) -> tuple[CellState, Array]:
        """One step: `(carry, x_t)` -> `(new carry, h_t)`, (batch…, F) -> (batch…, H).

        Raises:
          TypeError, ValueError: the carry or the inputs do not fit the cell; the message names them.
        """
        return layer.step(*self._functional(), carry, inputs, self.compute_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: inputs are (batch…, F)."""
        return 1


class RecurrentCell(CellModule):
    """Any core with any drive as an NNX cell; the named cells are thin over it.

    Variables: `input.kernel` (F, G·H), `input.bias`, `core.…` as the core names its parameters, `drive.…` the hyper-parameters,
    and `learnt.…` the offsets of those that are learnt.

    Args:
      core: for example `LSTM(128)`.
      drive: for example `Momentum(0.6, 0.6)`.
      in_features: F.
      dtype: of computation; `param_dtype` unless given.
      param_dtype: of the parameters.
      learnable: None; "scalar" to learn μ and the step size, one of each; "per_unit" for one of each per gate and unit. They
        start exactly where the drive has them, and stay in their ranges by a smooth map.
      kernel_init, recurrent_kernel_init, bias_init: Flax initialisers in the place of the core's own scheme. Kernels are drawn
        gate by gate; `bias_init` draws the input's bias and the core's, and so replaces a forget-gate bias. An orthogonal core
        has neither a recurrent kernel nor a bias, and refuses these two.
      rngs: the stream "params" is used.

    The carry is a `CellState(drive, core)` of named tuples, zero at the start; no random numbers are needed for it.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed; the message names it.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> cell = mnnx.RecurrentCell(mr.GRU(8), mr.Adam(), 3, rngs=nnx.Rngs(0))
    >>> carry, y = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> y.shape
    (2, 8)
    """

    def __init__(
        self,
        core: Core,
        drive: Drive,
        in_features: int,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        learnable: str | None = None,
        kernel_init: layer.Initializer | None = None,
        recurrent_kernel_init: layer.Initializer | None = None,
        bias_init: layer.Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        _checks.instance("rngs", rngs, nnx.Rngs)
        cell = Cell(core, drive)
        self.in_features = _checks.integer("in_features", in_features, low=1)
        self.hidden_features = core.hidden_features
        if dtype is not None:
            _checks.float_dtype("dtype", dtype)
        self.dtype, self.param_dtype = dtype, param_dtype
        params = layer.init_params(
            cell,
            rngs.params(),
            in_features,
            param_dtype,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
            bias_init=bias_init,
        )
        self.input = Group({name: nnx.Param(value) for name, value in params["input"].items()})
        self.core = Group({name: (Frozen if name in FROZEN else nnx.Param)(v) for name, v in params["core"].items()})
        leaves, structure = jax.tree_util.tree_flatten_with_path(cell)
        self._structure: Any = structure
        self._hyperparameters = tuple(path[-1].name for path, _ in leaves)
        wide = at_least_float32(param_dtype)
        self.drive = Group({path[-1].name: Hyperparameter(jnp.asarray(leaf, wide)) for path, leaf in leaves})
        offsets = learning.init_learnable(cell, learnable, wide)
        self.learnt = Group({name: nnx.Param(value) for name, value in offsets.items()})

    def _functional(self) -> tuple[Cell, Params]:
        hyperparameters = _values(self.drive)
        cell = self._structure.unflatten([hyperparameters[name] for name in self._hyperparameters])
        drive = learning.learnt_drive(cell.drive, _values(self.learnt))
        return Cell(cell.core, drive), {"input": _values(self.input), "core": _values(self.core)}

    @property
    def compute_dtype(self) -> Any:
        """`dtype`, or `param_dtype` where that is None."""
        return self.param_dtype if self.dtype is None else self.dtype

    def rebase(self, *, project: bool = False) -> None:
        """Move the base of an orthogonal core to where its matrix is; to be called between optimiser steps.

        Raises:
          TypeError: the core is not orthogonal.
        """
        cell, params = self._functional()
        if "base" not in params["core"]:
            raise TypeError(f"rebase is for cells with an Orthogonal core, this one has {cell.core!r}.")
        for name, value in cell.core.rebase(params["core"], project=project).items():  # type: ignore[attr-defined]
            getattr(self.core, name)[...] = value


def _named_cell(name: str) -> type[RecurrentCell]:
    """The NNX class of a named cell: `Name(in_features, hidden_features, *, <its options>, <RecurrentCell's>, rngs)`."""
    named_cell = flax_names.NamedCell(name, ("in_features", "hidden_features"), RecurrentCell.__init__)

    def initialize(self: RecurrentCell, *args: Any, **kwargs: Any) -> None:
        cell, sizes, options = named_cell.bind(args, kwargs)
        RecurrentCell.__init__(self, cell.core, cell.drive, sizes["in_features"], **options)

    example = f"""
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> cell = mnnx.{name}(3, 8, rngs=nnx.Rngs(0))
    >>> carry, h = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> h.shape
    (2, 8)
"""
    doc = named_cell.describe("an NNX cell", "in_features, hidden_features: F and H.", example)
    members = {"__init__": initialize, "__doc__": doc, "__module__": __name__, "__signature__": named_cell.signature}
    return type(name, (RecurrentCell,), members)


RNNCell = _named_cell("RNNCell")
MomentumRNNCell = _named_cell("MomentumRNNCell")
AdamRNNCell = _named_cell("AdamRNNCell")
RMSPropRNNCell = _named_cell("RMSPropRNNCell")
NesterovRNNCell = _named_cell("NesterovRNNCell")

LSTMCell = _named_cell("LSTMCell")
MomentumLSTMCell = _named_cell("MomentumLSTMCell")
AdamLSTMCell = _named_cell("AdamLSTMCell")
RMSPropLSTMCell = _named_cell("RMSPropLSTMCell")
NesterovLSTMCell = _named_cell("NesterovLSTMCell")

GRUCell = _named_cell("GRUCell")
MomentumGRUCell = _named_cell("MomentumGRUCell")
AdamGRUCell = _named_cell("AdamGRUCell")
RMSPropGRUCell = _named_cell("RMSPropGRUCell")
NesterovGRUCell = _named_cell("NesterovGRUCell")

OrthogonalCell = _named_cell("OrthogonalCell")
MomentumOrthogonalCell = _named_cell("MomentumOrthogonalCell")
AdamOrthogonalCell = _named_cell("AdamOrthogonalCell")
RMSPropOrthogonalCell = _named_cell("RMSPropOrthogonalCell")
NesterovOrthogonalCell = _named_cell("NesterovOrthogonalCell")


class WeightDrop(CellModule):
    """A cell whose recurrent kernel is dropped out, entry by entry: DropConnect as in the AWD-LSTM.

    In `RNN` one mask serves the whole sequence. Called step by step, or in `flax.nnx.RNN`, every step draws a mask of its own.
    `module.eval()` and `module.train()` turn it off and on. Under `jax.grad`, merge with `copy=True`, as for every Flax module
    that draws random numbers.

    Args:
      cell: a `RecurrentCell` with a recurrent kernel.
      rate: the probability that an entry is dropped; the others are scaled by 1 / (1 - rate).
      rngs: the stream "dropout" is used.

    Raises:
      TypeError: `cell` is no `RecurrentCell`, or has no recurrent kernel (an orthogonal core has none); `rngs` is no `nnx.Rngs`.
      TypeError, ValueError: `rate` is not one number in [0, 1).

    Source: Merity et al., arXiv 1708.02182.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> cell = mnnx.WeightDrop(mnnx.MomentumLSTMCell(3, 8, rngs=nnx.Rngs(0)), 0.5, rngs=nnx.Rngs(dropout=1))
    >>> mnnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(self, cell: RecurrentCell, rate: float, *, rngs: nnx.Rngs):
        _checks.instance("cell", cell, RecurrentCell)
        _checks.instance("rngs", rngs, nnx.Rngs)
        if not hasattr(cell.core, "kernel"):
            raise TypeError("cell must have a recurrent kernel to drop from; an orthogonal core has none.")
        self.cell = cell
        self.dropout = nnx.Dropout(_rate("rate", rate), rngs=rngs)

    def _functional(self) -> tuple[Cell, Params]:
        cell, params = self.cell._functional()
        return cell, {**params, "core": {**params["core"], "kernel": self.dropout(params["core"]["kernel"])}}

    @property
    def compute_dtype(self) -> Any:
        """The cell's."""
        return self.cell.compute_dtype


class LockedDropout(nnx.Dropout):
    """Variational dropout: one mask for all time steps of a sequence.

    Args:
      rate: the probability that a feature is dropped.
      time_major: whether inputs are (time, batch…, F) rather than (batch…, time, F).
      rngs: the stream "dropout" is used.

    Raises:
      TypeError, ValueError: `rate` is not one number in [0, 1); `rngs` is no `nnx.Rngs`.

    Source: Gal and Ghahramani, arXiv 1512.05287.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> y = mnnx.LockedDropout(0.5, rngs=nnx.Rngs(dropout=0))(jnp.ones((2, 5, 3)))
    >>> bool((y == y[:, :1]).all())
    True
    """

    def __init__(self, rate: float, *, time_major: bool = False, rngs: nnx.Rngs):
        _checks.instance("rngs", rngs, nnx.Rngs)
        super().__init__(_rate("rate", rate), broadcast_dims=(0,) if time_major else (-2,), rngs=rngs)
        self.time_major = time_major


class RNN(nnx.Module):
    """A cell over a batch of sequences: the call of `flax.nnx.RNN`, the exact fast path, masked padding, and `resets`.

    Args:
      cell: a `RecurrentCell` or a `WeightDrop`.
      time_major, return_carry, reverse, keep_order: defaults of the call's arguments of these names.
      method, remat: as in `momentum_rnn_jax.unroll`.
      rngs: not needed; accepted because `flax.nnx.RNN` takes it.

    Raises:
      TypeError, ValueError: `cell` is another kind of cell (`flax.nnx.RNN` takes those); `method` is unknown.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> rnn = mnnx.RNN(mnnx.MomentumGRUCell(3, 8, rngs=nnx.Rngs(0)), return_carry=True)
    >>> carry, outputs = rnn(jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 2]))
    >>> outputs.shape, bool(outputs[1, 2:].any())
    ((2, 5, 8), False)
    """

    def __init__(
        self,
        cell: CellModule,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        method: str = "auto",
        remat: str | int = "auto",
        rngs: Any = None,
    ):
        if not isinstance(cell, CellModule):
            raise TypeError(
                f"cell must be a RecurrentCell or a WeightDrop, got {type(cell).__name__}; flax.nnx.RNN takes others."
            )
        self.cell = cell
        self.time_major, self.return_carry = time_major, return_carry
        self.reverse, self.keep_order = reverse, keep_order
        self.method, self.remat = _checks.choice("method", method, METHODS), remat

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: CellState | None = None,
        seq_lengths: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Any = None,
    ) -> Any:
        """Run the cell: (batch…, time, F) -> (batch…, time, H), or time first when `time_major`.

        Args:
          inputs: any number of batch axes.
          initial_carry: where to go on from; zeros unless given.
          seq_lengths: (batch…), integers from 0 to time; outputs behind them are zero, and the carry is the one after them.
          resets: shaped like the inputs without features, booleans: where True, a new episode begins with that step.
          return_carry: return `(carry, outputs)` instead of the outputs.
          time_major: inputs, resets and outputs have time first.
          reverse: run from the last valid step to the first.
          keep_order: with `reverse`, outputs in the order of the inputs.
          rngs: not needed; accepted because `flax.nnx.Bidirectional` passes it.

        Raises:
          TypeError, ValueError: an argument does not fit the cell or another argument; the message names it.
        """
        carry, outputs = layer.run(
            *self.cell._functional(),
            inputs,
            dtype=self.cell.compute_dtype,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            resets=resets,
            time_major=layer.default(time_major, self.time_major),
            reverse=layer.default(reverse, self.reverse),
            keep_order=layer.default(keep_order, self.keep_order),
            method=self.method,
            remat=self.remat,
        )
        return (carry, outputs) if layer.default(return_carry, self.return_carry) else outputs


def _concatenate(forward: Array, backward: Array) -> Array:
    """The outputs of both directions side by side."""
    return jnp.concatenate([forward, backward], axis=-1)


class Bidirectional(nnx.Module):
    """Two layers over the same sequences, one of them backwards; outputs in the order of the inputs.

    Args:
      forward_rnn, backward_rnn: two `RNN`s; they are told the direction at each call.
      merge_fn: of the two outputs; side by side unless given.
      time_major, return_carry: defaults of the call's arguments of these names. The carry is a pair.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or a layer's `time_major` is not this one's.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> both = mnnx.Bidirectional(*(mnnx.RNN(mnnx.MomentumLSTMCell(3, 8, rngs=nnx.Rngs(seed))) for seed in (0, 1)))
    >>> both(jnp.ones((2, 5, 3))).shape
    (2, 5, 16)
    """

    def __init__(
        self,
        forward_rnn: RNN,
        backward_rnn: RNN,
        *,
        merge_fn: Callable[[Array, Array], Array] = _concatenate,
        time_major: bool = False,
        return_carry: bool = False,
    ):
        _checks.instance("forward_rnn", forward_rnn, RNN)
        _checks.instance("backward_rnn", backward_rnn, RNN)
        if not callable(merge_fn):
            raise TypeError(f"merge_fn must be a function of the two outputs, got {merge_fn!r}.")
        _same_time_axis([forward_rnn, backward_rnn], time_major)
        self.forward_rnn, self.backward_rnn = forward_rnn, backward_rnn
        self.merge_fn = merge_fn
        self.time_major, self.return_carry = time_major, return_carry

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: tuple[CellState, CellState] | None = None,
        seq_lengths: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
    ) -> Any:
        """As `RNN`'s call, with a pair of carries; an episode's end is where the backward layer begins it."""
        forward_carry, backward_carry = _carries(initial_carry, 2, "direction")
        options: dict[str, Any] = {"seq_lengths": seq_lengths, "resets": resets, "return_carry": True}
        options["time_major"] = layer.default(time_major, self.time_major)
        forward_carry, forward = self.forward_rnn(inputs, initial_carry=forward_carry, reverse=False, **options)
        backward_carry, backward = self.backward_rnn(
            inputs, initial_carry=backward_carry, reverse=True, keep_order=True, **options
        )
        outputs = self.merge_fn(forward, backward)
        return ((forward_carry, backward_carry), outputs) if layer.default(return_carry, self.return_carry) else outputs


class Stack(nnx.Module):
    """Layers on top of each other, with dropout between them and one carry for all.

    Args:
      layers: `RNN`s or `Bidirectional`s, the first next to the inputs. A reversed one below another layer keeps the order of its
        inputs, whatever its `keep_order`.
      dropout: a module between two layers, such as `nnx.Dropout(0.2, rngs=rngs)` or `LockedDropout(0.2, rngs=rngs)`; nothing is
        dropped before the first layer or behind the last.
      time_major, return_carry: defaults of the call's arguments of these names. The carry is a tuple with one per layer.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or a layer's `time_major` is not that of the stack.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> rngs = nnx.Rngs(0)
    >>> layers = [mnnx.RNN(mnnx.MomentumLSTMCell(f, 8, rngs=rngs)) for f in (3, 8)]
    >>> stack = mnnx.Stack(layers, dropout=mnnx.LockedDropout(0.2, rngs=rngs))
    >>> stack(jnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        layers: Iterable[RNN | Bidirectional],
        *,
        dropout: nnx.Module | None = None,
        time_major: bool = False,
        return_carry: bool = False,
    ):
        layers = list(layers) if isinstance(layers, Iterable) else []
        if not layers or not all(isinstance(one, RNN | Bidirectional) for one in layers):
            raise TypeError(f"layers must be a sequence of at least one RNN or Bidirectional, got {layers!r}.")
        if dropout is not None and not isinstance(dropout, nnx.Module):
            raise TypeError(f"dropout must be a module, such as nnx.Dropout(0.2, rngs=rngs), or None, got {dropout!r}.")
        _same_time_axis(layers, time_major)
        self.layers = nnx.List(layers)
        self.dropout: Any = nnx.data(dropout)
        self.time_major, self.return_carry = time_major, return_carry

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: tuple[Any, ...] | None = None,
        seq_lengths: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
    ) -> Any:
        """As `RNN`'s call, with a tuple of carries.

        Raises:
          ValueError: `initial_carry` has not one carry for each layer, or the dropout is locked along another axis than time.
        """
        time_major = layer.default(time_major, self.time_major)
        if isinstance(self.dropout, LockedDropout) and self.dropout.time_major != time_major:
            raise ValueError(f"dropout.time_major must be that of the call, {time_major}, got {self.dropout.time_major}.")
        finals = []
        for number, (one, carry) in enumerate(zip(self.layers, _carries(initial_carry, len(self.layers), "layer"), strict=True)):
            # What is above a reversed layer needs its outputs in the order of the resets and the padding.
            inner = {"keep_order": True} if isinstance(one, RNN) and number < len(self.layers) - 1 else {}
            if number and self.dropout is not None:
                inputs = self.dropout(inputs)
            final, inputs = one(
                inputs,
                initial_carry=carry,
                seq_lengths=seq_lengths,
                resets=resets,
                return_carry=True,
                time_major=time_major,
                **inner,
            )
            finals.append(final)
        return (tuple(finals), inputs) if layer.default(return_carry, self.return_carry) else inputs


def _carries(initial_carry: Any, number: int, what: str) -> tuple[Any, ...]:
    if initial_carry is None:
        return (None,) * number
    if isinstance(initial_carry, CellState) or not isinstance(initial_carry, tuple | list) or len(initial_carry) != number:
        raise ValueError(
            f"initial_carry must be a tuple of {number} carries, one for each {what}, got {_checks.outline(initial_carry)}."
        )
    return tuple(initial_carry)


def _same_time_axis(layers: Iterable[RNN | Bidirectional], time_major: bool) -> None:
    if any(one.time_major != time_major for one in layers):
        raise ValueError(
            f"time_major must be the same for a layer and what holds it: it is {time_major} here, and not in a layer."
        )


def _rate(name: str, value: Any) -> float:
    rate = _checks.number(name, value, low=0.0, high=1.0)
    if jnp.ndim(rate):
        raise ValueError(f"{name} must be one number in [0, 1), got {value!r}.")
    return float(rate)
