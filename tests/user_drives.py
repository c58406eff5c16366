"""Drives as users write them, each with something that the library must not take for granted."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import momentum_rnn_jax as mr


class Clock(NamedTuple):
    now: jax.Array


class Speeds(NamedTuple):
    slow: Any
    fast: Any


@mr.pytree_dataclass
class Charged(mr.Drive):
    """A start that is not zero."""

    decay: Any = 0.7

    def start(self, u):
        return mr.MomentumState(jnp.full_like(u, 0.5))

    def update(self, state, u):
        v = mr.align("decay", self.decay, u) * state.velocity + jnp.tanh(u)
        return mr.MomentumState(v), v


@mr.pytree_dataclass
class Steady(mr.Drive):
    """A start that depends on a hyper-parameter: an average that begins at `level`."""

    decay: Any = 0.8
    level: Any = 0.4

    def start(self, u):
        return mr.MomentumState(jnp.zeros_like(u) + mr.align("level", self.level, u))

    def update(self, state, u):
        decay = mr.align("decay", self.decay, u)
        v = decay * state.velocity + (1 - decay) * u
        return mr.MomentumState(v), v


@mr.pytree_dataclass
class WarmUp(mr.Drive):
    """A state of integers alone: a clock for each example, which starts at one."""

    rate: Any = 0.6

    def start(self, u):
        return Clock(jnp.ones_like(u[..., 0], dtype=jnp.int32))

    def update(self, state, u):
        age = state.now.astype(u.dtype)[..., jnp.newaxis]
        return Clock(state.now + 1), u * (1 - mr.align("rate", self.rate, u) ** age)


@mr.pytree_dataclass
class TwoSpeeds(mr.Drive):
    """A drive that holds two drives, whose hyper-parameters have the same names."""

    slow: mr.Drive = mr.Momentum(0.1)
    fast: mr.Drive = mr.Momentum(0.9)

    def start(self, u):
        return Speeds(self.slow.start(u), self.fast.start(u))

    def update(self, state, u):
        slow, a = self.slow.update(state.slow, u)
        fast, b = self.fast.update(state.fast, u)
        return Speeds(slow, fast), a - 0.5 * b


@mr.pytree_dataclass
class Clipped(mr.Momentum):
    """Looks linear, and is not: what it hands on is clipped."""

    def update(self, state, u):
        state, d = super().update(state, u)
        return state, jnp.clip(d, -0.3, 0.3)


@mr.pytree_dataclass
class Saturating(mr.Momentum):
    """Looks linear, and is not: what it remembers is squashed."""

    def update(self, state, u):
        state, d = super().update(state, u)
        return mr.MomentumState(jnp.tanh(state.velocity)), d


@mr.pytree_dataclass
class RollingStart(mr.Momentum):
    """Momentum whose velocity starts at its step size."""

    def start(self, u):
        return super().start(u)._replace(velocity=jnp.zeros_like(u) + mr.align("step_size", self.step_size, u))


@mr.pytree_dataclass
class Cooling(mr.LinearDrive):
    """A linear drive whose coefficients change with a clock of each example."""

    rate: Any = 0.5

    def start(self, u):
        return mr.NesterovState(jnp.zeros_like(u), jnp.zeros_like(u[..., 0], dtype=jnp.int32))

    def coefficients(self, clock, like):
        age = clock.steps.astype(like.dtype)[..., jnp.newaxis]
        rate = mr.align("rate", self.rate, like)
        return rate / (1 + age), 1 / (1 + rate * age)

    def tick(self, clock):
        return clock._replace(steps=clock.steps + 1)


@mr.pytree_dataclass
class Graded(mr.LinearDrive):
    """A linear drive without a leaf, whose coefficients are an array all the same: one for each gate."""

    def start(self, u):
        return mr.MomentumState(jnp.zeros_like(u))

    def coefficients(self, clock, like):
        grades = jnp.linspace(0.1, 0.9, like.shape[-1], dtype=like.dtype)
        return grades, 1 - grades


DRIVES = {
    "charged": Charged(),
    "steady": Steady(),
    "warm_up": WarmUp(),
    "two_speeds": TwoSpeeds(),
    "clipped": Clipped(),
    "saturating": Saturating(),
    "rolling_start": RollingStart(),
    "cooling": Cooling(),
    "graded": Graded(),
}
