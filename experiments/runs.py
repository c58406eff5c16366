"""Train runs in a folder: one, or many side by side in one program. Every command that trains calls `train`."""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import checkpoint, devices, hosts, record, tasks, training
from experiments.checkpoint import Progress
from experiments.command import RunError, Signals
from experiments.configs.base import Config
from experiments.loop import Loop, labels, unfinished
from experiments.networks import Params
from experiments.tasks import Stored
from experiments.tensorboard import Events
from experiments.training import Program, Setting, State


class Outcome(NamedTuple):
    """Finished runs: the folder, the lines of metrics, the total time, and whether they had been finished before."""

    folder: Path
    metrics: list[dict[str, Any]]
    seconds: float
    before: bool


def settings_of(configs: list[Config], data: tasks.Data) -> Setting:
    """The runs' settings, with the runs on the leading axis."""
    hyper = {name: [getattr(run, name) for run in configs] for name in ("mu", "step_size")}
    given = {name: np.array(values, np.float32) for name, values in hyper.items() if values[0] is not None}
    return Setting(np.array([run.seed for run in configs], np.uint32), given, tasks.orders(configs, data))  # type: ignore[arg-type]


def program_of(config: Config, task: Stored, mesh: Any) -> Program:
    """The program for all runs that differ from the config in `Setting` only: those values are replaced by constants."""
    varied: dict[str, Any] = {name: None if getattr(config, name) is None else 0.5 for name in ("mu", "step_size")}
    permutation: dict[str, Any] = {"permutation_seed": None} if hasattr(config, "permutation_seed") else {}
    return Program(dataclasses.replace(config, seed=0, **varied, **permutation), task, mesh)


def train(
    name: str,
    configs: list[Config],
    folder: Path,
    load: Callable[[Config], tuple[Stored, tasks.Data]],
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
      configs: one for each run; they differ only in seed, μ and step size.
      load: gives the task of a config, and its data; `tasks.load` with its other arguments, for the data of the config's name.
      devices_per_process: how many of each process share every minibatch; None for all of them.
      tensorboard: whether to write an event file too.
      observe: called before the first epoch and after each with its number, from 0, and all runs' parameters.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: the runs cannot start or continue.
      DivergedError: a single run is no longer finite; one of several stops alone, and its last line says so.
      StoppedError: Ctrl-C or SIGTERM; everything is saved.
    """
    config = configs[0]
    _check_same_command({"config": name, "devices": devices_per_process, **config.to_dict()})
    signals.wait = signals.wait or jax.process_count() > 1  # no process leaves the others waiting
    with contextlib.ExitStack() as held:
        events = Events(folder) if tensorboard and hosts.is_first() else None
        hosts.on_first(lambda: held.enter_context(checkpoint.lock(folder)))
        saved = checkpoint.read(folder)
        if saved is not None:
            progress, arrays = saved
            checkpoint.check_same(folder, "config", progress.config, config.to_dict())
            checkpoint.check_same(folder, "grid", progress.runs, labels(configs))
        mesh = devices.make_mesh(devices_per_process, config.batch_size)

        def write_config(folder: Path) -> None:
            described = config.to_dict() | ({"runs": labels(configs)} if len(configs) > 1 else {})
            text = record.config_of(command, progress.origin, described, {config.cell: config.make_cell()}, mesh.size)
            checkpoint.write(folder / checkpoint.CONFIG, text.encode())

        def catch_up() -> None:
            checkpoint.write_metrics(folder, progress)  # they may be one epoch behind
            if not (folder / checkpoint.CONFIG).exists():
                write_config(folder)
            if events is not None:
                events.write(progress.metrics)

        if saved is not None:
            hosts.on_first(catch_up)
            if not unfinished(progress):
                return Outcome(folder, progress.metrics, progress.seconds, before=True)
        with hosts.together():
            task, data = load(config)
            if any(other != data.origin for other in hosts.from_each(data.origin)):
                raise RunError("the processes read different data")
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
        splits = devices.put(mesh, data[:3])
        Loop(name, config, folder, program, splits, settings, signals, progress, events, observe).go(state, best)
        return Outcome(folder, progress.metrics, progress.seconds, before=False)


def _check_same_command(described: dict[str, Any]) -> None:
    """Refuse processes whose commands differ."""
    for process, other in enumerate(hosts.from_each(described)):
        for key, here in described.items():
            if other[key] != here:
                raise RunError(f"process {process} has another command: {key} is {other[key]!r} there and {here!r} here")


def _check_memory(state: State, config: Config) -> None:
    """Refuse a state that does not fit into memory with the gradients, the updates and the best parameters."""
    if jax.default_backend() != "cpu" or "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, *[state.runs.params] * 3)))
    if size > (memory := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise RunError(
            f"hidden_features must leave the parameters and the optimiser in {memory / 2**30:.1f} GiB of memory, got "
            f"{config.hidden_features}: {size / 2**30:.1f} GiB"
        )
