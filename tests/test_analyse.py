"""`python -m experiments.analyse`: a tiny run as a user starts it, its files, and a second look at the parameters it wrote."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import analyse, checkpoint, flow, flow_plots, runs
from experiments.command import RunError
from experiments.datasets import digits
from experiments.networks import Network, flat
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


def params_of(name):
    return Network(cell_of(name), 1, 10, every_step=False).init(jax.random.key(0))


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

    params, cell = flow.load_params(folder / "MomentumLSTM.npz", "MomentumLSTM")["cell"], cell_of("MomentumLSTM")
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


def test_parameters_from_a_file_are_looked_at_without_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "train", lambda *task: pytest.fail("this trains"))
    monkeypatch.setattr(flow, "with_and_without_momentum", lambda *run: pytest.fail("nobody asked for an RNN"))
    file = tmp_path / "x.npz"
    params = params_of("MomentumLSTM")
    checkpoint.save_params(file, params)
    assert main("--params", file, "--cell", "MomentumLSTM", "--examples", 2, "--out", tmp_path / "runs") == 0
    (again,) = (tmp_path / "runs").iterdir()
    printed = capsys.readouterr().out
    assert str(again) in printed
    assert f"MomentumLSTM, {file}" in printed
    (report,) = json.loads((again / "analysis.json").read_text())["cells"]["MomentumLSTM"].values()
    inputs, labels, _ = jax.tree.map(lambda leaf: leaf[:2], digits.load().validation)
    logits = Network(cell_of("MomentumLSTM"), 1, 10, every_step=False).apply(params, jnp.asarray(inputs))
    gradients = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, 10)) @ params["head"]["kernel"].T  # ∂L/∂h_T of each
    expected = np.median(np.linalg.norm(gradients, axis=1))
    assert report["gradient_norms"]["h"][-1] == pytest.approx(expected, rel=1e-4)
    config = json.loads((again / "config.json").read_text())
    assert config["training"] == {"params": str(file), "hidden_features": 3}
    assert config["cells"]["MomentumLSTM"]["core"]["hidden_features"] == 3
    assert not (again / "momentum.png").exists()


def test_saved_parameters_are_read_back_exactly(tmp_path):
    params = params_of("LSTM")
    checkpoint.save_params(tmp_path / "x.npz", params)
    loaded = flow.load_params(tmp_path / "x.npz", "LSTM")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(loaded), jax.tree.leaves(params)))


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
        (["--params", "x.npz", "--cell", "LSTM", "--epochs", "5"], "argument --epochs: does not go with --params"),
        (["--params", "x.npz", "--cell", "LSTM", "--hidden=32"], "argument --hidden: does not go with --params"),
        (["--params", "x.npz"], "argument --params: needs --cell"),
        (["--params", "missing.npz", "--cell", "LSTM"], "--params missing.npz: [Errno 2] No such file"),
        (["--params", str(ROOT / "README.md"), "--cell", "LSTM"], "README.md: "),
        (["--out", str(ROOT / "README.md")], "no run folder can be made there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys):
    assert status_of(analyse.main, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head/kernel": None}, r"must hold head/kernel of shape \(hidden, 10\), got cell/core/bias \(12,\)"),
        ({"head/kernel": np.zeros(10)}, r"must hold head/kernel of shape \(hidden, 10\)"),
        ({"head/kernel": np.zeros((3, 10, 1))}, r"must hold head/kernel of shape \(hidden, 10\)"),
        ({"head/kernel": np.zeros(())}, r"must hold head/kernel of shape \(hidden, 10\)"),
        ({"head/kernel": np.zeros((0, 10))}, r"must hold head/kernel of shape \(hidden, 10\)"),
        (
            {"head/kernel": np.zeros((3, 5)), "head/bias": np.zeros(5)},
            r"must hold .*head/bias \(10,\).* for LSTM with 3 hidden units",
        ),
        ({"cell/input/kernel": np.zeros((2, 12))}, r"must hold .*cell/input/kernel \(1, 12\).*got .*cell/input/kernel \(2, 12\)"),
        ({"cell/core/kernel": np.zeros(())}, r"must hold .*cell/core/kernel \(3, 12\)"),
        ({"cell/core/bias": None}, r"must hold .*cell/core/bias \(12,\)"),
        ({"extra": np.zeros(1)}, r"got .*extra \(1,\)"),
        ({"head/bias": np.zeros(10, int)}, "head/bias must be floating-point numbers, got int64"),
        ({"head/bias": np.full(10, "0")}, "head/bias must be floating-point numbers, got <U1"),
        ({"cell/core/bias": np.full(12, np.nan)}, "cell/core/bias must be finite"),
        ({"head/bias": np.full(10, None)}, "it is no .npz file of arrays: Object arrays cannot be loaded"),
    ],
)
def test_a_file_of_other_parameters_is_refused(tmp_path, change, message):
    arrays = flat(params_of("LSTM")) | change
    np.savez(tmp_path / "x.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(RunError, match=message):
        flow.load_params(tmp_path / "x.npz", "LSTM")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"words"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, content, capsys):
    (tmp_path / "x.npz").write_bytes(content)
    assert main("--params", tmp_path / "x.npz", "--cell", "LSTM", "--out", tmp_path / "runs") == 2
    assert re.fullmatch(r"error: --params \S+: it is no \.npz file of arrays: .+\n", capsys.readouterr().err)
    assert not (tmp_path / "runs").exists()
