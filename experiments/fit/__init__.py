"""One training run of a config: what is learnt, the compiled steps, the loop, and a folder that can be gone on with."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments import record
from experiments.configs import Config
from experiments.fit import checkpoint, files, hosts, meshes, problem
from experiments.fit.checkpoint import Progress
from experiments.fit.errors import RunError, StoppedError
from experiments.fit.loop import Run
from experiments.fit.signals import Signals
from experiments.fit.tensorboard import Events
from experiments.fit.trainer import Trainer

__all__ = ["Outcome", "RunError", "StoppedError", "fit"]


class Outcome(NamedTuple):
    """A run at its end: its folder, its line of test scores, how long it took in all, and whether it had ended before."""

    folder: Path
    test: dict[str, Any]
    seconds: float
    before: bool


def fit(
    name: str,
    config: Config,
    out: Path,
    data_dir: Path,
    source: Path | None,
    command: str,
    *,
    devices: int | None = 1,
    tensorboard: bool = False,
) -> Outcome:
    """Train a config in `out/NAME-seedSEED`, from the start or from where it was interrupted.

    Killed at any moment and started again, a run ends with the same parameters and metrics, bit for bit, on the same devices.

    Args:
      devices: how many of each process share every minibatch; None for all of them.
      tensorboard: whether there is to be an event file too.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: the run cannot start or go on, or diverged; `status` is the exit status.
      StoppedError: Ctrl-C or SIGTERM; likewise.
    """
    with Signals() as signals, contextlib.ExitStack() as held:
        signals.wait = hosts.several()  # nobody leaves the others alone
        hosts.check_same("command", {"config": name, "devices": devices, **dataclasses.asdict(config)})
        folder = out / f"{name}-seed{config.seed}"
        events = None
        with hosts.together():
            if hosts.is_first():
                events = Events(folder) if tensorboard else None
                files.check_writable(out)
                held.enter_context(files.lock(folder))
        saved = checkpoint.read(folder)
        if saved is not None:
            checkpoint.check_same(saved, "config", saved.progress.config, dataclasses.asdict(config))
            progress = saved.progress

            def catch_up() -> None:
                checkpoint.write_metrics(folder, progress)  # it may be one epoch behind
                if events is not None:
                    events.write(progress.metrics)

            hosts.on_first(catch_up)
            if progress.finished:
                return Outcome(folder, progress.metrics[-1], progress.seconds, before=True)
        mesh = meshes.make(devices, config.batch_size)
        with hosts.together():
            loaded = problem.load(config, data_dir, source)
        trainer = Trainer(config, loaded, mesh)
        origin = trainer.problem.origin
        hosts.check_same("source of data", origin)
        if saved is not None:
            checkpoint.check_same(saved, "source of data", progress.origin, origin)
            state, best = trainer.put(checkpoint.restore(saved, trainer.template()))
        else:
            progress = Progress(dataclasses.asdict(config), origin)
            state = trainer.put(jax.device_get(trainer.start()))
            best = state.params

            def fill(new: Path) -> None:
                record.write_config(new, command, origin, config, {config.cell: trainer.network.cell}, mesh.size)
                checkpoint.save(new, progress, state, best)

            hosts.on_first(lambda: files.create_folder(folder, fill))
        signals.wait = True
        test = Run(name, folder, config, trainer, signals, progress, events).train(state, best)
        return Outcome(folder, test, progress.seconds, before=False)
