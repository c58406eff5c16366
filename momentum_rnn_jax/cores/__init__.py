"""Cores: what a recurrent network does with a driven pre-activation `d_t` and its own state."""

from momentum_rnn_jax.cores.base import (
    Core,
    HiddenState,
    KernelCore,
    LinearCore,
    Params,
    WithoutProduct,
    affine,
    rest,
    state_shapes,
)
from momentum_rnn_jax.cores.conv_lstm import ConvLSTM
from momentum_rnn_jax.cores.convolution import ConvCore
from momentum_rnn_jax.cores.convolutional import ConvElman, ConvGRU, ConvIntersection, ConvUGRNN
from momentum_rnn_jax.cores.gru import GRU
from momentum_rnn_jax.cores.hippo import HiPPORNN, HiPPORNNState
from momentum_rnn_jax.cores.layer_norm import LayerNorm, LayerNormLSTM
from momentum_rnn_jax.cores.leaky import Leaky, LeakyState
from momentum_rnn_jax.cores.lstm import LSTM, LSTMState
from momentum_rnn_jax.cores.minimal import MinGRU, MinLSTM
from momentum_rnn_jax.cores.normalized import Normalization, Normalized, NormalizedState
from momentum_rnn_jax.cores.reciprocal import ReciprocalGated, ReciprocalState, SeparableReciprocalGated
from momentum_rnn_jax.cores.simple import Elman, Orthogonal, SimpleCore
from momentum_rnn_jax.cores.stochastic import RecurrentDropout, RecurrentDropoutState, WrapperNoise, Zoneout
from momentum_rnn_jax.cores.wrapper import Wrapper

__all__ = [
    "GRU",
    "LSTM",
    "ConvCore",
    "ConvElman",
    "ConvGRU",
    "ConvIntersection",
    "ConvLSTM",
    "ConvUGRNN",
    "Core",
    "Elman",
    "HiPPORNN",
    "HiPPORNNState",
    "HiddenState",
    "KernelCore",
    "LSTMState",
    "LayerNorm",
    "LayerNormLSTM",
    "Leaky",
    "LeakyState",
    "LinearCore",
    "MinGRU",
    "MinLSTM",
    "Normalization",
    "Normalized",
    "NormalizedState",
    "Orthogonal",
    "Params",
    "ReciprocalGated",
    "ReciprocalState",
    "RecurrentDropout",
    "RecurrentDropoutState",
    "SeparableReciprocalGated",
    "SimpleCore",
    "WithoutProduct",
    "Wrapper",
    "WrapperNoise",
    "Zoneout",
    "affine",
    "rest",
    "state_shapes",
]
