"""What is learnt: data on the device, how a minibatch is taken from it, what the network reads out and how it is scored."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from experiments import datasets
from experiments.configs import Config
from experiments.configs.base import TASKS
from experiments.datasets import Dataset, Split, synthetic
from experiments.fit import scores, windows
from experiments.fit.errors import RunError


@dataclasses.dataclass(frozen=True)
class Kind:
    """What tasks of one kind have alike.

    `derived` are more scores of a whole split, which follow from the means.
    """

    every_step: bool
    score: scores.Score
    derived: scores.Derived = scores.no_more


KINDS = {
    "classify": Kind(every_step=False, score=scores.classification),
    "regress": Kind(every_step=True, score=scores.frames),
    "adding": Kind(every_step=False, score=scores.addition),
    "copying": Kind(every_step=True, score=scores.recall),
    "denoise": Kind(every_step=True, score=scores.recall),
    "word": Kind(every_step=True, score=scores.tokens, derived=scores.of_words),
    "character": Kind(every_step=True, score=scores.tokens, derived=scores.of_characters),
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task as a training loop sees it.

    `plan(train, key)` is computed once for each stretch of an epoch, and `batch(train, plan, index)` is its minibatch of that
    number: both depend on nothing else, so that minibatches are the same wherever a run was interrupted. Where there is a `rate`,
    the learning rate is multiplied by `rate(minibatch)`.
    """

    kind: Kind
    in_features: int
    outputs: int
    steps_per_epoch: int
    train: Any
    validation: Split
    test: Split
    plan: Callable[[Any, Array], Any]
    batch: Callable[[Any, Any, Array], Split]
    origin: dict[str, Any]
    rate: Callable[[Split], Array] | None = None


def load(config: Config, data_dir: Path, source: Path | None) -> Problem:
    """The task of a config.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: an option does not fit the data.
    """
    if config.task in SYNTHETIC:
        if source is not None:
            raise RunError(f"--source {source}: the task {config.task!r} has no source: it makes its sequences")
        return generated(config)
    options = {name: getattr(config, name) for name in TASKS[config.task].options if getattr(config, name) is not None}
    try:
        data = datasets.load(config.task, data_dir, source, **options)
        return streamed(config, data) if data.info.task == "language" else stored(config, data)
    except ValueError as error:
        raise RunError(str(error)) from error


def stored(config: Config, data: Dataset) -> Problem:
    """A dataset in memory, in a new order in each epoch; examples that fill no minibatch are left out, others in each."""
    examples, batch_size = len(data.train.targets), config.batch_size
    fill = examples // batch_size
    steps = config.steps_per_epoch or fill
    if not 1 <= steps <= fill:
        raise RunError(
            f"an epoch of {max(steps, 1)} minibatches of {batch_size} needs more than the {examples} examples for training; "
            "set batch_size or steps_per_epoch"
        )

    def plan(train: Split, key: Array) -> Array:
        return jax.random.permutation(key, examples)

    def batch(train: Split, order: Array, index: Array) -> Split:
        rows = jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)
        return jax.tree.map(lambda array: array[rows], train)

    train, validation, test = jax.tree.map(jnp.asarray, data[:3])
    return Problem(
        KINDS[data.info.task],
        data.train.inputs.shape[-1],
        data.info.outputs,
        steps,
        train,
        validation,
        test,
        plan,
        batch,
        {"name": data.info.name, **data.info.origin},
    )


def streamed(config: Config, data: Dataset) -> Problem:
    """A text in rows that are read side by side, window after window; an epoch has its windows' lengths in a new order."""
    assert config.bptt is not None  # so says the config
    rows, evaluated = config.batch_size, config.evaluation_rows
    for name, which, split, size in (
        ("batch_size", "training", data.train, rows),
        ("evaluation_batch_size", "validation", data.validation, evaluated),
        ("evaluation_batch_size", "test", data.test, evaluated),
    ):
        if size > len(split.inputs):
            raise RunError(
                f"a batch of {size} rows needs more than the {len(split.inputs)} tokens of the {which} split; set {name}"
            )
    lengths = windows.draw_lengths(len(data.train.inputs) // rows, config.bptt)
    longest, steps = int(lengths.max()), config.steps_per_epoch or len(lengths)
    if steps > len(lengths):
        raise RunError(
            f"an epoch of {steps} windows needs more than the {len(lengths)} of the training split; set steps_per_epoch"
        )

    def plan(train: Split, key: Array) -> tuple[Array, Array]:
        in_turn = jax.random.permutation(key, jnp.asarray(lengths, jnp.int32))
        first = jax.random.randint(jax.random.fold_in(key, 1), (), 0, len(lengths) - steps + 1)
        starts, in_turn = (jax.lax.dynamic_slice_in_dim(part, first, steps) for part in (jnp.cumsum(in_turn) - in_turn, in_turn))
        return starts, in_turn

    def batch(train: Split, plan: tuple[Array, Array], index: Array) -> Split:
        starts, in_turn = plan
        inputs, targets = (jax.lax.dynamic_slice_in_dim(part, starts[index], longest, axis=1) for part in train[:2])
        return Split(inputs, targets, jnp.full(rows, in_turn[index]))

    def rate(window: Split) -> Array:
        return window.lengths[0].astype(jnp.float32) / config.bptt

    train, validation, test = jax.tree.map(
        jnp.asarray,
        (
            windows.in_rows(data.train, rows, longest),
            *(windows.in_order(part, evaluated, config.bptt) for part in (data.validation, data.test)),
        ),
    )
    origin = {"name": data.info.name, **data.info.origin}
    kind, vocabulary = KINDS[config.unit or "word"], data.info.outputs
    return Problem(kind, vocabulary, vocabulary, steps, train, validation, test, plan, batch, origin, rate)


SYNTHETIC = {"adding": synthetic.adding, "copying": synthetic.copying, "denoise": synthetic.denoise}
# Both splits belong to the task: every cell and every training seed has the same.
VALIDATION_SEED, TEST_SEED = 1_000_001, 1_000_002


def generated(config: Config) -> Problem:
    """A synthetic task: new sequences in each minibatch, and fixed ones for validation and testing."""
    assert config.length is not None  # so says the config
    assert config.held_out is not None
    assert config.steps_per_epoch is not None
    make, length = SYNTHETIC[config.task], config.length

    def held_out(seed: int) -> Split:
        return Split(*jax.jit(make, static_argnums=(1, 2))(jax.random.key(seed), config.held_out, length))

    def plan(train: tuple[()], key: Array) -> Array:
        return key

    def batch(train: tuple[()], key: Array, index: Array) -> Split:
        return Split(*make(jax.random.fold_in(key, index), config.batch_size, length))

    try:
        validation = held_out(VALIDATION_SEED)
    except ValueError as error:  # length
        raise RunError(str(error)) from error
    outputs = 1 if config.task == "adding" else synthetic.ALPHABET
    return Problem(
        KINDS[config.task],
        validation.inputs.shape[-1],
        outputs,
        config.steps_per_epoch,
        (),
        validation,
        held_out(TEST_SEED),
        plan,
        batch,
        {"name": config.task, "validation_seed": VALIDATION_SEED, "test_seed": TEST_SEED},
    )
