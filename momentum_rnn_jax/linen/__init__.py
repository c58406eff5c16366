"""Flax Linen modules: the cells and the layers of `momentum_rnn_jax.nnx`, over the same functions.

Every cell works in `flax.linen.RNN` and `flax.linen.Bidirectional`; `RNN` here is faster, masks padding and takes `resets`.

>>> import jax, jax.numpy as jnp
>>> from momentum_rnn_jax import linen as mlinen
>>> rnn = mlinen.RNN(mlinen.MomentumLSTMCell(8, mu=0.6, step_size=0.6))
>>> xs = jnp.ones((2, 5, 3))
>>> variables = rnn.init(jax.random.key(0), xs)
>>> rnn.apply(variables, xs).shape
(2, 5, 8)
"""

from momentum_rnn_jax.linen.cells import CellModule, RecurrentCell
from momentum_rnn_jax.linen.dropout import LockedDropout, WeightDrop
from momentum_rnn_jax.linen.layers import RNN, Bidirectional, Stack
from momentum_rnn_jax.linen.named import *
from momentum_rnn_jax.linen.named import __all__ as _named_cells

__all__ = [
    "RNN",
    "Bidirectional",
    "CellModule",
    "LockedDropout",
    "RecurrentCell",
    "Stack",
    "WeightDrop",
    *_named_cells,
]
