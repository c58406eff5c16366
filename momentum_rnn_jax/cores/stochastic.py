"""Randomness at each step: zoneout and recurrent dropout.

Both wrap a kernel core and work on its state after the step, so that the fast path runs them. Without noise they compute what is
usual at evaluation.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores.base import KernelCore, Params, state_shapes
from momentum_rnn_jax.cores.wrapper import Wrapper, check_outputs_h
from momentum_rnn_jax.drives.base import align


@state_type
class WrapperNoise(NamedTuple):
    """`core`: the wrapped core's noise, None where it samples none; `mask`: the wrapper's own, booleans."""

    core: Any
    mask: Any


@pytree_dataclass
class Zoneout(Wrapper):
    """Units that keep their old state at random: `s_t = m_t s_{t-1} + (1 - m_t) ŝ_t`, `m_t ~ Bernoulli(rate)`, ŝ_t the core's.

    Each unit of each entry of the state has a mask of its own at every step. Without noise, the state is the expectation,
    `rate s_{t-1} + (1 - rate) ŝ_t`. The masks have no derivative: a learned rate has a gradient only without noise.

    Args:
      core: a `KernelCore` whose output is h.
      rate: the probability of keeping, in [0, 1): a scalar or an array for each unit, for every entry of the state; or a dict of
        them by the entries' names, `{"c": 0.5, "h": 0.05}`, where an entry left out is always the core's.

    Parameters, shapes, start and state are the core's. Noise: `WrapperNoise(core, mask)`, `mask` a dict by entry, True where the
    unit keeps its state.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. `RecurrentDropout` goes around `Zoneout`, not the
        other way.

    Source: Krueger et al., arXiv 1606.01305.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.Zoneout(mr.LSTM(4), rate={"c": 0.5, "h": 0.05})
    >>> cell = mr.Cell(core, mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> noise = cell.sample_noise(jax.random.key(1), (5, 2))
    >>> noise.mask["c"].shape
    (5, 2, 4)
    >>> mr.unroll(cell, params, jnp.ones((5, 2, 3)), noise=noise)[1].shape
    (5, 2, 4)
    """

    core: KernelCore
    rate: Any = hyperparameter(low=0.0, high=1.0, by_name=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_outputs_h(self.core, "RecurrentDropout goes around Zoneout")
        if not all(hasattr(entry, "shape") for entry in state_shapes(self.core)):
            name = type(self.core).__name__
            raise ValueError(f"core must have a state of arrays alone, {name} has another core's: Zoneout goes inside {name}.")
        if isinstance(self.rate, Mapping):
            _checks.names("rate", self.rate, (), optional=state_shapes(self.core)._fields)

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> WrapperNoise:
        core_key, own_key = jax.random.split(key)
        entries = state_shapes(self.core)._asdict()
        rates = self._rates(entries)
        keys = jax.random.split(own_key, len(rates))
        mask = {
            name: _bernoulli(k, rate, (*shape, *entries[name].shape)) for k, (name, rate) in zip(keys, rates.items(), strict=True)
        }
        return WrapperNoise(self.core.sample_noise(core_key, shape, dtype), mask)

    def units_of(self, *path: str) -> int | None:
        if path[0] != "rate":
            return super().units_of(*path)
        entries = self._rates(state_shapes(self.core)._asdict()) if len(path) == 1 else path[1:]
        sizes = {getattr(state_shapes(self.core), name).shape[-1] for name in entries}
        return sizes.pop() if len(sizes) == 1 else None

    def update(self, params: Params, state: Any, *pre: Array, noise: WrapperNoise | None = None) -> Any:
        new = self.core.advance(params, state, pre, None if noise is None else noise.core)

        def mix(name: str, rate: Any) -> Array:
            before, after = getattr(state, name), getattr(new, name)
            if noise is not None:
                return jnp.where(noise.mask[name], before, after)
            wide = at_least_float32(after.dtype)  # in 16 bits a rate just below 1 is 1
            rate = align("rate", rate, jax.ShapeDtypeStruct(after.shape, wide))
            return (rate * before.astype(wide) + (1 - rate) * after.astype(wide)).astype(after.dtype)

        return new._replace(**{name: mix(name, rate) for name, rate in self._rates(state._asdict()).items()})

    def _rates(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.rate) if isinstance(self.rate, Mapping) else dict.fromkeys(entries, self.rate)


@state_type
class RecurrentDropoutState(NamedTuple):
    """`core`: the core's state, with None for its h; `h`: h_t with units dropped, for the next product; `y`: h_t, the output."""

    core: Any
    h: Array
    y: Array


@pytree_dataclass
class RecurrentDropout(Wrapper):
    """Dropout on h in the recurrent product alone: `a_t = (m ⊙ h_{t-1}) @ kernel + bias`, `m ~ Bernoulli(1 - rate) / (1 - rate)`.

    Wherever else the core uses h_{t-1}, as the GRU in its interpolation, nothing is dropped, nor from the output. Units are
    dropped as a step ends, for the product of the next: the initial state enters its product whole, and noise of a step acts on
    the step after. Without noise, nothing is dropped. The masks have no derivative: the gradient of a learned rate is that of the
    factor `1 / (1 - rate)` alone.

    Args:
      core: a `KernelCore` whose output is h, `Zoneout` among them.
      rate: the probability of being dropped, in [0, 1), a scalar or an array for each unit of h.
      variational: whether an example has one mask for all steps, as in Gal and Ghahramani; otherwise one for each step.

    Parameters, shapes and start are the core's. State `RecurrentDropoutState(core, h, y)`. Noise: `WrapperNoise(core, mask)`,
    True where a unit is kept. A variational mask is the same along the first axis of the `shape` that `sample_noise` is given,
    which is time. In a loop of your own take the noise of `shape` (1, batch…), and use its `[0]` at each step of a sequence;
    `shape` (batch…) alone would give all examples of the batch one mask.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Gal and Ghahramani, arXiv 1512.05287.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.RecurrentDropout(mr.LSTM(4), rate=0.5), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> noise = cell.sample_noise(jax.random.key(1), (5, 2))
    >>> bool((noise.mask[0] == noise.mask[4]).all())
    True
    >>> mr.unroll(cell, params, jnp.ones((5, 2, 3)), noise=noise)[1].shape
    (5, 2, 4)
    """

    core: KernelCore
    rate: Any = hyperparameter(low=0.0, high=1.0)
    variational: bool = static(default=True)

    output = "y"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_outputs_h(self.core, "units of h are dropped already")
        set_fields(self, _checks.boolean, "variational")

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> WrapperNoise:
        core_key, own_key = jax.random.split(key)
        h = state_shapes(self.core).h.shape
        drawn = (1, *shape[1:]) if self.variational and shape else shape
        mask = jnp.broadcast_to(~_bernoulli(own_key, self.rate, (*drawn, *h)), (*shape, *h))
        return WrapperNoise(self.core.sample_noise(core_key, shape, dtype), mask)

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> RecurrentDropoutState:
        return _with_output(self.core.initial_state(prepared, batch_shape, dtype))

    def units_of(self, *path: str) -> int | None:
        return state_shapes(self.core).h.shape[-1] if path == ("rate",) else super().units_of(*path)

    def start_of(self, state: RecurrentDropoutState) -> Any:
        return self.core.start_of(state.core._replace(h=state.h))

    def state_from(self, prepared: Params, start: Any) -> RecurrentDropoutState:
        return _with_output(self.core.state_from(prepared, start))

    def update(
        self, params: Params, state: RecurrentDropoutState, *pre: Array, noise: WrapperNoise | None = None
    ) -> RecurrentDropoutState:
        before = state.core._replace(h=state.y)
        new = self.core.advance(params, before, pre, None if noise is None else noise.core)
        h = new.h
        if noise is not None:
            wide = h.astype(at_least_float32(h.dtype))  # in 16 bits a rate just below 1 is 1
            kept = wide / (1 - align("rate", self.rate, wide))
            h = jnp.where(noise.mask, kept, jnp.zeros_like(kept)).astype(h.dtype)
        return RecurrentDropoutState(new._replace(h=None), h, new.h)


def _with_output(state: Any) -> RecurrentDropoutState:
    """A core's state with h both for the next product, whole, and for the output."""
    return RecurrentDropoutState(state._replace(h=None), state.h, jnp.copy(state.h))  # two buffers: a caller may donate them


def _bernoulli(key: Array, rate: Any, shape: tuple[int, ...]) -> Array:
    """Booleans of this shape, each True with the probability `rate`, a scalar or an array for each unit."""
    uniform = jax.random.uniform(key, shape)
    return uniform < align("rate", rate, uniform)
