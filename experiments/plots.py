"""What the figures share."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def tidy(axes: Axes) -> None:
    """A light grid, and no frame at the top and on the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def log_scale(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    axes.set(yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def mean_and_range(axes: Axes, epochs: np.ndarray, values: np.ndarray, *style: str, color: str, label: str) -> None:
    """A line for the mean over seeds and a band for their range; `values` is (epochs, seeds). A single epoch is a point."""
    axes.fill_between(epochs, values.min(axis=1), values.max(axis=1), color=color, alpha=0.13, linewidth=0)
    options: dict[str, Any] = {"marker": "o"} if len(epochs) == 1 else {}
    axes.plot(epochs, values.mean(axis=1), *style, color=color, label=label, linewidth=1.8, **options)


def png(figure: Figure) -> bytes:
    """The content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
