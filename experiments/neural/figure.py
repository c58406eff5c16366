"""The figure: rates that each model inferred for one trial, over the true ones."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import COLOURS, tidy


def draw(spikes: np.ndarray, rates: np.ndarray, inferred: Mapping[str, np.ndarray], seen: int) -> Figure:
    """A row for each model and a column for each of three neurons, of which the model saw the first two.

    Args:
      spikes, rates: of the trial, (time, neurons). inferred: rates by the model's name, of the same shape.
      seen: how many neurons were seen. The two whose rates vary most are drawn, and of the others the one.
    """
    variance = rates.var(axis=0)
    neurons = [*np.argsort(-variance[:seen])[:2], seen + int(np.argmax(variance[seen:]))]
    height = len(inferred)
    chart = Figure(figsize=(12, 1 + 1.5 * height), layout="constrained")
    panels = chart.subplots(height, len(neurons), squeeze=False, sharex=True, sharey="col")
    for row, (name, of) in enumerate(inferred.items()):
        for axes, neuron in zip(panels[row], neurons, strict=True):
            bins = np.arange(len(rates))
            axes.plot(bins, rates[:, neuron], color=COLOURS[0], linewidth=1, label="true")
            axes.plot(bins, of[:, neuron], color=COLOURS[2], linewidth=1.5, label="inferred")
            times = np.repeat(bins, spikes[:, neuron])
            axes.plot(times, np.zeros(len(times)), "|", color=COLOURS[1], markersize=7, clip_on=False, label="spikes")
            axes.set(ylim=(0, 1.25 * max(rates[:, neuron].max(), *(each[:, neuron].max() for each in inferred.values()))))
            tidy(axes)
        panels[row][0].set_title(name, loc="left", fontsize=10)
    for axes, neuron in zip(panels[0], neurons, strict=True):
        what = "seen" if neuron < seen else "held out"
        axes.set_title(f"neuron {neuron}, {what}", loc="right", fontsize=10)
    for axes in panels[-1]:
        axes.set(xlabel="bin")
    chart.supylabel("spikes per bin", fontsize=10)
    panels[0][-1].legend(loc="upper left", ncols=3, fontsize=8, frameon=False)
    return chart
