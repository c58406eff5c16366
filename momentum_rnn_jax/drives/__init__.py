"""Drives: what an optimiser does to a gradient, done to the projected input."""

from momentum_rnn_jax.drives.adaptive import Adam, AdamState, RMSProp, RMSPropState
from momentum_rnn_jax.drives.assorted_time import AssortedTime, AssortedTimeNorm, Window
from momentum_rnn_jax.drives.base import Drive, align
from momentum_rnn_jax.drives.chain import Chain
from momentum_rnn_jax.drives.hippo import HiPPO, HiPPOState
from momentum_rnn_jax.drives.linear import (
    Identity,
    IdentityState,
    LinearDrive,
    Momentum,
    MomentumState,
    Nesterov,
    NesterovState,
    nesterov_momentum,
    next_steps,
)
from momentum_rnn_jax.drives.optax import OptaxDrive

__all__ = [
    "Adam",
    "AdamState",
    "AssortedTime",
    "AssortedTimeNorm",
    "Chain",
    "Drive",
    "HiPPO",
    "HiPPOState",
    "Identity",
    "IdentityState",
    "LinearDrive",
    "Momentum",
    "MomentumState",
    "Nesterov",
    "NesterovState",
    "OptaxDrive",
    "RMSProp",
    "RMSPropState",
    "Window",
    "align",
    "nesterov_momentum",
    "next_steps",
]
