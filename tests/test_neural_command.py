"""`python -m experiments.neural`: a tiny run in this process, its files, how it is resumed, and what it refuses."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.neural import __main__ as neural
from experiments.neural import data, models, study
from experiments.neural.fit import Trainer, as_arrays
from tests.train_command import status_of


def tiny(conditions=2):
    """A population of six neurons and seven bins."""
    random = np.random.RandomState(0)
    return data._population(random.uniform(0.1, 1.0, (conditions, 7, 6)), 10, random, {"name": "tiny", "conditions": conditions})


@pytest.fixture
def small(monkeypatch):
    """A tiny population, a transformer of one layer, two trials of each model."""
    monkeypatch.setattr(data, "load", lambda name, conditions: tiny(conditions or 2))
    monkeypatch.setattr(models, "TRANSFORMER_LAYERS", 1)
    monkeypatch.setattr(models, "TRANSFORMER_HIDDEN", 4)
    for name, kind in models.KINDS.items():
        monkeypatch.setitem(models.KINDS, name, kind._replace(trials=kind.trials[:2]))


def test_held_out_neurons_are_never_seen_but_count(small):
    trainer, settings = Trainer("ndt", tiny()), {"learning_rate": 0.1, "context": 4}
    arrays, params, spikes = as_arrays(settings), trainer.start(settings, 0), trainer.train[:2]
    assert trainer.seen == 5
    other = spikes.at[..., 5].add(3)
    np.testing.assert_array_equal(trainer.infer(arrays, params, spikes), trainer.infer(arrays, params, other))
    mask = jnp.zeros((2, 7), bool)

    @jax.jit
    def loss(spikes):
        graph, _, rest = trainer.split(arrays, 0)
        return trainer.loss(nnx.merge(graph, params, rest), spikes, mask, None)

    inferred = trainer.infer(arrays, params, spikes)[..., 5]
    expected = np.mean(inferred - np.asarray(spikes[..., 5]) * np.log(inferred))
    assert float(loss(spikes)) == pytest.approx(
        float(expected), rel=1e-5
    )  # of the neuron that is held out alone, as nothing is masked
    assert loss(spikes) != loss(other)


def main(*arguments):
    """The command in this process, as a user finds JAX."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return status_of(neural.main, *arguments)


def test_a_run_writes_a_table_and_a_figure_and_is_not_done_twice(small, tmp_path, monkeypatch, capsys):
    command = ("--out", tmp_path / "run", "--models", "momentum", "smoother", "--seeds", 2, "--epochs", 2)
    assert main(*command) == 0
    printed, text = capsys.readouterr().out, (tmp_path / "run" / "report.md").read_text()
    assert "| MomentumLSTM, both ways | " in printed
    assert " ".join(map(str, command[2:])) in text
    assert (tmp_path / "run" / "rates.png").read_bytes().startswith(b"\x89PNG")
    everything = json.loads((tmp_path / "run" / "results.json").read_text())
    found = everything["results"]
    assert everything["true_validation_loss"] < everything["mean_validation_loss"]
    assert [row["model"] for row in found] == ["momentum", "smoother"]
    assert [len(row["r2"]) for row in found] == [2, 1]
    assert all(np.isfinite(row["co_bps"]).all() and row["microseconds_per_bin"] > 0 for row in found)
    assert found[0]["settings"] == models.KINDS["momentum"].trials[int(np.argmin(found[0]["trial_losses"]))]

    monkeypatch.setattr(Trainer, "fit", lambda *task: pytest.fail("this trains"))
    assert main(*command) == 0
    again = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    for before, after in zip(found, again, strict=True):
        assert {**before, "microseconds_per_bin": 0} == {**after, "microseconds_per_bin": 0}


def test_a_run_that_is_stopped_goes_on_behind_its_last_fit(small, tmp_path, monkeypatch, capsys):
    command, fit, count = ("--out", tmp_path / "run", "--models", "smoother", "--seeds", 1), Trainer.fit, [0]

    def stopped(*task):
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return fit(*task)

    monkeypatch.setattr(Trainer, "fit", stopped)
    assert main(*command) == 128 + signal.SIGINT
    message = f"stopped; run the same command to resume after the last finished fit in {tmp_path / 'run'}"
    assert capsys.readouterr().err == f"error: {message}\n"
    assert sorted(path.name for path in (tmp_path / "run" / "fits").iterdir()) == ["smoother-trial0.json", "smoother-trial0.npz"]
    assert main(*command) == 0
    assert count[0] == 4  # the second trial again, and then the one that is scored


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "validate", lambda *task: jnp.nan)
    assert main("--out", tmp_path / "run", "--models", "smoother") == 1
    assert "smoother {'mu': 0.8, 'share': 0.3}, seed 0: the validation loss is nan\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --out"),
        (["--out", "x", "--data", "maze"], "argument --data: invalid choice: 'maze'"),
        (["--out", "x", "--models", "gru"], "argument --models: invalid choice: 'gru'"),
        (["--out", "x", "--epochs", "0"], "argument --epochs: must be a whole number from 1 to 10000, got '0'"),
        (["--out", "{full}"], "it holds no config.json, but other files; give another --out"),
        (["--out", "{other}"], "holds a run with another command: epochs is 3 there and 16 here; give another --out"),
        (["--out", "{damaged}"], "config.json is damaged; give another --out"),
        (["--out", "{file}"], "nothing can be written there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(small, arguments, message, tmp_path, capsys):
    options = study.Options("chaotic", neural.MODELS, 3, 3, None)
    paths = {name: tmp_path / name for name in ("full", "other", "damaged")} | {"file": tmp_path / "some" / "run"}
    (tmp_path / "some").write_text("")
    for path, name, content in (
        (paths["full"], "notes.txt", ""),
        (paths["other"], "config.json", json.dumps({"options": vars(options)})),
        (paths["damaged"], "config.json", "{}"),
    ):
        path.mkdir()
        (path / name).write_text(content)
    assert main(*(argument.format(**paths) for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""
