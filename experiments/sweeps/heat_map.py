"""A sweep's picture: the test score over μ and step size, for each cell."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.sweeps import results
from experiments.sweeps.results import Row


def draw(title: str, rows: list[Row], score: str) -> Figure:
    """One panel for each cell: μ grows upwards, the step size to the right; brighter is better on one scale for all."""
    cells = results.by_cell(rows)
    grids = {cell: grid(of, score) for cell, of in cells.items()}
    shape = np.max([values.shape for _, _, values in grids.values()], axis=0)
    width = max(3.2, 1.0 + 0.95 * shape[1])
    figure = Figure(figsize=(width * len(cells) + 1.6, max(2.8, 1.6 + 0.6 * shape[0])), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(cells)))
    finite = np.concatenate([values[np.isfinite(values)] for _, _, values in grids.values()])
    norm = Normalize(finite.min(), finite.max()) if finite.size else Normalize(0, 1)
    colours = ScalarMappable(norm, "viridis" if score == "accuracy" else "viridis_r")
    for axes, (cell, of) in zip(panels, cells.items(), strict=True):
        _panel(axes, cell, of, score, grids[cell], colours)
    panels[0].set(ylabel="μ")
    figure.colorbar(colours, ax=list(panels), label=f"{results.title(score)}, mean over seeds")
    figure.suptitle(f"{title}\nframed: chosen by validation")
    return figure


def grid(rows: list[Row], score: str) -> tuple[list[float | None], list[float | None], np.ndarray]:
    """μ and step sizes in ascending order, and the mean test score as (μ, step size), NaN where all diverged."""
    mus, steps = _ascending([row.mu for row in rows]), _ascending([row.step_size for row in rows])
    scale = 100 if score == "accuracy" else 1
    values = np.full((len(mus), len(steps)), np.nan)
    for row in rows:
        values[mus.index(row.mu), steps.index(row.step_size)] = scale * results.mean(row.test.get(score, []))
    return mus, steps, values


def _ascending(values: list[float | None]) -> list[float | None]:
    return sorted(set(values), key=lambda value: -1.0 if value is None else value)


def _panel(
    axes: Axes,
    cell: str,
    rows: list[Row],
    score: str,
    of: tuple[list[float | None], list[float | None], np.ndarray],
    colours: ScalarMappable,
) -> None:
    mus, steps, values = of
    lowest, highest = colours.get_clim()
    axes.imshow(values, origin="lower", aspect="auto", vmin=lowest, vmax=highest, cmap=colours.get_cmap())
    best = results.chosen(rows, score)
    for row in rows:
        x, y = steps.index(row.step_size), mus.index(row.mu)
        red, green, blue, _ = colours.to_rgba(values[y, x])
        dark = np.isfinite(values[y, x]) and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(x, y, _text(row, values[y, x]), ha="center", va="center", fontsize=8, color="white" if dark else "black")
        if row is best:
            axes.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="#D55E00", linewidth=2.5))
    axes.set(title=cell, xlabel="step size", facecolor="0.85")  # seen where there is no score
    axes.set_xticks(range(len(steps)), map(results.number, steps))
    axes.set_yticks(range(len(mus)), map(results.number, mus))


def _text(row: Row, value: float) -> str:
    if not row.seeds:
        return "diverged"
    return f"{value:.3g}" + (f"\n{len(row.diverged)} diverged" if row.diverged else "")
