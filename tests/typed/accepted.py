"""What a type checker accepts, with the types that it finds. It is checked by `mypy --strict`, not run."""

from typing import Any, assert_type

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx

xs = jnp.ones((2, 5, 3))
rngs = nnx.Rngs(0)

cell = mr.momentum_lstm(128, mu=0.6, step_size=jnp.ones(512))
assert_type(cell, mr.Cell)

rnn = mnnx.RNN(mnnx.MomentumLSTMCell(3, 32, mu=0.9, learnable={"mu": "per_unit", "step_size": "scalar"}, rngs=rngs))
assert_type(rnn(xs), Array)
assert_type(rnn(xs, seq_lengths=jnp.array([5, 2]), time_major=False), Array)
assert_type(rnn(xs, return_carry=True), tuple[mr.CellState, Array])
carry, y = mnnx.OrthogonalCell(3, 8, mapping="cayley", activation="tanh", rngs=rngs)(rnn(xs, return_carry=True)[0], xs[:, 0])
assert_type(carry, mr.CellState)
assert_type(y, Array)

both = mnnx.Bidirectional(rnn, rnn, rngs=rngs)
assert_type(both(xs), Array)
assert_type(both(xs, return_carry=True), tuple[tuple[mr.CellState, mr.CellState], Array])
assert_type(mnnx.Stack([rnn, both], dropout=nnx.Dropout(0.1, rngs=rngs))(xs), Array)
weights = mnnx.RNN(mnnx.WeightDrop(mnnx.GRUCell(3, 8, dtype=jnp.bfloat16, rngs=rngs), 0.5, rngs=rngs), remat=16)
nnx.RNN(mnnx.RecurrentCell(mr.Cell(mr.GRU(8), mr.Adam()), 3, learnable=("mu", "beta"), rngs=rngs))


class Classifier(nnx.Module):
    """A module with a layer of ours."""

    def __init__(self, rngs: nnx.Rngs):
        self.rnn = mnnx.RNN(mnnx.NesterovGRUCell(1, 32, restart=3, learnable="scalar", rngs=rngs))
        self.head = nnx.Linear(32, 2, rngs=rngs)

    def __call__(self, xs: Array) -> Array:
        """Logits of the last step."""
        return self.head(self.rnn(xs)[:, -1])


in_linen = mlinen.RNN(mlinen.MomentumLSTMCell(8, mu=0.6, learnable="per_unit"), method="chunked")
assert_type(in_linen(xs), Array)
assert_type(in_linen(xs, return_carry=True, deterministic=True), tuple[mr.CellState, Array])
linen_cell = mlinen.MomentumLSTMCell(8)
features: int = linen_cell.features
linen.RNN(linen_cell)
mlinen.Stack([in_linen, mlinen.Bidirectional(in_linen, in_linen)], dropout=mlinen.LockedDropout(0.2))
variables: Any = in_linen.init(jax.random.key(0), xs)
