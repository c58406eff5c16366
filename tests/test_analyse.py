"""`python -m experiments.analyse`: a tiny run as a user starts it, and its files."""

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
from experiments import analyse, flow, flow_plots
from experiments.datasets import digits
from experiments.networks import flat
from momentum_rnn_jax import analysis
from tests.train_command import status_of

ROOT = pathlib.Path(__file__).parent.parent


def start(*arguments):
    command = [sys.executable, "-W", "error", "-m", "experiments.analyse", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})


def main(*arguments):
    """A run in this process, as a user finds JAX."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return analyse.main([*map(str, arguments)])


def cell_of(name):
    return flow.config_of(name, hidden_features=3).make_cell()


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
    figures = {"gradients.png", "singular_values.png", "cells.png"}
    assert {path.name for path in folder.iterdir()} == {"config.json", "analysis.json", "MomentumLSTM.npz", "runs"} | figures
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)


def test_the_numbers_are_those_of_the_parameters_that_were_saved(tiny_run):
    _, folder = tiny_run
    found = json.loads((folder / "analysis.json").read_text())
    assert found["momentum"] == {}
    assert set(found["cells"]["MomentumLSTM"]) == {"0", "1"}
    before, after = found["cells"]["MomentumLSTM"].values()
    assert before["input_sensitivity"] != after["input_sensitivity"]

    cell = cell_of("MomentumLSTM")
    like = cell.init(jax.random.key(0), 1)
    with np.load(folder / "MomentumLSTM.npz") as arrays:
        params = jax.tree.unflatten(jax.tree.structure(like), [arrays[f"cell/{name}"] for name in flat(like)])
    inputs = jnp.asarray(digits.load().validation.inputs[:2])
    expected = np.median([analysis.jacobian_log_norms(cell, params, xs, wrt="core") for xs in inputs], axis=0)
    np.testing.assert_allclose(after["jacobian_log_norms"]["core"], expected, atol=1e-4)  # here in float32


def test_the_comparison_with_an_rnn_shows_what_momentum_does(tmp_path, monkeypatch):
    pair = flow.with_and_without_momentum(3, digits.load().validation.inputs[:2])
    rnn, momentum = (flow.median(report) for report in pair.values())
    assert rnn.gradient_norms is None  # there is no loss
    assert momentum.input_sensitivity[0] > rnn.input_sensitivity[0] + 5  # decades, after 63 steps
    np.testing.assert_allclose(momentum.lyapunov_spectrum["drive"], np.full(3, np.log(flow.MU)), rtol=1e-9)
    top = momentum.jacobian_log_norms["hidden"][1]
    assert momentum.theorem_product.plain[0] == pytest.approx(top, rel=1e-9)
    assert top < -5 < 0 < momentum.theorem_product.paper[0]

    # It is in the folder of a run of all cells; here of none, as their training would take long.
    monkeypatch.setattr(analyse, "CELLS", ())
    monkeypatch.setattr(flow, "with_and_without_momentum", lambda hidden, inputs: pair)
    for figure in ("epochs", "singular_values", "cells"):
        monkeypatch.setattr(flow_plots, figure, lambda path, found: None)
    assert main("--examples", 2, "--out", tmp_path) == 0
    (folder,) = tmp_path.iterdir()
    assert (folder / "momentum.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "analysis.json").read_text())["momentum"]["RNN"] == rnn.to_dict()


def test_a_cell_that_diverged_has_its_figure(tmp_path):
    cell, xs = mr.lstm(2), jnp.ones((4, 1))
    like = jax.eval_shape(lambda: analysis.gradient_flow(cell, cell.init(jax.random.key(0), 1), xs, loss_fn=jnp.sum))
    diverged = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan), like)
    flow_plots.epochs(tmp_path / "epochs.png", {"LSTM": {0: diverged}})
    flow_plots.singular_values(tmp_path / "values.png", {"LSTM": {0: diverged}})
    flow_plots.cells(tmp_path / "cells.png", {"LSTM": diverged})
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be a whole number from 1 to 10000, got '0'"),
        (["--cell", "GRU"], "argument --cell: invalid choice: 'GRU'"),
        (["--out", str(ROOT / "README.md")], "cannot make a folder there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    assert status_of(analyse.main, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""
