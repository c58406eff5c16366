"""Comparisons of two arms, paired by seed, and the verdicts of the plan."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.studies.momentum import records
from experiments.studies.momentum.tasks import DOSES, TASKS

LEVEL = 0.05
MARGIN, POINTS, EPOCHS = 1.0, 0.5, 2.0  # of equivalence: % of the mean of S, points of accuracy, epochs
PERMUTATIONS = 100_000

# In the plan's order: the task, an arm, and the arm that it is compared with.
REGISTERED = (
    *((task, "M", "S") for task in ("spoken_digits", "pixels", "permuted_pixels", "adding", "copying", "characters")),
    ("spoken_digits", "M", "O"),
    ("spoken_digits", "M", "F"),
    ("spoken_digits", "MN", "N"),
    ("spoken_digits", "A", "S"),
    ("spoken_digits", "R", "S"),
    *((task, "DM", "D") for task in ("copying", "pixels", "permuted_pixels")),
)


class Comparison(NamedTuple):
    """Paired differences, positive where the first arm is better: in % of S's mean, in points of accuracy, or in epochs.

    `low` and `high` are the 95 % interval, `p` is of no difference, `p_equivalent` the larger one of the two one-sided tests.
    """

    mean: float
    low: float
    high: float
    p: float
    p_equivalent: float
    seeds: int


def compare(better: Sequence[float], margin: float) -> Comparison:
    """Of paired differences; without a spread, `p` is 0 or 1.

    >>> compare([0.1, -0.1, 0.2, -0.2], margin=1.0).p_equivalent < 0.05
    True
    """
    values = np.asarray(better, float)
    count, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(count)
    if error == 0:
        return Comparison(mean, mean, mean, float(mean == 0), float(abs(mean) >= margin), count)
    reach = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * error

    def above(value: float) -> float:
        """The p of a t test of a mean that is not above a value."""
        return float(stats.t.sf((mean - value) / error, count - 1))

    return Comparison(
        mean, mean - reach, mean + reach, 2 * min(above(0), 1 - above(0)), max(above(-margin), 1 - above(margin)), count
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(comparison: Comparison, adjusted: float) -> str:
    """One of better, worse, equivalent, undecided.

    >>> verdict(Comparison(3.0, 2.0, 4.0, 0.001, 1.0, 10), adjusted=0.01)
    'better'
    """
    if comparison.p_equivalent < LEVEL:
        return "equivalent"
    if adjusted < LEVEL:
        return "better" if comparison.mean > 0 else "worse"
    return "undecided"


def test_scores(task: str, arm: str, folder: Path) -> dict[int, float]:
    """An arm's test score by seed, an accuracy in %; a run that diverged has the arm's worst finite score."""
    found = records.of_arm(records.read(task, folder), arm, "run")
    scale, worst = (100.0, min) if TASKS[task].higher_is_better else (1.0, max)
    finite = {seed: scale * run["test"] for seed, run in found.items() if not run["diverged"]}
    if not finite:
        return {}
    last = worst(finite.values())
    return {seed: finite.get(seed, last) for seed in sorted(found)}


def differences(task: str, arm: str, other: str, folder: Path) -> list[float]:
    """Of the seeds that both arms have, positive where `arm` is better: in points of accuracy, or in % of the mean error of S."""
    mine, theirs = test_scores(task, arm, folder), test_scores(task, other, folder)
    both = sorted(set(mine) & set(theirs))
    if TASKS[task].higher_is_better:
        return [mine[seed] - theirs[seed] for seed in both]
    reference = list(test_scores(task, "S", folder).values())
    return [100 * (theirs[seed] - mine[seed]) / float(np.mean(reference)) for seed in both] if reference else []


def margin_of(task: str) -> float:
    """The margin of equivalence of a task."""
    return POINTS if TASKS[task].higher_is_better else MARGIN


Key = tuple[str, str, str]
PIPELINE: Key = ("spoken_digits", "M", "O")
TOLERATED = 3.0  # % between O and M, where they are not shown to be equivalent


class Outcome(NamedTuple):
    """A comparison, its p after Holm's correction, and the verdict; "no verdict" for all if the pipeline fails its check."""

    comparison: Comparison
    adjusted: float
    verdict: str


def comparisons(folder: Path) -> dict[Key, tuple[Comparison, float]]:
    """The registered comparisons that have seeds enough, each with its adjusted p; all others count with a p of 1."""
    found: dict[Key, Comparison] = {}
    for task, arm, other in REGISTERED:
        if len(values := differences(task, arm, other, folder)) >= TASKS[task].fewest_seeds:
            found[task, arm, other] = compare(values, margin_of(task))
    adjusted = holm([found[key].p if key in found else 1.0 for key in REGISTERED])
    return {key: (found[key], p) for key, p in zip(REGISTERED, adjusted, strict=True) if key in found}


def pipeline(folder: Path) -> tuple[Comparison, bool] | None:
    """O against M on spoken digits, and whether it is as it must be: equivalent, or undecided by less than 3 %. None before."""
    found = comparisons(folder).get(PIPELINE)
    if found is None:
        return None
    kind = verdict(*found)
    return found[0], kind == "equivalent" or (kind == "undecided" and abs(found[0].mean) < TOLERATED)


def registered(folder: Path) -> dict[Key, Outcome]:
    """The outcomes of the registered comparisons, in their order, as far as there are any."""
    checked = pipeline(folder)
    broken = checked is not None and not checked[1]
    found = comparisons(folder).items()
    return {key: Outcome(of, p, "no verdict" if broken else verdict(of, p)) for key, (of, p) in found}


def epochs_to(task: str, arm: str, folder: Path) -> dict[int, float]:
    """By seed, the first epoch at which the validation loss is at most L's best of that seed; infinity where it never is."""
    found = records.read(task, folder)
    goals, runs = (records.of_arm(found, name, "run") for name in ("L", arm))
    reached = {}
    for seed in sorted(set(goals) & set(runs)):
        if not goals[seed]["diverged"]:
            goal, losses = min(goals[seed]["validation"]), runs[seed]["validation"]
            reached[seed] = next((float(epoch) for epoch, loss in enumerate(losses, 1) if loss <= goal), math.inf)
    return reached


def faster(task: str, folder: Path) -> Comparison | None:
    """Epochs that M needs less than S, where a run that never reaches the loss counts as one epoch more than all; None before."""
    least, most = (epochs_to(task, arm, folder) for arm in ("M", "S"))
    beyond = TASKS[task].changes["epochs"] + 1.0
    gained = [min(most[seed], beyond) - min(least[seed], beyond) for seed in sorted(set(least) & set(most))]
    return compare(gained, EPOCHS) if len(gained) >= TASKS[task].fewest_seeds else None


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Spearman's correlation, and its one-sided p by permutation.

    >>> rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])[0]
    1.0
    """
    x, y = stats.rankdata(predicted), stats.rankdata(measured)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x @ x) * (y @ y)))
    correlation = float(x @ y) / scale
    random = np.random.RandomState(0)
    shuffled = np.array([random.permutation(y) for _ in range(PERMUTATIONS)]) @ x / scale
    return round(correlation, 12), float((1 + (shuffled >= correlation - 1e-12).sum()) / (1 + PERMUTATIONS))


def doses(folder: Path) -> dict[str, Comparison]:
    """M against S at each dose that has all of its seeds."""
    gains = {task: differences(task, "M", "S", folder) for task in DOSES}
    return {task: compare(values, MARGIN) for task, values in gains.items() if len(values) == DOSES[task].seeds}
