"""The figure of a task: the validation loss by epoch of each of its groups."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import plots
from experiments.configs.base import TASKS
from experiments.reporting.runs import Group

STYLES = ("-", "--", ":", "-.")  # the next one when the colours are used up


def losses(task: str, groups: Sequence[Group]) -> bytes:
    """A PNG: a line for the mean over each group's seeds, and a band for their range."""
    figure = Figure(figsize=(10, 4.5 + 0.2 * len(groups)), layout="constrained")  # room for the legend
    axes = figure.subplots()
    lowest, last = np.inf, 1
    for number, group in enumerate(groups):
        epochs, values = by_epoch(group)
        lowest, last = min(lowest, values.min()), max(last, epochs[-1])
        colour, style = plots.COLOURS[number % len(plots.COLOURS)], STYLES[number // len(plots.COLOURS) % len(STYLES)]
        label = f"{group.label} ({len(group.runs)})"
        plots.mean_and_range(axes, epochs, values, style, color=colour, label=label)
    unit = "squared error" if TASKS[task].score == "squared error" else "nats"
    axes.set(title=f"{TASKS[task].title}: validation loss", xlabel="epoch", ylabel=f"loss ({unit})")
    if lowest > 0:
        plots.log_scale(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if last == 1:
        axes.set_xlim(0.5, 1.5)
    plots.tidy(axes)
    figure.legend(loc="outside lower center", title="run (seeds)", fontsize="small")
    return plots.png(figure)


def by_epoch(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """The epochs at which all of a group's runs were validated, (epochs,), and their losses, (epochs, seeds)."""
    seeds = [run.curve("validation_loss") for run in group.runs]
    epochs = sorted(set.intersection(*map(set, seeds)))
    return np.array(epochs), np.array([[seed[epoch] for seed in seeds] for epoch in epochs])
