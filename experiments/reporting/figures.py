"""Figures of a report: the loss by epoch, measured and published."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.plots import COLOURS, log_scale, tidy

MEASURED_STYLES = ("-", ":", "-.")  # when the colours are used up; published curves alone are dashed
LONG_LABEL = 60  # characters, of which two columns have no room
PUBLISHED_DASHES = ((5, 2), (2, 1.5), (8, 2, 2, 2), (1, 1.5), (5, 2, 1, 2, 1, 2))


class Curve(NamedTuple):
    """A loss by epoch: `epochs` (epochs,), `losses` (epochs, seeds)."""

    label: str
    epochs: np.ndarray
    losses: np.ndarray


def losses(title: str, ylabel: str, measured: Sequence[Curve], published: Sequence[Curve]) -> bytes:
    """A PNG: measured curves in colour, with the range of their seeds as a band; published ones grey and dashed.

    The axis ends at the last measured epoch; published curves are cut off there.
    """
    columns = 1 if max(len(curve.label) for curve in (*measured, *published)) > LONG_LABEL else 2
    rows = -(-(len(measured) + len(published)) // columns)
    figure = Figure(figsize=(10, 4.5 + 0.2 * rows), layout="constrained")  # room for the legend
    axes = figure.subplots()
    last = max(int(curve.epochs[-1]) for curve in measured)
    for number, curve in enumerate(measured):
        colour, style = COLOURS[number % len(COLOURS)], MEASURED_STYLES[number // len(COLOURS) % len(MEASURED_STYLES)]
        axes.fill_between(curve.epochs, curve.losses.min(1), curve.losses.max(1), color=colour, alpha=0.15, linewidth=0)
        # One epoch is a point, which a line would not show.
        marker = "o" if len(curve.epochs) == 1 else None
        axes.plot(curve.epochs, curve.losses.mean(1), style, color=colour, label=curve.label, linewidth=1.8, marker=marker)
    for number, curve in enumerate(published):
        shown = curve.epochs <= last
        shade, dashes = str(0.35 + 0.12 * (number % 4)), PUBLISHED_DASHES[number % len(PUBLISHED_DASHES)]
        label = f"published: {curve.label}"
        means = curve.losses[shown].mean(1)
        marker = "x" if shown.sum() == 1 else None
        axes.plot(curve.epochs[shown], means, color=shade, dashes=dashes, label=label, linewidth=1.4, marker=marker)
    axes.set(title=title, xlabel="epoch", ylabel=ylabel)
    if all((curve.losses > 0).all() for curve in measured):
        log_scale(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if last == 1:
        axes.set_xlim(0.5, 1.5)
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    png = io.BytesIO()
    figure.savefig(png, dpi=120)
    return png.getvalue()
