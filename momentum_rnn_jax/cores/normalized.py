"""Normalisation in a recurrent network: of the recurrent part of the pre-activations and of the driven input, apart."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores.base import KernelCore, Params
from momentum_rnn_jax.cores.lstm import LSTM
from momentum_rnn_jax.cores.wrapper import Wrapper, check_outputs_h
from momentum_rnn_jax.drives.assorted_time import AssortedTime, Window, empty_window, standardize

T = TypeVar("T")


class GainsAndShifts(Wrapper):
    """The parameters of a normalised core: for each of `normalized`, "a", "d" and "c", a gain and a shift."""

    additive = False
    inner_bias: bool = False  # whether the core's bias stays, inside of the norm of a

    @property
    def normalized(self) -> tuple[str, ...]:
        """What is normalised: "a", h_{t-1} @ kernel; "d", the driven input; "c", what the output reads of a cell state."""
        return ("a", "d")

    def __post_init__(self) -> None:
        super().__post_init__()
        taken = sorted(name for name in self.core.param_shapes() if name.endswith(("_gain", "_shift")))
        if taken:
            raise ValueError(f"core must not be normalised already: {type(self.core).__name__} has the parameters {taken}.")

    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the gains and shifts."""
        sizes = {"a": self.drive_features, "d": self.drive_features, "c": self.hidden_features}
        return {f"{part}_{kind}": (sizes[part],) for part in self.normalized for kind in ("gain", "shift")}

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return without(self.core.param_shapes(), *self._replaced) | self.own_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        params = self.core.init(key, dtype)
        own = {name: jnp.full(shape, name.endswith("gain"), dtype) for name, shape in self.own_shapes().items()}
        if "bias" in params:
            own |= {"a_shift": params["bias"]} | ({"bias": jnp.zeros_like(params["bias"])} if self.inner_bias else {})
        return without(params, "bias") | own

    def prepare(self, params: Params) -> Params:
        own = {name: params[name] for name in self.own_shapes()}
        core = without(params, *own)
        if "bias" in self._replaced and "bias" in self.core.param_shapes():
            core["bias"] = own["a_shift"]
            prepared = self.core.prepare(core)
            own["a_shift"] = prepared.get("bias", own["a_shift"])
            return without(prepared, "bias") | own
        return self.core.prepare(core) | own

    @property
    def _replaced(self) -> tuple[str, ...]:
        """The core's parameters that the norm's own take the place of."""
        return () if self.inner_bias else ("bias",)


class Normalization(GainsAndShifts):
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

    def update(self, params: Params, state: Any, *pre: Array, noise: Any = None) -> Any:
        a, d = pre
        pre = self.core.pre_activations(*self.normalize(params, a, d))
        return self.core.advance(without(params, *self.own_shapes()), state, pre, noise)

    @abc.abstractmethod
    def normalize(self, params: Params, a: Array, d: Array) -> tuple[Array, Array]:
        """`(a', d')` of one step's a and d, each (..., G·H)."""


@state_type
class NormalizedState(NamedTuple):
    """`core`: the core's state, with None for its h; `h`: h_t; `windows`: a `Window` for each norm, by name: "a", "d", "c"."""

    core: Any
    h: Array
    windows: dict[str, Window]


@pytree_dataclass
class Normalized(GainsAndShifts):
    """A core with assorted-time normalisation: `a' = ATN(h_{t-1} @ kernel; a_gain, a_shift)`, `d' = ATN(d_t; d_gain, d_shift)`.

    An `LSTM` also has `h_t = σ(o) tanh(ATN(c_t; c_gain, c_shift))`: c_t itself is handed on, the normalised one only read. Each
    norm has a window of its own, of raw values; `AssortedTime` has the equation. With `k=1` this is `LayerNorm`, and of an
    `LSTM` with the norm of its cell `LayerNormLSTM`.

    The norm of d comes after the drive, so the step size and the gain 1 / (1 - mu) of a linear drive cancel (up to eps): a
    momentum cell is then told from its scale. For the other order leave it out here, and put `AssortedTimeNorm` in front of the
    drive: `Cell(Normalized(core, norm, input_norm=False), Chain(AssortedTimeNorm(k), Momentum()))`.

    Args:
      core: a `KernelCore`. Where `k` is more than 1, its output must be h: `RecurrentDropout` goes around `Normalized`.
      norm: an `AssortedTime`.
      input_norm: whether d is normalised.
      cell_norm: whether an `LSTM` reads its normalised cell; it has no effect for other cores, also those that wrap an `LSTM`.
      inner_bias: whether the core's bias stays, inside of the norm of a, `a_shift` beside it outside, as in the released code;
        else `a_shift` takes its place.

    Parameters: the core's, without `bias` unless `inner_bias`; `a_gain`, `a_shift`, and `d_gain`, `d_shift`, each (G·H,);
    `c_gain`, `c_shift`, each (H,). Gains are one at the start, the shift of a is the core's bias, all else zero.

    State: the core's for `k=1`, else `NormalizedState(core, h, windows)`. `start_of(state)` is the core's part of it, and
    `state_from(prepared, state)` turns a core's state into one with empty windows. Noise is the core's.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Assorted-Time Normalization, arXiv 2209.14439; agrees with the released code to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.Normalized(mr.GRU(4), mr.AssortedTime(k=3)), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> state, hs = mr.unroll(cell, params, jnp.ones((5, 2, 3)))
    >>> state.core.windows["a"].mean.shape
    (2, 2)
    """

    core: KernelCore
    norm: AssortedTime
    input_norm: bool = static(default=True)
    cell_norm: bool = static(default=True)
    inner_bias: bool = static(default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.instance("norm", self.norm, AssortedTime)
        set_fields(self, _checks.boolean, "input_norm", "cell_norm", "inner_bias")
        if self.norm.k > 1:
            check_outputs_h(self.core, "RecurrentDropout goes around Normalized")
        if self.inner_bias and "bias" not in self.core.param_shapes():
            raise ValueError(f"inner_bias must be False for {type(self.core).__name__}, which has no bias.")

    @property
    def normalized(self) -> tuple[str, ...]:
        reads = self.cell_norm and isinstance(self.core, LSTM) and type(self.core).update is LSTM.update
        return ("a", *(["d"] if self.input_norm else []), *(["c"] if reads else []))

    def units_of(self, *path: str) -> int | None:
        return None if path[0] == "norm" else super().units_of(*path)

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        return self._with_windows(self.core.initial_state(prepared, batch_shape, dtype))

    def start_of(self, state: Any) -> Any:
        return self.core.start_of(self._of_core(state))

    def state_from(self, prepared: Params, start: Any) -> Any:
        return self._with_windows(self.core.state_from(prepared, start))

    def update(self, params: Params, state: Any, *pre: Array, noise: Any = None) -> Any:
        windows: dict[str, Any] = dict.fromkeys(self.normalized) if self.norm.k == 1 else dict(state.windows)

        def norm(part: str, x: Array) -> Array:
            y, windows[part] = normalize(self.norm, x, params, part, windows[part], self._groups(part))
            return y

        a, d = pre
        a = norm("a", a)
        d = norm("d", d) if self.input_norm else d
        core, before, pre = without(params, *self.own_shapes()), self._of_core(state), self.core.pre_activations(a, d)
        if "c" in windows:
            assert isinstance(self.core, LSTM)
            c, o = self.core.remember(core, before, *pre)
            new: Any = self.core.expose(core, c, o, norm("c", c))
        else:
            new = self.core.advance(core, before, pre, noise)
        return new if self.norm.k == 1 else NormalizedState(new._replace(h=None), new.h, windows)

    def _groups(self, part: str) -> int:
        return self.num_gates if self.norm.per_gate and part != "c" else 1

    def _of_core(self, state: Any) -> Any:
        return state if self.norm.k == 1 else state.core._replace(h=state.h)

    def _with_windows(self, state: Any) -> Any:
        if self.norm.k == 1:
            return state
        batch, dtype = state.h.shape[:-1], state.h.dtype
        shapes = {part: (*batch, groups) if (groups := self._groups(part)) > 1 else batch for part in self.normalized}
        windows = {part: empty_window(self.norm.k, shape, dtype) for part, shape in shapes.items()}
        return NormalizedState(state._replace(h=None), state.h, windows)


def normalize(
    norm: AssortedTime, x: Array, params: Params, part: str, window: Window | None = None, groups: int = 1
) -> tuple[Array, Window | None]:
    """`gain (x - m) / √(q + eps) + shift` over the last axis, or over each of `groups` equal parts of it; the next window."""
    parts = x if groups == 1 else x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    standard, window = standardize(parts, window, norm.eps)
    gain, shift = (jnp.broadcast_to(params[f"{part}_{kind}"], x.shape) for kind in ("gain", "shift"))
    return gain * standard.reshape(x.shape) + shift, window


def without(mapping: Mapping[str, T], *names: str) -> dict[str, T]:
    """A mapping without some names."""
    return {name: value for name, value in mapping.items() if name not in names}
