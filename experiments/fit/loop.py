"""The training loop: epoch by epoch, from wherever a run is to its end."""

import math
import signal
import time
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from experiments import models
from experiments.configs import Config
from experiments.configs.base import TASKS
from experiments.fit import averaging, checkpoint, hosts
from experiments.fit.checkpoint import Progress
from experiments.fit.errors import DivergedError, StoppedError
from experiments.fit.signals import Signals
from experiments.fit.steps import State
from experiments.fit.tensorboard import Events

CALL_SECONDS = 1.0  # between two looks at signals, and at the bar
SAVE_SECONDS = 60.0  # within an epoch; after each it is saved anyway


def is_better(line: dict[str, Any], best: dict[str, Any] | None, by_accuracy: bool) -> bool:
    """By the validation split: the higher accuracy where that counts; among equals, and elsewhere, the lower loss."""

    def rank(line: dict[str, Any]) -> tuple[float, float]:
        return line["validation_accuracy"] if by_accuracy else 0.0, -line["validation_loss"]

    return best is None or rank(line) > rank(best)


class Run:
    """One run in its folder. How many steps are done at a time, and where a run is interrupted, changes no result.

    Its trainer is `fit.trainer.Trainer`, and its state a `State`; those of many runs at once are a sweep's.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        config: Config,
        trainer: Any,
        signals: Signals,
        progress: Progress,
        events: Events | None = None,
    ):
        self.name, self.folder, self.config, self.trainer, self.signals = name, folder, config, trainer, signals
        self.progress, self.events = progress, events
        self._stride = 1
        self._clock = self._saved_at = time.monotonic()

    def train(self, state: State, best: models.Params) -> dict[str, Any]:
        """Train to the end, look at the test split once, and return that line of the metrics.

        Raises:
          DivergedError: a loss, a gradient or a parameter is not finite.
          StoppedError: a signal came; everything is saved.
          RunError: something cannot be written.
        """
        steps_per_epoch, epochs = self.trainer.problem.steps_per_epoch, self.config.epochs
        done, hidden = int(state.step), not hosts.is_first()
        with tqdm(
            total=epochs * steps_per_epoch, initial=done, unit="step", mininterval=0.5, dynamic_ncols=True, disable=hidden
        ) as bar:
            bar.set_description(f"{self.name} (compiling)")
            for epoch in range(len(self.progress.metrics) + 1, epochs + 1):
                state = self._train_epoch(state, best, epoch * steps_per_epoch, bar)
                line = {"kind": "epoch", "epoch": epoch, "step": int(state.step)}
                line |= {f"train_{name}": float(total) / steps_per_epoch for name, total in state.totals.items()}
                if epoch % self.config.evaluate_every == 0 or epoch == epochs:
                    line |= self._look(state.evaluated, "validation", state)
                    if is_better(line, self.progress.best, TASKS[self.config.task].by_accuracy):
                        self.progress.best, best = line, state.evaluated
                    state = self._averaged_when_stuck(state, line)
                self.progress.metrics.append(line)
                state = self.trainer.forget_totals(state)
                self._save(state, best)
        assert self.progress.best is not None  # the last epoch is always looked at
        result = {"kind": "test", "epoch": self.progress.best["epoch"], **self._look(best, "test", state)}
        self.progress.metrics.append(result)
        self.progress.finished = True
        hosts.on_first(lambda: checkpoint.save_best(self.folder, best))
        self._save(state, best)
        return result

    def _train_epoch(self, state: Any, best: models.Params, end: int, bar: tqdm) -> Any:
        while (step := int(state.step)) < end:
            start = time.monotonic()
            new = jax.block_until_ready(self.trainer.advance(state, min(step + self._stride, end)))
            if not new.finite:
                raise self._diverged("the loss, its gradient or a parameter", new)
            self._adapt(int(new.step) - step, time.monotonic() - start)
            state = new
            self._show(state, end, bar)
            late, signal_number = self._agree()
            if late or signal_number is not None:
                self._save(state, best)
            if signal_number is not None:
                raise self._stopped(signal_number, int(state.step))
        return state

    def _look(self, params: models.Params, split: str, state: State) -> dict[str, float]:
        means = self.trainer.evaluate(params, getattr(self.trainer.problem, split))
        if not all(math.isfinite(mean) for mean in means.values()):
            raise self._diverged(f"the {split} loss", state)
        return {f"{split}_{name}": mean for name, mean in means.items()}

    def _averaged_when_stuck(self, state: State, line: dict[str, Any]) -> State:
        looks = [line["validation_loss"] for line in [*self.progress.metrics, line] if "validation_loss" in line]
        average = averaging.after_look(state.average, int(state.step), looks, self.config.nonmonotone)
        return state._replace(average=average)

    def _adapt(self, steps: int, seconds: float) -> None:
        """The first call is one step, and mostly compilation."""
        wanted = int(steps * CALL_SECONDS / max(seconds, 1e-6))
        self._stride = max(1, min(wanted, 4 * self._stride))

    def _agree(self) -> tuple[bool, int | None]:
        """Whether to save, and which signal came: several processes have one clock, and a signal to one is for all."""
        late = time.monotonic() - self._saved_at > SAVE_SECONDS
        told = hosts.from_each([self._stride, late, self.signals.received])
        self._stride, late, _ = told[0]
        return late, next((number for *_, number in told if number is not None), None)

    def _show(self, state: Any, end: int, bar: tqdm) -> None:
        steps = int(state.step) - (end - self.trainer.problem.steps_per_epoch)
        means = {name: f"{float(total) / steps:.4g}" for name, total in state.totals.items()}
        if self.progress.best is not None:
            means["best_val"] = f"{self.progress.best['validation_loss']:.4g}"
        bar.set_description(self.name, refresh=False)
        bar.set_postfix(means, refresh=False)
        bar.update(int(state.step) - bar.n)

    def _count_seconds(self) -> None:
        self.progress.seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()

    def _save(self, state: Any, best: models.Params) -> None:
        self._count_seconds()
        hosts.on_first(lambda: self._write(state, best))
        self._saved_at = time.monotonic()

    def _write(self, state: Any, best: models.Params) -> None:
        checkpoint.save(self.folder, self.progress, state, best)
        if self.events is not None:
            self.events.write(self.progress.metrics)

    def _diverged(self, what: str, state: Any) -> DivergedError:
        saved = checkpoint.read(self.folder)
        at = "" if saved is None else f" (step {saved.arrays['state/step']})"
        return DivergedError(
            f"{what} of {self.name} is NaN or infinite at step {int(state.step)}; the last good checkpoint is "
            f"{self.folder / checkpoint.NAME}{at}"
        )

    def _stopped(self, number: int, step: int) -> StoppedError:
        return StoppedError(
            f"{signal.Signals(number).name} after step {step}; the same command goes on from {self.folder}", number
        )
