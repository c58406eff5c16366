"""All rate models on one population: trials, the chosen one with every seed, a table and a figure.

Each fit is a file of its own in the run's folder, written when it has ended: the same command resumes after the last one.
"""

import dataclasses
import importlib.metadata
import io
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import checkpoint, record, tables
from experiments.command import RunError
from experiments.networks import flat
from experiments.neural import data, figure, metrics, models
from experiments.neural.fit import Fit, Trainer, as_arrays

CALLS = 50  # of which the median is the time of inference
CONFIG, RESULTS, REPORT, FIGURE = "config.json", "results.json", "report.md", "rates.png"


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is made of; a folder holds runs that differ in nothing but their models."""

    data: str
    models: tuple[str, ...]
    seeds: int
    epochs: int
    conditions: int | None

    @property
    def trial_epochs(self) -> int:
        """Trials last half as long as the fits that are scored."""
        return -(-self.epochs // 2)


def run(folder: Path, options: Options, command: str, say: Callable[[str], None] = print) -> str:
    """Fit what is not there yet, and write the table and the figure; the table.

    Raises:
      RunError: the folder holds something else, or cannot be written.
      DivergedError: a fit is not finite any more.
    """
    began, load = time.perf_counter(), os.getloadavg()
    population = data.load(options.data, options.conditions)
    _begin(folder, options, population.origin, command)
    results: list[dict[str, Any]] = []
    chosen: dict[str, tuple[Trainer, models.Settings, Any]] = {}
    for name in options.models:
        trainer = Trainer(name, population)
        trials = [
            _fitted(folder, f"{name}-trial{number}", trainer, settings, 0, options.trial_epochs, say)
            for number, settings in enumerate(models.KINDS[name].trials)
        ]
        best = min(range(len(trials)), key=lambda number: trials[number].validation_loss)
        settings = models.KINDS[name].trials[best]
        seeds = range(options.seeds) if models.KINDS[name].trained else range(1)
        fits = [_fitted(folder, f"{name}-seed{seed}", trainer, settings, seed, options.epochs, say) for seed in seeds]
        results.append(
            {
                "model": name,
                "parameters": trainer.parameters,
                "hidden_features": trainer.hidden if models.KINDS[name].sized else None,
                "settings": settings,
                "trial_losses": [trial.validation_loss for trial in trials],
                "validation_loss": [fit.validation_loss for fit in fits],
                "best_epoch": [fit.best_epoch for fit in fits],
                "seconds": [fit.seconds for fit in fits],
                **_columns([trainer.test(settings, fit.params, population.test) for fit in fits]),
            }
        )
        chosen[name] = trainer, settings, fits[0].params
    for result, each in zip(results, _times(list(chosen.values()), population.test.spikes), strict=True):
        result["microseconds_per_bin"] = each
    bounds = _bounds(next(iter(chosen.values()))[0], population)
    loads = {"load_average_before": load[0], "load_average_at_end": os.getloadavg()[0]}
    text = table(results)
    found = {**loads, **bounds, "last_command_seconds": time.perf_counter() - began, "results": results}
    checkpoint.write(folder / RESULTS, (json.dumps(found, indent=2) + "\n").encode())
    checkpoint.write(folder / REPORT, report(folder, command, text, found).encode())
    picture, first = io.BytesIO(), jnp.asarray(population.test.spikes[:1])
    inferred = {
        models.KINDS[name].title: np.asarray(trainer.infer(as_arrays(settings), params, first))[0]
        for name, (trainer, settings, params) in chosen.items()
    }
    seen = next(iter(chosen.values()))[0].seen
    figure.draw(population.test.spikes[0], population.test.rates[0], inferred, seen).savefig(picture, dpi=110)
    checkpoint.write(folder / FIGURE, picture.getvalue())
    return text


def table(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table with one row for each model."""
    columns = ("parameters", "chosen of the trials", "validation loss", "R²", "R², held out", "co-bps", "µs per bin", "s per fit")
    rows: list[tuple[str, ...]] = [("model", *columns)]
    for of in results:
        settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in of["settings"].items())
        spread = [_mean(of[name], 4) for name in ("validation_loss", "r2", "r2_held_out", "co_bps")]
        timing = f"{of['microseconds_per_bin']:.1f}", f"{statistics.mean(of['seconds']):.1f}"
        rows.append((models.KINDS[of["model"]].title, str(of["parameters"]), settings, *spread, *timing))
    return tables.markdown(rows)


def report(folder: Path, command: str, text: str, found: dict[str, Any]) -> str:
    """The report of a folder whose fits have all ended; `command` is the last one."""
    config = json.loads((folder / CONFIG).read_text())
    options, device = config["options"], record.in_words(config["device"])
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    fits = [json.loads(path.read_text()) for path in sorted((folder / "fits").glob("*.json"))]
    seconds, commits = sum(fit["seconds"] for fit in fits), sorted({str(fit["git_commit"]) for fit in fits})
    return (
        f"# Firing rates from spikes: {options['data']}\n\n    {command}\n\n"
        f"Commit {', '.join(commits)}; {versions}, {device}; all fits took {seconds:.0f} s. Load average of the machine: "
        f"{found['load_average_before']:.1f} when the last command began, {found['load_average_at_end']:.1f} at the end. Above "
        "the 1 or 2 of the command itself, other jobs ran beside it, and times are too long.\n\n"
        f"{text}\n\n"
        f"Mean ± standard deviation of {options['seeds']} seeds (initial parameters, minibatches and masks) on one data set, "
        f"`{json.dumps(config['origin'])}`. Settings: the trial with the lowest validation loss of seed 0 after "
        f"{-(-options['epochs'] // 2)} epochs; then {options['epochs']} epochs from the start with each seed, of which the one "
        "with the lowest validation loss counts. Test trials are looked at once, with those parameters. R²: of the true rates, "
        "of neurons that the model sees and of those that it never sees; co-bps: bits per spike of the latter. µs per bin: one "
        f"trial at a time, a whole trial at once, median of {CALLS} calls, divided by its bins.\n\n"
        f"What there is to gain: the true rates have a validation loss of {found['true_validation_loss']:.4f} and a co-bps of "
        f"{found['true_co_bps']:.4f}; each neuron's mean in training has a validation loss of "
        f"{found['mean_validation_loss']:.4f} and a co-bps of about 0.\n\n"
        f"![Inferred rates of one test trial over the true ones]({FIGURE})\n"
    )


def _begin(folder: Path, options: Options, origin: dict[str, Any], command: str) -> None:
    """Make the folder, or see that it is one of the same run."""
    here = json.loads(json.dumps(dataclasses.asdict(options)))
    if (folder / CONFIG).exists():
        try:
            there = json.loads((folder / CONFIG).read_text())["options"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{folder / CONFIG} is damaged; give another --out") from error
        checkpoint.check_same(folder, "command", *({**of, "models": None} for of in (there, here)))
        return
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"--out {folder}: it holds no {CONFIG}, but other files; give another --out")
    (folder / "fits").mkdir(parents=True, exist_ok=True)
    versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")}
    config = {
        "command": command,
        "options": here,
        "origin": origin,
        "trials": {name: models.KINDS[name].trials for name in options.models},
        "versions": versions,
        "device": record.device(),
        "git_commit": record.git_commit(),
    }
    checkpoint.write(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def _fitted(
    folder: Path, name: str, trainer: Trainer, settings: models.Settings, seed: int, epochs: int, say: Callable[[str], None]
) -> Fit:
    """A fit from the folder, or a new one, which then is there."""
    scores, arrays = folder / "fits" / f"{name}.json", folder / "fits" / f"{name}.npz"
    if scores.exists():
        like = trainer.start(settings, seed)
        with np.load(arrays) as stored:
            leaves = [jnp.asarray(stored[key]) for key in flat(like)]
        values = json.loads(scores.read_text())
        return Fit(jax.tree.unflatten(jax.tree.structure(like), leaves), *(values[key] for key in Fit._fields[1:]))
    fit = trainer.fit(settings, seed, epochs)
    say(f"{name}: validation loss {fit.validation_loss:.4f} at epoch {fit.best_epoch}, {fit.seconds:.1f} s")
    checkpoint.save_params(arrays, fit.params)
    values = {"settings": dict(settings), "seed": seed, "epochs": epochs, "git_commit": record.git_commit(), **fit._asdict()}
    del values["params"]
    checkpoint.write(scores, (json.dumps(values, indent=2) + "\n").encode())
    return fit


def _times(chosen: Sequence[tuple[Trainer, models.Settings, Any]], spikes: np.ndarray) -> list[float]:
    """Microseconds for each bin of one trial, of each model; they take turns, so that all meet the same machine."""
    one = jnp.asarray(spikes[:1])
    seconds: list[list[float]] = [[] for _ in chosen]
    for call in range(CALLS + 1):  # the first one compiles
        for number, (trainer, settings, params) in enumerate(chosen):
            arrays = as_arrays(settings)
            began = time.perf_counter()
            jax.block_until_ready(trainer.infer(arrays, params, one))
            if call:
                seconds[number].append(time.perf_counter() - began)
    return [1e6 * statistics.median(each) / spikes.shape[1] for each in seconds]


def _bounds(trainer: Trainer, population: data.Population) -> dict[str, float]:
    """The scores of the true rates, and of each neuron's mean count in training."""
    cut, test = trainer.seen, population.test
    means = np.broadcast_to(trainer.data.means, population.validation.rates.shape)
    return {
        "true_validation_loss": trainer.validation_loss(population.validation.rates),
        "true_co_bps": metrics.bits_per_spike(test.rates[..., cut:], test.spikes[..., cut:]),
        "mean_validation_loss": trainer.validation_loss(means),
    }


def _columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _mean(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
