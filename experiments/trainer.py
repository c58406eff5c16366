"""Training as pure functions of one seed's state, and one compiled program that runs them for all seeds at once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

import momentum_rnn_jax as mr
from experiments import metrics, models
from experiments.config import Training
from experiments.datasets import Dataset, Split
from experiments.fit.optimizer import cosine, rmsprop


class Best(NamedTuple):
    """The parameters after the epoch that was best on the validation split, and what they reached there."""

    params: models.Params
    epoch: Array
    accuracy: Array
    loss: Array


class RunState(NamedTuple):
    """One seed's training between two epochs."""

    params: models.Params
    optimizer: Any
    shuffle_key: Array
    best: Best


class EpochMetrics(NamedTuple):
    """One epoch of one seed: the mean loss over its minibatches, and the validation split's after it."""

    train_loss: Array
    validation_loss: Array
    validation_accuracy: Array


class TestMetrics(NamedTuple):
    """The test split at the best epoch's parameters."""

    loss: Array
    accuracy: Array


class Trainer:
    """One cell on one task; every method works on all seeds at once, with the seed as the leading axis of every array.

    Seeds are independent runs that share a compiled program: gradients are clipped and epochs chosen for each by itself.
    """

    def __init__(self, cell: mr.Cell, task: Dataset, training: Training) -> None:
        batch_size = min(training.batch_size, len(task.train.targets))
        optimizer = make_optimizer(training, training.epochs * (len(task.train.targets) // batch_size))

        def start(seed: Array) -> RunState:
            return start_run(cell, optimizer, jax.random.key(seed), task.train.inputs.shape[-1], task.info.outputs)

        def epoch(state: RunState, number: Array, train: Split, validation: Split) -> tuple[RunState, EpochMetrics]:
            return run_epoch(cell, optimizer, batch_size, state, number, train, validation)

        def test(state: RunState, test: Split) -> TestMetrics:
            return TestMetrics(*evaluate(cell, state.best.params, test))

        self._train, self._validation, self._held_out = jax.tree.map(jnp.asarray, task[:3])
        self._seeds = jnp.arange(training.seeds)
        # Not compiled as a whole: that takes longer than the operations one by one, which all cells share.
        self._start = jax.vmap(start)
        self._epoch = jax.jit(jax.vmap(epoch, in_axes=(0, None, None, None)))
        self._test = jax.jit(jax.vmap(test, in_axes=(0, None)))

    def start(self) -> RunState:
        """Every seed before its first epoch."""
        return self._start(self._seeds)

    def epoch(self, state: RunState, number: int) -> tuple[RunState, EpochMetrics]:
        """Once through the training split; epochs are counted from 1."""
        return self._epoch(state, jnp.asarray(number, jnp.int32), self._train, self._validation)

    def test(self, state: RunState) -> TestMetrics:
        """The test split at each seed's best epoch; the only place where it is looked at."""
        return self._test(state, self._held_out)


def make_optimizer(training: Training, num_updates: int) -> optax.GradientTransformation:
    """RMSprop behind clipping by the global norm; the learning rate falls along a cosine over `num_updates`."""
    learning_rate = cosine(training.learning_rate, training.cosine_final_learning_rate, num_updates)
    return optax.chain(optax.clip_by_global_norm(training.clip_norm), rmsprop(learning_rate, training.rmsprop_decay))


def start_run(cell: mr.Cell, optimizer: optax.GradientTransformation, key: Array, in_features: int, num_classes: int) -> RunState:
    """New parameters, and no epoch chosen yet."""
    init_key, shuffle_key = jax.random.split(key)
    params = models.init(cell, init_key, in_features, num_classes)
    # Strongly typed, as an epoch's results are: otherwise the second epoch would compile again.
    best = Best(params, epoch=jnp.zeros((), jnp.int32), accuracy=-jnp.ones(()), loss=jnp.full((), jnp.inf, jnp.float32))
    return RunState(params, optimizer.init(params), shuffle_key, best)


def run_epoch(
    cell: mr.Cell,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    state: RunState,
    number: Array,
    train: Split,
    validation: Split,
) -> tuple[RunState, EpochMetrics]:
    """Once through the training split in a new order, then the validation split."""

    def loss(params: models.Params, indices: Array) -> Array:
        return metrics.cross_entropy(models.apply(cell, params, train.inputs[indices]), train.targets[indices])

    def minibatch(carry: tuple[models.Params, Any], indices: Array) -> tuple[tuple[models.Params, Any], Array]:
        params, optimizer_state = carry
        value, gradient = jax.value_and_grad(loss)(params, indices)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, params)
        return (optax.apply_updates(params, updates), optimizer_state), value

    # The examples that fill no minibatch are left out, others in each epoch.
    num_examples = train.targets.shape[0]
    num_batches = num_examples // batch_size
    order = jax.random.permutation(jax.random.fold_in(state.shuffle_key, number), num_examples)
    batches = order[: num_batches * batch_size].reshape(num_batches, batch_size)
    (params, optimizer_state), train_losses = jax.lax.scan(minibatch, (state.params, state.optimizer), batches)

    validation_loss, validation_accuracy = evaluate(cell, params, validation)
    best = better(state.best, Best(params, number, validation_accuracy, validation_loss))
    results = EpochMetrics(train_losses.mean(), validation_loss, validation_accuracy)
    return RunState(params, optimizer_state, state.shuffle_key, best), results


def evaluate(cell: mr.Cell, params: models.Params, examples: Split) -> tuple[Array, Array]:
    """`(cross entropy, accuracy)` over all examples."""
    logits = models.apply(cell, params, examples.inputs)
    return metrics.cross_entropy(logits, examples.targets), metrics.accuracy(logits, examples.targets)


def better(old: Best, new: Best) -> Best:
    """The one with the higher accuracy or, with so few examples that many epochs tie, the lower loss."""
    tie_won = (new.accuracy == old.accuracy) & (new.loss < old.loss)
    is_better = (new.accuracy > old.accuracy) | tie_won
    return jax.tree.map(lambda o, n: jnp.where(is_better, n, o), old, new)
