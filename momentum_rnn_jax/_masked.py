"""A scan over time in which examples may stand still (padding) and go back to a start (resets)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Masks(NamedTuple):
    """`resets`: where an example begins anew before the step; `valid`: where the step counts. Each (time, batch…), or None."""

    resets: Array | None = None
    valid: Array | None = None


def scan(
    step: Callable[[Any, Array], tuple[Any, Array]], state: Any, xs: Array, start: Any, masks: Masks, unroll: int = 1
) -> tuple[Any, Array]:
    """`jax.lax.scan(step, state, xs)`, back to `start` where `resets` say, and standing still where steps are not `valid`."""

    def body(state: Any, inputs: tuple[Array, Masks]) -> tuple[Any, Array]:
        x, masks = inputs
        state = enter(state, start, masks)
        new, y = step(state, x)
        return leave(new, state, masks), y if masks.valid is None else select(masks.valid, y, jnp.zeros_like(y))

    return jax.lax.scan(body, state, (xs, masks), unroll=unroll)


def enter(state: Any, start: Any, masks: Masks) -> Any:
    """The state a step begins with."""
    return state if masks.resets is None else select(masks.resets, start, state)


def leave(new: Any, old: Any, masks: Masks) -> Any:
    """The state a step ends with."""
    return new if masks.valid is None else select(masks.valid, new, old)


def select(mask: Array, chosen: Any, other: Any) -> Any:
    """For every leaf of two trees, `chosen` where the mask, of the batch's shape, is True, and `other` elsewhere."""

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(leaf, chosen, other)
