"""The demo's figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.demo_report import CellResult
from experiments.plots import COLOURS, log_scale, tidy


def learning_curves(path: Path, title: str, results: Sequence[CellResult]) -> None:
    """Save validation accuracy and training loss by epoch: the mean over seeds as a line, their range as a band."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for result, colour in zip(results, _cycle(len(results)), strict=True):
        _curve(accuracy, 100 * result.validation_accuracy, result.name, colour)
        _curve(loss, result.train_loss, result.name, colour)
    accuracy.set(ylabel="validation accuracy (%)")
    loss.set(ylabel="training loss (nats)")
    log_scale(loss)
    for axes in (accuracy, loss):
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    accuracy.legend(loc="lower right")
    seeds = results[0].train_loss.shape[1]
    figure.suptitle(f"{title}: mean, lowest and highest of {seeds} seeds" if seeds > 1 else f"{title}: one seed")
    figure.savefig(path, dpi=120)


def _curve(axes: Axes, values: np.ndarray, label: str, colour: str) -> None:
    epochs = np.arange(1, len(values) + 1)
    axes.fill_between(epochs, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.12, linewidth=0)
    # One epoch is a point, which a line would not show.
    axes.plot(epochs, values.mean(axis=1), color=colour, label=label, linewidth=1.8, marker="o" if len(values) == 1 else None)


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
