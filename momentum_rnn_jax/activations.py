"""The activations that cores know by name."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks


def modrelu(z: Array, bias: Array) -> Array:
    """modReLU, which keeps the sign and shifts the magnitude: `sign(z) · relu(|z| + bias)`.

    Args:
      z: pre-activations, (..., H).
      bias: (H,). A negative entry gives a dead zone of that half-width around zero, a positive one a jump at zero.

    Returns:
      (..., H). At `z = 0` both the value and the gradient are 0.

    Source: unitary evolution RNNs, arXiv 1511.06464; the released orthogonal code applies it to real numbers.

    >>> import jax.numpy as jnp
    >>> modrelu(jnp.array([-2.0, 0.25]), jnp.array([-0.5, -0.5])).tolist()
    [-1.5, 0.0]
    """
    return jnp.sign(z) * jax.nn.relu(jnp.abs(z) + bias.reshape((1,) * (z.ndim - 1) + bias.shape))


def identity(z: Array) -> Array:
    """`z` itself: the linear recurrent network, whose gradients have a closed form."""
    return z


ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "identity": identity,
}
NAMES = (*ELEMENTWISE, "modrelu")


def named(name: str, value: Any, allowed: Iterable[str] = NAMES) -> str:
    """The argument `name`, an activation's name in any case, as it is written here."""
    return _checks.choice(name, value.lower() if isinstance(value, str) else value, allowed)


def elementwise(name: str, value: Any) -> str:
    """The same, for an activation without a parameter of its own."""
    return named(name, value, ELEMENTWISE)
