"""Momentum recurrent networks in JAX: `x → W → drive → core → h`."""

from momentum_rnn_jax import interop, named, orthogonal
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.cell import Cell, CellState, RecurrentCell
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman, HiddenState, KernelCore, LSTMState, Orthogonal
from momentum_rnn_jax.drives import (
    Adam,
    AdamState,
    Drive,
    Identity,
    IdentityState,
    Momentum,
    MomentumState,
    Nesterov,
    NesterovState,
    OptaxDrive,
    RMSProp,
    RMSPropState,
    align,
)
from momentum_rnn_jax.interop import from_flax, from_released, from_torch, from_torch_lstm, to_torch_lstm
from momentum_rnn_jax.named import *
from momentum_rnn_jax.orthogonal import rebase
from momentum_rnn_jax.released_nesterov import ReleasedNesterovLSTM
from momentum_rnn_jax.unroll import explain, unroll

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "Adam",
    "AdamState",
    "Cell",
    "CellState",
    "Core",
    "Drive",
    "Elman",
    "HiddenState",
    "Identity",
    "IdentityState",
    "KernelCore",
    "LSTMState",
    "Momentum",
    "MomentumState",
    "Nesterov",
    "NesterovState",
    "OptaxDrive",
    "Orthogonal",
    "RMSProp",
    "RMSPropState",
    "RecurrentCell",
    "ReleasedNesterovLSTM",
    "align",
    "explain",
    "from_flax",
    "from_released",
    "from_torch",
    "from_torch_lstm",
    "interop",
    "orthogonal",
    "pytree_dataclass",
    "rebase",
    "to_torch_lstm",
    "unroll",
    *named.__all__,
]
