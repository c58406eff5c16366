"""The runs of a sweep, seeds × μ × step sizes for each cell, and its results: a row for each point, over its seeds."""

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments import cells as named_cells
from experiments import checkpoint, configs, plots, tables
from experiments.configs import Config, ConfigError


def make(
    name: str,
    assignments: Sequence[str],
    cells: Sequence[str] | None,
    seeds: Sequence[int] | None,
    mu: Sequence[float] | None,
    step_size: Sequence[float] | None,
) -> dict[str, list[Config]]:
    """The runs of a command, by cell; None stands for the config's value.

    An option of the named config that another cell does not have is dropped for that cell. What is given here, including
    `assignments`, must be valid for every cell.

    Raises:
      ConfigError: it is not, or is given twice.
    """
    base = configs.get(name)
    if cells is not None and any(assignment.startswith("cell=") for assignment in assignments):
        raise ConfigError("--set cell=… and --cells exclude each other")
    chosen = [configs.override(_with_cell(base, cell), assignments) for cell in _once("--cells", cells or [base.cell])]
    given = {"--seeds": ("seed", seeds), "--mu": ("mu", mu), "--step-size": ("step_size", step_size)}
    for option, (field, values) in given.items():
        if values and any(assignment.startswith(f"{field}=") for assignment in assignments):
            raise ConfigError(f"--set {field}=… and {option} exclude each other")
        for value, config in itertools.product(_once(option, values or ()), chosen):
            try:
                dataclasses.replace(config, **{field: value})
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{option} {value}: {error}") from error
    varied = {field: values for field, values in given.values() if values}
    points: list[dict[str, Any]] = [dict(zip(varied, point, strict=True)) for point in itertools.product(*varied.values())]
    return {config.cell: [dataclasses.replace(config, **point) for point in points] for config in chosen}


def _with_cell(config: Config, cell: str) -> Config:
    if cell == config.cell:
        return config
    if cell not in named_cells.CELLS:
        raise ConfigError(f"--cells {cell}: must be one of {', '.join(named_cells.CELLS)}")
    absent: dict[str, Any] = {name: None for name in named_cells.OPTIONS if name not in named_cells.options_of(cell)}
    if "skew_init" in absent:
        absent |= {"rebase_every": None, "skew_learning_rate": None}
    try:
        return dataclasses.replace(config, cell=cell, **absent)
    except ValueError as error:
        raise ConfigError(f"--cells {cell}: {error}") from error


def _once(option: str, values: Sequence[Any]) -> Sequence[Any]:
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f"{option}: {value} is given twice")
    return values


class Row(NamedTuple):
    """One point of the grid. Scores are those of the runs that did not diverge, by name, in the order of `seeds`.

    `validation` and `test` are of each run's `best_epoch`.
    """

    cell: str
    mu: float | None
    step_size: float | None
    seeds: list[int]
    diverged: list[int]
    best_epoch: list[int]
    validation: dict[str, list[float]]
    test: dict[str, list[float]]


def rows_of(cell: str, runs: list[Config], metrics: list[dict[str, Any]]) -> list[Row]:
    """The points of a cell, in the order of its runs."""
    points: dict[tuple[Any, Any], Row] = {}
    for number, run in enumerate(runs):
        row = points.setdefault((run.mu, run.step_size), Row(cell, run.mu, run.step_size, [], [], [], {}, {}))
        *epochs, last = [line for line in metrics if line.get("run", 0) == number]
        if last["kind"] == "diverged":
            row.diverged.append(run.seed)
            continue
        row.seeds.append(run.seed)
        row.best_epoch.append(last["epoch"])
        for split, line, into in (("validation_", epochs[last["epoch"] - 1], row.validation), ("test_", last, row.test)):
            for key, value in line.items():
                if key.startswith(split):
                    into.setdefault(key.removeprefix(split), []).append(value)
    return list(points.values())


def write(folder: Path, name: str, cells: dict[str, list[Config]], metrics: dict[str, list[dict[str, Any]]]) -> str:
    """Write `results.md`, `results.json` and `heatmap.png`; return the text."""
    rows = {cell: rows_of(cell, runs, metrics[cell]) for cell, runs in cells.items()}
    score = "accuracy" if next(iter(cells.values()))[0].by_accuracy else "loss"
    text = to_markdown(f"Sweep of {name}", rows, score)
    best = {cell: chosen(of, score) for cell, of in rows.items()}
    content = {
        "score": score,
        "chosen_by_validation": {cell: row and {"mu": row.mu, "step_size": row.step_size} for cell, row in best.items()},
        "rows": [row._asdict() for of in rows.values() for row in of],
    }
    checkpoint.write(folder / "heatmap.png", plots.png(draw(name, rows, score)))
    checkpoint.write(folder / "results.json", (json.dumps(content, indent=2) + "\n").encode())
    checkpoint.write(folder / "results.md", text.encode())
    return text


def mean(values: list[float]) -> float:
    """The mean over seeds; NaN if there are none."""
    return float(np.mean(values)) if values else float("nan")


def chosen(of: list[Row], score: str) -> Row | None:
    """The point with the best mean on the validation split, among those without a diverged run."""
    sign = 1 if score == "accuracy" else -1
    return max((row for row in of if not row.diverged), key=lambda row: sign * mean(row.validation[score]), default=None)


def to_markdown(heading: str, rows: dict[str, list[Row]], score: str) -> str:
    """The table, and for each cell the point that the validation split chooses."""
    all_rows = [row for of in rows.values() for row in of]
    names = next(([score, *(name for name in row.test if name != score)] for row in all_rows if row.test), [score])
    table = [("cell", "μ", "step size", *map(title, names), tables.BEST_EPOCH, "diverged")]
    for row in all_rows:
        scores = (_text(name, row.test.get(name, [])) for name in names)
        diverged = f"{len(row.diverged)} of {len(row.diverged) + len(row.seeds)}"
        epochs = tables.median_and_range(row.best_epoch)
        table.append((row.cell, _number(row.mu), _number(row.step_size), *scores, epochs, diverged))
    seeds = sorted({seed for row in all_rows for seed in (*row.seeds, *row.diverged)})
    over = f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [f"# {heading}", "", f"Test split at each run's best epoch by validation, {over}.", "", tables.markdown(table), ""]
    for cell, of in rows.items():
        best = chosen(of, score)
        if best is None:
            lines.append(f"- {cell}: runs diverged at every point.")
        else:
            point = f"μ = {_number(best.mu)}, step size {_number(best.step_size)}"
            lines.append(f"- {cell}: validation chooses {point}: {title(score)} {_text(score, best.test[score])}.")
    if any(row.diverged for row in all_rows):
        lines += ["", "Diverged runs (NaN or infinity) are not in the means."]
    return "\n".join(lines) + "\n"


def title(score: str) -> str:
    """A column's title: the test score and its unit."""
    return "test accuracy (%)" if score == "accuracy" else f"test {score}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _text(score: str, values: list[float]) -> str:
    """Mean ± standard deviation: an accuracy in percent, others to two digits of the deviation."""
    if not values:
        return "–"
    scale = 100 if score == "accuracy" else 1
    middle, width = scale * mean(values), scale * float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    shown = width if width > 0 else middle / 100
    decimals = 2 if score == "accuracy" or shown <= 0 else max(0, 1 - math.floor(math.log10(shown)))
    return f"{middle:.{decimals}f}" + (f" ± {width:.{decimals}f}" if len(values) > 1 else "")


def draw(heading: str, rows: dict[str, list[Row]], score: str) -> Figure:
    """A panel for each cell: μ grows upwards, the step size to the right; brighter is better, on one scale for all."""
    axes_of = [(_ascending([row.mu for row in of]), _ascending([row.step_size for row in of])) for of in rows.values()]
    tall, wide = (max(len(values[i]) for values in axes_of) for i in (0, 1))
    width = max(3.2, 1.0 + 0.95 * wide)
    figure = Figure(figsize=(width * len(rows) + 1.6, max(2.8, 1.6 + 0.6 * tall)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(rows)))
    scale = 100 if score == "accuracy" else 1
    finite = [scale * mean(row.test[score]) for of in rows.values() for row in of if row.seeds]
    colours = ScalarMappable(
        Normalize(min(finite, default=0), max(finite, default=1)), "viridis" if scale == 100 else "viridis_r"
    )
    for axes, (cell, of), (mus, steps) in zip(panels, rows.items(), axes_of, strict=True):
        values = np.full((len(mus), len(steps)), np.nan)
        for row in of:
            values[mus.index(row.mu), steps.index(row.step_size)] = scale * mean(row.test.get(score, []))
        axes.imshow(values, origin="lower", aspect="auto", norm=colours.norm, cmap=colours.get_cmap())
        best = chosen(of, score)
        for row in of:
            x, y = steps.index(row.step_size), mus.index(row.mu)
            red, green, blue, _ = colours.to_rgba(values[y, x])
            dark = bool(row.seeds) and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            text = (
                f"{values[y, x]:.3g}" + (f"\n{len(row.diverged)} diverged" if row.diverged else "") if row.seeds else "diverged"
            )
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
            if row is best:
                axes.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="#D55E00", linewidth=2.5))
        axes.set(title=cell, xlabel="step size", facecolor="0.85")  # visible where there is no score
        axes.set_xticks(range(len(steps)), map(_number, steps))
        axes.set_yticks(range(len(mus)), map(_number, mus))
    panels[0].set(ylabel="μ")
    figure.colorbar(colours, ax=list(panels), label=f"{title(score)}, mean over seeds")
    figure.suptitle(f"{heading}\nframed: chosen by validation")
    return figure


def _ascending(values: list[float | None]) -> list[float | None]:
    return sorted(set(values), key=lambda value: -1.0 if value is None else value)
