"""How good a network's outputs are, by kind of task.

A score has a name, and for each example a sum and a count of what was summed, both (batch,): means over a batch, over a whole
split and over the frames of sequences of different lengths are then the same division.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array

from experiments.datasets import Split
from experiments.datasets.synthetic import NUM_DATA

Scores = dict[str, tuple[Array, Array]]

LARGEST_LOSS = 88.0  # of which float32 holds the perplexity; that of a larger one is said to be no larger
ADDING_TOLERANCE = 0.04  # a sum within it counts as right


def means(scores: Scores) -> dict[str, Array]:
    """Each score's mean over all examples."""
    return {name: total.sum() / count.sum() for name, (total, count) in scores.items()}


def classification(logits: Array, batch: Split) -> Scores:
    """Cross entropy in nats, and accuracy; logits (batch, classes), targets (batch,)."""
    ones = jnp.ones(len(logits))
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    right = jnp.argmax(logits, axis=-1) == batch.targets
    return {"loss": (loss, ones), "accuracy": (right.astype(jnp.float32), ones)}


def frames(outputs: Array, batch: Split) -> Scores:
    """The squared error of each feature of each frame that is real; outputs and targets (batch, time, features)."""
    steps = jnp.arange(outputs.shape[1])
    real = steps[jnp.newaxis] < jnp.asarray(batch.lengths)[:, jnp.newaxis]
    errors = jnp.where(real[..., jnp.newaxis], outputs - batch.targets, 0.0)
    count = jnp.asarray(batch.lengths).astype(jnp.float32) * outputs.shape[-1]
    return {"loss": (jnp.square(errors).sum((1, 2)), count)}


def addition(outputs: Array, batch: Split) -> Scores:
    """The squared error, and how many sums are within `ADDING_TOLERANCE`; outputs (batch, 1), targets (batch,)."""
    errors = outputs[:, 0] - batch.targets
    ones = jnp.ones(len(errors))
    right = jnp.abs(errors) < ADDING_TOLERANCE
    return {"loss": (jnp.square(errors), ones), "accuracy": (right.astype(jnp.float32), ones)}


def recall(logits: Array, batch: Split) -> Scores:
    """Cross entropy of each step in nats, and accuracy on the symbols to repeat; logits (batch, time, symbols)."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    right = (jnp.argmax(logits, axis=-1) == batch.targets)[:, -NUM_DATA:].astype(jnp.float32)
    ones = jnp.ones(len(loss))
    return {"loss": (loss.sum(1), ones * loss.shape[1]), "accuracy": (right.sum(1), ones * right.shape[1])}


def tokens(logits: Array, batch: Split) -> Scores:
    """Cross entropy of each token that is real, in nats; logits (batch, time, vocabulary)."""
    real = jnp.arange(logits.shape[1])[jnp.newaxis] < jnp.asarray(batch.lengths)[:, jnp.newaxis]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    return {"loss": (jnp.where(real, loss, 0.0).sum(1), jnp.asarray(batch.lengths).astype(jnp.float32))}


def no_more(means: dict[str, Array]) -> dict[str, Array]:
    """Nothing follows from the means."""
    return {}


def of_words(means: dict[str, Array]) -> dict[str, Array]:
    """The perplexity: a model that chose evenly among so many words would have this loss."""
    return {"perplexity": jnp.exp(jnp.minimum(means["loss"], LARGEST_LOSS))}


def of_characters(means: dict[str, Array]) -> dict[str, Array]:
    """The perplexity, and the loss in bits for a character."""
    return {**of_words(means), "bits_per_character": means["loss"] / jnp.log(2.0)}


Score = Callable[[Array, Split], Scores]
Derived = Callable[[dict[str, Array]], dict[str, Array]]
