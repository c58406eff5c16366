"""The training loop: runs side by side, epoch by epoch, from wherever they are to their end."""

import dataclasses
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import checkpoint, devices, hosts, training
from experiments.checkpoint import Progress
from experiments.command import DivergedError, Signals, StoppedError
from experiments.configs.base import VARIED, Config, Language
from experiments.networks import Params
from experiments.tensorboard import Events
from experiments.training import NEVER, Program, Setting, State

CALL_SECONDS = 1.0  # between checks for signals and updates of the bar
SAVE_SECONDS = 60.0  # between checkpoints within an epoch; there is one after every epoch too


def labels(configs: list[Config]) -> list[dict[str, Any]]:
    """What identifies each run's lines of metrics; nothing for a single run."""
    if len(configs) == 1:
        return [{}]
    found = ({name: getattr(run, name) for name in VARIED if getattr(run, name) is not None} for run in configs)
    return [{"run": number, **label} for number, label in enumerate(found)]


def unfinished(progress: Progress) -> list[int]:
    """The runs that have neither been tested nor diverged."""
    ended = {line.get("run", 0) for line in progress.metrics if line["kind"] != "epoch"}
    return [number for number in range(len(progress.runs)) if number not in ended]


def is_better(line: dict[str, Any], best: dict[str, Any] | None, by_accuracy: bool) -> bool:
    """By validation: higher accuracy if that counts; among equals, and otherwise, lower loss."""

    def rank(line: dict[str, Any]) -> tuple[float, float]:
        return line["validation_accuracy"] if by_accuracy else 0.0, -line["validation_loss"]

    return best is None or rank(line) > rank(best)


def is_stuck(losses: list[float], patience: int) -> bool:
    """Whether the last loss is worse than the best of those more than `patience` before it.

    >>> is_stuck([3.0, 1.0, 2.0], patience=1), is_stuck([1.0, 3.0, 2.0], patience=1), is_stuck([1.0, 2.0], patience=1)
    (False, True, False)
    """
    *before, last = losses
    return len(before) > patience and last > min(before[: len(before) - patience])


@dataclasses.dataclass
class Loop:
    """What `go` trains, on which data, and where it is written.

    The number of steps in a call and the moments of interruption change no result.

    Args:
      data: the three splits, on the devices.
      progress: what is known of the runs so far; new lines of metrics are appended to it.
      observe: called after each epoch, and before the first, with its number and all runs' parameters.
    """

    name: str
    config: Config
    folder: Path
    program: Program
    data: tuple[Any, Any, Any]
    settings: Setting
    signals: Signals
    progress: Progress
    events: Events | None
    observe: Callable[[int, Params], None] | None

    def __post_init__(self) -> None:
        self.labels = self.progress.runs
        self.best: list[dict[str, Any] | None] = [None] * len(self.labels)
        self.epochs_done = 0
        for line in self.progress.metrics:
            self._note(line)
        self._stride = 1
        self._clock = self._saved_at = time.monotonic()

    def go(self, state: State, best: Params) -> None:
        """Train to the end, then evaluate the test split once, with each run's best parameters by validation."""
        train, validation, test = self.data
        steps, epochs = self.program.task.steps_per_epoch, self.config.epochs
        if self.observe is not None and not self.epochs_done:
            self.observe(0, state.runs.params)
        options: dict[str, Any] = {"unit": "step", "mininterval": 0.5, "dynamic_ncols": True, "disable": not hosts.is_first()}
        with tqdm(total=epochs * steps, initial=int(state.step), desc=f"{self.name} (compiling)", **options) as bar:
            while self.epochs_done < epochs and unfinished(self.progress):
                epoch = self.epochs_done + 1
                state = self._epoch(state, best, epoch * steps, train, bar)
                state, best = self._end_epoch(epoch, state, best, validation)
                if self.observe is not None:
                    self.observe(epoch, state.runs.params)
                self._save(state, best)
        if left := unfinished(self.progress):
            scores = self._scores("test", best, test)
            for number in left:
                chosen = self.best[number]
                assert chosen is not None  # the last epoch is always validated
                self._add(number, scores[number], {"kind": "test", "epoch": chosen["epoch"]}, int(state.runs.done[number]))
        # The parameters of a single run have no axis for runs.
        alone = best if len(self.labels) > 1 else jax.tree.map(lambda leaf: np.asarray(leaf)[0], best)
        hosts.on_first(lambda: checkpoint.save_params(self.folder / checkpoint.BEST, alone))
        self._save(state, best)

    def _epoch(self, state: State, best: Params, end: int, train: Any, bar: tqdm) -> State:
        """All steps up to `end`, some at a time; between calls, signals are handled and checkpoints saved."""
        while (step := int(state.step)) < end:
            start = time.monotonic()
            until = np.int32(min(step + self._stride, end))
            state = jax.block_until_ready(training.advance(self.program, state, until, train, self.settings))
            if len(self.labels) == 1 and not state.runs.finite[0]:
                raise self._diverged("the loss, its gradient or a parameter", int(state.runs.done[0]))
            # The first call is a single step, and mostly compilation.
            wanted = int((int(state.step) - step) * CALL_SECONDS / max(time.monotonic() - start, 1e-6))
            self._stride = max(1, min(wanted, 4 * self._stride))
            self._show(state, end, bar)
            # All processes use the first one's clock, and a signal to any of them is for all.
            late = time.monotonic() - self._saved_at > SAVE_SECONDS
            told = hosts.from_each([self._stride, late, self.signals.received])
            self._stride, late, _ = told[0]
            number = next((number for *_, number in told if number is not None), None)
            if late or number is not None:
                self._save(state, best)
            if number is not None:
                what = f"{signal.Signals(number).name} after step {int(state.step)}"
                raise StoppedError(f"{what}; the same command continues from {self.folder}", number)
        return state

    def _end_epoch(self, epoch: int, state: State, best: Params, validation: Any) -> tuple[State, Params]:
        """Add the epoch's lines of metrics, keep the best parameters, and decide which runs go on and which average."""
        runs, left = state.runs, unfinished(self.progress)
        look = epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs
        seen = self._scores("validation", runs.evaluated, validation) if look else [{} for _ in self.labels]
        totals, done = jax.device_get((runs.totals, runs.done))
        since, better = np.array(runs.since), np.zeros(len(self.labels), bool)
        for number in left:
            steps = self.program.task.steps_per_epoch
            trained = {f"train_{name}": float(total[number]) / steps for name, total in totals.items()}
            scores = {**trained, **seen[number]} if runs.finite[number] else {"train_loss": np.nan}
            before, line = self.best[number], {"kind": "epoch", "epoch": epoch, "step": int(done[number])}
            if self._add(number, scores, line, int(done[number])):
                better[number] = self.best[number] is not before
                if look and self.program.averages and since[number] == NEVER and self._is_stuck(number):
                    since[number] = int(state.step)
        self.epochs_done = epoch
        best = devices.put(self.program.mesh, select(better, runs.evaluated, best))
        finite = np.isin(np.arange(len(self.labels)), unfinished(self.progress))
        new = {"totals": jax.tree.map(np.zeros_like, totals), "finite": finite}
        if self.program.averages:
            new["since"] = since
        return state._replace(runs=runs._replace(**devices.put(self.program.mesh, new))), best

    def _is_stuck(self, number: int) -> bool:
        assert isinstance(self.config, Language)
        assert self.config.nonmonotone is not None
        lines = [line for line in self.progress.metrics if line.get("run", 0) == number]
        return is_stuck([line["validation_loss"] for line in lines if "validation_loss" in line], self.config.nonmonotone)

    def _scores(self, split: str, params: Params, data: Any) -> list[dict[str, float]]:
        means = jax.device_get(training.evaluate(self.program, params, data, self.settings))
        return [{f"{split}_{name}": float(mean[run]) for name, mean in means.items()} for run in range(len(self.labels))]

    def _add(self, number: int, scores: dict[str, float], line: dict[str, Any], step: int) -> bool:
        """Add a line of metrics with these scores, or one that says that a score is not finite; whether all are finite."""
        bad = [name for name, score in scores.items() if not math.isfinite(score)]
        if bad and len(self.labels) == 1:
            raise self._diverged(f"the {bad[0].replace('_', ' ')}", step)
        line = {"kind": "diverged", "epoch": line["epoch"], "step": step} if bad else {**line, **scores}
        self.progress.metrics.append({"kind": line["kind"], **self.labels[number], **line})
        self._note(self.progress.metrics[-1])
        return not bad

    def _note(self, line: dict[str, Any]) -> None:
        number = line.get("run", 0)
        self.epochs_done = max(self.epochs_done, line["epoch"])
        if "validation_loss" in line and is_better(line, self.best[number], self.config.by_accuracy):
            self.best[number] = line

    def _show(self, state: State, end: int, bar: tqdm) -> None:
        steps = int(state.step) - (end - self.program.task.steps_per_epoch)
        finite = np.asarray(state.runs.finite)
        totals = {name: np.asarray(total)[finite] for name, total in state.runs.totals.items()} if finite.any() else {}
        shown = {name: f"{total.mean() / steps:.4g}" for name, total in totals.items()}
        if len(finite) > 1:
            shown["runs"] = f"{finite.sum()}/{len(finite)}"
        elif self.best[0] is not None:
            shown["best_val"] = f"{self.best[0]['validation_loss']:.4g}"
        bar.set_description(self.name, refresh=False)
        bar.set_postfix(shown, refresh=False)
        bar.update(int(state.step) - bar.n)

    def _save(self, state: State, best: Params) -> None:
        self.progress.seconds += time.monotonic() - self._clock
        self._clock = self._saved_at = time.monotonic()

        def work() -> None:
            checkpoint.save(self.folder, self.progress, (state, best))
            if self.events is not None:
                self.events.write(self.progress.metrics)

        hosts.on_first(work)

    def _diverged(self, what: str, step: int) -> DivergedError:
        saved = checkpoint.read(self.folder)
        at = "" if saved is None else f" (step {saved[1].get('0/step', '?')})"
        return DivergedError(
            f"{what} of {self.name} is NaN or infinite at step {step}; the last good checkpoint is "
            f"{self.folder / checkpoint.NAME}{at}"
        )


def select(these: np.ndarray, new: Params, old: Params) -> Params:
    """The new parameters of these runs, the old ones of the others."""
    return jax.tree.map(lambda new, old: jnp.where(these.reshape(-1, *[1] * (new.ndim - 1)), new, old), new, old)
