"""The cells that a config can name: the library's named ones, and compositions that have no name there.

A cell is a function of `hidden_features` and of some of `OPTIONS`, which are fields of every config.
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import jax

import momentum_rnn_jax as mr
from experiments.datasets import moving

OPTIONS = ("mu", "step_size", "beta", "eps", "restart", "forget_bias", "init_scheme", "skew_init", "memory_order", "window")


def _released_nesterov_lstm(
    hidden_features: int,
    step_size: float = 1.0,
    restart: int | None = None,
    forget_bias: float = 0.0,
    init_scheme: str = "default",
) -> mr.RecurrentCell:
    core = mr.LSTM(hidden_features, forget_bias=forget_bias, init_scheme=init_scheme)
    return mr.ReleasedNesterovLSTM(core, step_size=step_size, restart=restart)


def _hippo(hidden_features: int, memory_order: int | None = None) -> mr.RecurrentCell:
    return mr.Cell(mr.HiPPORNN(hidden_features, memory_order=memory_order))


def _momentum_hippo(
    hidden_features: int, mu: float = 0.6, step_size: float = 0.4, memory_order: int | None = None
) -> mr.RecurrentCell:
    return mr.Cell(mr.HiPPORNN(hidden_features, memory_order=memory_order), mr.Momentum(mu, step_size))


def _hippo_driven_lstm(hidden_features: int, memory_order: int = 8) -> mr.RecurrentCell:
    return mr.Cell(mr.LSTM(hidden_features), mr.HiPPO(memory_order))


def _layer_norm_lstm(hidden_features: int) -> mr.RecurrentCell:
    return mr.Cell(mr.LayerNormLSTM(hidden_features))


def _momentum_layer_norm_lstm(hidden_features: int, mu: float = 0.6, step_size: float = 0.6) -> mr.RecurrentCell:
    return mr.Cell(mr.LayerNormLSTM(hidden_features), mr.Momentum(mu, step_size))


def _input_norm_lstm(hidden_features: int, forget_bias: float = 1.0, init_scheme: str = "default") -> mr.RecurrentCell:
    core = mr.LSTM(hidden_features, forget_bias=forget_bias, init_scheme=init_scheme)
    return mr.Cell(core, mr.AssortedTimeNorm(1))  # over one step: a layer norm of the projected input, without gain and shift


def _momentum_input_norm_lstm(
    hidden_features: int, mu: float = 0.6, forget_bias: float = 1.0, init_scheme: str = "default"
) -> mr.RecurrentCell:
    core = mr.LSTM(hidden_features, forget_bias=forget_bias, init_scheme=init_scheme)
    return mr.Cell(core, mr.Chain(mr.Momentum(mu, 1.0), mr.AssortedTimeNorm(1)))


def _atn_lstm(hidden_features: int, window: int = 1) -> mr.RecurrentCell:
    return mr.Cell(mr.Normalized(mr.LSTM(hidden_features), mr.AssortedTime(window)))


def _momentum_atn_lstm(
    hidden_features: int, mu: float = 0.6, step_size: float = 0.6, window: int = 1
) -> mr.RecurrentCell:  # drive, then norm: which cancels the step size and the gain, and leaves the direction of momentum
    return mr.Cell(mr.Normalized(mr.LSTM(hidden_features), mr.AssortedTime(window)), mr.Momentum(mu, step_size))


IMAGE = (moving.FRAME, moving.FRAME)


@mr.pytree_dataclass
class Feedforward(mr.ConvCore):
    """No recurrence: `h_t = elu(d_t)`. Behind momentum of step size 1 it is the "time decay" baseline."""

    num_gates: ClassVar[int] = 1

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def step(self, prepared: Any, state: Any, d: Any, noise: Any = None) -> tuple[mr.HiddenState, Any]:
        h = jax.nn.elu(d)
        return mr.HiddenState(h), h


def _feedforward(hidden_features: int) -> mr.RecurrentCell:
    return mr.Cell(Feedforward(hidden_features, IMAGE))


def _time_decay(hidden_features: int, mu: float = 0.6) -> mr.RecurrentCell:
    return mr.Cell(Feedforward(hidden_features, IMAGE), mr.Momentum(mu, 1.0))


def _conv_lstm(hidden_features: int) -> mr.RecurrentCell:
    return mr.Cell(mr.ConvLSTM(hidden_features, IMAGE))


def _momentum_conv_lstm(hidden_features: int, mu: float = 0.6, step_size: float = 0.4) -> mr.RecurrentCell:
    return mr.Cell(mr.ConvLSTM(hidden_features, IMAGE), mr.Momentum(mu, step_size))


CELLS: dict[str, Callable[..., Any]] = {name: getattr(mr.named, name) for name in mr.named.__all__} | {
    "released_nesterov_lstm": _released_nesterov_lstm,
    "hippo": _hippo,
    "momentum_hippo": _momentum_hippo,
    "hippo_driven_lstm": _hippo_driven_lstm,
    "layer_norm_lstm": _layer_norm_lstm,
    "momentum_layer_norm_lstm": _momentum_layer_norm_lstm,
    "input_norm_lstm": _input_norm_lstm,
    "momentum_input_norm_lstm": _momentum_input_norm_lstm,
    "atn_lstm": _atn_lstm,
    "momentum_atn_lstm": _momentum_atn_lstm,
    "feedforward": _feedforward,
    "time_decay": _time_decay,
    "conv_lstm": _conv_lstm,
    "momentum_conv_lstm": _momentum_conv_lstm,
}


def options_of(cell: str) -> list[str]:
    """Which of `OPTIONS` a cell takes."""
    names = inspect.signature(CELLS[cell]).parameters
    return [name for name in OPTIONS if name in names]


def make(cell: str, hidden_features: int, options: dict[str, Any]) -> Any:
    """The cell of that name.

    Raises:
      TypeError, ValueError: it has no such option, or a value is not allowed; the message names it.

    >>> make("momentum_lstm", 4, {"mu": 0.9}).drive
    Momentum(mu=0.9, step_size=0.6)
    """
    allowed = options_of(cell)
    for name in options:
        if name not in allowed:
            raise ValueError(f"{name} is not an argument of the cell {cell!r}; it takes {', '.join(allowed) or 'none'}.")
    return CELLS[cell](hidden_features, **options)
