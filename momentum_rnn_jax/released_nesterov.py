"""The Nesterov LSTM of the released MNIST and TIMIT code: the one cell whose velocity contains the hidden state."""

from typing import Any, ClassVar

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, static
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import LSTM, affine, rest
from momentum_rnn_jax.drives import Nesterov, NesterovState, align, nesterov_momentum, next_steps


@pytree_dataclass
class ReleasedNesterovLSTM(RecurrentCell):
    """The NAG LSTM of the released MNIST and TIMIT code, kept apart because it is not the paper's equation.

    `y_t = U h_{t-1} + b_h - s (W x_t + b_x)`, `(i, f, g, o) = y_t + (k-1)/(k+2) (y_t - y_{t-1})`, then the LSTM. The input
    enters with a minus sign, and `y` contains the hidden state, so nothing can be computed ahead of the recurrence: the cell
    and `unroll` runs it step by step. For the paper's equation use `nesterov_lstm`.

    Args:
      core: an `LSTM`.
      step_size: s > 0, a scalar or broadcastable against the gates.
      restart: restart period F, an integer of at least 1 (static), or None for never.

    State: `CellState(NesterovState(velocity, steps), LSTMState(c, h))`, with y_t for the velocity. Parameters, shapes and
    errors as in `Cell`.

    Source: the released PyTorch code of MomentumRNN; agrees to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.ReleasedNesterovLSTM(mr.LSTM(8), step_size=0.9, restart=40)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> state, hs = mr.unroll(cell, params, jnp.ones((5, 2, 3)))
    >>> hs.shape
    (5, 2, 8)
    """

    core: LSTM
    step_size: Any = hyperparameter(default=1.0, low=0.0, low_open=True)
    restart: int | None = static(default=None)

    why_stepwise: ClassVar[str] = (
        "the velocity of ReleasedNesterovLSTM contains the hidden state, so it cannot be computed ahead of the recurrence"
    )

    def __post_init__(self) -> None:
        _checks.instance("core", self.core, LSTM)
        if not self.core.additive:
            raise TypeError(f"core must take the sum of a and d, which {type(self.core).__name__} takes apart.")
        checked = Nesterov(self.step_size, self.restart)
        object.__setattr__(self, "step_size", checked.step_size)
        object.__setattr__(self, "restart", checked.restart)

    def advance(self, prepared: Params, state: CellState, x: Array, noise: Any = None) -> tuple[CellState, Array]:
        previous, wide = state.drive.velocity, state.drive.velocity.dtype
        u = self.project(prepared, x).astype(wide)
        y = affine(prepared["core"], state.core.h).astype(wide) - align("step_size", self.step_size, u) * u
        gates = y + nesterov_momentum(state.drive.steps, wide) * (y - previous)
        core_state = self.core.advance(rest(prepared["core"]), state.core, (gates.astype(x.dtype),), noise)
        return CellState(NesterovState(y, next_steps(state.drive.steps, self.restart)), core_state), core_state.h

    def initial_drive_state(self, u: Array) -> NesterovState:
        return Nesterov().init(u)
