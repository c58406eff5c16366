"""What the NNX and Linen modules share: initialisation, a cell's step, and layers over sequences."""

from momentum_rnn_jax.layer.compose import bidirectional, concatenate, stacked
from momentum_rnn_jax.layer.init import Initializer, init_params
from momentum_rnn_jax.layer.options import (
    CallOptions,
    flag,
    layers_of,
    locked_over_time,
    only_for_rnn,
    optional_flag,
    same_time_axis,
)
from momentum_rnn_jax.layer.run import num_features, run, samples_noise, step

__all__ = [
    "CallOptions",
    "Initializer",
    "bidirectional",
    "concatenate",
    "flag",
    "init_params",
    "layers_of",
    "locked_over_time",
    "num_features",
    "only_for_rnn",
    "optional_flag",
    "run",
    "same_time_axis",
    "samples_noise",
    "stacked",
    "step",
]
