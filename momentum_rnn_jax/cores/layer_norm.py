"""Layer normalisation, which is assorted-time normalisation over one step."""

import dataclasses
from typing import Any, ClassVar

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import KernelCore, Params
from momentum_rnn_jax.cores.lstm import LSTM, LSTMState
from momentum_rnn_jax.cores.normalized import Normalization, Normalized, normalize
from momentum_rnn_jax.drives.assorted_time import AssortedTime


@pytree_dataclass
class LayerNorm(Normalization):
    """A core with layer normalisation: `a' = LN(h_{t-1} @ kernel; a_gain, a_shift)`, `d' = LN(d_t; d_gain, d_shift)`.

    `LN(x; gain, shift) = gain (x - mean(x)) / √(var(x) + eps) + shift`. The statistics are those of one example at one step, over
    all gates together, G·H numbers, as in the paper's LSTM. The paper's GRU normalises r and z together and n by itself;
    `per_gate` normalises each gate by itself. `LayerNormLSTM` also normalises the cell state.

    Args:
      core: a `KernelCore`.
      eps: added to the variance, positive, a scalar.
      per_gate: whether the statistics are over each gate's H numbers by themselves.

    Parameters: the core's without `bias`, and `a_gain`, `a_shift`, `d_gain`, `d_shift`, each (G·H,). The gains are one at the
    start, the shift of a the core's bias, and that of d zero. The bias of the input projection stays in front of the drive.
    State, start and noise are the core's.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Ba, Kiros and Hinton, arXiv 1607.06450.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.LayerNorm(mr.GRU(4)), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> sorted(params["core"])
    ['a_gain', 'a_shift', 'd_gain', 'd_shift', 'kernel']
    >>> mr.unroll(cell, params, jnp.ones((5, 2, 3)))[1].shape
    (5, 2, 4)
    """

    core: KernelCore
    eps: Any = hyperparameter(default=1e-5, low=0.0, low_open=True)
    per_gate: bool = static(default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.one_number, "eps")
        set_fields(self, _checks.boolean, "per_gate")

    def units_of(self, *path: str) -> int | None:
        return None if path == ("eps",) else super().units_of(*path)

    def normalize(self, params: Params, a: Array, d: Array) -> tuple[Array, Array]:
        norm, groups = AssortedTime(1, self.eps), self.num_gates if self.per_gate else 1
        return normalize(norm, a, params, "a", groups=groups)[0], normalize(norm, d, params, "d", groups=groups)[0]


@pytree_dataclass
class LayerNormLSTM(LSTM):
    """The layer-normalised LSTM: `LayerNorm` of an `LSTM`, and `h_t = σ(o) tanh(LN(c_t; c_gain, c_shift))`.

    `(i, f, g, o) = LN(h_{t-1} @ kernel; a_gain, a_shift) + LN(d_t; d_gain, d_shift)`, `c_t = σ(f) c_{t-1} + σ(i) tanh(g)`. The
    cell state itself is not normalised, only what the output reads of it.

    Args:
      hidden_features, forget_bias, init_scheme, projection_features, peepholes, activation, gate_activation: as in `LSTM`;
        `forget_bias` is where the forget gate's part of `a_shift` starts.
      eps, per_gate: as in `LayerNorm`.

    Parameters: as of `LayerNorm(LSTM(H))`, and `c_gain` (H,), one at the start, and `c_shift` (H,), zero. State
    `LSTMState(c, h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Ba, Kiros and Hinton, arXiv 1607.06450, equations 20 to 22, with their bias b in `a_shift`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.LayerNormLSTM(4), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> mr.unroll(cell, params, jnp.ones((5, 2, 3)))[1].shape
    (5, 2, 4)
    """

    eps: Any = hyperparameter(default=1e-5, low=0.0, low_open=True)
    per_gate: bool = static(default=False)

    additive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.one_number, "eps")
        set_fields(self, _checks.boolean, "per_gate")

    @property
    def plain(self) -> bool:
        return False

    def units_of(self, *path: str) -> int | None:
        return None if path == ("eps",) else super().units_of(*path)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return self._normalized().param_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        return self._normalized().init(key, dtype)

    def update(self, params: Params, state: LSTMState, *pre: Array) -> LSTMState:
        new: LSTMState = self._normalized(self.eps).update(params, state, *pre)
        return new

    def _normalized(self, eps: Any = 1e-5) -> Normalized:
        lstm = LSTM(**{field.name: getattr(self, field.name) for field in dataclasses.fields(LSTM)})
        return Normalized(lstm, AssortedTime(1, eps, self.per_gate))
