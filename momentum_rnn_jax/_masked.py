"""Padding and resets: which steps count, and where an example restarts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Masks(NamedTuple):
    """`resets`: where an example restarts before the step; `valid`: where the step counts. Each (time, batch…), or None."""

    resets: Array | None = None
    valid: Array | None = None


def enter(state: Any, start: Any, masks: Masks) -> Any:
    """The state a step begins with."""
    return state if masks.resets is None else select(masks.resets, start, state)


def leave(new: Any, old: Any, masks: Masks) -> Any:
    """The state a step ends with."""
    return new if masks.valid is None else select(masks.valid, new, old)


def zero_padding(outputs: Array, masks: Masks) -> Array:
    """Outputs that are zero at padded steps."""
    return outputs if masks.valid is None else select(masks.valid, outputs, jnp.zeros_like(outputs))


def select(mask: Array, chosen: Any, other: Any) -> Any:
    """For every leaf of two trees, `chosen` where the mask, of the batch's shape, is True, and `other` elsewhere."""

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(leaf, chosen, other)
