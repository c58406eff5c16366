"""Assorted-time normalisation: its statistics over features and steps, and the drive that applies it to projected inputs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import check_hyperparameters, hyperparameter, pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.drives.base import Drive, align


@state_type
class Window(NamedTuple):
    """Statistics of the k - 1 steps before, newest last, each (..., k - 1).

    `mean` and `variance`: over one step's features; `filled`: 1 where a slot holds a step, 0 where there was none yet.
    """

    mean: Array
    variance: Array
    filled: Array


@pytree_dataclass
class AssortedTime:
    """The normalisation of `Normalized`: layer normalisation whose statistics are those of the last k steps.

    `m_t` and `q_t` are the mean and variance of all numbers of `z_{t-k+1}, …, z_t`, of one example; the first k - 1 windows are
    shorter. `ATN(z_t) = gain (z_t - m_t) / √(q_t + eps) + shift`. Two numbers a step suffice: with each step's mean and variance
    over the features, `m_t = mean_i(mean_i)`, `q_t = mean_i(var_i) + mean_i((mean_i - m_t)²)`, exactly. Gradients flow through
    the window. `k=1` is layer normalisation; k of at least the sequence's length takes the statistics of the whole past.

    Args:
      k: the number of steps, the present one included, at least 1 (static).
      eps: added to the variance, positive, a scalar.
      per_gate: whether the statistics are over each gate's H numbers by themselves; all gates together as published (static).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Assorted-Time Normalization, arXiv 2209.14439; agrees with the released code to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.Normalized(mr.LSTM(4), mr.AssortedTime(k=3)), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> mr.unroll(cell, params, jnp.ones((5, 2, 3)))[1].shape
    (5, 2, 4)
    """

    k: int = static()
    eps: Any = hyperparameter(default=1e-5, low=0.0, low_open=True)
    per_gate: bool = static(default=False)

    def __post_init__(self) -> None:
        set_fields(self, _checks.size, "k")
        check_hyperparameters(self)
        set_fields(self, _checks.one_number, "eps")
        set_fields(self, _checks.boolean, "per_gate")


def empty_window(k: int, shape: tuple[int, ...], dtype: Any) -> Window:
    """The window before the first step, for examples of this shape; three buffers, as a caller may donate them."""
    return Window(*(jnp.zeros((*shape, k - 1), dtype) for _ in Window._fields))


def standardize(x: Array, window: Window | None, eps: Any) -> tuple[Array, Window | None]:
    """`(x_t - m_t) / √(q_t + eps)` over the last axis, and the window one step later; None in place of a window for k = 1.

    Computed in at least float32.

    >>> import jax.numpy as jnp
    >>> standardize(jnp.array([1.0, 3.0]), None, 1e-30)[0].tolist()
    [-1.0, 1.0]
    """
    wide = x.astype(at_least_float32(x.dtype))
    mean = wide.mean(-1, keepdims=True)
    centred = wide - mean
    variance = (centred * centred).mean(-1, keepdims=True)
    if window is not None:
        # k = 1 is this with one entry: its mean is the mean itself, and the second term of the variance zero.
        every = Window(
            *(
                jnp.concatenate([old.astype(wide.dtype), new], axis=-1)
                for old, new in zip(window, (mean, variance, jnp.ones_like(mean)), strict=True)
            )
        )
        share = every.filled / every.filled.sum(-1, keepdims=True)
        mean = (share * every.mean).sum(-1, keepdims=True)
        spread = every.mean - mean
        variance = (share * (every.variance + spread * spread)).sum(-1, keepdims=True)
        centred = wide - mean
        window = Window(*(new[..., 1:].astype(old.dtype) for new, old in zip(every, window, strict=True)))
    return (centred * jax.lax.rsqrt(variance + align("eps", eps, wide))).astype(x.dtype), window


@pytree_dataclass
class AssortedTimeNorm(Drive):
    """Assorted-time normalisation of the projected input, as a drive: `d_t = gain (u_t - m_t) / √(q_t + eps) + shift`.

    `m_t` and `q_t` are as in `AssortedTime`. It sees inputs alone, and so runs ahead of the core like every drive. In a `Chain`
    both orders can be written:

      `Chain(Momentum(), AssortedTimeNorm(k))`, drive then norm: the step size, and the gain 1 / (1 - mu) that momentum has on a
        constant input, cancel (up to eps). What is left of momentum is its direction, which makes it the control that tells
        momentum from its scale. `Normalized` normalises d in this place, with parameters for gain and shift.
      `Chain(AssortedTimeNorm(k), Momentum())`, norm then drive: momentum amplifies, and gain contains the step size.

    Put in front of `Normalized(core, norm, input_norm=False)`, the norm of the input path is computed ahead of the recurrence.
    There is no form for a whole sequence by a windowed sum: a reset or an initial state would need a window of its own for each
    example and step, which the scan that runs every drive has for nothing.

    Args:
      k: the number of steps, the present one included, at least 1 (static).
      gain, shift: scalars or broadcastable against the gates; they are leaves, so `jax.grad` with respect to the cell, or
        `learnable` in Flax, trains them.
      eps: added to the variance, positive, of the same form.

    State: `Window(mean, variance, filled)`, each (..., k - 1).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. Traced values are not checked.

    Source: Assorted-Time Normalization, arXiv 2209.14439; agrees with the released code to rounding.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.AssortedTimeNorm(k=2, eps=1e-12)
    >>> us = jnp.array([[-1.0, 1.0], [3.0, 5.0]])  # the second window has mean 2 and variance 5
    >>> d = drive.unroll(drive.init(us[0]), us)[1][1]
    >>> (d * 5**0.5).round().tolist()
    [1.0, 3.0]
    """

    k: int = static()
    gain: Any = hyperparameter(default=1.0)
    shift: Any = hyperparameter(default=0.0)
    eps: Any = hyperparameter(default=1e-5, low=0.0, low_open=True)

    def __post_init__(self) -> None:
        set_fields(self, _checks.size, "k")
        super().__post_init__()

    def start(self, u: Array) -> Window:
        return empty_window(self.k, u.shape[:-1], u.dtype)

    def update(self, state: Window, u: Array) -> tuple[Window, Array]:
        standard, window = standardize(u, state, self.eps)
        assert window is not None
        return window, align("gain", self.gain, u) * standard + align("shift", self.shift, u)
