"""Weights from elsewhere: the paper's released PyTorch code, `torch.nn`, and Flax's own cells. Never a pickle."""

from momentum_rnn_jax.interop.flax import from_flax
from momentum_rnn_jax.interop.released import from_released
from momentum_rnn_jax.interop.torch import from_torch, from_torch_lstm, to_torch_lstm

__all__ = ["from_flax", "from_released", "from_torch", "from_torch_lstm", "to_torch_lstm"]
