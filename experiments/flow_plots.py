"""Figures of how gradients flow: reports of `momentum_rnn_jax.analysis`, by cell and by epoch."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import COLOURS, tidy
from momentum_rnn_jax.analysis import GradientFlow

DISTANCE = "distance from the end (steps)"


def epochs(path: Path, found: dict[str, dict[int, GradientFlow]]) -> None:
    """The paper's figure: how large the loss's gradient is at each h_t, for each cell, from epoch to epoch."""
    figure, panels = _panels(len(found))
    curves = {name: {epoch: report.curves()["∂L/∂h"] for epoch, report in by_epoch.items()} for name, by_epoch in found.items()}
    # One scale for all cells, but not that of the few steps at which an untrained AdamLSTM is saturated: 1e-100 and less.
    values = np.concatenate([curve for by_epoch in curves.values() for curve in by_epoch.values()])
    finite = values[np.isfinite(values)]
    for axes, (name, by_epoch) in zip(panels, curves.items(), strict=True):
        for epoch, curve in by_epoch.items():
            shade = str(0.8 * (1 - epoch / max(1, max(by_epoch))))  # from light grey to black
            axes.plot(curve, color=shade, label=f"epoch {epoch}")
        axes.set(title=name, xlabel=DISTANCE)
        if finite.size:  # of a cell that has diverged nothing is
            lowest, highest = np.percentile(finite, (1, 100))
            axes.set(ylim=(lowest - 0.2, highest + 0.2))
    panels[0].set(ylabel="log10 ‖∂L/∂h‖, median")
    panels[0].legend()
    figure.savefig(path, dpi=120)


def cells(path: Path, found: dict[str, GradientFlow]) -> None:
    """The cells beside each other: what is left of a change of the state, and of an input."""
    figure, panels = _panels(3)
    labels = {"core": "log10 ‖∂(h, c)_T / ∂(h, c)_t‖", "input": "log10 ‖∂h_T / ∂x_s‖", "∂L/∂h": "log10 ‖∂L/∂h_t‖"}
    for axes, (curve, label) in zip(panels, labels.items(), strict=True):
        for (name, report), colour in zip(found.items(), COLOURS, strict=False):
            axes.plot(report.curves()[curve], color=colour, label=name)
        axes.set(title=label, xlabel=DISTANCE)
    panels[0].legend()
    figure.savefig(path, dpi=120)


def singular_values(path: Path, reports: dict[str, dict[int, GradientFlow]]) -> None:
    """Histograms over all examples of the singular values of the core's product over the whole sequence."""
    figure, panels = _panels(len(reports))
    for axes, (name, by_epoch) in zip(panels, reports.items(), strict=True):
        for epoch, colour in zip(sorted({0, max(by_epoch)}), COLOURS, strict=False):
            values = by_epoch[epoch].singular_spectrum
            kept = values[np.isfinite(values)]
            label = f"epoch {epoch}: {1 - kept.size / values.size:.0%} lost in rounding"
            axes.hist(kept, bins=range(-20, 3), histtype="step", color=colour, label=label)
        axes.set(title=name, xlabel="log10 of the singular value, whole sequence")
        axes.set_ylim(top=1.25 * axes.get_ylim()[1])  # room for the legend
        axes.legend(loc="upper left")
    panels[0].set(ylabel="count")
    figure.savefig(path, dpi=120)


def momentum(path: Path, found: dict[str, GradientFlow], mu: float, title: str) -> None:
    """What momentum does to an RNN, and what it leaves alone: the reports of "RNN" and of "MomentumRNN", whose μ is given."""
    figure, (hidden, exponents, inputs) = _panels(3)
    styles: dict[str, dict[str, Any]] = {"RNN": {"color": COLOURS[0]}, "MomentumRNN": {"color": COLOURS[2], "linestyle": "--"}}
    for name, report in found.items():
        curves = report.curves()
        hidden.plot(curves["hidden"], **styles[name], label=name)
        inputs.plot(curves["input"], **styles[name], label=name)
        joint = np.concatenate(list(report.lyapunov_spectrum.values()))
        exponents.plot(joint, ".", color=styles[name]["color"], label=name)
    exponents.axhline(np.log(mu), color=COLOURS[6], linewidth=0.8, zorder=0, label=f"log μ = log {mu}")
    hidden.set(title="log10 ‖∂h_T / ∂h_t‖, the velocity given", xlabel=DISTANCE)
    exponents.set(
        title="Lyapunov exponents of the joint map",
        xlabel="index: the core's, then the velocity's",
        ylabel="natural log per step",
    )
    inputs.set(title="log10 ‖∂h_T / ∂x_s‖", xlabel=DISTANCE)
    for axes in (hidden, exponents, inputs):
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels in a row."""
    figure = Figure(figsize=(4.5 * count, 4), layout="constrained")
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        tidy(axes)
    return figure, panels
