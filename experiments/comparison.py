"""The comparison of the demo's cells: a table and a verdict for each task, and a figure."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import checkpoint, plots, runs, tables, tasks
from experiments.command import Signals
from experiments.configs import demo

TITLES = {
    "digits": "Handwritten digits, 8x8 pixels one by one in a fixed shuffled order",
    "drifts": "Slow signals under noise: which of five periods has a sine under noise of its own size",
}
CELLS = {
    "lstm": "LSTM",
    "scaled_lstm": "LSTM, input × s / (1 - μ)",
    "momentum_lstm": "MomentumLSTM",
    "adam_lstm": "AdamLSTM",
    "rmsprop_lstm": "RMSPropLSTM",
    "scheduled_restart_lstm": "SRLSTM",
}


class Result(NamedTuple):
    """One cell's training: the arrays hold one entry per seed, or (epochs, seeds) for the curves."""

    name: str
    test_accuracy: np.ndarray
    best_epoch: np.ndarray
    num_parameters: int
    seconds: float
    train_loss: np.ndarray
    validation_accuracy: np.ndarray

    @property
    def mean(self) -> float:
        """The mean test accuracy in percent."""
        return float(100 * self.test_accuracy.mean())

    @property
    def std(self) -> float:
        """The sample standard deviation of the test accuracy over the seeds, in points; NaN for one seed."""
        return float(100 * self.test_accuracy.std(ddof=1)) if self.test_accuracy.size > 1 else float("nan")


def run(folder: Path, seeds: int, epochs: int | None, hidden: int | None, command: str, signals: Signals) -> str:
    """Train all cells on all tasks and write `results.md` and `curves.png`; return the text."""
    changes: dict[str, Any] = {k: v for k, v in (("epochs", epochs), ("hidden_features", hidden)) if v is not None}
    found: dict[str, list[Result]] = {}
    for task in TITLES:
        for cell in CELLS:
            config = dataclasses.replace(demo.ROWS[f"{task}_{cell}"].config, **changes)
            configs = [dataclasses.replace(config, seed=seed) for seed in range(seeds)]
            outcome = runs.train(f"{task} {cell}", configs, folder / task / cell, tasks.load, command, signals)
            found.setdefault(task, []).append(result(CELLS[cell], outcome, seeds))
    text = "\n\n".join(f"## {TITLES[task]}\n\n{table(of)}\n\n{verdict(of)}" for task, of in found.items())
    notes = (
        f"Seeds: {seeds}. The test split is evaluated once, at each seed's best epoch on the validation split. Accuracies are "
        f"mean ± standard deviation over the seeds; seconds are for all seeds together, with compilation.\n\n`{command}`\n"
    )
    checkpoint.write(folder / "results.md", f"# What momentum does on two small tasks\n\n{text}\n\n{notes}".encode())
    checkpoint.write(folder / "curves.png", plots.png(curves(found)))
    return text


def result(name: str, outcome: runs.Outcome, seeds: int) -> Result:
    """A cell's result, from its lines of metrics; a diverged run has an accuracy of 0."""
    tests = np.zeros(seeds), np.zeros(seeds, int)
    lines: list[list[dict[str, Any]]] = [[] for _ in range(seeds)]
    for line in outcome.metrics:
        number = line.get("run", 0)
        if line["kind"] == "test":
            tests[0][number], tests[1][number] = line["test_accuracy"], line["epoch"]
        elif line["kind"] == "epoch":
            lines[number].append(line)
    epochs = min(map(len, lines))
    loss, accuracy = (
        np.array([[line[key] for line in of[:epochs]] for of in lines]).T for key in ("train_loss", "validation_accuracy")
    )
    with np.load(outcome.folder / checkpoint.BEST) as params:
        parameters = sum(array.size for array in params.values()) // seeds
    return Result(name, *tests, parameters, outcome.seconds, loss, accuracy)


def table(results: Sequence[Result]) -> str:
    """A Markdown table with one row per cell."""
    rows = [("cell", "test accuracy %", tables.BEST_EPOCH, "parameters", "seconds")]
    for r in results:
        accuracy = f"{r.mean:.2f}" if np.isnan(r.std) else f"{r.mean:.2f} ± {r.std:.2f}"
        epochs = tables.median_and_range(r.best_epoch.tolist())
        if lost := int((r.best_epoch == 0).sum()):
            accuracy += f" ({lost} of {r.best_epoch.size} diverged)"
        rows.append((r.name, accuracy, epochs, str(r.num_parameters), f"{r.seconds:.1f}"))
    return tables.markdown(rows)


def verdict(results: Sequence[Result]) -> str:
    """Which cells differ from the first by more than the seeds do.

    A difference counts when the two `mean ± std` intervals of the table do not touch. That is a rule of thumb, not a test.
    """
    base, *others = results
    if np.isnan(base.std):
        return "One seed has no spread, so nothing can be ranked: use more seeds."
    groups: dict[str, list[str]] = {"better": [], "worse": [], "close": []}
    for r in others:
        difference = r.mean - base.mean
        group = "close" if abs(difference) <= r.std + base.std else "better" if difference > 0 else "worse"
        groups[group].append(f"{r.name} ({difference:+.2f})")
    spread = "than the LSTM by more than the seeds' spread"
    parts = [
        f"Better {spread}: {', '.join(groups['better']) or 'none'}",
        f"worse {spread}: {', '.join(groups['worse']) or 'none'}",
    ]
    parts += [f"within the spread: {', '.join(groups['close'])}"] if groups["close"] else []
    seeds = base.test_accuracy.size
    return f"{'; '.join(parts)}. In points of test accuracy; {seeds} seeds on one small data set decide nothing beyond it."


def curves(found: dict[str, list[Result]]) -> Figure:
    """Validation accuracy and training loss by epoch: the mean over seeds as a line, their range as a band."""
    figure = Figure(figsize=(12, 4.5 * len(found)), layout="constrained")
    for row, (task, results) in zip(figure.subplots(len(found), 2, squeeze=False), found.items(), strict=True):
        for axes, what in zip(row, ("validation accuracy (%)", "training loss (nats)"), strict=True):
            for number, of in enumerate(results):
                values = 100 * of.validation_accuracy if "accuracy" in what else of.train_loss
                epochs, colour = np.arange(1, len(values) + 1), plots.COLOURS[number % len(plots.COLOURS)]
                plots.mean_and_range(axes, epochs, values, color=colour, label=of.name)
            axes.set(xlabel="epoch", ylabel=what, title=task)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            plots.tidy(axes)
        plots.log_scale(row[1])
        row[0].legend(loc="lower right")
    figure.suptitle("Mean, lowest and highest of the seeds")
    return figure
