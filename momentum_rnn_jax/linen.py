"""Flax Linen modules: the cells and the layer of `momentum_rnn_jax.nnx`, over the same functions.

Every cell works in `flax.linen.RNN` and `flax.linen.Bidirectional`; `RNN` here is faster, masks padding and takes `resets`.

>>> import jax, jax.numpy as jnp
>>> from momentum_rnn_jax import linen as mlinen
>>> rnn = mlinen.RNN(mlinen.MomentumLSTMCell(8, mu=0.6, step_size=0.6))
>>> xs = jnp.ones((2, 5, 3))
>>> variables = rnn.init(jax.random.key(0), xs)
>>> rnn.apply(variables, xs).shape
(2, 5, 8)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from jax import Array

from momentum_rnn_jax import _checks, flax_names, layer
from momentum_rnn_jax import learnable as learning
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import Cell, CellState, Params
from momentum_rnn_jax.cores import Core
from momentum_rnn_jax.drives import Drive


def _as_numpy(leaf: Any) -> Any:
    return np.asarray(leaf)[()] if isinstance(leaf, Array) and not isinstance(leaf, jax.core.Tracer) else leaf


class RecurrentCell(linen.Module):
    """Any core with any drive as a Linen cell; the named cells are thin over it.

    Variables: the collection "params" with `input`, `core` and `learnt` as in `momentum_rnn_jax.nnx.RecurrentCell`. The base of
    an orthogonal core is among them, with gradient zero: leave it out of weight decay (`optax.masked`). Hyper-parameters are
    attributes of the module, as always in Linen.

    Args:
      core: for example `LSTM(128)`.
      drive: for example `Momentum(0.6, 0.6)`.
      dtype: of computation; `param_dtype` unless given.
      param_dtype, learnable, kernel_init, recurrent_kernel_init, bias_init: as in `momentum_rnn_jax.nnx.RecurrentCell`.
      parent, name: as in every Linen module.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed; the message names it.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import linen as mlinen
    >>> cell = mlinen.RecurrentCell(mr.GRU(8), mr.Adam())
    >>> x = jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> y.shape
    (2, 8)
    """

    core: Core
    drive: Drive
    dtype: Any = None
    param_dtype: Any = jnp.float32
    learnable: str | None = None
    kernel_init: layer.Initializer | None = None
    recurrent_kernel_init: layer.Initializer | None = None
    bias_init: layer.Initializer | None = None

    def __post_init__(self) -> None:
        # `flax.linen.jit` identifies a module by its attributes, item by item, which it can with NumPy's arrays but not JAX's.
        object.__setattr__(self, "drive", jax.tree.map(_as_numpy, self.drive))
        super().__post_init__()

    @linen.compact
    def functional(self, in_features: int) -> tuple[Cell, Params]:
        """The `Cell` and the parameters that this module holds, for inputs of F features: what `unroll` and the analysis take."""
        cell = Cell(self.core, self.drive)
        if self.dtype is not None:
            _checks.float_dtype("dtype", self.dtype)

        def init(key: Array, part: str) -> dict[str, Array]:
            return layer.init_params(
                cell,
                key,
                in_features,
                self.param_dtype,
                kernel_init=self.kernel_init,
                recurrent_kernel_init=self.recurrent_kernel_init,
                bias_init=self.bias_init,
            )[part]

        params = {part: self.param(part, init, part) for part in ("input", "core")}
        offsets: dict[str, Array] = {}
        if self.learnable is not None:
            start = learning.init_learnable(cell, self.learnable, at_least_float32(self.param_dtype))
            offsets = self.param("learnt", lambda _: start)
        return Cell(self.core, learning.learnt_drive(self.drive, offsets)), params

    @linen.nowrap
    def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> CellState:
        """The carry before the first step, zeros, for inputs of shape (batch…, F). `rng` is not used.

        Raises:
          TypeError, ValueError: `input_shape` is no tuple of sizes.
        """
        input_shape = _checks.sizes("input_shape", input_shape, 1)
        cell = Cell(self.core, self.drive)
        shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_shape[-1], self.param_dtype))
        zeros = jax.eval_shape(lambda params: cell.initial_state(params, input_shape[:-1]), shapes)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), zeros)

    def __call__(self, carry: CellState, inputs: Array) -> tuple[CellState, Array]:
        """One step: `(carry, x_t)` -> `(new carry, h_t)`, (batch…, F) -> (batch…, H).

        Raises:
          TypeError, ValueError: the carry or the inputs do not fit the cell; the message names them.
        """
        return layer.step(*self.functional(layer.num_features(inputs, 1)), carry, inputs, self.compute_dtype)

    @property
    def compute_dtype(self) -> Any:
        """`dtype`, or `param_dtype` where that is None."""
        return self.param_dtype if self.dtype is None else self.dtype

    @property
    def features(self) -> int:
        """H, under the name that Linen's cells have for it."""
        return self.core.hidden_features

    @property
    def num_feature_axes(self) -> int:
        """One: inputs are (batch…, F)."""
        return 1


class RNN(linen.Module):
    """A cell over a batch of sequences: `momentum_rnn_jax.nnx.RNN` for Linen, with the call of `flax.linen.RNN`.

    Args:
      cell: a `RecurrentCell`.
      time_major, return_carry, reverse, keep_order: defaults of the call's arguments of these names.
      method, remat: as in `momentum_rnn_jax.unroll`.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> rnn = mlinen.RNN(mlinen.MomentumGRUCell(8), return_carry=True)
    >>> (carry, outputs), variables = rnn.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> outputs.shape
    (2, 5, 8)
    """

    cell: RecurrentCell
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    method: str = "auto"
    remat: str | int = "auto"

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
        init_key: Array | None = None,
    ) -> Any:
        """As the call of `momentum_rnn_jax.nnx.RNN`; `init_key` is not needed, and accepted as Linen's RNN accepts it.

        Raises:
          TypeError, ValueError: the cell is no `RecurrentCell`, or an argument does not fit; the message names it.
        """
        _checks.instance("cell", self.cell, RecurrentCell)
        carry, outputs = layer.run(
            *self.cell.functional(layer.num_features(inputs, 2)),
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


def _named_cell(name: str) -> Callable[..., RecurrentCell]:
    """`Name(features, *, <the cell's options>, <RecurrentCell's>)`, a `RecurrentCell` of that core and drive."""
    named_cell = flax_names.NamedCell(name, ("features",), RecurrentCell)

    def make(*args: Any, **kwargs: Any) -> RecurrentCell:
        cell, _, options = named_cell.bind(args, kwargs)
        return RecurrentCell(cell.core, cell.drive, **options)

    example = f"""
    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> cell = mlinen.{name}(8)
    >>> carry = cell.initialize_carry(jax.random.key(0), (2, 3))
    >>> (carry, h), variables = cell.init_with_output(jax.random.key(1), carry, jnp.ones((2, 3)))
    >>> h.shape
    (2, 8)
"""
    make.__signature__ = named_cell.signature  # type: ignore[attr-defined]
    make.__name__ = make.__qualname__ = name
    make.__module__ = __name__
    make.__doc__ = named_cell.describe("a Linen cell: a function that returns a `RecurrentCell`", "features: H.", example)
    return make


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
