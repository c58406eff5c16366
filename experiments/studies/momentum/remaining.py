"""What is left of the study, run by run: the trials of every arm, then its seeds with the values that validation chose."""

import hashlib
import json
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
from experiments.studies.momentum.tasks import DOSES, TASKS, Sources, config_of, load

EXPLORATION = "exploration"
EXPLORED_MUS, EXPLORED_SEEDS = (0.1, 0.3), range(4)


class PlannedRun(NamedTuple):
    """A run to be made: of one arm, with these values; a trial, one of the seeds that count, or one outside of the plan."""

    task: str
    arm: str
    values: dict[str, float]
    seed: int
    trial: int | None = None
    kind: str = "run"

    def __str__(self) -> str:
        explored = f"mu {self.values['mu']:g} " if self.kind == EXPLORATION else ""
        return f"{self.task} {self.arm} {explored}" + (f"seed {self.seed}" if self.trial is None else f"trial {self.trial}")


def next_run(task: str, arm: str, folder: Path) -> PlannedRun | None:
    """The next run of an arm, or None if there is none; an arm whose trials all diverged has none."""
    tuned_on = TASKS[task].tuned_on or task
    tried = records.of_arm(records.read(tuned_on, folder), arm, "trial")
    for trial in range(TRIALS):
        if trial not in tried:
            return PlannedRun(tuned_on, arm, values_of(ARMS[arm], trial), TRIAL_SEED + trial, trial, "trial")
    done = records.of_arm(records.read(task, folder), arm, "run")
    best = records.best_trial(tried, TASKS[task].higher_is_better)
    if best is None:
        return None
    return next((PlannedRun(task, arm, best["values"], seed) for seed in range(TASKS[task].seeds) if seed not in done), None)


def queue(tasks: Sequence[str], arms: Sequence[str] | None, folder: Path) -> Iterator[PlannedRun]:
    """All that is left of these tasks, in order, each decided when the one before it has ended."""
    for task in tasks:
        for arm in TASKS[task].arms if arms is None else arms:
            if arm not in TASKS[task].arms:
                continue
            while (planned := next_run(task, arm, folder)) is not None:
                yield planned


def exploration(folder: Path) -> Iterator[PlannedRun]:
    """Runs outside of the plan, made after its results were seen: M on spoken digits, with what S has and a small μ."""
    found = records.read("spoken_digits", folder)
    best = records.best_trial(records.of_arm(found, "S", "trial"), higher=False)
    if best is None:
        raise RunError("the trials of S on spoken digits come first")
    done = [(record["values"]["mu"], record["seed"]) for record in found if record["kind"] == EXPLORATION]
    for mu in EXPLORED_MUS:
        for seed in EXPLORED_SEEDS:
            if (mu, seed) not in done:
                yield PlannedRun("spoken_digits", "M", {**best["values"], "mu": mu}, seed, kind=EXPLORATION)


def run(planned: PlannedRun, scratch: Path, sources: Sources, folder: Path, command: str, signals: Signals) -> None:
    """Train in a folder of its own, record the run, and delete that folder."""
    config = config_of(planned.task, planned.arm, planned.values, planned.seed)
    place = scratch / str(planned).replace(" ", "-")
    load_data = partial(load, arm=ARMS[planned.arm], values=planned.values, sources=sources)
    began = time.process_time()
    found: dict[str, Any]
    try:
        outcome = runs.train(str(planned), [config], place, load_data, command, signals)
        found, seconds = scores(outcome.metrics, config.by_accuracy), outcome.seconds
        if planned.task == "spoken_digits" and planned.kind == "run" and gradients.wants(planned.arm, planned.seed):
            found["gradient_norms"] = gradients.norms(config, place / checkpoint.BEST, load_data(config)[1])
    except DivergedError:
        saved = checkpoint.read(place)
        assert saved is not None  # of the start at least
        found, seconds = scores(saved[0].metrics, config.by_accuracy), saved[0].seconds
    identity: dict[str, Any] = {"task": planned.task, "arm": planned.arm, "kind": planned.kind}
    identity |= {} if planned.trial is None else {"trial": planned.trial}
    identity |= {"seed": config.seed, "values": planned.values}
    spent = {"seconds": round(seconds, 2), "core_seconds": round(time.process_time() - began, 2)}
    records.add(identity | found | spent | provenance(load_data(config)[1].origin), folder)
    shutil.rmtree(place)


def scores(lines: list[dict[str, Any]], by_accuracy: bool) -> dict[str, Any]:
    """What is recorded of a run: validation by epoch, and the test split at the best one."""
    key = "accuracy" if by_accuracy else "loss"
    validation = [_short(line[f"validation_{key}"]) for line in lines if f"validation_{key}" in line]
    test = next((line for line in lines if line["kind"] == "test"), None)
    if test is None:
        return {"diverged": True, "validation": validation}
    return {"diverged": False, "best_epoch": test["epoch"], "test": _short(test[f"test_{key}"]), "validation": validation}


def provenance(origin: dict[str, Any]) -> dict[str, Any]:
    """The commit, the device, JAX's version, and what tells the data, without an arm's filter, from other data."""
    data = json.dumps({key: value for key, value in origin.items() if key not in ("filter", "taps")}, sort_keys=True)
    found = {"commit": record.git_commit(), "device": record.in_words(record.device()), "jax": jax.__version__}
    return found | {"data": hashlib.sha256(data.encode()).hexdigest()[:16]}


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def run_all(
    todo: Iterable[PlannedRun],
    scratch: Path,
    sources: Sources,
    folder: Path,
    minutes: float | None,
    command: str,
    signals: Signals,
) -> bool:
    """Run what is to be done, or as much as begins within so many minutes; whether nothing is left."""
    began, before = time.monotonic(), None
    for planned in todo:
        start = time.monotonic()
        if before not in (None, (planned.task, planned.values)):
            jax.clear_caches()  # of another program; hundreds of them exhaust the memory maps of a process
        before = (planned.task, planned.values)
        if minutes is not None and start - began > 60 * minutes:
            return False
        run(planned, scratch, sources, folder, command, signals)
        print(f"{planned}: {time.monotonic() - start:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
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
    return [task for name in names for task in (DOSES if name == "dose" else (name,))]
