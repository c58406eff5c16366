"""Layers over batches of sequences: one cell, both directions, and layers on top of each other."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from flax import linen
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.execution.resolve import check_options
from momentum_rnn_jax.layer import CallOptions
from momentum_rnn_jax.linen.cells import CellModule
from momentum_rnn_jax.linen.dropout import LockedDropout
from momentum_rnn_jax.unroll import Method, Remat

Carry = TypeVar("Carry")


class Layer(linen.Module, Generic[Carry]):
    """What every layer is: a function of sequences, (batch…, time, F) -> (batch…, time, H), or time first when `time_major`.

    To a type checker the call returns an array, or a tuple where the call itself says `return_carry=True`.
    """

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: Literal[False] | None = None,
        return_states: Literal[False] = False,
        init_key: Array | None = None,
        deterministic: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> Array: ...

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: Literal[True],
        return_states: Literal[False] = False,
        init_key: Array | None = None,
        deterministic: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> tuple[Carry, Array]: ...

    @overload
    def __call__(
        self,
        inputs: Array,
        *,
        return_carry: bool | None = None,
        return_states: bool = False,
        init_key: Array | None = None,
        deterministic: bool | None = None,
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
        init_key: Array | None = None,
        deterministic: bool | None = None,
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
          init_key: not needed; accepted because `flax.linen.Bidirectional` passes it.
          deterministic: whether cells and dropout that are random are not; given here or to those modules.

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
            deterministic=layer.optional_flag("deterministic", deterministic),
        )

    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        """The call, with what is left to the layer's defaults filled in."""
        raise NotImplementedError


class RNN(Layer[CellState]):
    """A cell over a batch of sequences: `momentum_rnn_jax.nnx.RNN` for Linen, with the call of `flax.linen.RNN`.

    Args:
      cell: a `RecurrentCell`, a `WeightDrop`, or another `CellModule`.
      time_major, return_carry, reverse, keep_order: defaults of the call's arguments of these names.
      method, remat: as in `momentum_rnn_jax.unroll`.
      parent, name: as in every Linen module.

    Raises:
      TypeError, ValueError: an option is of the wrong kind or not allowed. By the call: `cell` is another kind of cell.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> rnn = mlinen.RNN(mlinen.MomentumGRUCell(8), return_carry=True)
    >>> (carry, outputs), variables = rnn.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> outputs.shape
    (2, 5, 8)
    """

    cell: CellModule
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    method: Method = "auto"
    remat: Remat = "auto"

    def __post_init__(self) -> None:
        for name in ("time_major", "return_carry", "reverse", "keep_order"):
            layer.flag(name, getattr(self, name))
        check_options(self.method, self.remat)
        super().__post_init__()

    def _run(
        self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, deterministic: bool | None = None, **options: Any
    ) -> Any:
        _checks.instance("cell", self.cell, CellModule)
        return layer.run(
            *self.cell.functional(layer.num_features(inputs, 2), deterministic),
            inputs,
            dtype=self.cell.compute_dtype,
            noise_key=self.cell.noise_key(deterministic),
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
      parent, name: as in every Linen module.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or a layer's `time_major` is not this one's.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> both = mlinen.Bidirectional(*(mlinen.RNN(mlinen.MomentumLSTMCell(8)) for _ in range(2)))
    >>> both.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))[0].shape
    (2, 5, 16)
    """

    forward_rnn: RNN
    backward_rnn: RNN
    merge_fn: Callable[[Array, Array], Array] = layer.concatenate
    time_major: bool = False
    return_carry: bool = False

    def __post_init__(self) -> None:
        _checks.instance("forward_rnn", self.forward_rnn, RNN)
        _checks.instance("backward_rnn", self.backward_rnn, RNN)
        _checks.function("merge_fn", self.merge_fn, "the two outputs")
        layer.flag("return_carry", self.return_carry)
        layer.same_time_axis([self.forward_rnn, self.backward_rnn], layer.flag("time_major", self.time_major))
        super().__post_init__()

    def _run(self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, **options: Any) -> Any:
        layer.only_for_rnn(reverse=reverse, keep_order=keep_order)
        return layer.bidirectional(self.forward_rnn, self.backward_rnn, self.merge_fn, inputs, **options)


class Stack(Layer[tuple[Any, ...]]):
    """Layers on top of each other, with dropout between them and one carry for all.

    Carries and states are tuples with one for each layer.

    Args:
      layers: `RNN`s or `Bidirectional`s, the first next to the inputs. A reversed one below another layer keeps the order of its
        inputs, whatever its `keep_order`.
      dropout: a module between two layers, such as `flax.linen.Dropout(0.2)` or `LockedDropout(0.2)`; nothing is dropped before
        the first layer or after the last.
      time_major, return_carry: defaults of the call's arguments of these names.
      parent, name: as in every Linen module.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or a layer's `time_major` is not that of the stack. By the call:
        the dropout is locked along another axis than time.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> layers = [mlinen.RNN(mlinen.MomentumLSTMCell(8)) for _ in range(2)]
    >>> stack = mlinen.Stack(layers, dropout=mlinen.LockedDropout(0.2))
    >>> stack.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)), deterministic=True)[0].shape
    (2, 5, 8)
    """

    layers: Sequence[RNN | Bidirectional]
    dropout: linen.Module | None = None
    time_major: bool = False
    return_carry: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", layer.layers_of(self.layers, RNN | Bidirectional))
        if self.dropout is not None and not isinstance(self.dropout, linen.Module):
            got = describe(self.dropout)
            raise TypeError(f"dropout must be a module, such as flax.linen.Dropout(0.2), or None, got {got}.")
        layer.flag("return_carry", self.return_carry)
        layer.same_time_axis(self.layers, layer.flag("time_major", self.time_major))
        super().__post_init__()

    def _run(
        self, inputs: Array, *, reverse: bool | None, keep_order: bool | None, deterministic: bool | None = None, **options: Any
    ) -> Any:
        layer.only_for_rnn(reverse=reverse, keep_order=keep_order)
        if isinstance(self.dropout, LockedDropout):
            layer.locked_over_time(self.dropout.time_major, options["time_major"])
        given = {} if deterministic is None else {"deterministic": deterministic}
        dropout = None if self.dropout is None else functools.partial(self.dropout, **given)
        layers = [(one, isinstance(one, RNN)) for one in self.layers]
        return layer.stacked(layers, dropout, inputs, deterministic=deterministic, **options)
