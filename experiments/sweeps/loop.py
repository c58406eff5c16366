"""A sweep's training loop: that of one run, with a line of metrics and a best epoch for each."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import models
from experiments.configs import Config
from experiments.configs.base import TASKS
from experiments.fit.checkpoint import Progress
from experiments.fit.loop import Run, is_better
from experiments.fit.signals import Signals
from experiments.sweeps import grid
from experiments.sweeps.trainer import Runs, SweepTrainer, select


class SweepRun(Run):
    """All runs of one cell; `configs` says what each is. From `Run` it takes how an epoch's steps are done, saved and timed."""

    trainer: SweepTrainer

    def __init__(
        self, name: str, folder: Path, configs: list[Config], trainer: SweepTrainer, signals: Signals, progress: Progress
    ):
        super().__init__(name, folder, configs[0], trainer, signals, progress)
        self._by_accuracy = TASKS[self.config.task].by_accuracy
        self._labels = [grid.label(config) for config in configs]
        self._compiled_before = progress.notes["compile_seconds"]
        self._best: list[dict[str, Any] | None] = [None] * len(configs)
        self._diverged_runs: set[int] = set()
        self._epochs_done = 0
        for line in progress.metrics:
            self._note(line)

    def train_all(self, runs: Runs, best: models.Params) -> tuple[Runs, models.Params]:
        """Train to the end, look at the test split once, and add all of it to the metrics, which the caller is to save.

        Raises:
          StoppedError: a signal came; everything is saved.
          RunError: something cannot be written.
        """
        steps_per_epoch, epochs = self.trainer.problem.steps_per_epoch, self.config.epochs
        with tqdm(
            total=epochs * steps_per_epoch, initial=int(runs.step), unit="step", mininterval=0.5, dynamic_ncols=True
        ) as bar:
            bar.set_description(f"{self.name} (compiling)")
            while self._epochs_done < epochs and self._left():
                epoch = self._epochs_done + 1
                runs = self._train_epoch(runs, best, epoch * steps_per_epoch, bar)
                runs, best = self._end_epoch(epoch, runs, best)
                self._save(runs, best)
        if self._left():
            means = self.trainer.evaluate(best, self.trainer.problem.test)
            for number in self._left():
                chosen = self._best[number]
                assert chosen is not None  # the last epoch is always looked at
                scores = _scores("test", means, number)
                self._add(number, _test_line(chosen, scores) if _finite(scores) else _diverged(chosen["epoch"], chosen["step"]))
        self._count_seconds()
        return runs, best

    def _end_epoch(self, epoch: int, runs: Runs, best: models.Params) -> tuple[Runs, models.Params]:
        look = epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs
        means = self.trainer.evaluate(runs.params, self.trainer.problem.validation) if look else {}
        stacked = jax.device_get(runs.stacked._replace(params={}, optimizer=None))
        trained = {name: totals / self.trainer.problem.steps_per_epoch for name, totals in stacked.totals.items()}
        better, finite = np.zeros(len(self._labels), bool), np.zeros(len(self._labels), bool)
        for number in self._left():
            step = int(runs.done[number])
            scores = _scores("validation", means, number)
            finite[number] = stacked.finite[number] and _finite(scores)
            if finite[number]:
                line = {"kind": "epoch", "epoch": epoch, "step": step, **_scores("train", trained, number), **scores}
                better[number] = look and is_better(line, self._best[number], self._by_accuracy)
                self._add(number, line)
            else:
                self._add(number, _diverged(epoch, step))
        self._epochs_done = epoch
        totals = jax.tree.map(jnp.zeros_like, runs.stacked.totals)
        new = runs._replace(stacked=runs.stacked._replace(totals=totals, finite=jnp.asarray(finite)))
        return new, select(better, runs.params, best)

    def _left(self) -> list[int]:
        """The runs that have not diverged."""
        return [number for number in range(len(self._labels)) if number not in self._diverged_runs]

    def _add(self, number: int, line: dict[str, Any]) -> None:
        line = {"kind": line["kind"], **self._labels[number], **line}
        self.progress.metrics.append(line)
        self._note(line)

    def _note(self, line: dict[str, Any]) -> None:
        label = {name: line[name] for name in self._labels[0]}
        if label not in self._labels:  # another cell's
            return
        number = self._labels.index(label)
        self._epochs_done = max(self._epochs_done, line["epoch"])
        if line["kind"] == "diverged":
            self._diverged_runs.add(number)
        elif "validation_loss" in line and is_better(line, self._best[number], self._by_accuracy):
            self._best[number] = line

    def _show(self, runs: Runs, end: int, bar: tqdm) -> None:
        steps = int(runs.step) - (end - self.trainer.problem.steps_per_epoch)
        finite = np.asarray(runs.stacked.finite)
        totals = {name: np.asarray(total)[finite] for name, total in runs.stacked.totals.items() if finite.any()}
        shown = {name: f"{total.mean() / steps:.4g}" for name, total in totals.items()}
        bar.set_description(self.name, refresh=False)
        bar.set_postfix({**shown, "runs": f"{finite.sum()}/{len(finite)}"}, refresh=False)
        bar.update(int(runs.step) - bar.n)

    def _count_seconds(self) -> None:
        super()._count_seconds()
        self.progress.notes["compile_seconds"] = self._compiled_before + self.trainer.compile_seconds


def _scores(split: str, means: dict[str, np.ndarray], number: int) -> dict[str, float]:
    return {f"{split}_{name}": float(mean[number]) for name, mean in means.items()}


def _finite(scores: dict[str, float]) -> bool:
    return all(math.isfinite(score) for score in scores.values())


def _test_line(chosen: dict[str, Any], scores: dict[str, float]) -> dict[str, Any]:
    return {"kind": "test", "epoch": chosen["epoch"], **scores}


def _diverged(epoch: int, step: int) -> dict[str, Any]:
    return {"kind": "diverged", "epoch": epoch, "step": step}
