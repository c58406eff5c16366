# Written by `python -m tools.stubs`.
from typing import Literal

from jax.typing import ArrayLike

from momentum_rnn_jax.cell import Cell

__all__ = [
    "adam_dtriv",
    "adam_gru",
    "adam_lstm",
    "adam_rnn",
    "dtriv",
    "gru",
    "lstm",
    "momentum_dtriv",
    "momentum_gru",
    "momentum_lstm",
    "momentum_rnn",
    "nesterov_dtriv",
    "nesterov_gru",
    "nesterov_lstm",
    "nesterov_rnn",
    "rmsprop_dtriv",
    "rmsprop_gru",
    "rmsprop_lstm",
    "rmsprop_rnn",
    "rnn",
    "scheduled_restart_dtriv",
    "scheduled_restart_gru",
    "scheduled_restart_lstm",
    "scheduled_restart_rnn",
]

def adam_dtriv(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.1,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def adam_gru(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.1,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def adam_lstm(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.1,
    eps: ArrayLike = 1e-16,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def adam_rnn(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.1,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
) -> Cell: ...
def dtriv(
    hidden_features: int,
    *,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def gru(
    hidden_features: int,
    *,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def lstm(
    hidden_features: int,
    *,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def momentum_dtriv(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def momentum_gru(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def momentum_lstm(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def momentum_rnn(
    hidden_features: int,
    *,
    mu: ArrayLike = 0.6,
    step_size: ArrayLike = 0.6,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
) -> Cell: ...
def nesterov_dtriv(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = None,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def nesterov_gru(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = None,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def nesterov_lstm(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = None,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def nesterov_rnn(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = None,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
) -> Cell: ...
def rmsprop_dtriv(
    hidden_features: int,
    *,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.9,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def rmsprop_gru(
    hidden_features: int,
    *,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.9,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def rmsprop_lstm(
    hidden_features: int,
    *,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.9,
    eps: ArrayLike = 1e-16,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def rmsprop_rnn(
    hidden_features: int,
    *,
    step_size: ArrayLike = 0.6,
    beta: ArrayLike = 0.9,
    eps: ArrayLike = 1e-16,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
) -> Cell: ...
def rnn(hidden_features: int, *, activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh") -> Cell: ...
def scheduled_restart_dtriv(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = 2,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
    mapping: Literal["expm", "cayley"] = "expm",
    skew_init: Literal["cayley", "henaff"] = "henaff",
) -> Cell: ...
def scheduled_restart_gru(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = 2,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def scheduled_restart_lstm(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = 2,
    forget_bias: float = 1.0,
    init_scheme: Literal["default", "released"] = "default",
    projection_features: int | None = None,
    peepholes: bool = False,
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
) -> Cell: ...
def scheduled_restart_rnn(
    hidden_features: int,
    *,
    step_size: ArrayLike = 1.0,
    restart: int | None = 2,
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
) -> Cell: ...
