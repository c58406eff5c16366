"""Intervals over seeds: against tables, against another implementation, by hand, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.reporting import intervals
from experiments.reporting.intervals import Sample, sample


@pytest.mark.parametrize(("seeds", "t"), [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (10, 2.262)])
def test_student(seeds, t):
    assert intervals.quantile(seeds - 1) == pytest.approx(t, abs=1e-3)
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = intervals.of_mean(sample(values))
    half = t * values.std(ddof=1) / math.sqrt(seeds)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-3)


def test_one_seed_has_no_interval():
    one, two = sample([1.0]), sample([1.0, 2.0])
    assert one == Sample(1, 1.0, None)
    assert intervals.of_mean(one) is None
    assert intervals.of_difference(one, two) is None
    assert intervals.of_difference(two, one) is None


def test_a_ratio_has_no_interval_below_five_seeds():
    four, five = (sample(np.linspace(0.0, 0.1, n)) for n in (4, 5))
    far = sample(np.linspace(10.0, 10.1, 5))
    assert intervals.of_recovery(far, far, five) is not None
    for samples in ((four, far, far), (far, four, five), (far, five, four)):
        assert intervals.of_recovery(*samples) is None


def test_welch():
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, 3), random.normal(2, 5, 6)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert intervals.of_difference(sample(a), sample(b)) == pytest.approx(tuple(expected), rel=1e-9)


def test_fieller_where_one_of_three_varies():
    """Of a cell whose seeds all agree only the mean counts, and Student's interval of the other goes through the ratio."""
    half = 2.776 * 0.5 / math.sqrt(5)
    lstm, momentum, control = Sample(5, 10.0, 0.0), Sample(5, 6.0, 0.5), Sample(5, 7.0, 0.0)
    found = intervals.of_recovery(lstm, control, momentum)
    assert found == pytest.approx((3 / (4 + half), 3 / (4 - half)), rel=1e-3)
    found = intervals.of_recovery(lstm, Sample(5, 7.0, 0.5), momentum._replace(std=0.0))
    assert found == pytest.approx(((3 - half) / 4, (3 + half) / 4), rel=1e-3)
    # the other way round, where more is better
    found = intervals.of_recovery(Sample(5, -10.0, 0.0), Sample(5, -7.0, 0.5), Sample(5, -6.0, 0.0))
    assert found == pytest.approx(((3 - half) / 4, (3 + half) / 4), rel=1e-3)


def test_fieller_of_seeds_that_all_agree_is_a_point():
    samples = [Sample(5, mean, 0.0) for mean in (10.0, 7.0, 6.0)]
    assert intervals.of_recovery(*samples) == pytest.approx((0.75, 0.75))


def test_fieller_with_equal_variances_solves_the_quadratic():
    """n and std alike: with r near 1/2 the degrees of freedom hardly move, and the closed form is close."""
    lstm, control, momentum = (Sample(40, mean, 1.0) for mean in (10.0, 8.0, 6.0))
    found = intervals.of_recovery(lstm, control, momentum)
    v, t = 1 / 40, intervals.quantile(39 * 9 / 4.5)
    # (2 - 4 r)^2 = t^2 v ((1 - r)^2 + 1 + r^2)
    roots = np.roots([16 - 2 * t**2 * v, -16 + 2 * t**2 * v, 4 - 2 * t**2 * v])
    assert found == pytest.approx(sorted(roots), abs=2e-3)
    assert found.low + found.high == pytest.approx(1.0, abs=1e-6)


def test_a_gain_that_may_be_zero_leaves_the_ratio_unbounded():
    lstm, momentum, control = (Sample(5, mean, std) for mean, std in ((11.0, 1.0), (10.3, 1.5), (10.5, 0.5)))
    assert intervals.of_difference(lstm, momentum).holds(0)
    assert intervals.of_recovery(lstm, control, momentum) is None
    barely = Sample(5, 8.0, 1.5)
    assert intervals.of_recovery(lstm, control, barely) is not None


@pytest.mark.parametrize(("seeds", "truth"), [((5, 5, 5), 0.9), ((6, 5, 8), 0.2), ((5, 5, 5), 1.3)])
def test_how_often_fieller_holds_the_truth(seeds, truth):
    random, trials, held, held_other = np.random.default_rng(1), 600, 0, 0
    means, stds = (10.0, 10.0 - 4 * truth, 6.0), (0.3, 0.1, 0.2)
    for _ in range(trials):
        samples = [sample(random.normal(mean, std, n)) for mean, std, n in zip(means, stds, seeds, strict=True)]
        found = intervals.of_recovery(*samples)
        held += found.holds(truth)
        held_other += found.holds(truth + 0.5)
    # 95 %, within three standard errors of the simulation, and what few seeds cost Satterthwaite's approximation
    assert 0.92 <= held / trials <= 0.985
    assert held_other / trials < 0.05
