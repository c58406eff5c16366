"""The training runs behind `make demo`: a tiny one as a user starts it, and its pieces."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import comparison, datasets, demo, loop, runs
from experiments.comparison import CELLS, TITLES
from experiments.configs import CONFIGS
from experiments.datasets import DataError, digits, drifts
from tests.train_command import assert_refused, lines, status_of, stop

ROOT = pathlib.Path(__file__).parent.parent


def start(*arguments):
    command = [sys.executable, "-W", "error", "-m", "experiments.demo", *arguments]
    # Programs that run for a moment need no optimising.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    result = start("--seeds", "2", "--epochs", "2", "--hidden", "3", "--out", str(out))
    assert result.returncode == 0, result.stderr
    (folder,) = out.iterdir()
    return result, folder


def test_a_run_prints_its_tables_and_where_it_is(tiny_run):
    result, folder = tiny_run
    assert str(folder) in result.stdout
    for name in CELLS.values():
        assert result.stdout.count(f"| {name} ") == 2
    for title in TITLES.values():
        assert title in result.stdout


def test_a_run_fills_its_folder(tiny_run):
    _, folder = tiny_run
    assert {path.name for path in folder.iterdir()} == {"digits", "drifts", "results.md", "curves.png"}
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "digits" / "momentum_lstm" / "config.json").read_text())
    assert config["cells"]["momentum_lstm"]["drive"] == {"class": "Momentum", "mu": 0.6, "step_size": 1.0}
    assert config["training"]["runs"] == [
        {"run": 0, "seed": 0, "mu": 0.6, "step_size": 1.0},
        {"run": 1, "seed": 1, "mu": 0.6, "step_size": 1.0},
    ]
    assert config["training"] | {"epochs": 2, "hidden_features": 3} == config["training"]
    assert config["versions"]["momentum_rnn_jax"] == mr.__version__


def test_the_table_is_the_test_at_each_seeds_best_epoch(tiny_run):
    _, folder = tiny_run
    for task in TITLES:
        found = lines(folder / task / "lstm")
        tests = [line for line in found if line["kind"] == "test"]
        assert [line["seed"] for line in tests] == [0, 1]
        for test in tests:
            epochs = [line for line in found if line["kind"] == "epoch" and line["seed"] == test["seed"]]
            accuracies = [line["validation_accuracy"] for line in epochs]
            assert accuracies[test["epoch"] - 1] == max(accuracies)
        mean = 100 * np.mean([line["test_accuracy"] for line in tests])
        assert f" {mean:.2f} ± " in (folder / "results.md").read_text().split(TITLES[task])[1]


def test_the_control_reads_its_input_as_the_momentum_cell_amplifies_a_constant_one():
    for task in TITLES:
        momentum, control, plain = (CONFIGS[f"{task}_{name}"].config for name in ("momentum_lstm", "scaled_lstm", "lstm"))
        assert control.input_scale == pytest.approx(momentum.step_size / (1 - momentum.mu))
        assert {**control.to_dict(), "input_scale": 1.0} == plain.to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "argument --seeds: must be a whole number from 1 to 100, got '0'"),
        (["--epochs", "many"], "argument --epochs: must be a whole number from 1 to 10000, got 'many'"),
        (["--hiden", "3"], "unrecognized arguments: --hiden 3"),
        (["--out", str(ROOT / "README.md")], "cannot make a folder there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    assert status_of(demo.main, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


def test_a_demo_that_is_stopped_says_where_it_is(tmp_path, capsys, monkeypatch):
    stop(monkeypatch, 78)
    with jax.numpy_dtype_promotion("standard"):
        status = status_of(demo.main, "--seeds", "1", "--epochs", "2", "--hidden", "3", "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert_refused(status, capsys, f"stopped; what is finished is in {folder}\n", expected=143)
    assert len(lines(folder / "digits" / "lstm")) in (0, 1)


def test_a_wrong_command_ends_its_process_with_status_2():
    result = start("--seeds", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: argument --seeds: must be a whole number from 1 to 100, got '0'\n"


def test_digits_are_split_by_class_into_disjoint_parts():
    task = digits.load()
    parts = [task.train, task.validation, task.test]
    assert [len(part.targets) for part in parts] == [1257, 270, 270]
    rows = np.concatenate([part.inputs[..., 0] for part in parts])
    assert rows.shape == (1797, 64)
    assert rows.min() == 0
    assert rows.max() == 1
    originals = {row.tobytes() for row in (digits.load_digits().data[:, permutation()] / 16).astype(np.float32)}
    assert {row.tobytes() for row in rows} == originals
    for part in parts:
        share = np.bincount(digits.load_digits().target) * len(part.targets) / 1797
        assert np.abs(np.bincount(part.targets) - share).max() < 2  # two splits, each to the nearest whole image


def test_digits_have_no_source():
    with pytest.raises(DataError, match="digits has no source, got elsewhere: its data comes with the code"):
        datasets.load("digits", "anywhere", "elsewhere")


def permutation():
    return np.random.default_rng(digits.ORDER_SEED).permutation(64)


def test_drifts_are_sines_of_five_periods_under_white_noise():
    task = drifts.load()
    assert [len(part.targets) for part in task[:3]] == [1200, 400, 400]
    inputs, targets = (np.concatenate([part[index] for part in task[:3]]) for index in (0, 1))
    assert inputs.shape == (2000, 100, 1)
    assert np.bincount(targets).tolist() == [400] * 5
    steps = np.arange(100)
    for number, period in enumerate((20, 30, 45, 67, 100)):
        of = inputs[targets == number, :, 0].astype(np.float64)
        basis = np.stack([np.sin(2 * np.pi * steps / period), np.cos(2 * np.pi * steps / period)])
        weights, *_ = np.linalg.lstsq(basis.T, of.T, rcond=None)
        amplitudes, noise = np.hypot(*weights), of - (basis.T @ weights).T
        assert amplitudes.mean() == pytest.approx(1.0, abs=0.03)
        assert noise.std() == pytest.approx(1.0, abs=0.03)
        assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.04  # from step to step independent
        phases = np.arctan2(weights[1], weights[0])
        assert abs(np.exp(1j * phases).mean()) < 0.15  # everywhere on the circle
    rows = {row.tobytes() for row in inputs}
    assert len(rows) == 2000


def test_drifts_have_no_source():
    with pytest.raises(DataError, match="drifts has no source, got elsewhere: its data comes with the code"):
        datasets.load("drifts", "anywhere", "elsewhere")


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss():
    def line(accuracy, loss):
        return {"validation_accuracy": accuracy, "validation_loss": loss}

    old = line(0.8, 0.5)
    assert loop.is_better(line(0.9, 0.9), old, by_accuracy=True)
    assert not loop.is_better(line(0.7, 0.1), old, by_accuracy=True)
    assert loop.is_better(line(0.8, 0.4), old, by_accuracy=True)
    assert not loop.is_better(line(0.8, 0.6), old, by_accuracy=True)
    assert loop.is_better(line(0.1, 0.4), old, by_accuracy=False)
    assert loop.is_better(line(0.1, 9.0), None, by_accuracy=True)


def result(name, *accuracies):
    curve = np.zeros((1, len(accuracies)))
    return comparison.Result(name, np.array(accuracies), np.ones(len(accuracies), int), 10, 1.0, curve, curve)


def test_the_verdict_follows_the_numbers():
    base = result("LSTM", 0.90, 0.92)
    text = comparison.verdict([base, result("A", 0.97, 0.98), result("B", 0.80, 0.81), result("C", 0.91, 0.93)])
    assert text.startswith("Better than the LSTM by more than the seeds' spread: A (+6.50); worse than the LSTM by more ")
    assert "spread: B (-10.50); within the spread: C (+1.00). " in text
    assert comparison.verdict([base, result("B", 0.80, 0.81)]).startswith(
        "Better than the LSTM by more than the seeds' spread: none; "
    )
    assert "can be ranked" in comparison.verdict([result("LSTM", 0.9), result("A", 0.97)])


def test_a_run_that_diverged_is_in_the_table(tmp_path):
    np.savez(tmp_path / "best.npz", weights=np.zeros((2, 3)))
    epochs = [{"kind": "epoch", "run": run, "train_loss": 1.0, "validation_accuracy": 0.5} for run in (0, 1)]
    metrics = [*epochs, {"kind": "diverged", "run": 1, "epoch": 2}, {"kind": "test", "run": 0, "test_accuracy": 0.5, "epoch": 1}]
    found = comparison.result("A", runs.Outcome(tmp_path, metrics, 1.0, before=False), 2)
    assert (found.test_accuracy.tolist(), found.num_parameters, found.train_loss.shape) == ([0.5, 0.0], 3, (1, 2))
    assert "1 of 2 diverged" in comparison.table([found])
