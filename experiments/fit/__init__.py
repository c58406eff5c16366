"""One training run of a config: what is learnt, the compiled steps, the loop, and a folder that can be gone on with."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments import record
from experiments.configs import Config
from experiments.fit import checkpoint, files, problem
from experiments.fit.checkpoint import Progress
from experiments.fit.errors import RunError, StoppedError
from experiments.fit.loop import Run
from experiments.fit.signals import Signals
from experiments.fit.trainer import Trainer

__all__ = ["Outcome", "RunError", "StoppedError", "fit"]


class Outcome(NamedTuple):
    """A run at its end: its folder, its line of test scores, how long it took in all, and whether it had ended before."""

    folder: Path
    test: dict[str, Any]
    seconds: float
    before: bool


def fit(name: str, config: Config, out: Path, data_dir: Path, source: Path | None, command: str) -> Outcome:
    """Train a config in `out/NAME-seedSEED`, from the start or from where it was interrupted.

    Killed at any moment and started again, a run ends with the same parameters and metrics, bit for bit, on the same device.

    Raises:
      DataError: the data is missing, damaged or in the wrong place.
      RunError: the run cannot start or go on, or diverged; `status` is the exit status.
      StoppedError: Ctrl-C or SIGTERM; likewise.
    """
    with Signals() as signals:
        folder = out / f"{name}-seed{config.seed}"
        saved = checkpoint.read(folder)
        if saved is not None:
            checkpoint.check_same(saved, "config", saved.progress.config, dataclasses.asdict(config))
            checkpoint.write_metrics(folder, saved.progress)  # it may be one epoch behind
            if saved.progress.finished:
                return Outcome(folder, saved.progress.metrics[-1], saved.progress.seconds, before=True)
        else:
            files.check_writable(out)
        trainer = Trainer(config, problem.load(config, data_dir, source))
        origin = trainer.problem.origin
        if saved is not None:
            checkpoint.check_same(saved, "source of data", saved.progress.origin, origin)
            progress = saved.progress
            state, best = checkpoint.restore(saved, trainer.template())
        else:
            progress = Progress(dataclasses.asdict(config), origin)
            state = jax.tree.map(jax.numpy.asarray, jax.device_get(trainer.start()))
            best = state.params

            def fill(new: Path) -> None:
                record.write_config(new, command, origin, config, {config.cell: trainer.network.cell})
                checkpoint.save(new, progress, state, best)

            files.create_folder(folder, fill)
        signals.wait = True
        test = Run(name, folder, config, trainer, signals, progress).train(state, best)
        return Outcome(folder, test, progress.seconds, before=False)
