"""Many runs of a config at once: seeds × μ × step sizes in one compiled program for each cell, in a folder to go on with."""

import io
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments import models, record
from experiments.configs.base import TASKS
from experiments.fit import checkpoint, files, problem
from experiments.fit.checkpoint import Progress
from experiments.fit.problem import Problem
from experiments.fit.signals import Signals
from experiments.sweeps import heat_map, results
from experiments.sweeps.grid import Grid
from experiments.sweeps.loop import SweepRun
from experiments.sweeps.trainer import Runs, SweepTrainer

__all__ = ["Outcome", "sweep"]

RESULTS, HEAT_MAP = "results", "heatmap.png"  # the table's Markdown and JSON, and the picture


class Outcome(NamedTuple):
    """A sweep at its end; `problem` is None if it had ended before, and nothing was loaded."""

    folder: Path
    progress: Progress
    problem: Problem | None


def sweep(grid: Grid, out: Path, data_dir: Path, source: Path | None, command: str) -> Outcome:
    """Train a grid's runs in `out/NAME-sweep`, from the start or from where they were interrupted, one cell after the other.

    Killed at any moment and started again, it ends with the same parameters, metrics and tables, bit for bit, on the same device.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: the sweep cannot start or go on; `status` is the exit status. A run that diverges is no error.
      StoppedError: Ctrl-C or SIGTERM; likewise.
    """
    folder = out / f"{grid.name}-sweep"
    files.check_writable(out)
    with Signals() as signals, files.lock(folder):
        saved = checkpoint.read(folder)
        if saved is not None:
            checkpoint.check_same(saved, "grid or config", saved.progress.config, grid.describe())
            checkpoint.write_metrics(folder, saved.progress)  # it may be one epoch behind
            if saved.progress.finished:
                return Outcome(folder, saved.progress, None)
        task = problem.load(next(iter(grid.configs.values())), data_dir, source)
        if saved is None:
            notes = {"cell": next(iter(grid.configs)), "compile_seconds": 0.0}
            progress = Progress(grid.describe(), task.origin, notes=notes)
        else:
            progress = saved.progress
            checkpoint.check_same(saved, "source of data", progress.origin, task.origin)
        cells = list(grid.configs)
        for cell in cells[cells.index(progress.notes["cell"]) :]:
            configs = grid.runs(cell)
            trainer = SweepTrainer(grid.configs[cell], task, [run.seed for run in configs], grid.hyper_parameters(cell))
            if saved is not None:
                runs, best = checkpoint.restore(saved, trainer.template())
                saved = None
            else:
                # Together with the results of the cell before, so that either all of it is done or nothing.
                progress.notes["cell"] = cell
                runs, best = _first(folder, grid, trainer, progress, command)
            signals.wait = True
            runs, best = SweepRun(f"{grid.name} {cell}", folder, configs, trainer, signals, progress).train_all(runs, best)
            checkpoint.save_best(folder, best, f"best-{cell}.npz")
        _write_results(folder, grid, progress)
        progress.finished = True
        checkpoint.save(folder, progress, runs, best)
        return Outcome(folder, progress, task)


def _first(folder: Path, grid: Grid, trainer: SweepTrainer, progress: Progress, command: str) -> tuple[Runs, models.Params]:
    """Save and return a cell's runs before their first step."""
    runs: Runs = jax.tree.map(jnp.asarray, jax.device_get(trainer.start()))
    if folder.exists():
        checkpoint.save(folder, progress, runs, runs.params)
    else:

        def fill(new: Path) -> None:
            cells = {cell: config.make_cell() for cell, config in grid.configs.items()}
            record.write_config(new, command, progress.origin, grid, cells)
            checkpoint.save(new, progress, runs, runs.params)

        files.create_folder(folder, fill)
    return runs, runs.params


def _write_results(folder: Path, grid: Grid, progress: Progress) -> None:
    score = "accuracy" if TASKS[next(iter(grid.configs.values())).task].by_accuracy else "loss"
    rows = results.rows(progress.metrics)
    picture = io.BytesIO()
    heat_map.draw(grid.name, rows, score).savefig(picture, dpi=120)
    files.write(folder / HEAT_MAP, picture.getvalue())
    files.write(folder / f"{RESULTS}.json", (json.dumps(results.to_dict(rows, score), indent=2) + "\n").encode())
    files.write(folder / f"{RESULTS}.md", results.to_markdown(f"Sweep of {grid.name}", rows, score).encode())
