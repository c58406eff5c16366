"""Reading the folders of `python -m experiments.train`: what was run, where, and the results."""

import contextlib
import dataclasses
import itertools
import json
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import checkpoint, record
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import TASKS
from experiments.reporting import words
from momentum_rnn_jax import _checks

# Keys of config.json that are not the data; any other key tells runs apart, as the data does.
CIRCUMSTANCES = ("command", "versions", "device", "git_commit", "cells", "training", "task")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    `settings` are the config's values without the seed; `data` is the origin of the data; `epochs` are the epochs' lines of
    metrics, and `test` is the test's, None for an unfinished run. `seconds` is None without a checkpoint.
    """

    folder: Path
    name: str
    seed: int
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[dict[str, Any]]
    test: dict[str, Any] | None
    seconds: float | None
    command: str
    commit: str
    device: str
    versions: str

    def curve(self, metric: str) -> dict[int, float]:
        """A metric by epoch, for the epochs that have it."""
        return {line["epoch"]: line[metric] for line in self.epochs if metric in line}


def find(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """The runs in these folders and below them, and the folders of other commands' runs among them.

    Raises:
      RunError: there is no finished run, or a file is damaged.
    """
    runs: dict[Path, Run] = {}
    others = []
    for path in paths:
        for folder in _folders(path):
            if folder.resolve() in runs:
                continue
            config = _config(folder)
            if _is_run(config):
                runs[folder.resolve()] = _read(folder, config)
            elif folder == path:
                raise RunError(f"{folder} is not a run of experiments.train")
            else:
                others.append(folder)
    if not runs:
        raise RunError(f"no run of experiments.train in {', '.join(map(str, paths))}")
    if not any(run.test for run in runs.values()):
        begun = max(runs.values(), key=lambda run: len(run.epochs))
        raise RunError(f"no run is finished; the furthest is {begun.folder}, epochs: {len(begun.epochs)}")
    return list(runs.values()), others


def _folders(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise RunError(f"{path} does not exist")
    if not path.is_dir():
        raise RunError(f"{path} is not a folder")
    if (path / checkpoint.CONFIG).exists():
        yield path
        return
    # A folder has the suffix .new until it is complete.
    yield from (found.parent for found in sorted(path.rglob(checkpoint.CONFIG)) if found.parent.suffix != ".new")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with that file is an error of one line."""
    try:
        yield
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"{path} is missing or damaged: {reason}") from error


def _config(folder: Path) -> Any:
    path = folder / checkpoint.CONFIG
    with _reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _is_run(config: Any) -> bool:
    training = config.get("training") if isinstance(config, dict) else None
    return (
        isinstance(training, dict)
        and {"task", "cell", "hidden_features", "seed"} <= set(training)
        and isinstance(config.get("task"), dict)
        and "runs" not in training  # a sweep has several
    )


def _read(folder: Path, config: dict[str, Any]) -> Run:
    settings = dict(config["training"])
    with _reading(folder / checkpoint.CONFIG):
        task = TASKS[_checks.choice("task", settings["task"], TASKS)]
        task(**{name: value for name, value in settings.items() if name != "task"})
        for key, kind in (("command", str), ("git_commit", str), ("device", dict), ("versions", dict)):
            if not isinstance(config.get(key) or kind(), kind):
                raise ValueError(f"its {key} is not a {kind.__name__}")
        if not isinstance(config["task"].get("as_published", {}), dict):
            raise ValueError("its as_published is not a dict")
    seed, command = settings.pop("seed"), config.get("command") or ""
    with _reading(folder / checkpoint.METRICS):
        epochs, test = _metrics((folder / checkpoint.METRICS).read_text(encoding="utf-8"))
        if test is not None and (len(epochs) != settings["epochs"] or "validation_loss" not in epochs[-1]):
            raise ValueError(f"it has a test, but not all of the {settings['epochs']} epochs")
        if test is not None and task.score == "accuracy" and "test_accuracy" not in test:
            raise ValueError("its test has no accuracy")
    return Run(
        folder=folder,
        name=_name(folder, command),
        seed=seed,
        settings=settings,
        data={**config["task"], **{key: value for key, value in config.items() if key not in CIRCUMSTANCES}},
        epochs=epochs,
        test=test,
        seconds=_seconds(folder / checkpoint.NAME),
        command=command,
        commit=config.get("git_commit") or "unknown",
        device=record.in_words(config.get("device") or {}),
        versions=", ".join(f"{name} {version}" for name, version in (config.get("versions") or {}).items()) or "unknown",
    )


def _name(folder: Path, command: str) -> str:
    """The config's name, from the command as it was typed, or else from the folder's name."""
    typed = re.findall(r"--config[= ](\S+)", command)  # no name of a config needs quotes; of several, the last counts
    return typed[-1] if typed else re.sub(r"-seed\d+$", "", folder.name)


def _metrics(text: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The lines of the epochs, and that of the test, if there is one.

    Raises:
      ValueError: it is not a run's metrics.
    """
    lines = [_line(number, row) for number, row in enumerate(text.splitlines(), 1)]
    test = lines.pop() if lines and lines[-1]["kind"] == "test" else None
    if [(line["kind"], line["epoch"]) for line in lines] != [("epoch", number) for number in range(1, len(lines) + 1)]:
        raise ValueError("its lines are not epochs 1, 2, … and the test")
    if test is not None and (not 1 <= test["epoch"] <= len(lines) or "validation_loss" not in lines[test["epoch"] - 1]):
        raise ValueError(f"its test is of epoch {test['epoch']}, which has no validation loss")
    return lines, test


def _line(number: int, row: str) -> dict[str, Any]:
    try:
        line = json.loads(row)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    if isinstance(line, dict) and line.get("kind") in ("epoch", "test") and isinstance(line.get("epoch"), int):
        scores = {key: value for key, value in line.items() if key.startswith(("train_", "validation_", "test_"))}
        loss = "test_loss" if line["kind"] == "test" else "train_loss"
        if loss in scores and all(isinstance(value, int | float) and math.isfinite(value) for value in scores.values()):
            return line
    raise ValueError(f"line {number} is not an epoch or a test with finite scores")


def _seconds(path: Path) -> float | None:
    if not path.exists():
        return None
    with _reading(path), path.open("rb") as file, np.load(file) as entries:
        return float(json.loads(str(entries[checkpoint.TEXT]))["seconds"])


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed; in the order of their seeds.

    `changes` are the settings that differ from the named config, as (theirs, the config's); `other_data` is the part of their
    data's origin that differs from other groups of that name.
    """

    name: str
    runs: tuple[Run, ...]
    changes: dict[str, tuple[Any, Any]]
    other_data: dict[str, Any]

    @property
    def task(self) -> str:
        """The task's name in the config."""
        return self.runs[0].settings["task"]

    @property
    def label(self) -> str:
        """The config's name, and how the runs differ from it."""
        changed = {**{key: value for key, (value, _) in self.changes.items()}, **self.other_data}
        return " ".join([self.name, *(f"{key}={words.value(value)}" for key, value in changed.items())])


def circumstances_of(groups: Iterable[Group]) -> dict[str, list[str]]:
    """The distinct commits, devices and versions of the groups' runs, in order."""
    runs = [run for group in groups for run in group.runs]
    seen = {
        "commits": [short(run.commit) for run in runs],
        "devices": [run.device for run in runs],
        "versions": [run.versions for run in runs],
    }
    return {what: list(dict.fromkeys(values)) for what, values in seen.items()}


def short(commit: str) -> str:
    """The first seven digits, and the mark of uncommitted changes.

    >>> short("0123456789abcdef0123456789abcdef01234567-dirty")
    '0123456-dirty'
    """
    digits, dash, dirty = commit.partition("-")
    return f"{digits[:7]}{dash}{dirty}"


def group(runs: Iterable[Run]) -> list[Group]:
    """The finished runs, grouped by config, settings and data; in the order of the named configs.

    Raises:
      RunError: two runs of a group have the same seed and would count twice.
    """
    by_key: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.test is not None:
            key = json.dumps([run.settings, run.data], sort_keys=True)
            by_key.setdefault((run.name, key), []).append(run)
    groups = []
    for (name, _), members in by_key.items():
        members.sort(key=lambda run: run.seed)
        for first, second in itertools.pairwise(members):
            if first.seed == second.seed:
                raise RunError(f"{first.folder} and {second.folder} are the same run, of seed {first.seed}; give one of them")
        alike = [others[0] for (other, _), others in by_key.items() if other == name]
        groups.append(Group(name, tuple(members), _changes(name, members[0], alike), _other_data(members[0], alike)))
    order = {name: number for number, name in enumerate(CONFIGS)}
    return sorted(groups, key=lambda group: (order.get(group.name, len(order)), group.label))


def _changes(name: str, run: Run, alike: list[Run]) -> dict[str, tuple[Any, Any]]:
    """Against the named config; if it no longer exists, against the first run of that name."""
    usual = CONFIGS[name].config.to_dict() if name in CONFIGS else alike[0].settings
    return {key: (value, usual.get(key)) for key, value in run.settings.items() if value != usual.get(key)}


def _other_data(run: Run, alike: list[Run]) -> dict[str, Any]:
    return {key: value for key, value in run.data.items() if any(other.data.get(key) != value for other in alike)}
