"""Tasks: how a minibatch is taken from the data, what the network outputs, and how that is scored.

A task is frozen and hashable, as JAX caches compiled programs by it; the data is an argument of the programs. `plan(train, key)`
is computed once per call, and `batch(train, plan, index)` is the minibatch of that number in the epoch: both depend on nothing
else, so that minibatches are the same wherever a run was interrupted.

A score is, for each example, a sum and a count of what was summed, both (batch,): means over a batch, over a split and over the
frames of sequences of different lengths are all one sum divided by the other.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from experiments import datasets
from experiments.command import RunError
from experiments.configs.base import (
    BitReversedMnist,
    Config,
    Language,
    Memory,
    Mnist,
    Moving,
    MovingFrames,
    PermutedMnist,
    Text,
    Tracking,
    Trajectories,
)
from experiments.datasets import Dataset, Split, mnist, synthetic
from experiments.datasets.text import batch_stream

Scores = dict[str, tuple[Array, Array]]

LARGEST_LOSS = 88.0  # larger ones have a perplexity that overflows float32; this one's is reported instead
ADDING_TOLERANCE = 0.04  # a sum within it counts as right
WINDOWS_SEED = 0
FULL, SHORTEST, DEVIATION = 0.95, 5, 5.0  # how the AWD-LSTM draws a window's length
VALIDATION_SEED, TEST_SEED = 1_000_001, 1_000_002  # the same splits for every cell and training seed


class Data(NamedTuple):
    """The splits, and their origin: plain values for `config.json`."""

    train: Any
    validation: Split
    test: Split
    origin: dict[str, Any]


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
    """The squared error of each feature of each frame within `lengths`; outputs and targets (batch, time, features)."""
    errors = jnp.where(_real(outputs, batch)[..., jnp.newaxis], outputs - batch.targets, 0.0)
    count = jnp.asarray(batch.lengths).astype(jnp.float32) * outputs.shape[-1]
    return {"loss": (jnp.square(errors).sum((1, 2)), count)}


def video(outputs: Array, batch: Split) -> Scores:
    """The squared error of each pixel; outputs and targets (batch, time, height, width, 1)."""
    errors = jnp.square(outputs - batch.targets).reshape(len(outputs), -1)
    return {"loss": (errors.sum(1), jnp.full(len(errors), errors.shape[1], errors.dtype))}


def addition(outputs: Array, batch: Split) -> Scores:
    """The squared error, and the share of sums within `ADDING_TOLERANCE`; outputs (batch, 1), targets (batch,)."""
    errors = outputs[:, 0] - batch.targets
    ones = jnp.ones(len(errors))
    return {"loss": (jnp.square(errors), ones), "accuracy": ((jnp.abs(errors) < ADDING_TOLERANCE).astype(jnp.float32), ones)}


def every_step(outputs: Array, batch: Split) -> Scores:
    """The squared error of every step; outputs (batch, time, 1), targets (batch, time)."""
    errors = outputs[..., 0] - batch.targets
    return {"loss": (jnp.square(errors).sum(1), jnp.full(len(errors), errors.shape[1], errors.dtype))}


def recall(logits: Array, batch: Split) -> Scores:
    """Cross entropy of each step in nats, and accuracy on the symbols to repeat; logits (batch, time, symbols)."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    right = (jnp.argmax(logits, axis=-1) == batch.targets)[:, -synthetic.NUM_DATA :].astype(jnp.float32)
    ones = jnp.ones(len(loss))
    return {"loss": (loss.sum(1), ones * loss.shape[1]), "accuracy": (right.sum(1), ones * right.shape[1])}


def tokens(logits: Array, batch: Split) -> Scores:
    """Cross entropy of each token within `lengths`, in nats; logits (batch, time, vocabulary)."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    return {"loss": (jnp.where(_real(logits, batch), loss, 0.0).sum(1), jnp.asarray(batch.lengths).astype(jnp.float32))}


def _real(outputs: Array, batch: Split) -> Array:
    return jnp.arange(outputs.shape[1])[jnp.newaxis] < jnp.asarray(batch.lengths)[:, jnp.newaxis]


def first_half(batch: Split) -> Split:
    """The first half of a minibatch's steps."""
    half = -(-batch.inputs.shape[1] // 2)
    return batch._replace(inputs=batch.inputs[:, :half], targets=batch.targets[:, :half])


def derived(means: dict[str, Array], unit: str | None) -> dict[str, Array]:
    """Scores of a whole split that follow from the means: of a text, the perplexity and bits per character."""
    if unit is None:
        return {}
    bits = {"bits_per_character": means["loss"] / jnp.log(2.0)} if unit == "character" else {}
    return {"perplexity": jnp.exp(jnp.minimum(means["loss"], LARGEST_LOSS)), **bits}


@dataclasses.dataclass(frozen=True)
class Stored:
    """A dataset in memory, in a new order in each epoch; examples left over after the last full minibatch are skipped."""

    score: Callable[[Array, Split], Scores]
    every_step: bool
    in_features: int
    outputs: int
    steps_per_epoch: int
    examples: int
    batch_size: int
    unit: str | None = None

    @property
    def score_names(self) -> tuple[str, ...]:
        """The scores of a minibatch."""
        return ("loss",) if self.score in (frames, video, tokens, every_step) else ("loss", "accuracy")

    @property
    def pads(self) -> bool:
        """Whether sequences end before the longest one does, which most minibatches do not contain."""
        return self.score is frames

    def plan(self, train: Any, key: Array) -> Any:
        """The order of the examples."""
        return jax.random.permutation(key, self.examples)

    def batch(self, train: Any, plan: Any, index: Array) -> Split:
        """The minibatch of that number, sorted by length where lengths differ: native kernels skip padding in groups of rows."""
        rows = jax.lax.dynamic_slice_in_dim(plan, index * self.batch_size, self.batch_size)
        if train.lengths is not None:
            rows = rows[jnp.argsort(jnp.asarray(train.lengths)[rows])]
        return jax.tree.map(lambda array: array[rows], train)

    def rate(self, batch: Split) -> Array | None:
        """A factor of the learning rate, or None."""
        return None


@dataclasses.dataclass(frozen=True)
class Generated(Stored):
    """A synthetic task: new sequences in each minibatch."""

    make: Callable[..., Any] = synthetic.adding
    length: int = 0
    options: tuple[tuple[str, float], ...] = ()

    def plan(self, train: Any, key: Array) -> Any:
        return key

    def batch(self, train: Any, plan: Any, index: Array) -> Split:
        return Split(*self.make(jax.random.fold_in(plan, index), self.batch_size, self.length, **dict(self.options)))


@dataclasses.dataclass(frozen=True)
class Streamed(Stored):
    """A text in rows that are read in parallel, window by window; each epoch has the windows' lengths in a new order."""

    lengths: tuple[int, ...] = ()
    bptt: int = 1

    def plan(self, train: Any, key: Array) -> Any:
        """Where the windows start, and how long they are."""
        steps = self.steps_per_epoch
        in_turn = jax.random.permutation(key, jnp.asarray(self.lengths, jnp.int32))
        first = jax.random.randint(jax.random.fold_in(key, 1), (), 0, len(self.lengths) - steps + 1)
        starts, in_turn = (jax.lax.dynamic_slice_in_dim(part, first, steps) for part in (jnp.cumsum(in_turn) - in_turn, in_turn))
        return starts, in_turn

    def batch(self, train: Any, plan: Any, index: Array) -> Split:
        starts, in_turn = plan
        longest = max(self.lengths)
        inputs, targets = (jax.lax.dynamic_slice_in_dim(part, starts[index], longest, axis=1) for part in train[:2])
        return Split(inputs, targets, jnp.full(self.batch_size, in_turn[index]))

    def rate(self, batch: Split) -> Array:
        return batch.lengths[0].astype(jnp.float32) / self.bptt


def load(config: Config, data_dir: Path | None = None, source: Path | None = None) -> tuple[Stored, Data]:
    """The task of a config, and its data.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: an option does not fit the data.
    """
    if isinstance(config, Memory):
        if source is not None:
            raise RunError(f"--source {source}: the task {config.task!r} has no source: it generates its sequences")
        return generated(config)
    options: dict[str, Any] = {}
    if isinstance(config, Mnist):
        options = {"validation_size": config.validation_size}
    if isinstance(config, Trajectories):
        options = {"train_every": config.train_every, "test_every": config.test_every}
    if isinstance(config, Moving):
        options = {"predict": "frame" if isinstance(config, MovingFrames) else "class", "noise": config.noise}
    if isinstance(config, Text):
        options = {"unit": config.unit, "min_count": config.min_count}
    try:
        name = "mnist" if isinstance(config, Mnist) else "moving" if isinstance(config, Moving) else config.task
        data = datasets.load(name, data_dir or Path(), source, **options)
        return streamed(config, data) if isinstance(config, Language) else stored(config, data)
    except ValueError as error:
        raise RunError(str(error)) from error


def stored(config: Config, data: Dataset) -> tuple[Stored, Data]:
    """A dataset of examples."""
    examples, batch_size = len(data.train.targets), config.batch_size
    fill = examples // batch_size
    steps = config.steps_per_epoch or fill
    if not 1 <= steps <= fill:
        raise RunError(
            f"an epoch of {max(steps, 1)} minibatches of {batch_size} needs more than the {examples} examples for training; "
            "set batch_size or steps_per_epoch"
        )
    score, every_step = {"classify": (classification, False), "regress": (frames, True), "frames": (video, True)}[data.info.task]
    task = Stored(score, every_step, data.train.inputs.shape[-1], data.info.outputs, steps, examples, batch_size)
    origin = {**data.info.origin, "name": config.task}
    if isinstance(config, PermutedMnist):
        seed = config.permutation_seed
        origin["permutation_seed"] = "the run's seed" if seed is None else seed
    return task, Data(*data[:3], origin)


def orders(configs: list[Config], data: Data) -> np.ndarray | None:
    """The order in which each run reads the pixels, (runs, time); None for the given order."""
    if not isinstance(configs[0], PermutedMnist | BitReversedMnist):
        return None
    steps = data.validation.inputs.shape[1]
    if isinstance(configs[0], BitReversedMnist):
        return np.stack([mnist.bit_reversal(steps)] * len(configs)).astype(np.int32)
    seeds = [run.seed if run.permutation_seed is None else run.permutation_seed for run in configs]  # type: ignore[attr-defined]
    return np.stack([mnist.permutation(seed, steps) for seed in seeds]).astype(np.int32)


def streamed(config: Language, data: Dataset) -> tuple[Streamed, Data]:
    """A text."""
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
    lengths = draw_lengths(len(data.train.inputs) // rows, config.bptt)
    steps = config.steps_per_epoch or len(lengths)
    if steps > len(lengths):
        raise RunError(
            f"an epoch of {steps} windows needs more than the {len(lengths)} of the training split; set steps_per_epoch"
        )
    vocabulary, unit = data.info.outputs, config.unit if isinstance(config, Text) else "word"
    task = Streamed(tokens, True, vocabulary, vocabulary, steps, 0, rows, unit, tuple(lengths), config.bptt)
    validation, test = (in_order(part, evaluated, config.bptt) for part in (data.validation, data.test))
    return task, Data(in_rows(data.train, rows, max(lengths)), validation, test, {**data.info.origin, "name": data.info.name})


def draw_lengths(columns: int, bptt: int) -> list[int]:
    """The lengths of windows that cover so many columns exactly once, about `bptt` each, as the AWD-LSTM draws them.

    A length is normal around `bptt`, or with probability 0.05 around half of it, and at least 5; the last window gets the rest.
    Every epoch has the same lengths in another order, so that all epochs have equally many steps and each covers the stream.

    >>> sum(draw_lengths(100, 20))
    100
    """
    random = np.random.RandomState(WINDOWS_SEED)
    lengths: list[int] = []
    while columns:
        around = bptt if random.uniform() < FULL else bptt / 2
        lengths.append(min(max(SHORTEST, int(random.normal(around, DEVIATION))), columns))
        columns -= lengths[-1]
    return lengths


def in_rows(stream: Split, rows: int, behind: int) -> Split:
    """The stream in so many rows, padded with `behind` columns of zeros, so that a window of any length can start anywhere."""
    return Split(*(np.pad(part, ((0, 0), (0, behind))) for part in batch_stream(stream, rows)[:2]))


def in_order(stream: Split, rows: int, length: int) -> Split:
    """The stream in so many rows, window by window: (windows · rows, length), and how many tokens of each count.

    >>> split = in_order(Split(np.arange(10), np.arange(1, 11)), rows=2, length=3)
    >>> split.inputs.tolist(), split.lengths.tolist()
    ([[0, 1, 2], [5, 6, 7], [3, 4, 0], [8, 9, 0]], [3, 3, 2, 2])
    """
    columns = len(stream.inputs) // rows
    length = min(length, columns)
    windows = -(-columns // length)
    padded = in_rows(stream, rows, windows * length - columns)
    inputs, targets = (part.reshape(rows, windows, length).swapaxes(0, 1).reshape(-1, length) for part in padded[:2])
    lengths = np.minimum(columns - length * np.arange(windows), length).astype(np.int32)
    return Split(inputs, targets, np.repeat(lengths, rows))


SYNTHETIC: dict[str, tuple[Callable[..., Any], Any, bool, int]] = {
    "adding": (synthetic.adding, addition, False, 1),
    "copying": (synthetic.copying, recall, True, synthetic.ALPHABET),
    "denoise": (synthetic.denoise, recall, True, synthetic.ALPHABET),
    "tracking": (synthetic.tracking, every_step, True, 1),
}


def generated(config: Memory) -> tuple[Generated, Data]:
    """A synthetic task, with fixed sequences for validation and testing."""
    make, score, reads_all, outputs = SYNTHETIC[config.task]
    names = ("correlation_time", "noise") if isinstance(config, Tracking) else ()
    options = {name: getattr(config, name) for name in names}

    def held_out(seed: int) -> Split:
        draw = partial(make, batch_size=config.held_out, length=config.length, **options)
        batch = jax.jit(draw)(jax.random.key(seed))
        return Split(*map(np.asarray, batch))

    try:
        validation = held_out(VALIDATION_SEED)
    except ValueError as error:  # length
        raise RunError(str(error)) from error
    sizes = (validation.inputs.shape[-1], outputs, config.steps_per_epoch, 0, config.batch_size)
    task = Generated(score, reads_all, *sizes, make=make, length=config.length, options=tuple(options.items()))
    origin = {"name": config.task, "validation_seed": VALIDATION_SEED, "test_seed": TEST_SEED}
    return task, Data((), validation, held_out(TEST_SEED), origin)
