"""What a type checker refuses: each line with a comment `E: …` is one error, of that code, and there are no others."""

import jax.numpy as jnp
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx

rngs = nnx.Rngs(0)
mr.momentum_lstm(128, muu=0.6)  # E: call-arg
mr.dtriv(8, mapping="exp")  # E: arg-type
mr.momentum_lstm("128")  # E: arg-type
mnnx.MomentumLSTMCell(3, 8, muu=0.6, rngs=rngs)  # E: call-arg
mnnx.MomentumLSTMCell(3, 8)  # E: call-arg
mnnx.MomentumLSTMCell(3, 8, learnable="always", rngs=rngs)  # E: arg-type
mnnx.RNNCell(3, 8, activation="gelu", rngs=rngs)  # E: arg-type
mlinen.MomentumLSTMCell(8, muu=0.6)  # E: call-arg
mlinen.MomentumLSTMCell("8")  # E: arg-type
rnn = mnnx.RNN(mnnx.LSTMCell(3, 8, rngs=rngs), method="fast")  # E: arg-type
mnnx.RNN(mnnx.LSTMCell(3, 8, rngs=rngs), remat="some")  # E: arg-type
mnnx.RNN(3)  # E: arg-type
shape = rnn(jnp.ones((2, 5, 3)), return_carry=True).shape  # E: attr-defined
rnn(jnp.ones((2, 5, 3)), sequence_lengths=None)  # E: call-overload
