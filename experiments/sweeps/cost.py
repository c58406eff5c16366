"""What a sweep costs beside separate runs of the same configs: estimated from one of them, or measured by training all."""

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import jax

from experiments.configs import Config
from experiments.fit import RunError, checkpoint, fit, meshes
from experiments.fit.errors import DivergedError
from experiments.fit.problem import Problem
from experiments.fit.trainer import Trainer
from experiments.sweeps.grid import Grid, label

SECONDS = 2.0  # how long a single run is timed


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds that a cell's runs would take one by one, from `steps` timed steps of one; `compilation` is for each run."""

    cell: str
    runs: int
    steps: int
    seconds: float
    compilation: float

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.cell}: how long separate runs ({self.runs}) take is not known: the one that was timed diverged at once"
        return (
            f"{self.cell}: separate runs ({self.runs}) would take {self.seconds:.1f} s, estimated from {self.steps} steps "
            f"of one, and {self.compilation:.1f} s of compilation each"
        )


def estimate(run: Config, problem: Problem, runs: int) -> Estimate:
    """Time one run's steps and a look at the validation split, and multiply; tests are left out."""
    trainer = Trainer(run, problem, meshes.make(1, run.batch_size))
    state = trainer.start()
    state, first = _timed(lambda: trainer.advance(state, 1))
    _, first_look = _timed(lambda: trainer.evaluate(state.params, trainer.problem.validation))
    _, look = _timed(lambda: trainer.evaluate(state.params, trainer.problem.validation))
    steps, seconds, stride = 0, 0.0, 1
    while seconds < SECONDS and bool(state.finite):
        if int(state.step) % problem.steps_per_epoch == 0:
            state = trainer.forget_totals(state)
        before, rest = int(state.step), problem.steps_per_epoch - int(state.step) % problem.steps_per_epoch
        state, took = _timed(lambda: trainer.advance(state, before + min(stride, rest)))  # noqa: B023
        steps, seconds, stride = steps + int(state.step) - before, seconds + took, 2 * stride
    step = seconds / max(steps, 1)
    looks = math.ceil(run.epochs / run.evaluate_every)
    total = run.epochs * problem.steps_per_epoch * step + looks * look
    return Estimate(run.cell, runs, steps, runs * total, max(0.0, first - step) + max(0.0, first_look - look))


def _timed(function: Any) -> tuple[Any, float]:
    start = time.monotonic()
    result = jax.block_until_ready(function())
    return result, time.monotonic() - start


def compare(grid: Grid, folder: Path, metrics: list[dict[str, Any]], data_dir: Path, source: Path | None, command: str) -> str:
    """Train every run by itself, in `folder/separate`; say how long it took, and how far any number is from the sweep's.

    Raises:
      DataError, RunError, StoppedError: as `experiments.fit.fit`; a run that diverges is only reported.
    """
    seconds, count, disagree = 0.0, 0, []
    furthest: dict[str, tuple[float, str]] = {}  # by score: an accuracy changes by whole examples
    for cell in grid.configs:
        for run in grid.runs(cell):
            count += 1
            point = label(run)
            name = "-".join(str(value) for value in point.values() if value is not None)
            lines = [line for line in metrics if {key: line[key] for key in point} == point]
            diverged = False
            try:
                fit(name, run, folder / "separate", data_dir, source, command)
            except DivergedError:
                diverged = True
            if diverged != (lines[-1]["kind"] == "diverged"):
                disagree.append(name)
            saved = checkpoint.read(folder / "separate" / f"{name}-seed{run.seed}")
            if saved is None:
                raise RunError(f"{folder / 'separate'}: the run {name} is gone")
            seconds += saved.progress.seconds
            for alone, together in zip(saved.progress.metrics, lines, strict=False):
                for key in sorted(alone.keys() & together.keys() - {"kind"}):
                    difference = abs(alone[key] - together[key])
                    score = key.rpartition("_")[2]
                    if (score == "loss" and score not in furthest) or difference > furthest.get(score, (0.0, ""))[0]:
                        where = f"{key} of {name}, epoch {alone['epoch']}: {alone[key]:.6g} alone"
                        furthest[score] = difference, f"{score} {difference:.2g} ({where})"
    text = f"separate runs ({count}) took {seconds:.1f} s, measured, with compilation"
    text += "; largest differences: " + ", ".join(text for _, text in furthest.values())
    return text + (f"; diverged in one of the two alone: {', '.join(disagree)}" if disagree else "")


def content(estimates: list[Estimate], seconds: float, compilation: float) -> bytes:
    """The sweep's seconds and the estimates, as JSON."""
    values = {
        "seconds": seconds,
        "compile_seconds": compilation,
        "separate_runs_estimated": [dataclasses.asdict(one) for one in estimates],
    }
    return (json.dumps(values, indent=2) + "\n").encode()
