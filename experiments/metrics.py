"""How good a classifier is: means over a batch of examples."""

import jax.numpy as jnp
import optax
from jax import Array


def cross_entropy(logits: Array, labels: Array) -> Array:
    """The mean cross entropy in nats; logits (batch, classes), integer labels (batch,)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def accuracy(logits: Array, labels: Array) -> Array:
    """The fraction of examples whose largest logit is the label's; logits (batch, classes), integer labels (batch,)."""
    return (jnp.argmax(logits, axis=-1) == labels).mean()
