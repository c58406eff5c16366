"""Figures of a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from experiments.demo_report import CellResult

# Okabe and Ito's colours, which remain apart for colour-blind readers.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def learning_curves(path: Path, title: str, results: Sequence[CellResult]) -> None:
    """Save validation accuracy and training loss by epoch: the mean over seeds as a line, their range as a band."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for result, colour in zip(results, _cycle(len(results)), strict=True):
        _curve(accuracy, 100 * result.validation_accuracy, result.name, colour)
        _curve(loss, result.train_loss, result.name, colour)
    accuracy.set(ylabel="validation accuracy (%)")
    loss.set(ylabel="training loss (nats)", yscale="log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    loss.yaxis.set_minor_formatter(NullFormatter())
    for axes in (accuracy, loss):
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    accuracy.legend(loc="lower right")
    seeds = results[0].train_loss.shape[1]
    figure.suptitle(f"{title}: mean, lowest and highest of {seeds} seeds" if seeds > 1 else f"{title}: one seed")
    figure.savefig(path, dpi=120)


def tidy(axes: Axes) -> None:
    """A light grid, and no frame above and to the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes: Axes, values: np.ndarray, label: str, colour: str) -> None:
    epochs = np.arange(1, len(values) + 1)
    axes.fill_between(epochs, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.12, linewidth=0)
    # One epoch is a point, which a line would not show.
    axes.plot(epochs, values.mean(axis=1), color=colour, label=label, linewidth=1.8, marker="o" if len(values) == 1 else None)


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
