"""Folders of `python -m experiments.train`, read: what was run, where, and what came out."""

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

# What config.json holds beside a run's settings and data. Anything else that it may hold decides what was run.
CIRCUMSTANCES = ("command", "versions", "device", "git_commit", "cells", "training", "task")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    `settings` are the config's values but the seed; `data` says what it was trained on; `epochs` are the lines of the epochs, and
    `test` that of the test, None while the run has not ended. `seconds` is None where there is no checkpoint to say so.
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
        """A metric by epoch, of the epochs that have it."""
        return {line["epoch"]: line[metric] for line in self.epochs if metric in line}


def find(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """The runs in these folders, each a run's own or one that holds such, and the folders of other commands' runs among them.

    Raises:
      RunError: there is nothing to report on, or something is damaged.
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
                raise RunError(f"{folder} holds no run of experiments.train")
            else:
                others.append(folder)
    if not runs:
        raise RunError(f"{', '.join(map(str, paths))}: no run of experiments.train is there")
    if not any(run.test for run in runs.values()):
        begun = max(runs.values(), key=lambda run: len(run.epochs))
        raise RunError(f"no run has ended; the furthest is {begun.folder}, {words.count(len(begun.epochs), 'epoch')}")
    return list(runs.values()), others


def _folders(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise RunError(f"{path} does not exist")
    if not path.is_dir():
        raise RunError(f"{path} is no folder")
    if (path / "config.json").exists():
        yield path
        return
    # A folder that is being made has the suffix .new until it is whole.
    yield from (found.parent for found in sorted(path.rglob("config.json")) if found.parent.suffix != ".new")


def _config(folder: Path) -> Any:
    path = folder / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {_one_line(error)}") from error


def _is_run(config: Any) -> bool:
    training = config.get("training") if isinstance(config, dict) else None
    return (
        isinstance(training, dict)
        and {"task", "cell", "hidden_features", "seed"} <= set(training)
        and isinstance(config.get("task"), dict)
        and "runs" not in training  # those of a sweep
    )


def _read(folder: Path, config: dict[str, Any]) -> Run:
    settings = dict(config["training"])
    try:
        task = TASKS[_checks.choice("task", settings["task"], TASKS)]
        task(**{name: value for name, value in settings.items() if name != "task"})
    except (TypeError, ValueError) as error:
        raise RunError(f"{folder / 'config.json'} holds no config of experiments.train: {_one_line(error)}") from error
    seed = settings.pop("seed")
    command, commit = config.get("command", ""), config.get("git_commit") or "unknown"
    device, versions = config.get("device") or {}, config.get("versions") or {}
    if not (isinstance(command, str) and isinstance(commit, str) and isinstance(device, dict) and isinstance(versions, dict)):
        raise RunError(f"{folder / 'config.json'} is damaged: its command, commit, device or versions are of another kind")
    if not isinstance(config["task"].get("as_published", {}), dict):
        raise RunError(f"{folder / 'config.json'} is damaged: its as_published is no object")
    epochs, test = _metrics(folder / checkpoint.METRICS)
    if test is not None and (len(epochs) != settings["epochs"] or "validation_loss" not in epochs[-1]):
        raise RunError(f"{folder / checkpoint.METRICS} is damaged: it is no whole run of {settings['epochs']} epochs")
    if test is not None and task.score == "accuracy" and "test_accuracy" not in test:
        raise RunError(f"{folder / checkpoint.METRICS} is damaged: its test has no accuracy")
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
        commit=commit,
        device=record.in_words(device),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown",
    )


def _name(folder: Path, command: str) -> str:
    """The config's name, from the command as it was typed, or else from the folder's name."""
    name = re.sub(r"-seed\d+$", "", folder.name)
    typed = command.split()  # no name of a config needs quotes; of several, the last counts
    for word, following in zip(typed, [*typed[1:], ""], strict=True):
        if word == "--config":
            name = following
        if word.startswith("--config="):
            name = word.removeprefix("--config=")
    return name


def _metrics(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The lines of the epochs, and that of the test."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {_one_line(error)}") from error
    lines = []
    for number, row in enumerate(text.splitlines(), 1):
        try:
            line = json.loads(row)
        except ValueError as error:
            raise RunError(f"{path} is damaged at line {number}: {_one_line(error)}") from error
        if not _is_line(line):
            raise RunError(f"{path} is damaged at line {number}: it is no epoch or test of finite numbers")
        lines.append(line)
    test = lines.pop() if lines and lines[-1]["kind"] == "test" else None
    if [(line["kind"], line["epoch"]) for line in lines] != [("epoch", number) for number in range(1, len(lines) + 1)]:
        raise RunError(f"{path} is damaged: its epochs are not 1, 2, … in order, and the test at the end")
    if test is not None and not 1 <= test["epoch"] <= len(lines):
        raise RunError(f"{path} is damaged: the test is of epoch {test['epoch']}, of {len(lines)}")
    if test is not None and "validation_loss" not in lines[test["epoch"] - 1]:
        raise RunError(f"{path} is damaged: epoch {test['epoch']}, which the test is of, has no validation loss")
    return lines, test


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or line.get("kind") not in ("epoch", "test") or not isinstance(line.get("epoch"), int):
        return False
    scores = {key: value for key, value in line.items() if key.startswith(("train_", "validation_", "test_"))}
    loss = "test_loss" if line["kind"] == "test" else "train_loss"
    return loss in scores and all(isinstance(value, int | float) and math.isfinite(value) for value in scores.values())


def _seconds(path: Path) -> float | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as entries:
            return float(json.loads(str(entries[checkpoint.TEXT]))["seconds"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is damaged: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed; in the order of their seeds.

    `changes` are the settings that are not the named config's, as (theirs, the config's); `other_data` is what of their data
    tells them from other groups of that name.
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
        """The config's name, and what differs from it."""
        changed = {**{key: value for key, (value, _) in self.changes.items()}, **self.other_data}
        return " ".join([self.name, *(f"{key}={words.value(value)}" for key, value in changed.items())])


def circumstances_of(groups: Iterable[Group]) -> dict[str, list[str]]:
    """The different commits, devices and versions of some groups' runs, in their order."""
    runs = [run for group in groups for run in group.runs]
    seen = {
        "commits": [short(run.commit) for run in runs],
        "devices": [run.device for run in runs],
        "versions": [run.versions for run in runs],
    }
    return {what: list(dict.fromkeys(values)) for what, values in seen.items()}


def short(commit: str) -> str:
    """The first seven digits, and whether files differed from it.

    >>> short("0123456789abcdef0123456789abcdef01234567-dirty")
    '0123456-dirty'
    """
    digits, dash, dirty = commit.partition("-")
    return f"{digits[:7]}{dash}{dirty}"


def group(runs: Iterable[Run]) -> list[Group]:
    """The runs that ended, by config and by everything else that was the same; in the order of the named configs.

    Raises:
      RunError: two runs of a group have the same seed, so that one would count twice.
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
    """Against the named config; or, of a name that is no longer there, against the first run of that name."""
    usual = CONFIGS[name].config.to_dict() if name in CONFIGS else alike[0].settings
    return {key: (value, usual.get(key)) for key, value in run.settings.items() if value != usual.get(key)}


def _other_data(run: Run, alike: list[Run]) -> dict[str, Any]:
    return {key: value for key, value in run.data.items() if any(other.data.get(key) != value for other in alike)}
