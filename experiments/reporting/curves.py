"""Published loss curves, read from a file that the user names.

A CSV file, packed by gzip or not, with the columns dataset, cell, hidden, mu, epsilon, beta, restart, gradient_clip_tag, seed,
split, step, loss. A step is an epoch for the splits "test", from 0, and "val", from 1; of the split "train" it is an iteration,
and those rows are left out. epsilon is our step size.
"""

import csv
import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.command import RunError
from experiments.reporting.words import count

COLUMNS = ["dataset", "cell", "hidden", "mu", "epsilon", "beta", "restart", "gradient_clip_tag", "seed", "split", "step", "loss"]
# What the step is after the first epoch.
FIRST_STEP = {"test": 0, "val": 1}
SPLITS = {"test": "test", "val": "validation"}
DATASETS = {"mnist": "mnist", "permuted_mnist": "pmnist", "timit": "timit", "ptb": "ptb"}
CLIPPED = "gc"


class Setting(NamedTuple):
    """What was run, but for its seed; the numbers are None where the file has none."""

    dataset: str
    cell: str
    hidden: int
    mu: float | None
    step_size: float | None
    beta: float | None
    restart: float | None
    clip_tag: str


class Curves(NamedTuple):
    """The loss by epoch of several seeds: `losses[seed][epoch]`, epochs from 1; `split` is "test" or "validation"."""

    setting: Setting
    split: str
    losses: dict[str, dict[int, float]]

    @property
    def label(self) -> str:
        """In words, for figures and tables."""
        return f"{self.setting.cell}, N = {self.setting.hidden}, {self.split} loss, {count(len(self.losses), 'seed')}"


def read(path: Path) -> list[Curves]:
    """Every curve over epochs.

    Raises:
      RunError: the file cannot be read or is not of that form.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise RunError(f"--curves {path}: cannot be read: {' '.join(str(error).split())}") from error
    rows = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
    if missing:
        raise RunError(f"--curves {path}: there is no column {missing[0]!r}; the columns should be {', '.join(COLUMNS)}")
    found: dict[tuple[Setting, str], dict[str, dict[int, float]]] = {}
    try:
        for row in rows:
            if row["split"] in SPLITS:
                loss, epoch = float(row["loss"]), int(row["step"]) - FIRST_STEP[row["split"]] + 1
                if not math.isfinite(loss):
                    raise ValueError("the loss is not finite")
                key = (_setting(row), SPLITS[row["split"]])
                found.setdefault(key, {}).setdefault(row["seed"], {})[epoch] = loss
    except (csv.Error, TypeError, ValueError) as error:
        raise RunError(f"--curves {path}: line {rows.line_num} is damaged: {' '.join(str(error).split())}") from error
    if not found:
        raise RunError(f"--curves {path}: it holds no curve over epochs")
    return [Curves(setting, split, losses) for (setting, split), losses in found.items()]


def _setting(row: dict[str, str]) -> Setting:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    numbers = (number("mu"), number("epsilon"), number("beta"), number("restart"))
    return Setting(row["dataset"], row["cell"], int(row["hidden"]), *numbers, row["gradient_clip_tag"])


def matching(curves: list[Curves], settings: dict[str, Any]) -> Curves | None:
    """The curves of the same task, cell, size and hyper-parameters as a run's settings; None where there are none."""

    def same(theirs: Setting) -> bool:
        if (theirs.dataset, theirs.cell, theirs.hidden) != (
            DATASETS.get(settings["task"]),
            settings["cell"],
            settings["hidden_features"],
        ):
            return False
        pairs = [
            (settings[name], getattr(theirs, name)) for name in ("step_size", "beta", "restart") if settings[name] is not None
        ]
        # The file gives a mu of 0 to cells that have none.
        return all(ours == published for ours, published in pairs) and (settings["mu"] or 0.0) == (theirs.mu or 0.0)

    found = [candidate for candidate in curves if same(candidate.setting)]
    # Only some of the runs are told apart by the tag; where they are, ours are of either kind.
    tag = "" if settings["clip_norm"] is None else CLIPPED
    return next((candidate for candidate in found if candidate.setting.clip_tag == tag), found[0] if found else None)


def stack(losses: list[dict[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The epochs that all seeds have, (epochs,), and their losses, (epochs, seeds)."""
    epochs = sorted(set.intersection(*(set(seed) for seed in losses)))
    return np.array(epochs), np.array([[seed[epoch] for seed in losses] for epoch in epochs]).reshape(len(epochs), len(losses))
