"""Confidence intervals over a few seeds: of a mean, of a difference of means, and of a ratio of two such differences.

Runs of different seeds are taken as independent draws from a normal distribution, whose variance may differ from cell to cell.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

CONFIDENCE = 0.95
FEWEST = 5  # seeds of each of three cells, below which an interval of a ratio says more about the method than about them


class Sample(NamedTuple):
    """How many numbers, their mean, and their sample standard deviation: None of one number."""

    n: int
    mean: float
    std: float | None

    @property
    def variance_of_mean(self) -> float:
        """The squared standard error; NaN of one number."""
        return math.nan if self.std is None else self.std**2 / self.n


class Interval(NamedTuple):
    """From `low` to `high`."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is in it."""
        return self.low <= value <= self.high


def sample(values: Sequence[float]) -> Sample:
    """The summary of some numbers.

    >>> sample([1.0, 2.0, 3.0])
    Sample(n=3, mean=2.0, std=1.0)
    """
    return Sample(len(values), float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def quantile(degrees_of_freedom: float | np.ndarray) -> float | np.ndarray:
    """How many standard errors an interval reaches to either side: Student's t.

    >>> round(float(quantile(4)), 3)
    2.776
    """
    return stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom)


def of_mean(values: Sample) -> Interval | None:
    """Student's interval of a mean; None of one number."""
    if values.std is None:
        return None
    half = float(quantile(values.n - 1)) * math.sqrt(values.variance_of_mean)
    return Interval(values.mean - half, values.mean + half)


def of_difference(a: Sample, b: Sample) -> Interval | None:
    """Welch's interval of `a - b`; None where one has a single number."""
    if a.std is None or b.std is None:
        return None
    t, variance = _contrast((a, b), np.array([[1.0], [-1.0]]))
    half = float(t[0]) * math.sqrt(variance[0])
    return Interval(a.mean - b.mean - half, a.mean - b.mean + half)


GRID = 721  # angles at which the ratio is tried before its ends are refined


def of_recovery(baseline: Sample, control: Sample, full: Sample) -> Interval | None:
    """The interval of `r = (baseline - control) / (baseline - full)`, by Fieller's method.

    It holds each r at which the data do not reject `(1 - r) baseline - control + r full = 0`. That contrast of three means is
    tested by Welch's t, with Satterthwaite's degrees of freedom, so the three variances may differ.

    None where one of the three has fewer than `FEWEST` numbers, or where `baseline - full` is not distinguishable from zero: the
    r that are not rejected then have no bounds. E. C. Fieller, "Some Problems in Interval Estimation" (1954).
    """
    samples = (baseline, control, full)
    if min(s.n for s in samples) < FEWEST:
        return None
    gain = of_difference(baseline, full)
    assert gain is not None
    if gain.holds(0.0):
        return None

    def excess(angle: np.ndarray) -> np.ndarray:
        """Above zero where r = tan(angle) is rejected; multiplied by cos², which keeps it finite for large r."""
        cos, sin = np.cos(angle), np.sin(angle)
        weights = np.stack([cos - sin, -cos, sin])
        t, variance = _contrast(samples, weights)
        return (np.array([s.mean for s in samples]) @ weights) ** 2 - t**2 * variance

    estimate = math.atan((baseline.mean - control.mean) / (baseline.mean - full.mean))
    no_spread = all(s.std == 0 for s in samples)

    def end(limit: float) -> float:
        angles = np.linspace(estimate, limit, GRID)
        outside = excess(angles) > 0
        outside[-1] = True  # the gain is not zero, and the limit is where r is infinite
        first = int(outside.argmax())
        if first == 0 or no_spread:  # no spread, but for rounding: the interval is a point
            return estimate
        return optimize.brentq(lambda angle: float(excess(np.array([angle]))[0]), angles[first - 1], angles[first])

    return Interval(math.tan(end(-math.pi / 2)), math.tan(end(math.pi / 2)))


def _contrast(samples: Sequence[Sample], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of weighted sums of means, weights (samples, sums): t's quantile, and the variance, each (sums,)."""
    parts = weights**2 * np.array([[s.variance_of_mean] for s in samples])
    variance = parts.sum(0)
    spread = (parts**2 / np.array([[s.n - 1.0] for s in samples])).sum(0)
    # Without any spread there is nothing to multiply the quantile by.
    freedom = np.where(spread > 0, variance**2 / np.where(spread > 0, spread, 1.0), 1.0)
    return np.asarray(quantile(freedom)), variance
