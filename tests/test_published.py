"""The paper's numbers: every row has its own, once, and numbers that stand in two places agree."""

import numpy as np
import pytest

from experiments import published
from experiments.configs import CONFIGS
from experiments.configs.row import ACCURACY, CODE, CONFIRMED, CROSS_ENTROPY, CURVES, MSE, PERPLEXITY, SOURCES
from experiments.configs.row import VALIDATION_PERPLEXITY as VALIDATION
from experiments.published import ABLATION, AXES

ROWS_OF_TABLES = [name for name, row in CONFIGS.items() if row.what.startswith("Table")]
CONTROLS = ("ablation_controls_timit_no_momentum_158", "ablation_controls_ptb_momentum")


@pytest.mark.parametrize("name", ROWS_OF_TABLES)
def test_every_row_of_a_table_has_a_number_and_says_how_it_differs(name):
    found = published.of(name)
    assert found.numbers
    assert found.other_data is None
    assert found.unlike


def test_nothing_else_has_a_number_and_every_number_says_what_and_whence_it_is():
    assert {name for name, row in CONFIGS.items() if row.published} == {*ROWS_OF_TABLES, *CONTROLS}
    metrics = {ACCURACY, MSE, PERPLEXITY, VALIDATION, CROSS_ENTROPY}
    for name, row in CONFIGS.items():
        assert len({(number.metric, number.source) for number in row.published}) == len(row.published)
        for number in row.published:
            assert number.metric in metrics
            assert number.source in SOURCES
            assert number.std is None or 0 < number.std < number.value / 2, name
            assert 0 < number.value <= (100 if number.metric == ACCURACY else 70)


def test_the_paper_s_nesterov_equation_has_none_of_the_numbers_of_the_released_cell():
    for task in ("mnist", "pmnist", "timit"):
        released, equation = (f"{task}_{cell}_{158 if task == 'timit' else 256}" for cell in ("released_nesterov_lstm", EQUATION))
        assert CONFIGS[released].config.cell == "released_nesterov_lstm"
        assert published.of(released).numbers
        found = published.of(equation)
        assert found.numbers == ()
        assert "made with another, `released_nesterov_lstm`" in found.unlike[0]


EQUATION = "scheduled_restart_lstm"
SUMS = {"mnist_momentum_lstm_256": 2176.58, "timit_momentum_lstm_158": 478.95, "ptb_momentum_lstm": 6548.0}


def test_the_ablation_agrees_with_the_tables():
    for momentum, metric in (
        ("mnist_momentum_lstm_256", ACCURACY),
        ("timit_momentum_lstm_158", MSE),
        ("ptb_momentum_lstm", PERPLEXITY),
    ):
        config = CONFIGS[momentum].config
        for name, point in ((momentum, (config.mu, config.step_size)), (momentum.replace("momentum_", ""), (0.0, 1.0))):
            recalled, *_ = published.of(name).of_metric(metric)
            (plotted,) = published.ablation(momentum, *point).of_metric(metric)
            assert plotted.source == CODE
            assert plotted.value == pytest.approx(recalled.value, abs=0.05)
        assert np.shape(ABLATION[momentum][1]) == (len(AXES["mu"]), len(AXES["step_size"]))


def test_the_ablation_is_there_with_both_decimals():
    """Digits of the notebook, which the heat maps round away."""
    assert published.ablation("mnist_momentum_lstm_256", 0.6, 0.1).numbers[0].value == 86.88
    assert published.ablation("timit_momentum_lstm_158", 0.9, 0.1).numbers[0].value == 121.07
    assert published.ablation("ptb_momentum_lstm", 0.6, 0.6).numbers[0].value == 115.95
    # The sums of the three tables, added up by hand from the notebook.
    sums = {name: round(float(np.sum(values)), 2) for name, (_, values) in ABLATION.items()}
    assert sums == SUMS


def test_curves_within_the_recipes_epochs_are_the_printed_table():
    pairs = 0
    for name in ROWS_OF_TABLES:
        if name.startswith("timit_"):
            printed, *curves = published.of(name).of_metric(MSE)
            for number in curves:
                assert (printed.source, number.source) == (CONFIRMED, CURVES)
                assert number.value == pytest.approx(printed.value, abs=0.04 if "dtriv" in name else 0.01)
                pairs += 1
    assert pairs == 9
    assert [published.of(f"ptb_{cell}").of_metric(VALIDATION)[0].value for cell in ("lstm", "momentum_lstm", EQUATION)] == [
        61.96,
        60.71,
        61.12,
    ]


def test_what_chose_the_epoch_is_said_by_task():
    for name in ROWS_OF_TABLES:
        unlike = " ".join(published.of(name).unlike)
        assert ("test split" in unlike) == (not name.startswith("ptb"))
        assert ("core test set of 192" in unlike) == name.startswith("timit")


def test_free_data_has_the_numbers_of_the_data_that_it_stands_in_for():
    ours, theirs = published.of("fsdd_momentum_lstm_120"), published.of("timit_momentum_lstm_120")
    assert (ours.numbers, ours.other_data, theirs.other_data) == (theirs.numbers, "TIMIT", None)
    assert published.ablation("fsdd_momentum_lstm_158", 0.6, 0.3).numbers[0].value == 8.84
    assert published.of("ablation_controls_fsdd_gain_158").numbers == ()


@pytest.mark.parametrize(("name", "row"), [*zip(CONTROLS, ("timit_momentum_lstm_158", "ptb_momentum_lstm"), strict=True)])
def test_a_control_that_is_a_point_of_the_ablation_has_its_number(name, row):
    config = CONFIGS[name].config
    assert published.of(name).numbers == published.ablation(row, config.mu, config.step_size).numbers
