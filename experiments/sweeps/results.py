"""What a sweep found: a row for each cell, μ and step size, over its seeds; all of it is computed from the lines of metrics."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from experiments import tables

POINT = ("cell", "mu", "step_size")


class Row(NamedTuple):
    """One point of the grid. Scores are of the runs that did not diverge, by name, in the order of `seeds`.

    `validation` and `test` are those of each run's best epoch, which is in `best_epoch`.
    """

    cell: str
    mu: float | None
    step_size: float | None
    seeds: list[int]
    diverged: list[int]
    best_epoch: list[int]
    validation: dict[str, list[float]]
    test: dict[str, list[float]]


def rows(metrics: Iterable[dict[str, Any]]) -> list[Row]:
    """The grid's points, in the order of the lines."""
    epochs: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    ends: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in metrics:
        point = tuple(line[name] for name in POINT)
        ends.setdefault(point, [])
        if line["kind"] == "epoch":
            epochs.setdefault((*point, line["seed"]), {})[line["epoch"]] = line
        else:
            ends[point].append(line)
    return [_row(point, lines, epochs) for point, lines in ends.items()]


def _row(point: tuple[Any, ...], lines: list[dict[str, Any]], epochs: dict[tuple[Any, ...], dict[int, dict[str, Any]]]) -> Row:
    tests = [line for line in lines if line["kind"] == "test"]
    chosen = [epochs[*point, line["seed"]][line["epoch"]] for line in tests]
    cell, mu, step_size = point
    return Row(
        cell,
        mu,
        step_size,
        [line["seed"] for line in tests],
        [line["seed"] for line in lines if line["kind"] == "diverged"],
        [line["epoch"] for line in tests],
        _by_name("validation", chosen),
        _by_name("test", tests),
    )


def _by_name(split: str, lines: list[dict[str, Any]]) -> dict[str, list[float]]:
    names = [name for name in (lines[0] if lines else ()) if name.startswith(f"{split}_")]
    return {name.removeprefix(f"{split}_"): [line[name] for line in lines] for name in names}


def mean(values: list[float]) -> float:
    """The mean over seeds; NaN where there is none."""
    return float(np.mean(values)) if values else float("nan")


def spread(values: list[float]) -> float:
    """The sample standard deviation over seeds; NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def chosen(of: list[Row], score: str) -> Row | None:
    """The point with the best mean on the validation split, among those of which no run diverged."""
    sign = 1 if score == "accuracy" else -1
    return max((row for row in of if not row.diverged), key=lambda row: sign * mean(row.validation[score]), default=None)


def by_cell(all_rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each cell."""
    return {cell: [row for row in all_rows if row.cell == cell] for cell in dict.fromkeys(row.cell for row in all_rows)}


def to_dict(all_rows: list[Row], score: str) -> dict[str, Any]:
    """Everything in the table as plain values, with the scores of every seed; None for what one seed does not show."""

    def summary(scores: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
        return {
            name: {"mean": mean(values), "std": spread(values) if len(values) > 1 else None, "by_seed": values}
            for name, values in scores.items()
        }

    points = [{**row._asdict(), "validation": summary(row.validation), "test": summary(row.test)} for row in all_rows]
    best = {cell: chosen(of, score) for cell, of in by_cell(all_rows).items()}
    return {
        "score": score,
        "chosen_by_validation": {cell: row and {"mu": row.mu, "step_size": row.step_size} for cell, row in best.items()},
        "rows": points,
    }


def to_markdown(heading: str, all_rows: list[Row], score: str) -> str:
    """The table, and the point of each cell that the validation split chooses."""
    names = next(([score, *(name for name in row.test if name != score)] for row in all_rows if row.test), [score])
    table = [("cell", "μ", "step size", *map(title, names), tables.BEST_EPOCH, "diverged")]
    for row in all_rows:
        scores = (_text(name, row.test.get(name, [])) for name in names)
        table.append(
            (row.cell, number(row.mu), number(row.step_size), *scores, tables.median_and_range(row.best_epoch), _diverged(row))
        )
    seeds = sorted({seed for row in all_rows for seed in (*row.seeds, *row.diverged)})
    over = f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [f"# {heading}", "", f"Test split at each run's best epoch by validation, {over}.", "", tables.markdown(table), ""]
    for cell, of in by_cell(all_rows).items():
        best = chosen(of, score)
        if best is None:
            lines.append(f"- {cell}: at no point did every run stay finite.")
        else:
            point = f"μ = {number(best.mu)}, step size {number(best.step_size)}"
            lines.append(f"- {cell}: validation chooses {point}: {title(score)} {_text(score, best.test[score])}.")
    if any(row.diverged for row in all_rows):
        lines += ["", "Runs that diverged (NaN or infinity) are in no mean."]
    return "\n".join(lines) + "\n"


def title(score: str) -> str:
    """A column's: the test score and its unit."""
    return "test accuracy (%)" if score == "accuracy" else f"test {score}"


def number(value: float | None) -> str:
    """A hyper-parameter, or a dash where the cell has none."""
    return "–" if value is None else f"{value:g}"


def _text(score: str, values: list[float]) -> str:
    """Mean and spread: an accuracy in percent, others with two digits of the spread."""
    if not values:
        return "–"
    scale = 100 if score == "accuracy" else 1
    middle, width = scale * mean(values), scale * spread(values)
    decimals = 2 if score == "accuracy" else _decimals(width if width > 0 else middle / 100)
    return f"{middle:.{decimals}f}" + (f" ± {width:.{decimals}f}" if len(values) > 1 else "")


def _decimals(value: float) -> int:
    """How many decimals show two digits of it."""
    return max(0, 1 - math.floor(math.log10(value))) if value > 0 else 2


def _diverged(row: Row) -> str:
    return f"{len(row.diverged)} of {len(row.diverged) + len(row.seeds)}"
