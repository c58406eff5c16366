"""The tasks of the study: each one's config, its data, its arms and how many seeds it has."""

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from experiments import datasets, tasks
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import Config, Copying, Memory, Mnist, Text
from experiments.datasets import Dataset, Split
from experiments.datasets.mnist import SIDE
from experiments.studies.momentum.arms import ARMS, Arm, fields, filtered, taps_of

IMAGES, CHARACTERS = 10_000, 500_000
CORRELATION_TIMES, NOISES = (1.0, 3.0, 10.0, 30.0), (0.25, 1.0, 2.0)
TUNED_DOSES = ((10.0, 1.0), (1.0, 0.25))


class Recall(Copying):
    """The copying problem, of which the accuracy counts."""

    score = "accuracy"


class Task(NamedTuple):
    """`rows` are the configs of an LSTM and of a DTRIV from which `changes` differ, `tuned_on` is the task whose trials count.

    `share` is the task's part of the budget, in core-hours; of the doses, the first has all.
    """

    title: str
    unit: str
    rows: tuple[str, str | None]
    changes: dict[str, Any]
    arms: tuple[str, ...]
    seeds: int
    share: float
    tuned_on: str


MSE, ACCURACY, NATS = "MSE", "accuracy (%)", "cross entropy (nats)"


def dose(correlation_time: float, noise: float) -> str:
    """The name of a dose's task.

    >>> dose(10.0, 0.25)
    'dose_10_0.25'
    """
    return f"dose_{correlation_time:g}_{noise:g}"


def _nearer(correlation_time: float, noise: float) -> str:
    """The dose that was tuned whose log τ + log σ is nearer."""

    def distance(other: tuple[float, float]) -> float:
        return abs(math.log(correlation_time * noise) - math.log(other[0] * other[1]))

    return dose(*min(TUNED_DOSES, key=distance))


_PIXELS = {"hidden_features": 128, "epochs": 20}
_MEMORY = {"hidden_features": 64, "epochs": 30, "steps_per_epoch": 100, "batch_size": 64}
TASKS = {
    "spoken_digits": Task(
        "free spoken digits", MSE, ("fsdd_lstm_158", None), {"epochs": 60},
        ("L", "S", "M", "O", "F", "A", "R", "N", "MN"), 20, 14.0, "spoken_digits",
    ),
    "pixels": Task(
        "MNIST at 14 × 14, in order", ACCURACY, ("mnist_lstm_128", "pmnist_dtriv_170"), _PIXELS,
        ("L", "S", "M", "O", "D", "DM"), 10, 6.0, "pixels",
    ),
    "permuted_pixels": Task(
        "MNIST at 14 × 14, permuted", ACCURACY, ("pmnist_lstm_128", "pmnist_dtriv_170"), _PIXELS,
        ("L", "S", "M", "O", "D", "DM"), 10, 6.0, "permuted_pixels",
    ),
    "adding": Task(
        "adding, T = 100", MSE, ("adding_lstm", None), _MEMORY | {"length": 100}, ("L", "S", "M"), 10, 2.0, "adding"
    ),
    "copying": Task(
        "copying, T = 50", ACCURACY, ("copying_lstm", "copying_dtriv"), _MEMORY | {"length": 50}, ("L", "S", "M", "D", "DM"),
        10, 2.0, "copying",
    ),
    "characters": Task(
        "characters", NATS, ("text_lstm", None), {"epochs": 10}, ("L", "S", "M", "A"), 10, 4.0, "characters"
    ),
} | {
    dose(time, noise): Task(
        f"a signal of correlation time {time:g} in noise {noise:g}", MSE, ("tracking_lstm", None),
        {"correlation_time": time, "noise": noise}, ("L", "S", "M"), 10, 4.0 / 12, _nearer(time, noise),
    )
    for time in CORRELATION_TIMES
    for noise in NOISES
}  # fmt: skip


def config_of(name: str, arm: str, values: dict[str, float], seed: int) -> Config:
    """The config of a run.

    >>> config_of("adding", "S", {"learning_rate": 0.002, "gain": 0.5}, seed=3).input_scale
    0.5
    """
    task, chosen = TASKS[name], ARMS[arm]
    row = task.rows[chosen.cell.endswith("dtriv")]
    if row is None:
        raise RunError(f"the task {name} has no arm {arm}")
    base = CONFIGS[row].config
    if name == "copying":
        base = Recall(**dataclasses.asdict(base))
    if name == "pixels" and chosen.cell.endswith("dtriv"):  # the paper has the orthogonal cells on permuted pixels alone
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
    taps = taps_of(arm, values, config.seed, data.train.inputs.shape[1])
    if taps is not None:
        train, validation, test = (split._replace(inputs=filtered(split.inputs, taps)) for split in data[:3])
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
    images = split.inputs.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return Split(images.reshape(len(images), -1, 1), split.targets)


def _beginning(sources: Sources) -> Path | None:
    """A file with the first characters of the text."""
    if sources.text is None:
        return None
    try:
        text = sources.text.read_text(encoding="utf-8")[:CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"--text {sources.text} cannot be read as UTF-8: {error}") from error
    path = sources.data_dir / f"first-{CHARACTERS}-of-{sources.text.name}"
    sources.data_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
