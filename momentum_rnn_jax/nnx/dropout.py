"""Dropout in and between recurrent layers: of a cell's recurrent weights, and of features with one mask for all time steps."""

from typing import Any

from flax import nnx
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax.cell import Params
from momentum_rnn_jax.cell import RecurrentCell as FunctionalCell
from momentum_rnn_jax.nnx.cells import CellModule, RecurrentCell


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
      TypeError: `cell` is not a `RecurrentCell`, or has no recurrent kernel (an orthogonal core has none); `rngs` is not an
        `nnx.Rngs`.
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
        self.dropout = nnx.Dropout(_checks.scalar("rate", rate, low=0.0, high=1.0), rngs=rngs)

    def functional(self) -> tuple[FunctionalCell, Params]:
        cell, params = self.cell.functional()
        return cell, {**params, "core": {**params["core"], "kernel": self.dropout(params["core"]["kernel"])}}

    def noise_key(self) -> Array | None:
        return self.cell.noise_key()

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
      TypeError, ValueError: `rate` is not one number in [0, 1); `rngs` is not an `nnx.Rngs`.

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
        super().__init__(
            _checks.scalar("rate", rate, low=0.0, high=1.0),
            broadcast_dims=(0,) if layer.flag("time_major", time_major) else (-2,),
            rngs=rngs,
        )
        self.time_major = time_major
