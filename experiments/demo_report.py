"""What the demo found, in words: a table of the cells, and a verdict computed from it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments import tables


class CellResult(NamedTuple):
    """One cell's training: the arrays hold one entry per seed, or (epochs, seeds) for the curves."""

    name: str
    test_accuracy: np.ndarray
    best_epoch: np.ndarray
    num_parameters: int
    seconds: float
    train_loss: np.ndarray
    validation_accuracy: np.ndarray

    @property
    def mean(self) -> float:
        """The mean test accuracy in percent."""
        return float(100 * self.test_accuracy.mean())

    @property
    def std(self) -> float:
        """The sample standard deviation of the test accuracy over the seeds, in points; NaN for one seed."""
        return float(100 * self.test_accuracy.std(ddof=1)) if self.test_accuracy.size > 1 else float("nan")


def table(results: Sequence[CellResult]) -> str:
    """A Markdown table with one row per cell."""
    rows = [("cell", "test accuracy %", tables.BEST_EPOCH, "parameters", "seconds")]
    for r in results:
        accuracy = f"{r.mean:.2f}" if np.isnan(r.std) else f"{r.mean:.2f} ± {r.std:.2f}"
        epochs = tables.median_and_range(r.best_epoch.tolist())
        rows.append((r.name, accuracy, epochs, str(r.num_parameters), f"{r.seconds:.1f}"))
    return tables.markdown(rows)


def verdict(results: Sequence[CellResult], baseline: str, num_test: int) -> str:
    """Which cells differ from the baseline by more than the seeds do, in two sentences.

    A difference counts when the two `mean ± std` intervals of the table do not touch. That is a rule of thumb, not a test.
    """
    base = next(r for r in results if r.name == baseline)
    others = [r for r in results if r.name != baseline]
    if np.isnan(base.std):
        return "One seed shows no spread, so this run ranks nothing: use more seeds."
    better: list[str] = []
    worse: list[str] = []
    close: list[str] = []
    for r in others:
        difference = r.mean - base.mean
        group = close if abs(difference) <= r.std + base.std else better if difference > 0 else worse
        group.append(f"{r.name} ({difference:+.2f})")
    parts = [f"{len(better)} of {len(others)} variants beat the {baseline}" if better else f"No variant beats the {baseline}"]
    parts[0] += " by more than the seeds' spread" + (f": {', '.join(better)}" if better else "")
    parts += [f"worse by more than the spread: {', '.join(worse)}"] if worse else []
    parts += [f"within the spread: {', '.join(close)}"] if close else []
    scale = f"Differences are in points of test accuracy; one of the {num_test} test images is {100 / num_test:.2f} points"
    return f"{'; '.join(parts)}. {scale}, and {base.test_accuracy.size} seeds on one small data set decide nothing beyond it."
