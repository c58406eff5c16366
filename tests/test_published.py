"""The paper's numbers: every row has its own, once, and numbers that stand in two places agree."""

import numpy as np
import pytest

from experiments import published
from experiments.configs import CONFIGS
from experiments.published import ABLATION, AXES, POINTS, ROWS, SOURCES

ON_FREE_DATA = ", as on "
ROWS_OF_TABLES = [
    name for name, entry in CONFIGS.items() if entry.reproduces.startswith("Table") and ON_FREE_DATA not in entry.reproduces
]


@pytest.mark.parametrize("name", ROWS_OF_TABLES)
def test_every_row_of_a_table_has_a_number(name):
    found = published.of(name)
    assert found.numbers
    assert found.other_data is None


def test_no_number_is_there_twice_and_none_is_of_no_row():
    keys = [(name, number.metric, number.source == published.CURVES) for name, number in ROWS]
    assert len(keys) == len(set(keys))
    assert {name for name, _ in ROWS} == set(ROWS_OF_TABLES)


def test_every_number_says_what_and_whence_it_is():
    metrics = {published.ACCURACY, published.MSE, published.PERPLEXITY, published.VALIDATION_PERPLEXITY, published.CROSS_ENTROPY}
    for name, number in ROWS:
        assert number.metric in metrics
        assert number.source in SOURCES
        assert number.std is None or 0 < number.std < number.value / 2, name
        assert 0 < number.value <= (100 if number.metric == published.ACCURACY else 70)


def test_the_ablation_agrees_with_the_tables():
    for momentum, metric in (
        ("mnist_momentum_lstm_256", published.ACCURACY),
        ("timit_momentum_lstm_158", published.MSE),
        ("ptb_momentum_lstm", published.PERPLEXITY),
    ):
        config = CONFIGS[momentum].config
        for name, point in ((momentum, (config.mu, config.step_size)), (momentum.replace("momentum_", ""), (0.0, 1.0))):
            recalled, *_ = published.of(name).of_metric(metric)
            (plotted,) = published.ablation(momentum, *point).of_metric(metric)
            assert plotted.source == published.CODE
            assert plotted.value == pytest.approx(recalled.value, abs=0.05)
        assert np.shape(ABLATION[momentum][1]) == (len(AXES["mu"]), len(AXES["step_size"]))


def test_curves_are_below_the_tables():
    """The mean of the best epochs of the seeds is no more than what the tables say of them."""
    pairs = 0
    for name in {name for name, _ in ROWS if name.startswith("timit_")}:
        recalled, *curves = published.of(name).of_metric(published.MSE)
        for number in curves:
            assert 0.9 * recalled.value < number.value < recalled.value
            pairs += 1
    assert pairs == 5


def test_free_data_has_the_numbers_of_the_data_that_it_stands_in_for():
    ours, theirs = published.of("fsdd_momentum_lstm_120"), published.of("timit_momentum_lstm_120")
    assert (ours.numbers, ours.other_data, theirs.other_data) == (theirs.numbers, "TIMIT", None)
    assert published.ablation("fsdd_momentum_lstm_158", 0.6, 0.3).numbers[0].value == 8.84
    assert published.of("ablation_controls_fsdd_gain_158").numbers == ()


def test_a_control_that_is_a_point_of_the_ablation_has_its_number():
    assert [(n.value, n.source) for n in published.of("ablation_controls_timit_no_momentum_158").numbers] == [(6.0, "code")]
    for name, (row, mu, step_size) in POINTS.items():
        assert row in ABLATION
        assert (CONFIGS[name].config.mu, CONFIGS[name].config.step_size) == (mu, step_size)
