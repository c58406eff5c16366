"""The activations a simple recurrent core may use, by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def modrelu(z: Array, bias: Array) -> Array:
    """modReLU: `sign(z) · relu(|z| + bias)`, which shrinks or widens the dead zone around zero and keeps the sign.

    Args:
      z: pre-activations, (..., H).
      bias: (H,); a negative entry makes a dead zone of that half-width, a positive one a jump at zero.

    Returns:
      (..., H). At `z = 0` the value and the gradient are 0.

    Source: unitary evolution RNNs, arXiv 1511.06464; the released orthogonal code applies it to real numbers.

    >>> import jax.numpy as jnp
    >>> modrelu(jnp.array([-2.0, 0.25]), jnp.array([-0.5, -0.5])).tolist()
    [-1.5, 0.0]
    """
    return jnp.sign(z) * jax.nn.relu(jnp.abs(z) + bias.reshape((1,) * (z.ndim - 1) + bias.shape))


def identity(z: Array) -> Array:
    """`z` itself: a linear recurrent network, whose gradients are known in closed form."""
    return z


ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "identity": identity,
}
NAMES = (*ELEMENTWISE, "modrelu")
