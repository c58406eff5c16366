"""Normalisation in a recurrent network: of the recurrent part of the pre-activations and of the driven input, apart."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import KernelCore, Params
from momentum_rnn_jax.cores.lstm import LSTM, LSTMState
from momentum_rnn_jax.cores.wrapper import Wrapper
from momentum_rnn_jax.drives.base import align

T = TypeVar("T")

GAINS_AND_SHIFTS = ("a_gain", "a_shift", "d_gain", "d_shift")


def layer_norm(x: Array, gain: Array, shift: Array, eps: Any, groups: int = 1) -> Array:
    """`gain (x - mean) / √(var + eps) + shift` over the last axis, or over each of `groups` equal parts of it.

    The statistics are computed in at least float32.

    Source: Ba, Kiros and Hinton, arXiv 1607.06450.

    >>> import jax.numpy as jnp
    >>> layer_norm(jnp.array([1.0, 3.0]), jnp.ones(2), jnp.ones(2), 0.0).tolist()
    [0.0, 2.0]
    """
    wide = x.astype(at_least_float32(x.dtype)).reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    centred = wide - wide.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + align("eps", eps, wide))
    standard = (centred * scale).reshape(x.shape).astype(x.dtype)
    return jnp.broadcast_to(gain, x.shape) * standard + jnp.broadcast_to(shift, x.shape)


class Normalization(Wrapper):
    """A core whose `a_t = h_{t-1} @ kernel` and `d_t` are normalised, each with a gain and a shift: what its kinds share.

    The core receives `a'_t` and `d'_t`, added or apart, as it takes them. Its bias becomes the shift of a. A subclass, a
    `pytree_dataclass` with the field `core`, defines `normalize`, of one step; one whose statistics are over several steps also
    has an `initial_state` and an `update` of its own, for what it keeps of earlier steps.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class MaxNorm(mr.Normalization):
    ...     core: mr.KernelCore
    ...     def normalize(self, params, a, d):
    ...         return a / (1 + abs(a).max(-1, keepdims=True)), d / (1 + abs(d).max(-1, keepdims=True))
    >>> core = MaxNorm(mr.Elman(2))
    >>> params = core.init(jax.random.key(0))
    >>> core.step(params, core.initial_state(params, (), jnp.float32), jnp.ones(2))[1].shape
    (2,)
    """

    additive = False

    def __post_init__(self) -> None:
        super().__post_init__()
        taken = sorted(set(GAINS_AND_SHIFTS) & set(self.core.param_shapes()))
        if taken:
            raise ValueError(f"core must not be normalised already: {type(self.core).__name__} has the parameters {taken}.")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return _without(self.core.param_shapes(), "bias") | dict.fromkeys(GAINS_AND_SHIFTS, (self.drive_features,))

    def init(self, key: Array, dtype: Any = float) -> Params:
        return _with_gains(self.core.init(key, dtype), self.drive_features, dtype)

    def prepare(self, params: Params) -> Params:
        own = {name: params[name] for name in GAINS_AND_SHIFTS}
        core = _without(params, *own)
        if "bias" in self.core.param_shapes():
            core["bias"] = own["a_shift"]
        prepared = self.core.prepare(core)
        return _without(prepared, "bias") | own | {"a_shift": prepared.get("bias", own["a_shift"])}

    def update(self, params: Params, state: Any, *pre: Array, noise: Any = None) -> Any:
        a, d = pre
        pre = self.core.pre_activations(*self.normalize(params, a, d))
        return self.core.advance(_without(params, *GAINS_AND_SHIFTS), state, pre, noise)

    @abc.abstractmethod
    def normalize(self, params: Params, a: Array, d: Array) -> tuple[Array, Array]:
        """`(a', d')` of one step's a and d, each (..., G·H)."""


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
        set_fields(self, _one_number, "eps")
        set_fields(self, _checks.boolean, "per_gate")

    def units_of(self, *path: str) -> int | None:
        return None if path == ("eps",) else super().units_of(*path)

    def normalize(self, params: Params, a: Array, d: Array) -> tuple[Array, Array]:
        return _normalize(params, a, d, self.eps, self.num_gates if self.per_gate else 1)


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
        set_fields(self, _one_number, "eps")
        set_fields(self, _checks.boolean, "per_gate")

    @property
    def plain(self) -> bool:
        return False

    def units_of(self, *path: str) -> int | None:
        return None if path == ("eps",) else super().units_of(*path)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        shapes = _without(super().param_shapes(), "bias") | dict.fromkeys(GAINS_AND_SHIFTS, (self.drive_features,))
        return shapes | {"c_gain": (H,), "c_shift": (H,)}

    def init(self, key: Array, dtype: Any = float) -> Params:
        H = self.hidden_features
        params = _with_gains(super().init(key, dtype), self.drive_features, dtype)
        return params | {"c_gain": jnp.ones(H, dtype), "c_shift": jnp.zeros(H, dtype)}

    def update(self, params: Params, state: LSTMState, *pre: Array) -> LSTMState:
        a, d = pre
        a, d = _normalize(params, a, d, self.eps, self.num_gates if self.per_gate else 1)
        return super().update(params, state, a + d)

    def read(self, params: Params, c: Array) -> Array:
        return layer_norm(c, params["c_gain"], params["c_shift"], self.eps)


def _one_number(name: str, value: Any) -> Any:
    if np.ndim(value):
        raise ValueError(f"{name} must be one number for all units, got {_checks.describe(value)}.")
    return value


def _normalize(params: Params, a: Array, d: Array, eps: Any, groups: int) -> tuple[Array, Array]:
    a_gain, a_shift, d_gain, d_shift = (params[name] for name in GAINS_AND_SHIFTS)
    return layer_norm(a, a_gain, a_shift, eps, groups), layer_norm(d, d_gain, d_shift, eps, groups)


def _with_gains(params: Params, features: int, dtype: Any) -> Params:
    """A core's new parameters, with gains and shifts instead of the bias."""
    zeros = jnp.zeros(features, dtype)
    own = {"a_gain": jnp.ones(features, dtype), "a_shift": params.get("bias", zeros)}
    own |= {"d_gain": jnp.ones(features, dtype), "d_shift": jnp.zeros(features, dtype)}
    return _without(params, "bias") | own


def _without(mapping: Mapping[str, T], *names: str) -> dict[str, T]:
    return {name: value for name, value in mapping.items() if name not in names}
