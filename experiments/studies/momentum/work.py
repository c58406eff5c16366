"""What is left of the study, run by run: the trials of every arm, then its seeds with the values that validation chose."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments import checkpoint, record, runs
from experiments.command import DivergedError, RunError, Signals
from experiments.studies.momentum import gradients, records
from experiments.studies.momentum.arms import ARMS, TRIAL_SEED, TRIALS, values_of
from experiments.studies.momentum.tasks import TASKS, Sources, config_of, load


class Item(NamedTuple):
    """A run to be made: of one arm, with these values; a trial, or one of the seeds that count."""

    task: str
    arm: str
    values: dict[str, float]
    seed: int
    trial: int | None = None

    def __str__(self) -> str:
        return f"{self.task} {self.arm} " + (f"seed {self.seed}" if self.trial is None else f"trial {self.trial}")


def left(task: str, arm: str, folder: Path) -> Item | None:
    """The next run of an arm, or None if there is none."""
    tuned_on = TASKS[task].tuned_on
    tried = records.of_arm(records.read(tuned_on, folder), arm, "trial")
    for trial in range(TRIALS):
        if trial not in tried:
            return Item(tuned_on, arm, values_of(ARMS[arm], trial), TRIAL_SEED + trial, trial)
    done = records.of_arm(records.read(task, folder), arm, "run")
    values = records.best_trial(tried, records.higher_is_better(task))["values"]
    return next((Item(task, arm, values, seed) for seed in range(TASKS[task].seeds) if seed not in done), None)


def queue(tasks: Sequence[str], arms: Sequence[str] | None, folder: Path) -> Iterator[Item]:
    """All that is left of these tasks, in order, each decided when the one before it has ended."""
    for task in tasks:
        for arm in TASKS[task].arms if arms is None else arms:
            if arm not in TASKS[task].arms:
                continue
            while (item := left(task, arm, folder)) is not None:
                yield item


def run(item: Item, work: Path, sources: Sources, folder: Path, command: str, signals: Signals) -> None:
    """Train an item's run in a folder of its own, record it, and delete that folder."""
    config = config_of(item.task, item.arm, item.values, item.seed)
    place = work / str(item).replace(" ", "-")
    chosen = partial(load, arm=ARMS[item.arm], values=item.values, sources=sources)
    began = time.process_time()
    entry: dict[str, Any] = {"task": item.task, "arm": item.arm, "kind": "run" if item.trial is None else "trial"}
    entry |= {} if item.trial is None else {"trial": item.trial}
    entry |= {"seed": config.seed, "values": item.values}
    try:
        outcome = runs.train(str(item), [config], place, chosen, command, signals)
        entry |= scores(outcome.metrics, config.by_accuracy)
        if item.task == "spoken_digits" and item.trial is None and item.seed in gradients.SEEDS and item.arm in gradients.ARMS:
            entry["gradient_norms"] = gradients.norms(config, place / checkpoint.BEST, chosen(config)[1])
        seconds = outcome.seconds
    except DivergedError:
        saved = checkpoint.read(place)
        assert saved is not None  # of the start at least
        entry |= scores(saved[0].metrics, config.by_accuracy)
        seconds = saved[0].seconds
    entry |= {"seconds": round(seconds, 2), "core_seconds": round(time.process_time() - began, 2)}
    records.add(entry | provenance(), folder)
    shutil.rmtree(place)


def scores(lines: list[dict[str, Any]], by_accuracy: bool) -> dict[str, Any]:
    """What is recorded of a run: validation by epoch, and the test split at the best one."""
    key = "accuracy" if by_accuracy else "loss"
    validation = [_short(line[f"validation_{key}"]) for line in lines if f"validation_{key}" in line]
    test = next((line for line in lines if line["kind"] == "test"), None)
    if test is None:
        return {"diverged": True, "validation": validation}
    return {"diverged": False, "best_epoch": test["epoch"], "test": _short(test[f"test_{key}"]), "validation": validation}


def provenance() -> dict[str, Any]:
    """The commit, the device and JAX's version."""
    return {"commit": record.git_commit(), "device": record.in_words(record.device()), "jax": jax.__version__}


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def go(
    todo: Iterable[Item], work: Path, sources: Sources, folder: Path, minutes: float | None, command: str, signals: Signals
) -> bool:
    """Run what is to be done, or as much as begins within so many minutes; whether nothing is left."""
    began = time.monotonic()
    for item in todo:
        start = time.monotonic()
        if minutes is not None and start - began > 60 * minutes:
            return False
        run(item, work, sources, folder, command, signals)
        print(f"{item}: {time.monotonic() - start:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return True


def tasks_of(names: Sequence[str] | None) -> list[str]:
    """The tasks of these names, "dose" standing for all doses; all in the order of the plan for None.

    Raises:
      RunError: there is no such task.
    """
    for name in names or ():
        if name not in TASKS and name != "dose":
            raise RunError(f"--tasks must be of {', '.join(TASKS)}, or dose for all of its kind, got {name!r}")
    if names is None:
        return list(TASKS)
    return [task for name in names for task in TASKS if task == name or (name == "dose" and task.startswith("dose_"))]
