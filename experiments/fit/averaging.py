"""Averaged gradient descent: from a step on, the mean of the iterates is what is looked at; training itself goes on as before."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments import models

NEVER = np.iinfo(np.int32).max


class Average(NamedTuple):
    """`params`: the mean of the parameters after each step behind `since`; while that is `NEVER`, the newest ones.

    Source: Polyak and Juditsky 1992; the trigger is that of Merity et al., arXiv 1708.02182.
    """

    params: models.Params
    since: Array


def start(params: models.Params) -> Average:
    """Before the first step."""
    return Average(params, jnp.array(NEVER, jnp.int32))


def update(average: Average, params: models.Params, step: Array) -> Average:
    """With the parameters after a step, the one of that number."""
    number = step - average.since

    def mean(before: Array, new: Array) -> Array:
        return jnp.where(number <= 1, new, before + (new - before) / jnp.maximum(number, 1).astype(new.dtype))

    return average._replace(params=jax.tree.map(mean, average.params, params))


def is_stuck(losses: Sequence[float], patience: int) -> bool:
    """Whether the last loss is worse than the best of those that came more than `patience` before it.

    >>> is_stuck([3.0, 1.0, 2.0], patience=1), is_stuck([1.0, 3.0, 2.0], patience=1), is_stuck([1.0, 2.0], patience=1)
    (False, True, False)
    """
    *before, last = losses
    return len(before) > patience and last > min(before[: len(before) - patience])


def after_look(average: Average | tuple[()], step: int, losses: Sequence[float], patience: int | None) -> Average | tuple[()]:
    """Begin behind this step, the first time that the validation loss is stuck; `losses` are those of every look so far."""
    if isinstance(average, Average) and patience is not None and int(average.since) == NEVER and is_stuck(losses, patience):
        return average._replace(since=jnp.array(step, jnp.int32))
    return average
