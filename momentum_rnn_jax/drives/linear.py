"""Drives that are linear in the sequence of `u`: the identity, momentum, and Nesterov with scheduled restarts."""

import abc
import copy
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.drives.base import Drive, align


@state_type
class IdentityState(NamedTuple):
    """Empty: the plain network has no state in front of its core."""


@pytree_dataclass
class Identity(Drive):
    """No drive: `d_t = u_t`, which gives the plain recurrent network.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Identity()
    >>> state, d = drive.step(drive.init(jnp.ones(2)), jnp.ones(2))
    >>> d.tolist()
    [1.0, 1.0]
    """

    def resampled(self, dt: Any) -> Self:
        """This drive for inputs that are `dt` steps apart: itself."""
        return self

    def start(self, u: Array) -> IdentityState:
        return IdentityState()

    def at_rest(self, u: Array) -> IdentityState:
        return IdentityState()

    def update(self, state: IdentityState, u: Array) -> tuple[IdentityState, Array]:
        return state, u


class LinearDrive(Drive):
    """A drive whose velocity recurs linearly: `v_t = a_t v_{t-1} + b_t u_t`, `d_t = v_t`.

    `a_t` and `b_t` do not depend on `u`. Where they are scalars, the drive commutes with the projection, `drive(x) @ W =
    drive(x @ W)`, and acts on the F inputs, as a causal filter, instead of the G·H gates. A subclass defines `start`, whose state
    has the entry `velocity`, and `coefficients`; and `tick` where the coefficients change with time.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class RunningSum(mr.LinearDrive):
    ...     def start(self, u):
    ...         return mr.MomentumState(jnp.zeros_like(u))
    ...     def coefficients(self, clock, like):
    ...         return 1.0, 1.0
    >>> drive, ones = RunningSum(), jnp.ones((3, 1))
    >>> drive.unroll(drive.init(ones[0]), ones)[1][:, 0].tolist()
    [1.0, 2.0, 3.0]
    """

    @abc.abstractmethod
    def coefficients(self, clock: Any, like: jax.ShapeDtypeStruct) -> tuple[Any, Any]:
        """`(a_t, b_t)` of the next step, each a scalar, (..., 1) or broadcastable against `u`.

        `clock` is the state without its velocity (None stands in its place), so that the coefficients cannot depend on `u`.
        `like` has the shape and dtype of `u`.
        """

    def tick(self, clock: Any) -> Any:
        """The rest of the state after one more step, `velocity` left out as in `coefficients`; unchanged by default."""
        return clock

    def at_rest(self, u: Array) -> Any:
        """`v = b u / (1 - a)`, if `a` and `b` do not change with time."""
        state = self.start(u)
        a, b = self.coefficients(state._replace(velocity=None), jax.ShapeDtypeStruct(u.shape, u.dtype))
        return state._replace(velocity=align("step_size", b, u) * u / (1 - align("mu", a, u)))

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        clock = state._replace(velocity=None)
        a, b = self.coefficients(clock, jax.ShapeDtypeStruct(u.shape, u.dtype))
        velocity = align("mu", a, u) * state.velocity + align("step_size", b, u) * u
        return self.tick(clock)._replace(velocity=velocity), velocity


@state_type
class MomentumState(NamedTuple):
    """`velocity`: v_t, shaped like u, (..., G·H)."""

    velocity: Array


@pytree_dataclass
class Momentum(LinearDrive):
    """Heavy-ball momentum on the projected input: `v_t = mu v_{t-1} + step_size u_t`, `d_t = v_t`, `v_0 = 0`.

    An impulse fades as `step_size · mu^k`; a constant input is amplified to `step_size / (1 - mu)`.

    Args:
      mu: momentum μ in [0, 1), a scalar or broadcastable against the gates. `mu=0` scales the input and nothing more.
      step_size: step size s > 0, of the same form. The released code calls it `epsilon`.
        The defaults are the released code's for MNIST.

    Raises:
      TypeError, ValueError: an argument is not a real number, or outside its range. Traced values are not checked.

    Source: MomentumRNN, arXiv 2006.06919; agrees with the released code to rounding.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Momentum(mu=0.5, step_size=2.0)
    >>> impulse = jnp.array([[1.0], [0.0], [0.0]])
    >>> state, ds = drive.unroll(drive.init(impulse[0]), impulse)
    >>> ds[:, 0].tolist()
    [2.0, 1.0, 0.5]
    """

    mu: Any = hyperparameter(default=0.6, low=0.0, high=1.0)
    step_size: Any = hyperparameter(default=0.6, low=0.0, low_open=True)

    def resampled(self, dt: Any) -> Self:
        """This drive for inputs that are `dt` steps apart: `mu^dt` and `step_size (1 - mu^dt) / (1 - mu)`.

        It then remembers for as long as before, in time, and amplifies a constant input as much. With a `dt` for each example it
        takes steps of irregular length; `TimedCell` does that with time stamps.

        Args:
          dt: at least 0, a number, or an array that broadcasts against u; 0.5 where inputs are sampled twice as fast.

        Raises:
          TypeError, ValueError: `dt` is not a real number, or negative. Traced values are not checked.

        >>> import momentum_rnn_jax as mr
        >>> mr.Momentum(mu=0.81, step_size=0.38).resampled(0.5)
        Momentum(mu=0.9, step_size=0.2)
        """
        dt = _checks.number("dt", dt, low=0.0)
        mu, step_size, dt = _like_each_other(self.mu, self.step_size, dt)
        decay = mu**dt
        new = copy.copy(self)  # without the constructor, which would refuse a step of length 0
        object.__setattr__(new, "mu", decay)
        object.__setattr__(new, "step_size", step_size * (1 - decay) / (1 - mu))
        return new

    def start(self, u: Array) -> MomentumState:
        return MomentumState(jnp.zeros_like(u))

    def coefficients(self, clock: MomentumState, like: jax.ShapeDtypeStruct) -> tuple[Any, Any]:
        return self.mu, self.step_size


def _like_each_other(*values: Any) -> list[Any]:
    """Numbers as they are; where there are arrays, all of them as arrays of one dtype and rank."""
    arrays = [jnp.asarray(value) for value in values if np.ndim(value)]
    if not arrays:
        return list(values)
    dtype, ndim = jnp.result_type(*(array.dtype for array in arrays)), max(array.ndim for array in arrays)
    return [jnp.asarray(value).astype(dtype).reshape((1,) * (ndim - np.ndim(value)) + np.shape(value)) for value in values]


@state_type
class NesterovState(NamedTuple):
    """`velocity`: v_t, shaped like u, (..., G·H). `steps`: taken since the start or the last restart, (...), int32."""

    velocity: Array
    steps: Array


@pytree_dataclass
class Nesterov(LinearDrive):
    """Nesterov's increasing momentum, with scheduled restarts: `v_t = (k-1)/(k+2) v_{t-1} + step_size u_t`, `d_t = v_t`.

    `k` counts the steps from 1 and, with `restart=F`, goes back to 1 every F steps. Each example has a count of its own,
    so sequences that start at different times can share a batch.

    Args:
      step_size: step size s > 0, a scalar or broadcastable against the gates. The default is the released code's for MNIST.
      restart: restart period F, an integer of at least 1 (static), or None for never. `restart=1` only scales the input.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or outside its range. Traced values are not checked.

    Source: MomentumRNN, arXiv 2006.06919, as in the released language-model and orthogonal code. The released MNIST and
    TIMIT code computes something else: see `ReleasedNesterovLSTM`.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Nesterov(step_size=1.0, restart=2)
    >>> ones = jnp.ones((4, 1))
    >>> drive.unroll(drive.init(ones[0]), ones)[1][:, 0].tolist()
    [1.0, 1.25, 1.0, 1.25]
    """

    step_size: Any = hyperparameter(default=1.0, low=0.0, low_open=True)
    restart: int | None = static(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restart is not None:
            set_fields(self, _checks.size, "restart")

    def start(self, u: Array) -> NesterovState:
        return NesterovState(jnp.zeros_like(u), jnp.zeros_like(u[..., 0], dtype=jnp.int32))

    def coefficients(self, clock: NesterovState, like: jax.ShapeDtypeStruct) -> tuple[Any, Any]:
        return nesterov_momentum(clock.steps, like.dtype), self.step_size

    def tick(self, clock: NesterovState) -> NesterovState:
        return clock._replace(steps=next_steps(clock.steps, self.restart))


def nesterov_momentum(steps: Array, dtype: Any) -> Array:
    """`(k-1)/(k+2)` for the step `k = steps + 1`, with a last axis of one; `steps` of shape (...) gives (..., 1)."""
    k = jnp.expand_dims(steps, -1).astype(dtype) + 1
    return (k - 1) / (k + 2)


def next_steps(steps: Array, restart: int | None) -> Array:
    """The steps taken after one more, back to 0 when the period `restart` is full."""
    return steps + 1 if restart is None else (steps + 1) % restart
