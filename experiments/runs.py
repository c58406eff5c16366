"""Train runs in a folder: one, or many side by side in one program. The commands that train end here."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import checkpoint, devices, hosts, record, tasks, training
from experiments.checkpoint import Progress
from experiments.command import DivergedError, RunError, Signals, StoppedError
from experiments.configs.base import VARIED, Config, Language
from experiments.networks import Params
from experiments.tensorboard import Events
from experiments.training import NEVER, Program, Setting, State

CALL_SECONDS = 1.0  # between two looks at signals, and at the bar
SAVE_SECONDS = 60.0  # within an epoch; after each it is saved anyway


class Outcome(NamedTuple):
    """Runs at their end: the folder, the lines of metrics, how long it took in all, and whether they had ended before."""

    folder: Path
    metrics: list[dict[str, Any]]
    seconds: float
    before: bool


def labels(configs: list[Config]) -> list[dict[str, Any]]:
    """What tells the lines of several runs apart."""
    if len(configs) == 1:
        return [{}]
    found = ({name: getattr(run, name) for name in VARIED if getattr(run, name) is not None} for run in configs)
    return [{"run": number, **label} for number, label in enumerate(found)]


def is_better(line: dict[str, Any], best: dict[str, Any] | None, by_accuracy: bool) -> bool:
    """By the validation split: the higher accuracy where that counts; among equals, and elsewhere, the lower loss."""

    def rank(line: dict[str, Any]) -> tuple[float, float]:
        return line["validation_accuracy"] if by_accuracy else 0.0, -line["validation_loss"]

    return best is None or rank(line) > rank(best)


def is_stuck(losses: list[float], patience: int) -> bool:
    """Whether the last loss is worse than the best of those that came more than `patience` before it.

    >>> is_stuck([3.0, 1.0, 2.0], patience=1), is_stuck([1.0, 3.0, 2.0], patience=1), is_stuck([1.0, 2.0], patience=1)
    (False, True, False)
    """
    *before, last = losses
    return len(before) > patience and last > min(before[: len(before) - patience])


def settings_of(configs: list[Config], data: tasks.Data) -> Setting:
    """What the runs have on their leading axis."""
    hyper = {name: [getattr(run, name) for run in configs] for name in ("mu", "step_size")}
    given = {name: np.array(values, np.float32) for name, values in hyper.items() if values[0] is not None}
    return Setting(np.array([run.seed for run in configs], np.uint32), given, tasks.orders(configs, data))  # type: ignore[arg-type]


def program_of(config: Config, task: tasks.Stored, mesh: Any) -> Program:
    """The program of all runs that differ from the config in nothing that is an argument."""
    varied: dict[str, Any] = {name: None if getattr(config, name) is None else 0.5 for name in ("mu", "step_size")}
    permutation: dict[str, Any] = {"permutation_seed": None} if hasattr(config, "permutation_seed") else {}
    return Program(dataclasses.replace(config, seed=0, **varied, **permutation), task, mesh)


def train(
    name: str,
    configs: list[Config],
    folder: Path,
    data_dir: Path | None,
    source: Path | None,
    command: str,
    signals: Signals,
    *,
    devices_per_process: int | None = 1,
    tensorboard: bool = False,
    observe: Callable[[int, Params], None] | None = None,
) -> Outcome:
    """Train runs from the start, or from where they were interrupted.

    Killed at any moment and started again, they end with the same parameters and metrics, bit for bit, on the same devices.

    Args:
      configs: of each run; they differ in seed, μ and step size alone.
      devices_per_process: how many of each process share every minibatch; None for all of them.
      tensorboard: whether there is to be an event file too.
      observe: called with the epoch, from 0, and all runs' parameters.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: the runs cannot start or go on; `status` is the exit status.
      DivergedError: a single run is not finite any more; one of several only stops, and its last line says so.
      StoppedError: Ctrl-C or SIGTERM; everything is saved.
    """
    config = configs[0]
    described = {"config": name, "devices": devices_per_process, **config.to_dict()}
    for process, other in enumerate(hosts.from_each(described)):
        for key, here in described.items():
            if other[key] != here:
                raise RunError(f"process {process} has another command: {key} is {other[key]!r} there and {here!r} here")
    signals.wait = signals.wait or jax.process_count() > 1  # nobody leaves the others alone
    with contextlib.ExitStack() as held:
        events = Events(folder) if tensorboard and hosts.is_first() else None
        hosts.on_first(lambda: held.enter_context(checkpoint.lock(folder)))
        saved = checkpoint.read(folder)
        if saved is not None:
            progress, arrays = saved
            checkpoint.check_same(folder, "config", progress.config, config.to_dict())
            checkpoint.check_same(folder, "grid", progress.runs, labels(configs))
        mesh = devices.make_mesh(devices_per_process, config.batch_size)
        cells = {config.cell: config.make_cell()}

        def write_config(folder: Path) -> None:
            more = {"runs": labels(configs)} if len(configs) > 1 else {}
            text = record.config_of(command, progress.origin, {**config.to_dict(), **more}, cells, mesh.size)
            checkpoint.write(folder / checkpoint.CONFIG, text.encode())

        def catch_up() -> None:
            checkpoint.write_metrics(folder, progress)  # it may be one epoch behind
            if not (folder / checkpoint.CONFIG).exists():
                write_config(folder)
            if events is not None:
                events.write(progress.metrics)

        if saved is not None:
            hosts.on_first(catch_up)
            if len(_ended(progress)) == len(configs):
                return Outcome(folder, progress.metrics, progress.seconds, before=True)
        with hosts.together():
            task, data = tasks.load(config, data_dir, source)
            if any(other != data.origin for other in hosts.from_each(data.origin)):
                raise RunError("processes have other sources of data")
        program, settings = program_of(config, task, mesh), devices.put(mesh, settings_of(configs, data))
        shapes = jax.eval_shape(partial(training.start, program), settings)
        _check_memory(shapes, config)
        if saved is not None:
            checkpoint.check_same(folder, "source of data", progress.origin, data.origin)
            state, best = devices.put(mesh, checkpoint.restore(folder, arrays, (shapes, shapes.runs.params)))
        else:
            state = devices.put(mesh, jax.device_get(training.start(program, settings)))
            best = state.runs.params
            progress = Progress(config.to_dict(), labels(configs), data.origin)

            def fill(new: Path) -> None:
                write_config(new)
                checkpoint.save(new, progress, (state, best))

            hosts.on_first(lambda: checkpoint.create_folder(folder, fill))
        signals.wait = True
        Loop(name, configs, folder, program, devices.put(mesh, data[:3]), settings, signals, progress, events, observe).go(
            state, best
        )
        return Outcome(folder, progress.metrics, progress.seconds, before=False)


def _check_memory(state: State, config: Config) -> None:
    """Refuse what the machine cannot hold: the state, the gradients, the updates and the best parameters."""
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, *[state.runs.params] * 3))]
    if jax.default_backend() != "cpu" or "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return
    if sum(sizes) > (memory := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise RunError(
            f"hidden_features must leave the parameters and the optimiser in {memory / 2**30:.1f} GiB of memory, got "
            f"{config.hidden_features}: {sum(sizes) / 2**30:.1f} GiB"
        )


def _ended(progress: Progress) -> set[int]:
    """The runs that are over."""
    return {line.get("run", 0) for line in progress.metrics if line["kind"] != "epoch"}


class Loop:
    """The training loop: epoch by epoch, from wherever runs are to their end.

    How many steps are done at a time, and where runs are interrupted, changes no result.
    """

    def __init__(
        self,
        name: str,
        configs: list[Config],
        folder: Path,
        program: Program,
        data: tuple[Any, Any, Any],
        settings: Setting,
        signals: Signals,
        progress: Progress,
        events: Events | None,
        observe: Callable[[int, Params], None] | None,
    ):
        self.name, self.config, self.folder, self.program, self.settings = name, configs[0], folder, program, settings
        self.train, self.validation, self.test = data
        self.signals, self.progress, self.events, self.observe = signals, progress, events, observe
        self.labels = labels(configs)
        self.best: list[dict[str, Any] | None] = [None] * len(configs)
        self.epochs_done = 0
        for line in progress.metrics:
            self._note(line)
        self._stride = 1
        self._clock = self._saved_at = time.monotonic()

    def go(self, state: State, best: Params) -> None:
        """Train to the end, and look at the test split once, with each run's best parameters by validation."""
        steps, epochs = self.program.task.steps_per_epoch, self.config.epochs
        if self.observe is not None and not self.epochs_done:
            self.observe(0, state.runs.params)
        hidden = not hosts.is_first()
        with tqdm(
            total=epochs * steps, initial=int(state.step), unit="step", mininterval=0.5, dynamic_ncols=True, disable=hidden
        ) as bar:
            bar.set_description(f"{self.name} (compiling)")
            while self.epochs_done < epochs and self._left():
                epoch = self.epochs_done + 1
                state = self._epoch(state, best, epoch * steps, bar)
                state, best = self._end_epoch(epoch, state, best)
                if self.observe is not None:
                    self.observe(epoch, state.runs.params)
                self._save(state, best)
        if self._left():
            means = self._scores("test", best, self.test)
            for number in self._left():
                chosen = self.best[number]
                assert chosen is not None  # the last epoch is always looked at
                self._add(number, means[number], {"kind": "test", "epoch": chosen["epoch"]}, int(state.runs.done[number]))
        hosts.on_first(lambda: checkpoint.save_params(self.folder / checkpoint.BEST, self._alone(best)))
        self._save(state, best)

    def _alone(self, params: Params) -> Params:
        """A single run's parameters have no axis for it."""
        return params if len(self.labels) > 1 else jax.tree.map(lambda leaf: np.asarray(leaf)[0], params)

    def _epoch(self, state: State, best: Params, end: int, bar: tqdm) -> State:
        while (step := int(state.step)) < end:
            start = time.monotonic()
            until = np.int32(min(step + self._stride, end))
            state = jax.block_until_ready(training.advance(self.program, state, until, self.train, self.settings))
            if len(self.labels) == 1 and not state.runs.finite[0]:
                raise self._diverged("the loss, its gradient or a parameter", int(state.runs.done[0]))
            # The first call is one step, and mostly compilation.
            wanted = int((int(state.step) - step) * CALL_SECONDS / max(time.monotonic() - start, 1e-6))
            self._stride = max(1, min(wanted, 4 * self._stride))
            self._show(state, end, bar)
            # Several processes have one clock, and a signal to one is for all.
            late = time.monotonic() - self._saved_at > SAVE_SECONDS
            told = hosts.from_each([self._stride, late, self.signals.received])
            self._stride, late, _ = told[0]
            number = next((number for *_, number in told if number is not None), None)
            if late or number is not None:
                self._save(state, best)
            if number is not None:
                what = f"{signal.Signals(number).name} after step {int(state.step)}"
                raise StoppedError(f"{what}; the same command goes on from {self.folder}", number)
        return state

    def _end_epoch(self, epoch: int, state: State, best: Params) -> tuple[State, Params]:
        runs, steps = state.runs, self.program.task.steps_per_epoch
        look = epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs
        seen = self._scores("validation", runs.evaluated, self.validation) if look else [{} for _ in self.labels]
        totals, done = jax.device_get((runs.totals, runs.done))
        finite, since, better = np.array(runs.finite), np.array(runs.since), np.zeros(len(self.labels), bool)
        for number in self._left():
            trained = {f"train_{name}": float(total[number]) / steps for name, total in totals.items()}
            scores = {**trained, **seen[number]} if finite[number] else {"train_loss": np.nan}
            before = self.best[number]
            line = {"kind": "epoch", "epoch": epoch, "step": int(done[number])}
            finite[number] = self._add(number, scores, line, int(done[number]))
            better[number] = look and finite[number] and self.best[number] is not before
            if look and finite[number] and self.program.averages and since[number] == NEVER:
                assert isinstance(self.config, Language)
                assert self.config.nonmonotone is not None
                mine = [line for line in self.progress.metrics if line.get("run", 0) == number]
                losses = [line["validation_loss"] for line in mine if "validation_loss" in line]
                if is_stuck(losses, self.config.nonmonotone):
                    since[number] = int(state.step)
        self.epochs_done = epoch
        finite &= np.isin(np.arange(len(finite)), self._left())
        best = devices.put(self.program.mesh, select(better, runs.evaluated, best))
        zeros = jax.tree.map(np.zeros_like, totals)
        new = {"totals": zeros, "finite": finite} | ({"since": since} if self.program.averages else {})
        return state._replace(runs=runs._replace(**devices.put(self.program.mesh, new))), best

    def _scores(self, split: str, params: Params, data: Any) -> list[dict[str, float]]:
        means = jax.device_get(training.evaluate(self.program, params, data, self.settings))
        return [{f"{split}_{name}": float(mean[run]) for name, mean in means.items()} for run in range(len(self.labels))]

    def _left(self) -> list[int]:
        """The runs that are not over."""
        ended = _ended(self.progress)
        return [number for number in range(len(self.labels)) if number not in ended]

    def _add(self, number: int, scores: dict[str, float], line: dict[str, Any], step: int) -> bool:
        """A line of metrics with these scores, or one that says that a score is not finite; whether all are."""
        good = checkpoint.is_finite(scores)
        if not good and len(self.labels) == 1:
            what = next(name for name, score in scores.items() if not np.isfinite(score))
            raise self._diverged(f"the {what.replace('_', ' ')}", step)
        line = {**line, **scores} if good else {"kind": "diverged", "epoch": line["epoch"], "step": step}
        self.progress.metrics.append({"kind": line["kind"], **self.labels[number], **line})
        self._note(self.progress.metrics[-1])
        return good

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
    """Of these runs the new parameters, of the others the old ones."""
    return jax.tree.map(lambda new, old: jnp.where(these.reshape(-1, *[1] * (new.ndim - 1)), new, old), new, old)
