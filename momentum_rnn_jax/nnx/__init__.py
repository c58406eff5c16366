"""Flax NNX modules: momentum cells, and layers that run them over sequences by the exact fast path.

A module holds variables and calls the functions of the library; the mathematics is in `drives` and `cores`. Every cell works in
`flax.nnx.RNN` and `flax.nnx.Bidirectional` too; `RNN` here has the same call, and is faster, masks padding and takes `resets`.

>>> import jax.numpy as jnp
>>> from flax import nnx
>>> from momentum_rnn_jax import nnx as mnnx
>>> rnn = mnnx.RNN(mnnx.MomentumLSTMCell(3, 8, mu=0.6, step_size=0.6, rngs=nnx.Rngs(0)))
>>> rnn(jnp.ones((2, 5, 3))).shape
(2, 5, 8)
"""

from momentum_rnn_jax.nnx.cells import CellModule, RecurrentCell
from momentum_rnn_jax.nnx.dropout import LockedDropout, WeightDrop
from momentum_rnn_jax.nnx.layers import RNN, Bidirectional, Stack
from momentum_rnn_jax.nnx.named import *
from momentum_rnn_jax.nnx.named import __all__ as _named_cells
from momentum_rnn_jax.nnx.variables import Frozen, Group, Hyperparameter

__all__ = [
    "RNN",
    "Bidirectional",
    "CellModule",
    "Frozen",
    "Group",
    "Hyperparameter",
    "LockedDropout",
    "RecurrentCell",
    "Stack",
    "WeightDrop",
    *_named_cells,
]
