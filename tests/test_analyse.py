"""`python -m experiments.analyse`: a tiny run as a user starts it, its files, and a second look at the parameters it wrote."""

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
from experiments import analyse, models
from experiments.config import Training, make_cell
from experiments.tasks import digits
from momentum_rnn_jax import analysis

ROOT = pathlib.Path(__file__).parent.parent


def start(*arguments):
    command = [sys.executable, "-W", "error", "-m", "experiments.analyse", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    result = start("--cell", "MomentumLSTM", "--epochs", "1", "--hidden", "3", "--examples", "2", "--out", str(out))
    assert result.returncode == 0, result.stderr
    (folder,) = out.iterdir()
    return result, folder


def test_a_run_prints_a_table_and_fills_its_folder(tiny_run):
    result, folder = tiny_run
    assert str(folder) in result.stdout
    assert "MomentumLSTM, epoch 1" in result.stdout
    assert "| distance |" in result.stdout
    figures = {"gradients.png", "singular_values.png", "cells.png", "momentum.png"}
    assert {path.name for path in folder.iterdir()} == {"config.json", "analysis.json", "MomentumLSTM.npz"} | figures
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)


def test_the_numbers_are_those_of_the_parameters_that_were_saved(tiny_run):
    _, folder = tiny_run
    found = json.loads((folder / "analysis.json").read_text())
    assert set(found["cells"]["MomentumLSTM"]) == {"0", "1"}
    before, after = found["cells"]["MomentumLSTM"].values()
    assert before["input_sensitivity"] != after["input_sensitivity"]

    params = analyse.load(folder / "MomentumLSTM.npz", "MomentumLSTM")["cell"]
    cell = make_cell("MomentumLSTM", Training(hidden_features=3))
    inputs = jnp.asarray(digits.load().validation.inputs[:2])
    expected = np.median([analysis.jacobian_log_norms(cell, params, xs, wrt="core") for xs in inputs], axis=0)
    np.testing.assert_allclose(after["jacobian_log_norms"]["core"], expected, atol=1e-4)  # here in float32


def test_the_comparison_with_an_rnn_shows_what_momentum_does(tiny_run):
    _, folder = tiny_run
    rnn, momentum = json.loads((folder / "analysis.json").read_text())["momentum"].values()
    assert momentum["input_sensitivity"][0] > rnn["input_sensitivity"][0] + 5  # decades, after 63 steps
    np.testing.assert_allclose(momentum["lyapunov_spectrum"]["drive"], 3 * [np.log(analyse.MU)], rtol=1e-9)
    top = momentum["jacobian_log_norms"]["hidden"][1]
    assert momentum["theorem_product"]["plain"][0] == pytest.approx(top, rel=1e-9)
    assert top < -5 < 0 < momentum["theorem_product"]["paper"][0]


def test_parameters_from_a_file_are_looked_at_without_training(tiny_run, tmp_path, capsys):
    _, folder = tiny_run
    arguments = [
        "--params",
        str(folder / "MomentumLSTM.npz"),
        "--cell",
        "MomentumLSTM",
        "--examples",
        "2",
        "--out",
        str(tmp_path),
    ]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert analyse.main(arguments) == 0
    (again,) = tmp_path.iterdir()
    assert str(again) in capsys.readouterr().out
    (report,) = json.loads((again / "analysis.json").read_text())["cells"]["MomentumLSTM"].values()
    expected = json.loads((folder / "analysis.json").read_text())["cells"]["MomentumLSTM"]["1"]
    assert report["gradient_norms"] == expected["gradient_norms"]


def test_saved_parameters_are_read_back_exactly(tmp_path):
    params = models.init(mr.lstm(3), jax.random.key(0), 1, 10)
    analyse.save(tmp_path / "x.npz", params)
    loaded = analyse.load(tmp_path / "x.npz", "LSTM")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(loaded), jax.tree.leaves(params)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be a whole number from 1 to 10000, got '0'"),
        (["--task", "mnist"], "argument --task: invalid choice: 'mnist'"),
        (["--params", "x.npz"], "argument --params: needs --cell"),
        (["--params", "missing.npz", "--cell", "LSTM"], "--params missing.npz: [Errno 2] No such file"),
        (["--params", str(ROOT / "README.md"), "--cell", "LSTM"], "README.md: "),
        (["--out", str(ROOT / "README.md")], "no run folder can be made there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    try:
        status = analyse.main(arguments)
    except SystemExit as error:
        status = error.code
    assert status == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("head/kernel"), "must hold cell/input/kernel and head/kernel"),
        (lambda arrays: arrays.pop("cell/core/bias"), "must hold {'cell/core/bias': \\(12,\\)"),
        (lambda arrays: arrays.update({"cell/core/bias": np.zeros(9)}), "got {'cell/core/bias': \\(9,\\)"),
    ],
)
def test_a_file_of_other_parameters_is_refused(tmp_path, change, message):
    arrays = analyse.flat(models.init(mr.lstm(3), jax.random.key(0), 1, 10))
    change(arrays)
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        analyse.load(tmp_path / "x.npz", "LSTM")
