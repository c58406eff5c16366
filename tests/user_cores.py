"""Cores as users write them, each with something that the library must not take for granted."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import momentum_rnn_jax as mr
from tests.registry import HIDDEN


class Traced(NamedTuple):
    trace: jax.Array
    h: jax.Array


class Read(NamedTuple):
    h: jax.Array
    y: jax.Array


class Counted(NamedTuple):
    h: jax.Array
    count: jax.Array


def row(vector, like):
    """A scalar or a vector in the dtype of `like`, and to be combined with it."""
    vector = jnp.asarray(vector).astype(like.dtype)
    return vector.reshape((1,) * (like.ndim - vector.ndim) + vector.shape) if vector.ndim else vector


@mr.pytree_dataclass
class UserCore(mr.KernelCore):
    """What the cores here have in common: a kernel, a bias, a vector for each name in `vectors`, and a start at zero."""

    hidden_features: int = dataclasses.field(default=HIDDEN, metadata={"static": True})

    num_gates: ClassVar[int] = 1
    vectors: ClassVar[tuple[str, ...]] = ()

    def param_shapes(self):
        H, G = self.hidden_features, self.drive_features
        return {"kernel": (H, G), "bias": (G,)} | {name: (H,) for name in self.vectors}

    def init(self, key, dtype=float):
        shapes = self.param_shapes()
        keys = jax.random.split(key, len(shapes))
        return {n: 0.3 * jax.random.normal(k, shapes[n], dtype) for n, k in zip(shapes, keys, strict=True)}

    def initial_state(self, prepared, batch_shape, dtype):
        return mr.HiddenState(jnp.zeros((*batch_shape, self.hidden_features), dtype))

    def update(self, params, state, *pre):
        return mr.HiddenState(jnp.tanh(pre[0]))


@mr.pytree_dataclass
class StartsHigh(UserCore):
    """A start that is not zero, the same for all."""

    def initial_state(self, prepared, batch_shape, dtype):
        return mr.HiddenState(jnp.full((*batch_shape, self.hidden_features), 0.8, dtype))


@mr.pytree_dataclass
class StartsLearnt(UserCore):
    """A start that is learnt: a parameter."""

    vectors: ClassVar[tuple[str, ...]] = ("first",)

    def initial_state(self, prepared, batch_shape, dtype):
        return mr.HiddenState(jnp.broadcast_to(prepared["first"].astype(dtype), (*batch_shape, self.hidden_features)))


@mr.pytree_dataclass
class StartsAtLeaf(UserCore):
    """A start that is a leaf of the core."""

    level: Any = 0.4

    def initial_state(self, prepared, batch_shape, dtype):
        return mr.HiddenState(jnp.broadcast_to(jnp.asarray(self.level).astype(dtype), (*batch_shape, self.hidden_features)))


@mr.pytree_dataclass
class Leaky(UserCore):
    """A leaf for all units, with the name of a drive's hyper-parameter, and one for each unit."""

    mu: Any = 0.3
    slopes: Any = dataclasses.field(default_factory=lambda: np.linspace(0.5, 1.5, HIDDEN))

    def update(self, params, state, *pre):
        mu, new = row(self.mu, state.h), jnp.tanh(row(self.slopes, state.h) * pre[0])
        return mr.HiddenState(mu * state.h + (1 - mu) * new)


@mr.pytree_dataclass
class OddNames(UserCore):
    """Parameters, all of them trained, whose names mean something elsewhere."""

    vectors: ClassVar[tuple[str, ...]] = ("base", "input", "mu", "h")

    def update(self, params, state, *pre):
        base, shift, mu, h = (row(params[name], state.h) for name in self.vectors)
        return mr.HiddenState(jnp.tanh(base * pre[0] + shift) + mu * state.h + h)


@mr.pytree_dataclass
class Gated(UserCore):
    """Not additive: the recurrent term and the drive's enter in different places."""

    num_gates: ClassVar[int] = 2
    additive: ClassVar[bool] = False

    def update(self, params, state, *pre):
        (a_z, a_n), (d_z, d_n) = (jnp.split(part, 2, axis=-1) for part in pre)
        z = jax.nn.sigmoid(a_z + d_z)
        return mr.HiddenState((1 - z) * state.h + z * jnp.tanh(d_n) * jnp.cos(a_n))


@mr.pytree_dataclass
class TwoEntries(UserCore):
    """A state of two entries, the hidden vector last, which start at different values."""

    vectors: ClassVar[tuple[str, ...]] = ("decay",)

    def initial_state(self, prepared, batch_shape, dtype):
        shape = (*batch_shape, self.hidden_features)
        return Traced(jnp.full(shape, -0.6, dtype), jnp.zeros(shape, dtype))

    def update(self, params, state, *pre):
        trace = jax.nn.sigmoid(row(params["decay"], state.h)) * state.trace + jnp.tanh(pre[0])
        return Traced(trace, jnp.sin(trace + state.h))


@mr.pytree_dataclass
class ReadOut(UserCore):
    """Another entry than the hidden vector is the output."""

    output: ClassVar[str] = "y"

    def initial_state(self, prepared, batch_shape, dtype):
        shape = (*batch_shape, self.hidden_features)
        return Read(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def update(self, params, state, *pre):
        h = jnp.tanh(pre[0] + state.y)
        return Read(h, jnp.sin(3 * h))


@mr.pytree_dataclass
class WithoutBias(UserCore):
    """Additive, with a kernel alone."""

    def param_shapes(self):
        return {"kernel": (self.hidden_features, self.drive_features)}


@mr.pytree_dataclass
class Normalised(UserCore):
    """A kernel that is made of the parameters once per sequence, and is not among them."""

    def param_shapes(self):
        H = self.hidden_features
        return {"direction": (H, H), "length": (H,)}

    def prepare(self, params):
        direction = params["direction"]
        norm = jnp.sqrt(jnp.sum(direction**2, axis=0, keepdims=True))
        return {"kernel": params["length"][jnp.newaxis] * direction / norm, "length": params["length"]}

    def update(self, params, state, *pre):
        return mr.HiddenState(jnp.tanh(pre[0]) * row(params["length"], state.h))


@mr.pytree_dataclass
class Counting(UserCore):
    """Recurs in its own way, with an integer in its state."""

    recurrence: ClassVar[str] = "general"

    def initial_state(self, prepared, batch_shape, dtype):
        zeros = jnp.zeros((*batch_shape, self.hidden_features), dtype)
        return Counted(zeros, jnp.ones_like(zeros, jnp.int32))

    def step(self, prepared, state, d):
        even = state.count % 2 == 0
        h = jnp.where(even, state.h, jnp.tanh(state.h @ prepared["kernel"] + row(prepared["bias"], d) + d))
        return Counted(h, state.count + 1), h


@mr.pytree_dataclass
class Diagonal(mr.LinearCore):
    """Linear in its state, with a leaf for each unit, a trained "base", and a start that is learnt."""

    hidden_features: int = dataclasses.field(default=HIDDEN, metadata={"static": True})
    rates: Any = dataclasses.field(default_factory=lambda: np.linspace(0.5, 0.9, HIDDEN))

    num_gates: ClassVar[int] = 2

    def param_shapes(self):
        return {"first": (self.hidden_features,), "base": (self.hidden_features,)}

    def init(self, key, dtype=float):
        return {name: jnp.ones(shape, dtype) for name, shape in self.param_shapes().items()}

    def initial_state(self, prepared, batch_shape, dtype):
        return mr.HiddenState(jnp.broadcast_to(prepared["first"].astype(dtype), (*batch_shape, self.hidden_features)))

    def coefficients(self, prepared, d):
        gate, new = jnp.split(d, 2, axis=-1)
        a = row(self.rates, d) * jax.nn.sigmoid(gate)
        return a, (1 - a) * jnp.tanh(new + row(prepared["base"], d))


CORES = {
    "starts_high": StartsHigh(),
    "starts_learnt": StartsLearnt(),
    "starts_at_leaf": StartsAtLeaf(),
    "leaky": Leaky(),
    "odd_names": OddNames(),
    "gated": Gated(),
    "two_entries": TwoEntries(),
    "read_out": ReadOut(),
    "without_bias": WithoutBias(),
    "normalised": Normalised(),
    "counting": Counting(),
    "diagonal": Diagonal(),
}
