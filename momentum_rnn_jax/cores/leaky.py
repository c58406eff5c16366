"""The rate network of computational neuroscience: a leaky integrator in continuous time."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, state_type, static
from momentum_rnn_jax.cores.base import Params
from momentum_rnn_jax.cores.simple import SimpleCore
from momentum_rnn_jax.drives.base import align


@state_type
class LeakyState(NamedTuple):
    """`v`: current v_t; `h`: firing rate h_t = σ(v_t), each (..., H)."""

    v: Array
    h: Array


@pytree_dataclass
class Leaky(SimpleCore):
    """Rate units in continuous time, `τ dv/dt = -v + U h + b + d + noise √(2τ) ξ`, `h = σ(v)`, in Euler steps of `dt`.

    `v_t = (1 - α) v_{t-1} + α (U h_{t-1} + b + d_t) + noise √(2α) ξ_t`, `h_t = σ(v_t)`, with `α = dt / tau` and ξ_t standard
    normal. The start is `v_0 = 0`, and so `h_0 = σ(0)`, which is 0.5 for the sigmoid.

    Args:
      hidden_features: H, at least 1.
      activation: σ, one of "tanh", "sigmoid", "relu", "identity", "modrelu" (in any case).
      tau: time constant τ > 0, a scalar or one for each unit.
      dt: time step, in (0, tau], of the same form, in the same unit of time. The defaults are milliseconds.
      noise: standard deviation of v that the noise would give a unit left alone with a small `dt`, at least 0, a scalar or one
        for each unit; None for no noise.

    A learned `tau` or `dt` keeps to `dt <= tau`: a tau that would be below dt is reflected, to `dt² / tau`. Apart from units of
    time only `dt / tau` counts, so it is enough to learn tau. A learned `noise` has a gradient where there is noise.

    Parameters: as of `Elman`. One gate; state `LeakyState(v, h)`. Noise: ξ, (..., H); without it the step is deterministic.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. Traced values are not checked.

    Source: Song, Yang and Wang, PLOS Computational Biology 2016 (pycog).

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.Leaky(1, activation="identity", tau=100.0, dt=25.0)
    >>> params = {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    >>> state, h = core.step(params, core.initial_state(params, (), jnp.float32), jnp.ones(1))
    >>> core.step(params, state, jnp.ones(1))[1].tolist()  # 1 - 0.75^2
    [0.4375]
    """

    hidden_features: int = static()
    activation: str = static(default="tanh")
    tau: Any = hyperparameter(default=100.0, low=0.0, low_open=True)
    dt: Any = hyperparameter(default=20.0, low=0.0, low_open=True)
    noise: Any = hyperparameter(default=None, low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_step()

    def bounded(self) -> "Leaky":
        """This core with a tau below dt reflected to `dt² / tau`; `learnable.moved` calls it, as either may be learnt."""
        tau = jnp.asarray(self.tau)
        dt = jnp.asarray(self.dt).astype(tau.dtype)
        try:
            tau, dt = jnp.broadcast_arrays(tau, dt)
        except ValueError:
            return self  # refused where the core steps
        reflected = dt * (dt / jnp.maximum(tau, 1e-9 * dt))  # finite, as its derivatives are
        return dataclasses.replace(self, tau=jnp.where(tau >= dt, tau, reflected))

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array | None:
        return None if self.noise is None else jax.random.normal(key, (*shape, self.hidden_features), dtype)

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        v = jnp.zeros((*batch_shape, self.hidden_features), dtype)
        return self.state_from(prepared, LeakyState(v, v))

    def start_of(self, state: LeakyState) -> Any:
        return state._replace(h=None)  # type: ignore[arg-type]

    def state_from(self, prepared: Params, start: Any) -> LeakyState:
        return start._replace(h=self.activate(prepared, jnp.copy(start.v)))  # two buffers: a caller may donate them

    def update(self, params: Params, state: LeakyState, *pre: Array, noise: Array | None = None) -> LeakyState:
        (z,) = pre
        alpha = align("dt", self.dt, z) / align("tau", self.tau, z)
        v = (1 - alpha) * state.v + alpha * z
        if noise is not None:
            v = v + align("noise", self.noise, z) * jnp.sqrt(2 * alpha) * noise
        return LeakyState(v, self.activate(params, v))

    def _check_step(self) -> None:
        """Refuse a dt beyond tau, where their values are known and their shapes fit each other."""
        if not isinstance(self.tau, jax.core.Tracer) and not isinstance(self.dt, jax.core.Tracer):
            tau, dt = np.asarray(self.tau), np.asarray(self.dt)
            if (dt.shape == tau.shape or not dt.ndim or not tau.ndim) and np.any(dt > tau):
                raise ValueError(f"dt must be at most tau, {_checks.describe(self.tau)}, got {_checks.describe(self.dt)}.")
