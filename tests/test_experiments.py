"""The training run behind `make demo`: a tiny one as a user starts it, and its pieces."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import datasets, demo, demo_report, metrics, models, trainer
from experiments.config import CELLS, Training
from experiments.datasets import DataError, Split, digits
from tests.train_command import status_of

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


def test_a_run_prints_its_table_and_where_it_is(tiny_run):
    result, folder = tiny_run
    assert str(folder) in result.stdout
    for name in CELLS:
        assert f"| {name} " in result.stdout


def test_a_run_fills_its_folder(tiny_run):
    _, folder = tiny_run
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.jsonl", "results.md", "curves.png"}
    config = json.loads((folder / "config.json").read_text())
    assert set(config["cells"]) == set(CELLS)
    assert config["cells"]["MomentumLSTM"]["drive"] == {"class": "Momentum", "mu": 0.6, "step_size": 1.0}
    assert config["training"] | {"seeds": 2, "epochs": 2, "hidden_features": 3} == config["training"]
    assert config["versions"]["momentum_rnn_jax"] == mr.__version__
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_hold_every_epoch_and_the_test_at_the_best_one(tiny_run):
    _, folder = tiny_run
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = {(e["cell"], e["seed"], e["epoch"]): e for e in lines if e["kind"] == "epoch"}
    tests = {(e["cell"], e["seed"]): e for e in lines if e["kind"] == "test"}
    assert set(epochs) == {(cell, seed, epoch) for cell in CELLS for seed in (0, 1) for epoch in (1, 2)}
    assert set(tests) == {(cell, seed) for cell in CELLS for seed in (0, 1)}
    for (cell, seed), test in tests.items():
        accuracies = [epochs[cell, seed, epoch]["validation_accuracy"] for epoch in (1, 2)]
        assert accuracies[test["epoch"] - 1] == max(accuracies)
        assert 0 <= test["test_accuracy"] <= 1
    printed = (folder / "results.md").read_text()
    mean = 100 * np.mean([tests["LSTM", seed]["test_accuracy"] for seed in (0, 1)])
    assert f" {mean:.2f} ± " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "argument --seeds: must be a whole number from 1 to 100, got '0'"),
        (["--epochs", "many"], "argument --epochs: must be a whole number from 1 to 10000, got 'many'"),
        (["--hiden", "3"], "unrecognized arguments: --hiden 3"),
        (["--out", str(ROOT / "README.md")], "no run folder can be made there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    assert status_of(demo.main, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


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
    with pytest.raises(DataError, match="digits has no source, got elsewhere: its images come with scikit-learn"):
        datasets.load("digits", "anywhere", "elsewhere")


def permutation():
    return np.random.default_rng(digits.ORDER_SEED).permutation(64)


def test_metrics_by_hand():
    logits, labels = jnp.log(jnp.array([[0.5, 0.5], [0.1, 0.9]])), jnp.array([0, 1])
    assert metrics.cross_entropy(logits, labels) == pytest.approx(-(np.log(0.5) + np.log(0.9)) / 2, rel=1e-6)
    assert metrics.accuracy(logits, jnp.array([0, 0])) == 0.5


def test_the_classifier_reads_the_last_hidden_state():
    cell = mr.lstm(3)
    params = models.init(cell, jax.random.key(0), 1, 4)
    inputs = jnp.linspace(0, 1, 10).reshape(2, 5, 1)
    hidden = mr.unroll(cell, params["cell"], inputs.swapaxes(0, 1))[1][-1]
    expected = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    assert jnp.allclose(models.apply(cell, params, inputs), expected, atol=1e-6)
    assert models.num_parameters(params) == (1 * 12 + 12) + (3 * 12 + 12) + (3 * 4 + 4)


def test_seeds_together_are_the_seeds_alone():
    task = digits.load()
    small = task._replace(train=Split(task.train.inputs[:32, :8], task.train.targets[:32]))
    small = small._replace(validation=small.train, test=small.train)
    cell = mr.momentum_rnn(3)

    def first_epoch(seeds):
        run = trainer.Trainer(cell, small, Training(hidden_features=3, seeds=seeds, epochs=1, batch_size=8))
        # optax's optimisers rely on JAX's standard promotion
        with jax.numpy_dtype_promotion("standard"):
            return run.epoch(run.start(), 1)

    both, one = first_epoch(2), first_epoch(1)
    first = jax.tree.map(lambda leaf: leaf[:1], both)
    for together, alone in zip(
        jax.tree.leaves((first[0].params, first[1])), jax.tree.leaves((one[0].params, one[1])), strict=True
    ):
        assert jnp.allclose(together, alone, rtol=1e-4, atol=1e-5)
    params = both[0].params["cell"]["input"]["kernel"]
    assert not jnp.allclose(params[0], params[1])


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss():
    def candidate(epoch, accuracy, loss):
        return trainer.Best(jnp.array(epoch), jnp.array(epoch), jnp.array(accuracy), jnp.array(loss))

    old = candidate(1, 0.8, 0.5)
    assert trainer.better(old, candidate(2, 0.9, 0.9)).epoch == 2
    assert trainer.better(old, candidate(2, 0.7, 0.1)).epoch == 1
    assert trainer.better(old, candidate(2, 0.8, 0.4)).epoch == 2
    assert trainer.better(old, candidate(2, 0.8, 0.6)).epoch == 1


def result(name, *accuracies):
    curve = np.zeros((1, len(accuracies)))
    return demo_report.CellResult(name, np.array(accuracies), np.ones(len(accuracies), int), 10, 1.0, curve, curve)


def test_the_verdict_follows_the_numbers():
    base = result("LSTM", 0.90, 0.92)
    text = demo_report.verdict([base, result("A", 0.97, 0.98), result("B", 0.80, 0.81), result("C", 0.91, 0.93)], "LSTM", 270)
    assert text.startswith("1 of 3 variants beat the LSTM by more than the seeds' spread: A (+6.50)")
    assert "worse by more than the spread: B (-10.50)" in text
    assert "within the spread: C (+1.00)" in text
    assert demo_report.verdict([base, result("B", 0.80, 0.81)], "LSTM", 270).startswith("No variant beats the LSTM")
    assert "ranks nothing" in demo_report.verdict([result("LSTM", 0.9), result("A", 0.97)], "LSTM", 270)
