"""Weights from elsewhere: released PyTorch and TensorFlow code, `torch.nn`, and Flax's own cells. Pickles are never read.

Each `from_*` returns `(cell, params)` for `momentum_rnn_jax.unroll`; `load_nnx` and `load_linen` put such parameters into this
library's Flax modules.
"""

from momentum_rnn_jax.interop.atn import from_atn
from momentum_rnn_jax.interop.convrnn import from_convrnn
from momentum_rnn_jax.interop.flax import from_flax
from momentum_rnn_jax.interop.hippo import from_hippo
from momentum_rnn_jax.interop.load import load_linen, load_nnx
from momentum_rnn_jax.interop.released import from_released
from momentum_rnn_jax.interop.torch import from_torch, from_torch_layers, from_torch_lstm, to_torch_lstm

__all__ = [
    "from_atn",
    "from_convrnn",
    "from_flax",
    "from_hippo",
    "from_released",
    "from_torch",
    "from_torch_layers",
    "from_torch_lstm",
    "load_linen",
    "load_nnx",
    "to_torch_lstm",
]
