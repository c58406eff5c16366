"""The measurements of a file of results as tables, one for each quantity in each section, in units to be read."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

UNITS = {
    "training step": ("ms", 1e3),
    "inference": ("ms", 1e3),
    "compiling": ("s", 1.0),
    "peak memory": ("MiB", 2.0**-20),
    "ratio": ("", 1.0),
}
SIZES = {"batch": "batch", "time": "time", "features": "features", "hidden": "hidden", "runs": "runs by vmap"}


class Spread(NamedTuple):
    """The median of some numbers, and their quartiles."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return number(self.median) if self.low == self.high else f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


def spread(values: Iterable[float]) -> Spread:
    """The quartiles, interpolated linearly."""
    return Spread(*map(float, np.percentile(list(values), [25, 50, 75])))


def number(value: float) -> str:
    """Three digits, or all in front of the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Table(NamedTuple):
    """One quantity in one section: `samples[peer][case]`, in the table's unit; a case is a tuple of sizes, named by `sizes`."""

    section: str
    quantity: str
    unit: str
    sizes: tuple[str, ...]
    samples: dict[str, dict[tuple[int, ...], np.ndarray]]

    @property
    def cases(self) -> list[tuple[int, ...]]:
        """All cases, in the order in which they were run."""
        return list(dict.fromkeys(case for by_case in self.samples.values() for case in by_case))

    @property
    def label(self) -> str:
        """The quantity with its unit, where it has one."""
        return f"{self.quantity} ({self.unit})" if self.unit else self.quantity

    @property
    def is_compile_time(self) -> bool:
        """Whether this is not a running time."""
        return self.quantity.startswith("compiling")

    @property
    def fixed_sizes(self) -> str:
        """What the columns of the table have in common: the sizes that do not vary, or the order of those that do."""
        if self.axis is None:
            return f"({', '.join(self.sizes)})"
        pairs = zip(self.sizes, self.cases[0], strict=True)
        return ", ".join(f"{SIZES[name]} {value}" for i, (name, value) in enumerate(pairs) if i != self.axis)

    @property
    def axis(self) -> int | None:
        """Which size grows, where it is one alone and takes at least three values."""
        varying = [i for i, values in enumerate(zip(*self.cases, strict=True)) if len(set(values)) > 1]
        return varying[0] if len(varying) == 1 and len(self.cases) >= 3 else None


def tables(data: dict[str, Any]) -> list[Table]:
    """Every section and quantity of the results, in the order in which they were measured; compile times end their section."""
    found: dict[tuple[str, str], Table] = {}
    for entry in data["measurements"]:
        section, quantity = entry["section"], entry["quantity"]
        unit, factor = next(value for start, value in UNITS.items() if quantity.startswith(start))
        empty = Table(section, quantity, unit, tuple(entry["case"]), {})
        table = found.setdefault((section, quantity), empty)
        table.samples.setdefault(entry["peer"], {})[tuple(entry["case"].values())] = factor * np.asarray(entry["samples"])
    sections = list(dict.fromkeys(section for section, _ in found))
    return sorted(found.values(), key=lambda table: (sections.index(table.section), table.is_compile_time))
