"""Drives: what an optimiser does with the projected input, in the place of a gradient.

A drive turns `u_t = W x_t + b_x` into the pre-activation `d_t` that a core adds to its recurrent term. It never sees the
hidden state, so it can run over the whole sequence before the core starts. Every leaf of a drive's state begins with the
batch shape of `u`, so a state can be indexed, stacked and reset example by example. Drives compute and remember in at least
float32, because 16 bits cannot hold a decay such as 0.999 or add small steps to a large sum; `d` has the dtype of `u`.

Hyper-parameters are pytree leaves: scalars, or arrays that broadcast against `u` (shape `(G·H,)` gives every unit of every
gate its own). They are checked when the drive is constructed; a traced value has no value yet and cannot be checked.
"""

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static


class Drive(abc.ABC):
    """What every drive does: `init`, one `step`, and `unroll` over a sequence that is known in advance.

    These three check their arguments, compute in at least float32 and give `d` the dtype of `u`. A subclass defines the
    mathematics alone: `start` and `update`. It is *linear* when `d` is a linear function of the sequence of `u`: it then commutes
    with the projection, `drive(x) @ W = drive(x @ W)`, as long as its hyper-parameters are scalars.
    """

    linear: ClassVar[bool] = False

    def init(self, u: Array) -> Any:
        """The state before the first step, for inputs like `u`, of shape (..., G·H), floating point."""
        return self.start(_widen(u))

    def step(self, state: Any, u: Array) -> tuple[Any, Array]:
        """One time step: `(state, u_t) -> (new state, d_t)`, with `d_t` like `u_t`, (..., G·H)."""
        wide = _widen(u)
        _checks.same_structure("state", state, jax.eval_shape(self.start, wide))
        state, d = self.update(state, wide)
        return state, d.astype(u.dtype)

    def unroll(self, state: Any, us: Array) -> tuple[Any, Array]:
        """Every time step of `us`, of shape (time, ..., G·H): `(final state, ds)`, with `ds` like `us`."""
        us = _checks.floating("us", us, min_ndim=2, layout="(time, ..., gates)")
        return jax.lax.scan(lambda state, u: self.step(state, u), state, us)

    @abc.abstractmethod
    def start(self, u: Array) -> Any:
        """The state before the first step: a named tuple of zeros, each leaf with the leading axes of `u`."""

    @abc.abstractmethod
    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        """The drive's equation: `(state, u_t) -> (new state, d_t)`, with nothing to check."""


def _widen(u: Array) -> Array:
    u = _checks.floating("u", u, min_ndim=1, layout="(..., gates)")
    return u.astype(at_least_float32(u.dtype))


class IdentityState(NamedTuple):
    """The plain network remembers nothing in front of its core."""


@pytree_dataclass
class Identity(Drive):
    """No drive: `d_t = u_t`, which gives the plain recurrent network.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Identity()
    >>> state, d = drive.step(drive.init(jnp.ones(2)), jnp.ones(2))
    >>> d.tolist()
    [1.0, 1.0]
    """

    linear: ClassVar[bool] = True

    def start(self, u: Array) -> IdentityState:
        return IdentityState()

    def update(self, state: IdentityState, u: Array) -> tuple[IdentityState, Array]:
        return state, u


class VelocityRecurrence(Drive):
    """The linear recurrence that momentum and Nesterov share: `v_t = a_t v_{t-1} + b_t u_t`, `d_t = v_t`, `v_0 = 0`."""

    linear: ClassVar[bool] = True

    @abc.abstractmethod
    def coefficients(self, state: Any) -> tuple[Any, Any]:
        """`(a_t, b_t)` of the step that comes after `state`, each a scalar or broadcastable against `u`."""

    @abc.abstractmethod
    def next_state(self, state: Any, velocity: Array) -> Any:
        """The state after a step that ended with `velocity`."""

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        a, b = self.coefficients(state)
        velocity = align("mu", a, u) * state.velocity + align("step_size", b, u) * u
        return self.next_state(state, velocity), velocity


class MomentumState(NamedTuple):
    """`velocity`: v_t, shaped like u, (..., G·H)."""

    velocity: Array


@pytree_dataclass
class Momentum(VelocityRecurrence):
    """Heavy-ball momentum on the projected input: `v_t = mu v_{t-1} + step_size u_t`, `d_t = v_t`, `v_0 = 0`.

    An impulse fades as `step_size · mu^k`; a constant input is amplified to `step_size / (1 - mu)`.

    Args:
      mu: momentum μ in [0, 1), a scalar or broadcastable against the gates. `mu=0` scales the input and nothing more.
      step_size: step size s > 0, likewise. The released code calls it `epsilon`.
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

    mu: Any = 0.6
    step_size: Any = 0.6

    def __post_init__(self) -> None:
        _check_hyperparameters(self, "mu", "step_size")

    def start(self, u: Array) -> MomentumState:
        return MomentumState(jnp.zeros_like(u))

    def coefficients(self, state: MomentumState) -> tuple[Any, Any]:
        return self.mu, self.step_size

    def next_state(self, state: MomentumState, velocity: Array) -> MomentumState:
        return MomentumState(velocity)


class NesterovState(NamedTuple):
    """`velocity`: v_t, shaped like u, (..., G·H). `steps`: taken since the start or the last restart, (...), int32."""

    velocity: Array
    steps: Array


@pytree_dataclass
class Nesterov(VelocityRecurrence):
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

    step_size: Any = 1.0
    restart: int | None = static(default=None)

    def __post_init__(self) -> None:
        _check_hyperparameters(self, "step_size")
        if self.restart is not None:
            set_fields(self, lambda name, value: _checks.integer(name, value, low=1), "restart")

    def start(self, u: Array) -> NesterovState:
        return NesterovState(jnp.zeros_like(u), jnp.zeros_like(u[..., 0], dtype=jnp.int32))

    def coefficients(self, state: NesterovState) -> tuple[Any, Any]:
        return nesterov_momentum(state.steps, state.velocity.dtype), self.step_size

    def next_state(self, state: NesterovState, velocity: Array) -> NesterovState:
        return NesterovState(velocity, next_steps(state.steps, self.restart))


def nesterov_momentum(steps: Array, dtype: Any) -> Array:
    """`(k-1)/(k+2)` for the step `k = steps + 1`, with a last axis of one; `steps` of shape (...) gives (..., 1)."""
    k = jnp.expand_dims(steps, -1).astype(dtype) + 1
    return (k - 1) / (k + 2)


def next_steps(steps: Array, restart: int | None) -> Array:
    """The steps taken after one more, back to 0 when the period `restart` is full."""
    return steps + 1 if restart is None else (steps + 1) % restart


class AdamState(NamedTuple):
    """`velocity`: v_t, and `second_moment`: m_t, each shaped like u, (..., G·H)."""

    velocity: Array
    second_moment: Array


@pytree_dataclass
class Adam(Drive):
    """Momentum divided by a running root mean square, without bias correction.

    `v_t = mu v_{t-1} + step_size u_t`, `m_t = beta m_{t-1} + (1 - beta) u_t²`, `d_t = v_t / sqrt(m_t + eps)`, from zeros.

    `eps` stands inside the square root, as in the released code. With the released 1e-16 a component of `u` that is exactly
    zero (a blank border of an image, before the bias has learnt) lets `d` reach 1e4 and its gradient 1e8: finite in
    float32, but worth a larger `eps` or gradient clipping. In float16 such gradients overflow.

    Args:
      mu: momentum μ in [0, 1), a scalar or broadcastable against the gates.
      step_size: step size s > 0, likewise.
      beta: second-moment decay β in [0, 1), likewise.
      eps: ε of at least 1e-30, likewise; gradients overflow float32 below that.
        The defaults are the released code's for MNIST.

    Raises:
      TypeError, ValueError: an argument is not a real number, or outside its range. Traced values are not checked.

    Source: MomentumRNN, arXiv 2006.06919; agrees with the released code to rounding.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Adam(mu=0.0, step_size=1.0, beta=0.0)
    >>> state, d = drive.step(drive.init(jnp.zeros(2)), jnp.array([3.0, -0.5]))
    >>> d.tolist()  # without memory, only the sign is left
    [1.0, -1.0]
    """

    mu: Any = 0.6
    step_size: Any = 0.6
    beta: Any = 0.1
    eps: Any = 1e-16

    def __post_init__(self) -> None:
        _check_hyperparameters(self, "mu", "step_size", "beta", "eps")

    def start(self, u: Array) -> AdamState:
        return AdamState(jnp.zeros_like(u), jnp.zeros_like(u))

    def update(self, state: AdamState, u: Array) -> tuple[AdamState, Array]:
        velocity = align("mu", self.mu, u) * state.velocity + align("step_size", self.step_size, u) * u
        second_moment, scale = _root_mean_square(self.beta, self.eps, state.second_moment, u)
        return AdamState(velocity, second_moment), velocity / scale


class RMSPropState(NamedTuple):
    """`second_moment`: m_t, shaped like u, (..., G·H)."""

    second_moment: Array


@pytree_dataclass
class RMSProp(Drive):
    """The projected input divided by its running root mean square: `Adam` with `mu = 0`, and no velocity to carry.

    `m_t = beta m_{t-1} + (1 - beta) u_t²`, `d_t = step_size u_t / sqrt(m_t + eps)`, `m_0 = 0`. On `eps`, see `Adam`.

    Args:
      step_size: step size s > 0, a scalar or broadcastable against the gates.
      beta: second-moment decay β in [0, 1), likewise.
      eps: ε of at least 1e-30, likewise.
        The defaults are the released code's for MNIST.

    Raises:
      TypeError, ValueError: as `Adam`.

    Source: MomentumRNN, arXiv 2006.06919; agrees with the released code to rounding.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.RMSProp(step_size=1.0, beta=0.75)
    >>> state, d = drive.step(drive.init(jnp.zeros(1)), jnp.array([4.0]))
    >>> d.tolist(), state.second_moment.tolist()
    ([2.0], [4.0])
    """

    step_size: Any = 0.6
    beta: Any = 0.9
    eps: Any = 1e-16

    def __post_init__(self) -> None:
        _check_hyperparameters(self, "step_size", "beta", "eps")

    def start(self, u: Array) -> RMSPropState:
        return RMSPropState(jnp.zeros_like(u))

    def update(self, state: RMSPropState, u: Array) -> tuple[RMSPropState, Array]:
        second_moment, scale = _root_mean_square(self.beta, self.eps, state.second_moment, u)
        return RMSPropState(second_moment), align("step_size", self.step_size, u) * u / scale


@pytree_dataclass
class OptaxDrive(Drive):
    """Any optax gradient transformation as a drive: `d_t, state = tx.update(u_t, state)`, for each example by itself.

    `u_t` of one example, of shape (G·H,), is handed over as the gradient; the update that comes back is the drive. Use the
    `scale_by_…` transformations: optimisers such as `optax.sgd` also flip the sign. There are neither parameters nor a loss
    to hand over, so transformations that need them are refused. Every example starts from the same state, so one that draws
    random numbers draws the same for all. optax's transformations are seldom differentiated through; some (`scale_by_radam`)
    have gradients that are not finite.

    The transformation is static, and two calls of the same optax factory compare unequal: build it once and keep it, or
    each new one recompiles. `optax.inject_hyperparams` turns its hyper-parameters into state.

    Args:
      tx: an `optax.GradientTransformation`; a `chain` is one too.

    Raises:
      TypeError: `tx` is no gradient transformation.
      ValueError: `tx` cannot work on a gradient alone.

    Source: optax (https://optax.readthedocs.io).

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr, optax
    >>> drive = mr.OptaxDrive(optax.trace(decay=0.5))
    >>> impulse = jnp.array([[1.0], [0.0], [0.0]])
    >>> drive.unroll(drive.init(impulse[0]), impulse)[1][:, 0].tolist()
    [1.0, 0.5, 0.25]
    """

    tx: optax.GradientTransformation = static()

    def __post_init__(self) -> None:
        if not isinstance(self.tx, optax.GradientTransformation):
            raise TypeError(f"tx must be an optax.GradientTransformation, got {self.tx!r}.")
        probe = jax.ShapeDtypeStruct((2,), jnp.float32)
        try:
            jax.eval_shape(lambda u: self._update_one(self._start_one(u), u), probe)
        except Exception as error:  # whatever a third party's transformation raises, the cause is kept
            raise ValueError(
                f"tx must work on a gradient alone, without parameters or a loss; {type(error).__name__} from optax: {error}"
            ) from error

    def start(self, u: Array) -> Any:
        return _per_example(self._start_one, u.ndim - 1)(jnp.zeros_like(u))

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        return _per_example(self._update_one, u.ndim - 1)(state, u)

    def _start_one(self, u: Array) -> Any:
        with _standard_promotion():
            return jax.tree.map(jnp.asarray, self.tx.init(u))

    def _update_one(self, state: Any, u: Array) -> tuple[Any, Array]:
        with _standard_promotion():
            d, new = self.tx.update(u, state, None)
        # A scan needs dtypes to stay as they were; some transformations promote theirs.
        return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, state), d.astype(u.dtype)


@contextlib.contextmanager
def _standard_promotion() -> Iterator[None]:
    """optax mixes dtypes and ranks as JAX does by default; a caller's stricter settings are for the caller's own code."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _per_example(function: Callable[..., Any], batch_ndim: int) -> Callable[..., Any]:
    for _ in range(batch_ndim):
        function = jax.vmap(function)
    return function


def _root_mean_square(beta: Any, eps: Any, second_moment: Array, u: Array) -> tuple[Array, Array]:
    """`m_t` and `sqrt(m_t + eps)`."""
    beta = align("beta", beta, u)
    second_moment = beta * second_moment + (1 - beta) * u * u
    return second_moment, jnp.sqrt(second_moment + align("eps", eps, u))


def align(name: str, hyperparameter: Any, u: Array) -> Array:
    """A hyper-parameter in the dtype of `u`, with leading axes of one so that it broadcasts against `u`.

    Raises:
      ValueError: its shape does not broadcast against that of `u`; the message names it.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> mr.align("mu", jnp.array([0.1, 0.9]), jnp.ones((5, 2))).shape
    (1, 2)
    """
    array = jnp.asarray(hyperparameter).astype(u.dtype)
    padded = (1,) * (u.ndim - array.ndim) + array.shape
    if array.ndim > u.ndim or any(p not in (1, n) for p, n in zip(padded, u.shape, strict=True)):
        raise ValueError(
            f"{name} must be a scalar or broadcast against the gates, here of shape {u.shape}, got shape {array.shape}."
        )
    return array if array.ndim == 0 else array.reshape(padded)


_RANGES: dict[str, dict[str, Any]] = {
    "mu": {"low": 0.0, "high": 1.0},
    "beta": {"low": 0.0, "high": 1.0},
    "step_size": {"low": 0.0, "low_open": True},
    "eps": {"low": 1e-30},
}


def _check_hyperparameters(drive: Drive, *names: str) -> None:
    set_fields(drive, lambda name, value: _checks.number(name, value, **_RANGES[name]), *names)
