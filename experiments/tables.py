"""Tables in Markdown."""

from collections.abc import Sequence

import numpy as np

BEST_EPOCH = "best epoch: median (range)"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of these rows; the first is the header. The first column is aligned to the left, the others to the right.

    >>> print(markdown([("cell", "score"), ("LSTM", "9.4")]))
    | cell | score |
    |------|------:|
    | LSTM |   9.4 |
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(_align(i, cell, w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def median_and_range(values: Sequence[int]) -> str:
    """Of whole numbers; a dash where there are none.

    >>> median_and_range([3, 1, 2]), median_and_range([])
    ('2 (1–3)', '–')
    """
    return f"{np.median(values):g} ({min(values)}–{max(values)})" if values else "–"


def _align(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)
