"""The chart of a run: lines where one size grows, bars elsewhere; the library's own in colour, the others in grey."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmarks.table import SIZES, Table, number, spread
from experiments.plots import COLOURS

GREYS = ("#555555", "#999999", "#BBBBBB", "#777777", "#333333")
MARKERS = "osD^v<>"
COLUMNS = 3


def draw(data: dict[str, Any], tables: list[Table], path: Path) -> None:
    """Save a panel for each table that grows, and one for each case of the others; a table begins a row.

    Compile times have a chart in the suite that is about them, and a grid of runs, one number for each quantity, has none.
    """
    running = [table for table in tables if not table.is_compile_time or data["suite"] == "compile"]
    shown = [table for table in running if "runs" not in table.sizes or table.axis is not None] or running
    rows = [row for table in shown for row in _rows(table)]
    columns = max(map(len, rows))
    figure = Figure(figsize=(6 * columns, 3.6 * len(rows)), layout="constrained")
    colours = _colours(data["peers"])
    for row, axes in zip(rows, figure.subplots(len(rows), columns, squeeze=False), strict=True):
        for (table, case), one in zip(row, axes, strict=False):
            if case is None:
                _lines(one, table, data["peers"], colours)
            else:
                _bars(one, table, case, data["peers"], colours)
        for one in axes[len(row) :]:
            one.set_visible(False)
    figure.suptitle(f"{data['suite']}: {data['device']['name']}, {data['date']}; median and quartiles")
    figure.savefig(path, dpi=110)


def _rows(table: Table) -> list[list[tuple[Table, tuple[int, ...] | None]]]:
    if table.axis is not None:
        return [[(table, None)]]
    panels = [(table, case) for case in table.cases]
    return [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]


def _colours(peers: dict[str, Any]) -> dict[str, str]:
    ours = [name for name in peers if peers[name]["ours"]]
    others = [name for name in peers if not peers[name]["ours"]]
    coloured = {name: COLOURS[1 + i % (len(COLOURS) - 1)] for i, name in enumerate(ours)}
    return coloured | {name: GREYS[i % len(GREYS)] for i, name in enumerate(others)}


def _lines(axes: Axes, table: Table, peers: dict[str, Any], colours: dict[str, str]) -> None:
    for i, (name, by_case) in enumerate(table.samples.items()):
        x = [case[table.axis] for case in by_case]
        low, median, high = np.transpose([spread(values) for values in by_case.values()])
        quartiles, marker = [median - low, high - median], MARKERS[i % len(MARKERS)]
        axes.errorbar(x, median, quartiles, label=peers[name]["label"], color=colours[name], marker=marker)
    axes.set(xscale="log", yscale="log", xlabel=SIZES[table.sizes[table.axis]], ylabel=table.label)
    axes.set_xticks(sorted({case[table.axis] for case in table.cases}))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{table.section} ({table.fixed_sizes})", fontsize="small")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _bars(axes: Axes, table: Table, case: tuple[int, ...], peers: dict[str, Any], colours: dict[str, str]) -> None:
    names = [name for name in table.samples if case in table.samples[name]][::-1]
    low, median, high = np.transpose([spread(table.samples[name][case]) for name in names])
    labels = [peers[name]["label"] for name in names]
    bars = axes.barh(labels, median, xerr=[median - low, high - median], color=[colours[name] for name in names])
    axes.bar_label(bars, [number(value) for value in median], padding=4, fontsize="small")
    axes.margins(x=0.15)
    axes.set(xlabel=table.label)
    axes.set_title(f"{'×'.join(map(str, case))}  ({', '.join(table.sizes)})", fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
