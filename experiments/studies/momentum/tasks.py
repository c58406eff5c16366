"""The tasks of the study: each one's config, its data, its arms and how many seeds it has."""

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import datasets, tasks
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import Config, Copying, Memory, Mnist, PermutedMnist, Text
from experiments.datasets import Dataset, Split, mnist
from experiments.studies.momentum.arms import ARMS, Arm, fields, filtered, taps_of

IMAGES, CHARACTERS = 10_000, 500_000
CORRELATION_TIMES, NOISES = (1.0, 3.0, 10.0, 30.0), (0.25, 1.0, 2.0)
TUNED_DOSES = ((10.0, 1.0), (1.0, 0.25))


class Recall(Copying):
    """The copying problem, of which the accuracy counts."""

    score = "accuracy"


class Task(NamedTuple):
    """`row` and `orthogonal_row` are the configs from which `changes` differ.

    `share` is the task's part of the budget, in core-hours; `tuned_on` is the task whose trials count, None for its own.
    """

    title: str
    unit: str
    row: str
    changes: dict[str, Any]
    arms: tuple[str, ...]
    seeds: int
    share: float
    orthogonal_row: str | None = None
    tuned_on: str | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether its score is an accuracy."""
        return self.unit == ACCURACY

    @property
    def fewest_seeds(self) -> int:
        """With fewer there is no verdict."""
        return self.seeds // 2


MSE, ACCURACY, NATS = "MSE", "accuracy (%)", "cross entropy (nats)"


def dose(correlation_time: float, noise: float) -> str:
    """The name of a dose's task.

    >>> dose(10.0, 0.25)
    'dose_10_0.25'
    """
    return f"dose_{correlation_time:g}_{noise:g}"


def _nearer(correlation_time: float, noise: float) -> str | None:
    """The dose that was tuned whose log τ + log σ is nearer; None for itself."""

    def distance(other: tuple[float, float]) -> float:
        return abs(math.log(correlation_time * noise) - math.log(other[0] * other[1]))

    nearer = min(TUNED_DOSES, key=distance)
    return None if nearer == (correlation_time, noise) else dose(*nearer)


_PIXELS = {"hidden_features": 128, "epochs": 20}
_MEMORY = {"hidden_features": 64, "epochs": 30, "steps_per_epoch": 100, "batch_size": 64}
DOSES = {
    dose(time, noise): Task(
        title=f"a signal of correlation time {time:g} in noise {noise:g}",
        unit=MSE,
        row="tracking_lstm",
        changes={"correlation_time": time, "noise": noise},
        arms=("L", "S", "M"),
        seeds=10,
        share=4.0 / 12,
        tuned_on=_nearer(time, noise),
    )
    for time in CORRELATION_TIMES
    for noise in NOISES
}
TASKS = {
    "spoken_digits": Task(
        title="free spoken digits",
        unit=MSE,
        row="fsdd_lstm_158",
        changes={"epochs": 60},
        arms=("L", "S", "M", "O", "F", "A", "R", "N", "MN"),
        seeds=20,
        share=14.0,
    ),
    "pixels": Task(
        title="MNIST at 14 × 14, in order",
        unit=ACCURACY,
        row="mnist_lstm_128",
        orthogonal_row="pmnist_dtriv_170",
        changes=_PIXELS,
        arms=("L", "S", "M", "O", "D", "DM"),
        seeds=10,
        share=6.0,
    ),
    "permuted_pixels": Task(
        title="MNIST at 14 × 14, permuted",
        unit=ACCURACY,
        row="pmnist_lstm_128",
        orthogonal_row="pmnist_dtriv_170",
        changes=_PIXELS,
        arms=("L", "S", "M", "O", "D", "DM"),
        seeds=10,
        share=6.0,
    ),
    "adding": Task(
        title="adding, T = 100",
        unit=MSE,
        row="adding_lstm",
        changes=_MEMORY | {"length": 100},
        arms=("L", "S", "M"),
        seeds=10,
        share=2.0,
    ),
    "copying": Task(
        title="copying, T = 50",
        unit=ACCURACY,
        row="copying_lstm",
        orthogonal_row="copying_dtriv",
        changes=_MEMORY | {"length": 50},
        arms=("L", "S", "M", "D", "DM"),
        seeds=10,
        share=2.0,
    ),
    "characters": Task(
        title="characters",
        unit=NATS,
        row="text_lstm",
        changes={"epochs": 10},
        arms=("L", "S", "M", "A"),
        seeds=10,
        share=4.0,
    ),
    **DOSES,
}


def config_of(name: str, arm: str, values: dict[str, float], seed: int) -> Config:
    """The config of a run.

    >>> config_of("adding", "S", {"learning_rate": 0.002, "gain": 0.5}, seed=3).input_scale
    0.5
    """
    task, chosen = TASKS[name], ARMS[arm]
    row = task.orthogonal_row if chosen.orthogonal else task.row
    if row is None:
        raise RunError(f"the task {name} has no arm {arm}")
    base = CONFIGS[row].config
    if name == "copying":
        base = Recall(**dataclasses.asdict(base))
    if name == "pixels" and chosen.orthogonal:  # the paper has the orthogonal cells on permuted pixels alone
        given = {key: value for key, value in dataclasses.asdict(base).items() if key != "permutation_seed"}
        base = Mnist(**given)
    if name == "permuted_pixels":
        base = dataclasses.replace(base, permutation_seed=None)  # type: ignore[call-arg]
    return dataclasses.replace(base, **task.changes, **fields(chosen, values), seed=seed)


class Sources(NamedTuple):
    """The user's files of the data, and where prepared data is kept; None for what is prepared."""

    data_dir: Path
    spoken_digits: Path | None = None
    mnist: Path | None = None
    text: Path | None = None


def load(config: Config, arm: Arm, values: dict[str, float], sources: Sources) -> tuple[tasks.Stored, tasks.Data]:
    """The task of a config and its data, through the arm's filter."""
    if isinstance(config, Memory):
        return tasks.generated(config)
    data = _dataset("mnist" if isinstance(config, Mnist) else config.task, sources)
    if isinstance(config, Text):
        return tasks.streamed(config, data)
    steps = data.train.inputs.shape[1]
    taps = taps_of(arm, values, config.seed, steps)
    if taps is not None:  # in the order in which the network reads
        order = mnist.permutation(config.seed, steps) if isinstance(config, PermutedMnist) else np.arange(steps)
        back = np.argsort(order)
        train, validation, test = (split._replace(inputs=filtered(split.inputs[:, order], taps)[:, back]) for split in data[:3])
        described = {"filter": arm.filter, "taps": [float(f"{tap:.6g}") for tap in taps]}
        data = Dataset(train, validation, test, data.info._replace(origin={**data.info.origin, **described}))
    return tasks.stored(config, data)


@cache
def _dataset(name: str, sources: Sources) -> Dataset:
    if name == "fsdd":
        return datasets.load(name, sources.data_dir, sources.spoken_digits)
    if name == "text":
        return datasets.load(name, sources.data_dir, _beginning(sources), unit="character", min_count=1)
    data = datasets.load(name, sources.data_dir, sources.mnist)
    train, validation, test = (_smaller(split) for split in data[:3])
    train = Split(train.inputs[:IMAGES], train.targets[:IMAGES])
    origin = {**data.info.origin, "pixels": "means of 2 x 2", "train": f"the first {IMAGES}"}
    return Dataset(train, validation, test, data.info._replace(origin=origin))


def _smaller(split: Split) -> Split:
    """The images of half the height and width, by the means of 2 x 2 pixels."""
    images = split.inputs.reshape(-1, mnist.SIDE // 2, 2, mnist.SIDE // 2, 2).mean((2, 4))
    return Split(images.reshape(len(images), -1, 1), split.targets)


def _beginning(sources: Sources) -> Path:
    """A file with the first characters of the text."""
    if sources.text is None:
        raise RunError("--text must be given for the characters")
    try:
        text = sources.text.read_text(encoding="utf-8")[:CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"--text {sources.text} cannot be read as UTF-8: {error}") from error
    path = sources.data_dir / f"first-{CHARACTERS}-of-{sources.text.name}"
    sources.data_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
