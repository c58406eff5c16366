"""Dropout in and between recurrent layers: of a cell's recurrent weights, and of features with one mask for all time steps."""

from typing import Any

from flax import linen
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax.cell import CellState, Params
from momentum_rnn_jax.cell import RecurrentCell as FunctionalCell
from momentum_rnn_jax.linen.cells import CellModule, RecurrentCell


class WeightDrop(CellModule):
    """A cell whose recurrent kernel is dropped out, entry by entry: DropConnect as in the AWD-LSTM.

    In `RNN` one mask serves the whole sequence. Called step by step, every step draws a mask of its own.

    Args:
      cell: a `RecurrentCell` with a recurrent kernel.
      rate: the probability that an entry is dropped; the others are scaled by 1 / (1 - rate). The stream "dropout" is used.
      deterministic: whether nothing is dropped; given here or to the call, as in `flax.linen.Dropout`.
      parent, name: as in every Linen module.

    Raises:
      TypeError: `cell` is not a `RecurrentCell`. By the call: it has no recurrent kernel (an orthogonal core has none).
      TypeError, ValueError: `rate` is not one number in [0, 1).

    Source: Merity et al., arXiv 1708.02182.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> rnn = mlinen.RNN(mlinen.WeightDrop(mlinen.MomentumLSTMCell(8), 0.5))
    >>> xs = jnp.ones((2, 5, 3))
    >>> variables = rnn.init(jax.random.key(0), xs, deterministic=True)
    >>> rnn.apply(variables, xs, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
    (2, 5, 8)
    """

    cell: RecurrentCell
    rate: float
    deterministic: bool | None = None

    def __post_init__(self) -> None:
        _checks.instance("cell", self.cell, RecurrentCell)
        _checks.scalar("rate", self.rate, low=0.0, high=1.0)
        layer.optional_flag("deterministic", self.deterministic)
        super().__post_init__()

    def functional(self, in_features: int, deterministic: bool | None = None) -> tuple[FunctionalCell, Params]:
        cell, params = self.cell.functional(in_features, deterministic)
        if "kernel" not in params["core"]:
            raise TypeError("cell must have a recurrent kernel to drop from; an orthogonal core has none.")
        if linen.merge_param("deterministic", self.deterministic, deterministic) or not self.rate:
            return cell, params
        dropout = linen.Dropout(self.rate, deterministic=False, parent=None)
        kernel = dropout.apply({}, params["core"]["kernel"], rng=self.make_rng("dropout"))
        return cell, {**params, "core": {**params["core"], "kernel": kernel}}  # type: ignore[dict-item]

    @linen.nowrap
    def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> CellState:
        return self.cell.initialize_carry(rng, input_shape)

    def noise_key(self, deterministic: bool | None = None) -> Array | None:
        return self.cell.noise_key(linen.merge_param("deterministic", self.deterministic, deterministic))

    @property
    def compute_dtype(self) -> Any:
        """The cell's."""
        return self.cell.compute_dtype

    @property
    def effective(self) -> Any:
        """The cell's."""
        return self.cell.effective


class LockedDropout(linen.Dropout):
    """Variational dropout: one mask for all time steps of a sequence.

    Args:
      rate: the probability that a feature is dropped.
      time_major: whether inputs are (time, batch…, F) rather than (batch…, time, F).
      deterministic, rng_collection, parent, name: as in `flax.linen.Dropout`.

    Raises:
      TypeError, ValueError: `rate` is not one number in [0, 1).

    Source: Gal and Ghahramani, arXiv 1512.05287.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> dropout = mlinen.LockedDropout(0.5, deterministic=False)
    >>> y = dropout.apply({}, jnp.ones((2, 5, 3)), rngs={"dropout": jax.random.key(0)})
    >>> bool((y == y[:, :1]).all())
    True
    """

    time_major: bool = False

    def __post_init__(self) -> None:
        _checks.scalar("rate", self.rate, low=0.0, high=1.0)
        object.__setattr__(self, "broadcast_dims", (0,) if layer.flag("time_major", self.time_major) else (-2,))
        super().__post_init__()
