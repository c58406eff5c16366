"""A functional cell in the modules of NNX and Linen."""

from flax import nnx

from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx


def nnx_cell(cell, in_features, **options):
    return mnnx.RecurrentCell(cell, in_features, deterministic=True, rngs=nnx.Rngs(0), **options)


def linen_cell(cell, **options):
    return mlinen.RecurrentCell(cell, deterministic=True, **options)
