"""The study of momentum: its arms, its runs, and what its report concludes from records."""

import concurrent.futures
import dataclasses
import hashlib
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, stats

import momentum_rnn_jax as mr
from experiments import checkpoint, devices, runs, study, training
from experiments import tasks as training_tasks
from experiments.datasets import Dataset, Info, Split
from experiments.studies.momentum import gradients, prediction, records, remaining, report, tasks, verdicts
from experiments.studies.momentum.arms import ARMS, BETAS, TRIALS, draws, fields, filtered, taps_of, values_of

PLAN = pathlib.Path(study.__file__).parent / "studies" / "momentum" / "PLAN.md"
TINY = {"hidden_features": 3, "epochs": 2, "steps_per_epoch": 2, "batch_size": 4, "length": 4, "held_out": 6}


def test_the_plan_is_the_registered_one():
    assert hashlib.sha256(PLAN.read_bytes()).hexdigest() == "946f52aa5b96c6c26766ed6e8925931b2f90c8e62e8624aa983649f70164e5ec"


def test_trials_are_drawn_from_the_ranges_of_the_plan_and_shared_by_all_arms():
    low_high = {"learning_rate": (3e-4, 3e-3), "gain": (0.05, 2), "mu": (0.1, 0.95), "step_size": (0.05, 2)}
    assert len(draws()) == TRIALS == 12
    for name, (low, high) in low_high.items():
        values = [draw[name] for draw in draws()]
        assert low <= min(values) < max(values) <= high
        assert len(set(values)) == TRIALS
    assert {draw["beta"] for draw in draws()} <= set(BETAS)
    for trial in range(TRIALS):
        tried = [values_of(arm, trial) for arm in ARMS.values()]
        for name in ("learning_rate", *low_high, "beta"):
            assert len({values[name] for values in tried if name in values}) == 1


def test_an_arm_tunes_what_the_plan_says():
    values = {"learning_rate": 0.001, "mu": 0.8, "gain": 0.5, "step_size": 0.3, "beta": 0.9}
    expected = {
        "L": {"cell": "lstm"},
        "S": {"cell": "lstm", "input_scale": 0.5},
        "M": {"cell": "momentum_lstm", "mu": 0.8, "step_size": pytest.approx(0.1)},
        "N": {"cell": "input_norm_lstm"},
        "MN": {"cell": "momentum_input_norm_lstm", "mu": 0.8},
        "F": {"cell": "lstm"},
        "O": {"cell": "lstm"},
        "A": {"cell": "adam_lstm", "mu": 0.8, "step_size": 0.3, "beta": 0.9},
        "R": {"cell": "rmsprop_lstm", "step_size": 0.3, "beta": 0.9},
        "D": {"cell": "dtriv", "input_scale": 0.5, "skew_learning_rate": pytest.approx(1e-4)},
        "DM": {"cell": "momentum_dtriv", "mu": 0.8, "step_size": pytest.approx(0.1), "skew_learning_rate": pytest.approx(1e-4)},
    }
    for name, arm in ARMS.items():
        assert fields(arm, values) == {"learning_rate": 0.001, **expected[name]}


def test_smoothing_outside_is_what_the_drive_of_momentum_does():
    values = {"mu": 0.9, "gain": 0.5}
    xs = np.random.default_rng(0).normal(size=(2, 30, 3))
    drive = mr.Momentum(0.9, 0.5 * (1 - 0.9))
    with jax.enable_x64(True):
        us = jnp.asarray(np.swapaxes(xs, 0, 1))
        expected = drive.unroll(drive.init(us[0]), us)[1]
    taps = taps_of(ARMS["O"], values, 0, 30)
    np.testing.assert_allclose(np.swapaxes(filtered(xs, taps), 0, 1), expected, rtol=1e-12, atol=1e-15)


def test_a_random_filter_is_new_for_each_seed_and_has_the_length_and_the_gain_of_momentum():
    values = {"mu": 0.75, "gain": 0.4}
    one, other = (taps_of(ARMS["F"], values, seed, 50) for seed in (0, 1))
    smooth = taps_of(ARMS["O"], values, 0, 1000)
    assert len(one) == len(other) == 12
    assert not np.allclose(one, other)
    for taps in (one, other):
        np.testing.assert_allclose(taps @ taps, smooth @ smooth, rtol=1e-12)
    np.testing.assert_array_equal(one, taps_of(ARMS["F"], values, 0, 50))
    x = np.random.default_rng(1).normal(size=(1, 50, 1))
    np.testing.assert_allclose(filtered(x, one)[0, :, 0], signal.lfilter(one, [1.0], x[0, :, 0]), atol=1e-12)
    assert taps_of(ARMS["M"], values, 0, 50) is None


def test_the_norms_of_an_input_undo_its_scale_but_not_its_average():
    params = tasks.config_of("spoken_digits", "MN", values_of(ARMS["MN"], 0), 0).make_cell().init(jax.random.key(0), 5)
    xs = 100 * jax.random.normal(jax.random.key(1), (6, 2, 5))  # beside which eps is nothing

    def outputs(arm, scale, mu=None):
        values = {**values_of(ARMS[arm], 0), **({} if mu is None else {"mu": mu})}
        cell = tasks.config_of("spoken_digits", arm, values, 0).make_cell()
        return mr.unroll(cell, params, xs * scale)[1]

    params["input"]["bias"] = jnp.zeros_like(params["input"]["bias"])
    np.testing.assert_allclose(outputs("N", 7.0), outputs("N", 1.0), atol=1e-4)
    np.testing.assert_allclose(outputs("MN", 7.0), outputs("MN", 1.0), atol=1e-4)
    assert np.abs(outputs("MN", 1.0) - outputs("N", 1.0)).max() > 0.05


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_arm_of_a_task_differs_in_its_cell_alone(name):
    planned = tasks.TASKS[name]
    own = {"cell", "learning_rate", "mu", "step_size", "beta", "input_scale", "skew_learning_rate"}
    described = [
        tasks.config_of(name, arm, values_of(ARMS[arm], 3), 4).to_dict() for arm in planned.arms if not ARMS[arm].orthogonal
    ]
    for config in described:
        assert {key: value for key, value in config.items() if key not in own} == {
            key: value for key, value in described[0].items() if key not in own
        }
        assert config["seed"] == 4
        assert {key: config[key] for key in planned.changes} == planned.changes
    dtriv = [tasks.config_of(name, arm, values_of(ARMS[arm], 3), 4) for arm in planned.arms if ARMS[arm].orthogonal]
    for config in dtriv:
        assert type(config) is type(tasks.config_of(name, "L", values_of(ARMS["L"], 3), 4))
        assert config.hidden_features == described[0]["hidden_features"]


def test_the_tasks_have_the_sizes_of_the_plan():
    assert {name: of.seeds for name, of in tasks.TASKS.items() if name not in tasks.DOSES} == {
        "spoken_digits": 20,
        **dict.fromkeys(("pixels", "permuted_pixels", "adding", "copying", "characters"), 10),
    }
    assert sum(of.share for of in tasks.TASKS.values()) == pytest.approx(38)  # and 2 for overruns
    assert len(tasks.DOSES) == 12
    assert tasks.TASKS["spoken_digits"].fewest_seeds == 10
    values = values_of(ARMS["L"], 0)
    assert tasks.config_of("permuted_pixels", "L", values, 7).permutation_seed is None
    assert tasks.config_of("copying", "L", values, 0).by_accuracy
    assert tasks.TASKS["dose_30_2"].tuned_on == "dose_10_1"
    assert tasks.TASKS["dose_1_1"].tuned_on == tasks.TASKS["dose_3_0.25"].tuned_on == "dose_1_0.25"


def test_the_data_is_made_smaller_and_filtered_as_the_plan_says(monkeypatch):
    random = np.random.default_rng(0)
    images = [random.uniform(size=(count, 784, 1)).astype(np.float32) for count in (10_003, 5, 4)]
    splits = [Split(inputs, np.zeros(len(inputs), np.int32)) for inputs in images]
    monkeypatch.setattr(tasks.datasets, "load", lambda *arguments, **options: Dataset(*splits, Info("mnist", "classify", 10, {})))
    tasks._dataset.cache_clear()
    values = values_of(ARMS["O"], 0)
    sources = tasks.Sources(pathlib.Path("nowhere"))
    config = tasks.config_of("pixels", "O", values, 0)
    task, data = tasks.load(config, ARMS["O"], values, sources)
    assert data.train.inputs.shape == (10_000, 196, 1)
    assert task.steps_per_epoch == 78
    halves = images[2].reshape(4, 28, 28)
    means = (halves[:, ::2, ::2] + halves[:, 1::2, ::2] + halves[:, ::2, 1::2] + halves[:, 1::2, 1::2]).reshape(4, 196, 1) / 4
    plain = tasks.load(tasks.config_of("pixels", "L", values_of(ARMS["L"], 0), 0), ARMS["L"], {}, sources)[1]
    np.testing.assert_allclose(plain.test.inputs, means, atol=1e-6)
    step_size, mu = values["gain"] * (1 - values["mu"]), values["mu"]
    expected = signal.lfilter([step_size], [1, -mu], means, axis=1)
    np.testing.assert_allclose(data.test.inputs, expected, rtol=1e-5, atol=1e-6)
    assert data.origin["filter"] == "smooth"
    tasks._dataset.cache_clear()


def test_a_minibatch_whose_second_half_is_padding_is_trained_on_its_first(monkeypatch):
    random = np.random.default_rng(0)
    frames = random.normal(size=(8, 9, 129)).astype(np.float32)
    lengths = np.array([3, 4, 2, 4, 4, 8, 1, 4], np.int32)  # in minibatches with the sixth, the second half counts
    inputs = np.where(np.arange(8)[None, :, None] < lengths[:, None, None], frames[:, :-1], 0)
    split = Split(inputs, frames[:, 1:], lengths)
    config = tasks.config_of("spoken_digits", "M", values_of(ARMS["M"], 0), 0)
    config = dataclasses.replace(config, hidden_features=3, batch_size=4, epochs=2)
    task, data = training_tasks.stored(config, Dataset(split, split, split, Info("fsdd", "regress", 129, {})))
    mesh = devices.make_mesh(1, 4)
    program, settings = runs.program_of(config, task, mesh), runs.settings_of([config], data)
    assert task.pads

    def trained():
        state = training.start(program, settings)
        for epoch in (2, 4):
            state = training.advance(program, state, np.int32(epoch), split, settings)
        return state.runs

    with jax.numpy_dtype_promotion("standard"):  # of optax
        found = trained()
        monkeypatch.setattr(training_tasks.Stored, "pads", False)
        training.advance.clear_cache()
        expected = trained()
        training.advance.clear_cache()
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.totals["loss"], expected.totals["loss"], rtol=1e-6)


def test_a_comparison_agrees_with_the_tests_of_a_library():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 12))
    of = verdicts.compare(a - b, margin=0.7)
    expected = stats.ttest_rel(a, b)
    assert of.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert (of.low, of.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-10)
    below = stats.ttest_1samp(a - b, 0.7, alternative="less").pvalue
    above = stats.ttest_1samp(a - b, -0.7, alternative="greater").pvalue
    assert of.p_equivalent == pytest.approx(max(below, above), rel=1e-10)
    assert of.seeds == 12


def test_without_a_spread_a_comparison_is_decided_by_its_mean():
    assert verdicts.verdict(verdicts.compare([0.2, 0.2], 1.0), 0.0) == "equivalent"
    assert verdicts.verdict(verdicts.compare([2.0, 2.0], 1.0), 0.0) == "better"
    assert verdicts.verdict(verdicts.compare([-2.0, -2.0], 1.0), 0.0) == "worse"


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [(0.0, 0.3, "equivalent"), (3.0, 0.3, "better"), (-3.0, 0.3, "worse"), (1.0, 5.0, "undecided")],
)
def test_the_verdict_follows_from_equivalence_first_and_then_from_the_difference(mean, spread, expected):
    values = mean + spread * stats.zscore(np.arange(10.0), ddof=1)
    of = verdicts.compare(values, 1.0)
    assert verdicts.verdict(of, of.p) == expected


def test_a_small_difference_that_is_significant_is_still_equivalent():
    of = verdicts.compare(0.5 + 0.1 * stats.zscore(np.arange(10.0)), 1.0)
    assert of.p < 1e-6
    assert verdicts.verdict(of, of.p) == "equivalent"


def test_holm_controls_the_whole_family():
    assert verdicts.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert verdicts.holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_rank_correlation_and_its_p():
    predicted, measured = [1, 2, 3, 4, 5, 6, 7], [2, 1, 3, 4, 7, 5, 6]
    correlation, p = verdicts.rank_correlation(predicted, measured)
    expected = stats.spearmanr(predicted, measured)
    assert correlation == pytest.approx(expected.statistic)
    exact = stats.permutation_test(
        (measured,), lambda y: stats.spearmanr(predicted, y).statistic, permutation_type="pairings", alternative="greater"
    )
    assert p == pytest.approx(exact.pvalue, abs=0.002)


@pytest.mark.parametrize(("mu", "time", "noise"), [(0.0, 3.0, 0.5), (0.7, 10.0, 1.0), (0.9, 1.0, 2.0)])
def test_the_prediction_is_the_error_of_the_best_multiple_of_the_average(mu, time, noise):
    lags = np.arange(400)
    weights = (1 - mu) * mu**lags
    signal_covariance = np.exp(-np.abs(lags[:, None] - lags) / time)
    covariance = weights @ signal_covariance[0]
    variance = weights @ (signal_covariance + noise**2 * np.eye(400)) @ weights
    assert prediction.error(mu, time, noise) == pytest.approx(1 - covariance**2 / variance, rel=1e-10)
    assert prediction.gain(time, noise) >= 1 - prediction.error(mu, time, noise) / prediction.error(0.0, time, noise) - 1e-6


def record(task, arm, seed, test, kind="run", **more):
    found = {"task": task, "arm": arm, "kind": kind, "seed": seed, "values": {"learning_rate": 0.001}, "diverged": False}
    found |= {"best_epoch": 2, "test": test, "validation": [2 * test, test], "seconds": 1.0, "core_seconds": 3600.0}
    return found | {"commit": "c", "device": "d", "jax": "j"} | more


def test_a_diverged_run_counts_as_the_worst_and_a_diverged_trial_is_never_chosen(tmp_path):
    for seed, test in enumerate((1.0, 3.0, 2.0)):
        records.add(record("adding", "S", seed, test), tmp_path)
    records.add({**record("adding", "S", 3, 0.0), "diverged": True}, tmp_path)
    assert verdicts.test_scores("adding", "S", tmp_path) == {0: 1.0, 1: 3.0, 2: 2.0, 3: 3.0}
    trials = {
        0: record("adding", "S", 5000, 0.5, diverged=True),
        1: record("adding", "S", 5001, 0.9),
        2: record("adding", "S", 5002, 0.8),
    }
    assert records.best_trial(trials, higher=False) is trials[2]
    assert records.best_trial(trials, higher=True) is trials[1]
    assert records.best_trial({0: trials[0]}, higher=False) is None


def test_differences_are_paired_by_seed_and_positive_where_the_first_arm_is_better(tmp_path):
    for seed, (s, m) in enumerate(((2.0, 1.0), (4.0, 3.5), (6.0, 7.0))):
        records.add(record("adding", "S", seed, s), tmp_path)
        records.add(record("adding", "M", seed, m), tmp_path)
        records.add(record("copying", "S", seed, s / 10), tmp_path)
        records.add(record("copying", "M", seed, m / 10), tmp_path)
    records.add(record("adding", "M", 9, 100.0), tmp_path)
    assert verdicts.differences("adding", "M", "S", tmp_path) == pytest.approx([25.0, 12.5, -25.0])
    assert verdicts.differences("copying", "M", "S", tmp_path) == pytest.approx([-10.0, -5.0, 10.0])
    assert verdicts.differences("adding", "O", "S", tmp_path) == []


def test_epochs_are_counted_to_the_best_loss_of_the_same_seed(tmp_path):
    curves = {"L": [5.0, 3.0, 4.0], "S": [4.0, 3.5, 3.0], "M": [2.0, 1.0, 1.0]}
    for seed in range(2):
        for arm, validation in curves.items():
            records.add(record("spoken_digits", arm, seed, 1.0, validation=validation), tmp_path)
    records.add(record("spoken_digits", "L", 2, 1.0, validation=[0.5]), tmp_path)
    records.add(record("spoken_digits", "M", 2, 1.0, validation=[0.9]), tmp_path)
    assert verdicts.epochs_to("spoken_digits", "S", tmp_path) == {0: 3.0, 1: 3.0}
    assert verdicts.epochs_to("spoken_digits", "M", tmp_path) == {0: 1.0, 1: 1.0, 2: math.inf}


def test_a_run_that_never_reaches_the_loss_counts_as_an_epoch_beyond_the_last(tmp_path):
    for seed in range(10):
        records.add(record("spoken_digits", "L", seed, 1.0, validation=[1.0]), tmp_path)
        records.add(record("spoken_digits", "S", seed, 1.0, validation=[2.0] * 9 + [1.0]), tmp_path)
        assert verdicts.faster("spoken_digits", tmp_path) is None
    assert "Not run yet" in report._convergence(tmp_path)
    for seed in range(10):
        records.add(record("spoken_digits", "M", seed, 1.0, validation=[0.5] if seed < 2 else [2.0]), tmp_path)
    of = verdicts.faster("spoken_digits", tmp_path)
    assert (of.seeds, of.mean) == (10, pytest.approx((2 * 9 + 8 * (10 - 61)) / 10))
    assert "8 of 10" in report._convergence(tmp_path)


def test_the_command_runs_what_is_left_and_reports_it(tmp_path, monkeypatch, capsys):
    planned = tasks.TASKS["adding"]._replace(changes=TINY, seeds=2, arms=("L", "S", "M"))
    monkeypatch.setitem(tasks.TASKS, "adding", planned)
    monkeypatch.setattr(remaining, "TRIALS", 2)
    results = tmp_path / "study" / "results"
    command = ["momentum", "--tasks", "adding", "--results", str(results), "--out", str(tmp_path / "runs")]

    def stopped(*arguments):
        raise KeyboardInterrupt

    assert study.main([*command, "--arms", "S"]) == 0
    found = records.read("adding", results)
    assert [(one["kind"], one["seed"]) for one in found] == [("trial", 5000), ("trial", 5001), ("run", 0), ("run", 1)]
    best = min(found[:2], key=lambda trial: min(trial["validation"]))
    assert found[2]["values"] == found[3]["values"] == best["values"]
    assert all(len(one["validation"]) == 2 and math.isfinite(one["test"]) and one["core_seconds"] > 0 for one in found)
    assert not list((tmp_path / "runs").glob("adding-*/*"))  # what a run leaves is deleted once it is recorded

    with monkeypatch.context() as during:  # the run was trained, and the command was killed before it was recorded
        during.setattr(records, "add", stopped)
        with pytest.raises(KeyboardInterrupt):
            study.main([*command, "--arms", "M"])
    assert study.main([*command]) == 0
    found = records.read("adding", results)
    assert {(one["arm"], one["kind"], one["seed"]) for one in found} == {
        (arm, kind, seed) for arm in "LSM" for kind, seed in (("trial", 5000), ("trial", 5001), ("run", 0), ("run", 1))
    }
    assert len(found) == 12
    capsys.readouterr()
    assert study.main(command) == 0
    assert capsys.readouterr().out == "Nothing is left.\n"
    assert records.read("adding", results) == found

    assert study.main(["momentum", "--report", "--results", str(results)]) == 0
    text = (tmp_path / "study" / "REPORT.md").read_text()
    mean = np.mean([one["test"] for one in found if one["arm"] == "S" and one["kind"] == "run"])
    assert f"{mean:.4g} ± " in text
    assert text.count("not run yet") > 10
    for figure in ("comparisons", "dose_response", "convergence"):
        assert (tmp_path / "study" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_states_every_verdict(tmp_path):
    random = np.random.default_rng(0)
    for task, planned in tasks.TASKS.items():
        for arm in planned.arms:
            for seed in range(planned.seeds):
                score = (0.5 + 0.1 * np.sin(seed)) * (0.9 if arm in ("M", "O") else 1)
                records.add(record(task, arm, seed, score + 0.001 * random.normal()), tmp_path / "results")
    text = report.write(tmp_path / "results")
    assert "with a margin of 2: **" in text
    for task, arm, other in verdicts.REGISTERED:
        row = next(line for line in text.splitlines() if line.startswith(f"| {tasks.TASKS[task].title}: {arm} – {other}"))
        better = "worse" if tasks.TASKS[task].higher_is_better else "better"
        expected = better if arm == "M" and other != "O" else "equivalent"
        assert f"**{expected}**" in row, row
    assert "as it must be" in text
    assert "first part of H3 is **" in text
    assert "Chosen of the trials: for a signal of correlation time 1 in noise 0.25 L: learning rate 0.001; S:" in text
    assert "{" not in text.replace("h_{T-k}", "")


@pytest.mark.parametrize(
    ("difference", "spread", "holds"), [(0.0, 0.01, True), (2.0, 0.01, False), (2.0, 9.0, True), (4.0, 9.0, False)]
)
def test_there_is_no_verdict_where_smoothing_outside_is_not_what_momentum_does(difference, spread, holds, tmp_path):
    noise = spread * stats.zscore(np.arange(20.0))
    for seed in range(20):
        for arm, score in (("S", 110.0), ("M", 100.0), ("O", 100.0 + 1.1 * (difference + noise[seed]))):
            records.add(record("spoken_digits", arm, seed, score + 0.01 * (seed % 3)), tmp_path)
    assert verdicts.pipeline(tmp_path)[1] is holds
    found = {outcome.verdict for outcome in verdicts.registered(tmp_path).values()}
    assert ("better" in found) is holds
    assert (found == {"no verdict"}) is not holds


def test_a_verdict_needs_half_of_the_seeds_and_says_how_many_there_are(tmp_path):
    for seed in range(12):
        if seed == 9:
            assert not verdicts.registered(tmp_path)
        for arm, score in (("S", 2.0), ("M", 1.0)):
            records.add(record("spoken_digits", arm, seed, score + 0.01 * seed), tmp_path)
    text = report.write(tmp_path)
    assert "- **better**: M – S on free spoken digits (so far, 12 of 20 seeds)" in text
    assert "not run yet; until then the verdicts are provisional" in text


def test_records_are_added_once_and_beside_other_processes(tmp_path):
    def many(arm):
        for seed in range(25):
            records.add(record("dose_1_1", arm, seed, 1.0), tmp_path)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(many, "LSM"))
    assert len(records.read("dose_1_1", tmp_path)) == 75
    with pytest.raises(records.RunError, match="has L, run, seed 3 already"):
        records.add(record("dose_1_1", "L", 3, 1.0), tmp_path)
    records.add(record("dose_1_1", "L", 30, 1.0, data="a"), tmp_path)
    with pytest.raises(records.RunError, match="runs with other data"):
        records.add(record("dose_1_1", "L", 31, 1.0, data="b"), tmp_path)


def test_an_arm_whose_trials_all_diverged_is_passed_over(tmp_path):
    for trial in range(TRIALS):
        records.add(record("adding", "L", 5000 + trial, 1.0, kind="trial", trial=trial, diverged=True), tmp_path)
    assert remaining.next_run("adding", "L", tmp_path) is None
    assert next(remaining.queue(["adding"], None, tmp_path)).arm == "S"


def test_smoothing_outside_follows_the_order_in_which_pixels_are_read(monkeypatch):
    random = np.random.default_rng(0)
    inputs = random.uniform(size=(3, 784, 1)).astype(np.float32)
    split = Split(inputs, np.zeros(3, np.int32))
    monkeypatch.setattr(
        tasks.datasets, "load", lambda *arguments, **options: Dataset(split, split, split, Info("mnist", "classify", 10, {}))
    )
    monkeypatch.setattr(tasks.tasks, "stored", lambda config, data: (None, data))
    tasks._dataset.cache_clear()
    values, sources = values_of(ARMS["O"], 0), tasks.Sources(pathlib.Path("nowhere"))
    order = tasks.mnist.permutation(4, 196)

    def read(arm):
        config = tasks.config_of("permuted_pixels", arm, values_of(ARMS[arm], 0), 4)
        return tasks.load(config, ARMS[arm], values, sources)[1].test.inputs[:, order, 0]

    step_size, mu = values["gain"] * (1 - values["mu"]), values["mu"]
    np.testing.assert_allclose(read("O"), signal.lfilter([step_size], [1, -mu], read("L"), axis=1), rtol=1e-5, atol=1e-6)
    tasks._dataset.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["momentum", "--tasks", "addding"], "--tasks must be of spoken_digits, pixels"),
        (["momentum", "--tasks", "adding", "--arms", "Q"], "--arms must be of L, S, M"),
    ],
)
def test_wrong_names_are_refused(arguments, message, tmp_path, capsys):
    assert study.main([*arguments, "--out", str(tmp_path), "--results", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_file_of_results_is_refused(tmp_path, capsys):
    (tmp_path / "adding.jsonl").write_text("{")
    assert study.main(["momentum", "--report", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "adding.jsonl is damaged" in error
    assert error.count("\n") == 1


def test_gradient_norms_are_those_of_the_network_that_was_trained(tmp_path):
    values = values_of(ARMS["S"], 0)
    config = dataclasses.replace(tasks.config_of("spoken_digits", "S", values, 1), hidden_features=3)
    random = np.random.default_rng(0)
    frames = random.normal(size=(3, 71, 129)).astype(np.float32)
    split = Split(frames[:, :-1], frames[:, 1:], np.array([20, 70, 60], np.int32))
    network = gradients.Network(config.make_cell(), 129, 129, True, config.input_scale, config.readout_init)
    params = training.initial_params(network, jax.random.key(1))
    best = jax.tree.map(lambda leaf: 2 * leaf, params)
    checkpoint.save_params(tmp_path / "best.npz", best)
    found = gradients.norms(config, tmp_path / "best.npz", training_tasks.Data((), split, split, {}))

    def direct(params, back):
        def loss(change):
            hs = []
            state = None
            for t in range(60):
                x = config.input_scale * split.inputs[1, t]
                state = network.cell.initial_state(params["cell"]) if state is None else state
                state, h = network.cell.step(params["cell"], state, x)
                if t == 59 - back:
                    h = h + change
                    state = state._replace(core=state.core._replace(h=h))
                hs.append(h)
            return jnp.square(network.read(params, hs[-1]) - split.targets[1, 59]).mean()

        return float(jnp.linalg.norm(jax.jit(jax.grad(loss))(jnp.zeros(3))))

    for when, tree in (("start", params), ("best", best)):
        assert found[when]["back"] == [1, 10, 50]
        assert found[when]["norm"] == pytest.approx([direct(tree, back) for back in (1, 10, 50)], rel=2e-3)
    json.dumps(found)


def test_runs_outside_of_the_plan_have_what_s_has_and_never_count_for_a_verdict(tmp_path, monkeypatch):
    with pytest.raises(remaining.RunError, match="the trials of S on spoken digits come first"):
        next(remaining.exploration(tmp_path))
    for trial in range(TRIALS):
        values = values_of(ARMS["S"], trial)
        records.add(record("spoken_digits", "S", 5000 + trial, 2.0 + trial, "trial", trial=trial, values=values), tmp_path)
    first, *_ = planned = list(remaining.exploration(tmp_path))
    assert len(planned) == 8
    assert first.values == {**values_of(ARMS["S"], 0), "mu": 0.1}
    assert tasks.config_of("spoken_digits", "M", first.values, 0).step_size == pytest.approx(0.9 * first.values["gain"])
    for seed in range(4):
        records.add(record("spoken_digits", "S", seed, 2.0), tmp_path)
        records.add(record("spoken_digits", "M", seed, 3.0, "exploration", values=first.values), tmp_path)
    assert [(each.values["mu"], each.seed) for each in remaining.exploration(tmp_path)] == [(0.3, seed) for seed in range(4)]
    assert verdicts.test_scores("spoken_digits", "M", tmp_path) == {}
    assert "|        3 |                 2 |     4 |" in report._exploration(tmp_path)


def test_programs_of_other_values_are_forgotten(tmp_path, monkeypatch):
    made, cleared = [], []
    monkeypatch.setattr(remaining, "run", lambda planned, *rest: made.append(planned))
    monkeypatch.setattr(remaining.jax, "clear_caches", lambda: cleared.append(len(made)))
    one, other = {"learning_rate": 0.1}, {"learning_rate": 0.2}
    todo = [remaining.PlannedRun("adding", "L", values, seed) for values, seed in ((one, 0), (one, 1), (other, 0), (other, 1))]
    assert remaining.run_all(todo, tmp_path, None, tmp_path, None, "", None)
    assert (len(made), cleared) == (4, [2])
