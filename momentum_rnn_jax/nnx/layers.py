"""Layers over batches of sequences: one cell, both directions, and layers on top of each other."""

import abc
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from flax import nnx
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.execution.resolve import check_options
from momentum_rnn_jax.layer import CallOptions
from momentum_rnn_jax.nnx.cells import CellModule
from momentum_rnn_jax.nnx.dropout import LockedDropout
from momentum_rnn_jax.unroll import Method, Remat

Carry = TypeVar("Carry")


class Layer(nnx.Module, Generic[Carry]):
    """What every layer is: a function of sequences, (batch…, time, F) -> (batch…, time, H), or time first when `time_major`.

    To a type checker the call returns an array, or a tuple where the call itself says `return_carry=True`.
    """

    time_major: bool
    return_carry: bool

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: Literal[False] | None = None,
        return_states: Literal[False] = False,
        rngs: Any = None,
        **options: Unpack[CallOptions],
    ) -> Array: ...

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: Literal[True],
        return_states: Literal[False] = False,
        rngs: Any = None,
        **options: Unpack[CallOptions],
    ) -> tuple[Carry, Array]: ...

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: bool | None = None,
        return_states: bool = False,
        rngs: Any = None,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any = None,
        seq_lengths: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        return_states: bool = False,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Any = None,
    ) -> Any:
        """Run the layer.

        Args:
          inputs: any number of batch axes.
          initial_carry: to continue from; the cell's initial state unless given.
          seq_lengths: (batch…), integers from 0 to time; outputs after the last valid step are zero, and the carry is the one
            after it.
          resets: shaped like the inputs without features, booleans: where True, a new episode begins with that step.
          return_carry: return `(carry, outputs)` instead of the outputs.
          return_states: return the states after every step too, after the outputs: `(outputs, states)`, or
            `(carry, outputs, states)`.
          time_major: inputs, resets, outputs and states have time first.
          reverse: run from the last valid step to the first. For an `RNN` alone, as `keep_order`.
          keep_order: with `reverse`, outputs and states in the order of the inputs.
          rngs: not needed; accepted because `flax.nnx.Bidirectional` passes it.

        Raises:
          TypeError, ValueError: an argument does not fit the cell or another argument; the message names it.
        """
        return self._run(
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            resets=resets,
            return_carry=layer.flag("return_carry", return_carry, self.return_carry),
            return_states=layer.flag("return_states", return_states),
            time_major=layer.flag("time_major", time_major, self.time_major),
            reverse=reverse,
            keep_order=keep_order,
        )

    @abc.abstractmethod
    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        """The call, with what is left to the layer's defaults filled in."""


class RNN(Layer[CellState]):
    """A cell over a batch of sequences: the call of `flax.nnx.RNN`, the exact fast path, masked padding, and `resets`.

    Args:
      cell: a `RecurrentCell`, a `WeightDrop`, or another `CellModule`.
      time_major, return_carry, reverse, keep_order: defaults of the call's arguments of these names.
      method, remat: as in `momentum_rnn_jax.unroll`.
      rngs: not needed; accepted because `flax.nnx.RNN` takes it.

    Raises:
      TypeError, ValueError: `cell` is another kind of cell (`flax.nnx.RNN` takes those), or an option is of the wrong kind or not
        allowed.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> rnn = mnnx.RNN(mnnx.MomentumGRUCell(3, 8, rngs=nnx.Rngs(0)))
    >>> carry, outputs = rnn(jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 2]), return_carry=True)
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
        method: Method = "auto",
        remat: Remat = "auto",
        rngs: Any = None,
    ):
        if not isinstance(cell, CellModule):
            raise TypeError(f"cell must be a RecurrentCell or a WeightDrop, got {describe(cell)}; flax.nnx.RNN takes others.")
        self.cell = cell
        self.time_major, self.return_carry = layer.flag("time_major", time_major), layer.flag("return_carry", return_carry)
        self.reverse, self.keep_order = layer.flag("reverse", reverse), layer.flag("keep_order", keep_order)
        check_options(method, remat)
        self.method, self.remat = method, remat

    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        return layer.run(
            *self.cell.functional(),
            inputs,
            dtype=self.cell.compute_dtype,
            noise_key=self.cell.noise_key(),
            method=self.method,
            remat=self.remat,
            reverse=layer.flag("reverse", reverse, self.reverse),
            keep_order=layer.flag("keep_order", keep_order, self.keep_order),
            **options,
        )


class Bidirectional(Layer[tuple[CellState, CellState]]):
    """Two layers over the same sequences, one of them backwards; outputs in the order of the inputs.

    Carries and states are pairs; the backward layer resets at episode ends.

    Args:
      forward_rnn, backward_rnn: two `RNN`s; they are told the direction at each call.
      merge_fn: of the two outputs; side by side unless given.
      time_major, return_carry: defaults of the call's arguments of these names.
      rngs: not needed; accepted because `flax.nnx.Bidirectional` takes it.

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
        merge_fn: Callable[[Array, Array], Array] = layer.concatenate,
        time_major: bool = False,
        return_carry: bool = False,
        rngs: Any = None,
    ):
        _checks.instance("forward_rnn", forward_rnn, RNN)
        _checks.instance("backward_rnn", backward_rnn, RNN)
        self.merge_fn = _checks.function("merge_fn", merge_fn, "the two outputs")
        self.time_major, self.return_carry = layer.flag("time_major", time_major), layer.flag("return_carry", return_carry)
        layer.same_time_axis([forward_rnn, backward_rnn], time_major)
        self.forward_rnn, self.backward_rnn = forward_rnn, backward_rnn

    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        layer.only_for_rnn(reverse=reverse, keep_order=keep_order)
        return layer.bidirectional(self.forward_rnn, self.backward_rnn, self.merge_fn, inputs, **options)


class Stack(Layer[tuple[Any, ...]]):
    """Layers on top of each other, with dropout between them and one carry for all.

    Carries and states are tuples with one for each layer.

    Args:
      layers: `RNN`s or `Bidirectional`s, the first next to the inputs. A reversed one below another layer keeps the order of its
        inputs, whatever its `keep_order`.
      dropout: a module between two layers, such as `nnx.Dropout(0.2, rngs=rngs)` or `LockedDropout(0.2, rngs=rngs)`; nothing is
        dropped before the first layer or after the last.
      time_major, return_carry: defaults of the call's arguments of these names.
      rngs: not needed; accepted as by the other layers.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or a layer's `time_major` is not that of the stack. By the call:
        the dropout is locked along another axis than time.

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
        rngs: Any = None,
    ):
        layers = layer.layers_of(layers, RNN | Bidirectional)
        if dropout is not None and not isinstance(dropout, nnx.Module):
            got = describe(dropout)
            raise TypeError(f"dropout must be a module, such as nnx.Dropout(0.2, rngs=rngs), or None, got {got}.")
        self.time_major, self.return_carry = layer.flag("time_major", time_major), layer.flag("return_carry", return_carry)
        layer.same_time_axis(layers, time_major)
        self.layers = nnx.List(layers)
        self.dropout: Any = nnx.data(dropout)

    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        layer.only_for_rnn(reverse=reverse, keep_order=keep_order)
        if isinstance(self.dropout, LockedDropout):
            layer.locked_over_time(self.dropout.time_major, options["time_major"])
        return layer.stacked([(one, isinstance(one, RNN)) for one in self.layers], self.dropout, inputs, **options)
