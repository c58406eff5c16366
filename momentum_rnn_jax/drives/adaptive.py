"""Drives that divide by a running root mean square: Adam and RMSProp."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, state_type
from momentum_rnn_jax.drives.base import Drive, align


@state_type
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
      step_size: step size s > 0, of the same form.
      beta: second-moment decay β in [0, 1), of the same form.
      eps: ε of at least 1e-30, of the same form; gradients overflow float32 below that.
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

    mu: Any = hyperparameter(default=0.6, low=0.0, high=1.0)
    step_size: Any = hyperparameter(default=0.6, low=0.0, low_open=True)
    beta: Any = hyperparameter(default=0.1, low=0.0, high=1.0)
    eps: Any = hyperparameter(default=1e-16, low=1e-30)

    def start(self, u: Array) -> AdamState:
        return AdamState(jnp.zeros_like(u), jnp.zeros_like(u))

    def at_rest(self, u: Array) -> AdamState:
        return AdamState(align("step_size", self.step_size, u) * u / (1 - align("mu", self.mu, u)), u * u)

    def update(self, state: AdamState, u: Array) -> tuple[AdamState, Array]:
        velocity = align("mu", self.mu, u) * state.velocity + align("step_size", self.step_size, u) * u
        second_moment, scale = _root_mean_square(self.beta, self.eps, state.second_moment, u)
        return AdamState(velocity, second_moment), velocity / scale


@state_type
class RMSPropState(NamedTuple):
    """`second_moment`: m_t, shaped like u, (..., G·H)."""

    second_moment: Array


@pytree_dataclass
class RMSProp(Drive):
    """The projected input divided by its running root mean square: `Adam` with `mu = 0`, and no velocity to carry.

    `m_t = beta m_{t-1} + (1 - beta) u_t²`, `d_t = step_size u_t / sqrt(m_t + eps)`, `m_0 = 0`. On `eps`, see `Adam`.

    Args:
      step_size: step size s > 0, a scalar or broadcastable against the gates.
      beta: second-moment decay β in [0, 1), of the same form.
      eps: ε of at least 1e-30, of the same form.
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

    step_size: Any = hyperparameter(default=0.6, low=0.0, low_open=True)
    beta: Any = hyperparameter(default=0.9, low=0.0, high=1.0)
    eps: Any = hyperparameter(default=1e-16, low=1e-30)

    def start(self, u: Array) -> RMSPropState:
        return RMSPropState(jnp.zeros_like(u))

    def at_rest(self, u: Array) -> RMSPropState:
        return RMSPropState(u * u)

    def update(self, state: RMSPropState, u: Array) -> tuple[RMSPropState, Array]:
        second_moment, scale = _root_mean_square(self.beta, self.eps, state.second_moment, u)
        return RMSPropState(second_moment), align("step_size", self.step_size, u) * u / scale


def _root_mean_square(beta: Any, eps: Any, second_moment: Array, u: Array) -> tuple[Array, Array]:
    """`m_t` and `sqrt(m_t + eps)`."""
    beta = align("beta", beta, u)
    second_moment = beta * second_moment + (1 - beta) * u * u
    return second_moment, jnp.sqrt(second_moment + align("eps", eps, u))
