"""`python -m experiments.train`: its list of configs, its options, and every way in which it refuses or ends early."""

import json
import os
import pathlib
import re
import signal
import time

import numpy as np
import pytest

from experiments import checkpoint, configs, runs, tasks
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import SpokenDigits
from experiments.datasets import load
from tests.train_command import (
    COMMAND,
    FILES,
    NAME,
    ROOT,
    SET,
    arrays,
    assert_refused,
    changed,
    fill_disk,
    lines,
    main,
    process,
    quick,  # noqa: F401
    quick_data,
    quick_runs,
    stop,
    visible,
)

pytestmark = pytest.mark.usefixtures("quick")

# What the paper's tables show: columns of names, by the sizes that stand in the row.
TABLES = {
    1: [f"{task}_{cell}_{size}" for task in ("mnist", "pmnist") for cell in ("lstm", "momentum_lstm") for size in (128, 256)]
    + [f"{task}_{cell}_lstm_256" for task in ("mnist", "pmnist") for cell in ("adam", "rmsprop", "released_nesterov")],
    2: [f"timit_{cell}_{size}" for cell in ("lstm", "momentum_lstm") for size in (84, 120, 158)]
    + [f"timit_{cell}_lstm_158" for cell in ("adam", "rmsprop", "released_nesterov")],
    3: [f"ptb_{cell}" for cell in ("lstm", "momentum_lstm", "scheduled_restart_lstm")],
    4: [f"pmnist_{cell}_{size}" for cell in ("dtriv", "momentum_dtriv") for size in (170, 360, 512)]
    + [f"pmnist_{cell}_dtriv_512" for cell in ("adam", "rmsprop", "scheduled_restart")],
    5: [f"timit_{cell}_{size}" for cell in ("dtriv", "momentum_dtriv") for size in (224, 322)],
}


def test_the_list_has_every_config_and_every_row(capsys, tmp_path):
    assert main(tmp_path, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CONFIGS)
    for table, names in TABLES.items():
        rows = [line.split()[0] for line in lines if f"  Table {table}, " in line]
        assert sorted(rows) == sorted(names)
    for name in TABLES[2] + TABLES[5]:
        values = {key: value for key, value in CONFIGS[name].config.to_dict().items() if key != "task"}
        assert CONFIGS[name.replace("timit", "fsdd")].config == SpokenDigits(**values)
    (line,) = (line for line in lines if line.startswith("pmnist_momentum_dtriv_170 "))
    assert line.endswith("  Table 4, permuted MNIST, MomentumDTRIV, N = 170; about 5.3 h on 2 CPU cores")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_what_its_name_says(name):
    config = CONFIGS[name].config
    assert config.cell in name or name.startswith("ablation_controls_") or "scaled" in name
    assert name.removeprefix("ablation_controls_").startswith({"permuted_mnist": "pmnist"}.get(config.task, config.task))
    if CONFIGS[name].what.startswith(("Table 1", "Table 2", "Table 4", "Table 5")):
        assert name.endswith(f"_{config.hidden_features}")
        assert CONFIGS[name].what.endswith(f"N = {config.hidden_features}")


def test_controls_match_what_momentum_does_to_a_constant_input():
    momentum = CONFIGS["fsdd_momentum_lstm_158"].config
    gain = momentum.step_size / (1 - momentum.mu)
    control = CONFIGS["ablation_controls_fsdd_gain_and_forget_bias_158"].config
    assert control.input_scale == pytest.approx(gain)
    assert 2 * control.forget_bias == pytest.approx((1 + gain) * momentum.forget_bias)
    assert CONFIGS["ablation_controls_fsdd_step_size_158"].config.input_scale == momentum.step_size


REFUSALS = {
    "an unknown config": (["--config", "mnist"], "no config is called 'mnist'; --list prints them all"),
    "an unknown field": (
        ["--config", NAME, "--set", "hiden=3"],
        "--set hiden=3: the task 'adding' has no field 'hiden'; it has cell, ",
    ),
    "no value": (["--config", NAME, "--set", "seed"], "--set takes field=value, got 'seed'"),
    "no whole number": (["--config", NAME, "--set", "seed=1.5"], "--set seed=1.5: must be a whole number\n"),
    "no number": (["--config", NAME, "--set", "clip_norm=x"], "--set clip_norm=x: must be a number or none\n"),
    "infinity": (["--config", NAME, "--set", "learning_rate=inf"], "--set learning_rate=inf: must be a number\n"),
    "none where none may be": (["--config", NAME, "--set", "seed=none"], "--set seed=none: must be a whole number\n"),
    "out of range": (["--config", NAME, "--set", "mu=1"], "--set mu=1: mu must be in [0, 1), got 1.0"),
    "no epoch": (["--config", NAME, "--set", "epochs=0"], "epochs must be an integer of at least 1, got 0"),
    "not of this cell": (
        ["--config", "mnist_lstm_128", "--set", "mu=0.1"],
        "mu is not an argument of the cell 'lstm'; it takes forget_bias, init_scheme",
    ),
    "not of this task": (
        ["--config", "mnist_lstm_128", "--set", "length=3"],
        "--set length=3: the task 'mnist' has no field 'length'; it has ",
    ),
    "no orthogonal core": (["--config", NAME, "--set", "rebase_every=3"], "rebase_every is for cells with an orthogonal core"),
    "too large a seed": (["--config", NAME, "--set", f"seed={2**32}"], f"seed must be below 2**32, got {2**32}"),
    "too many steps": (
        ["--config", NAME, "--set", f"steps_per_epoch={2**31}"],
        f"steps_per_epoch must be below 2**31, got {2**31}",
    ),
    "too many steps in all": (
        ["--config", NAME, "--set", "steps_per_epoch=100000", "epochs=100000"],
        "epochs times steps_per_epoch must be below 2**31, got 10000000000",
    ),
    "too many examples": (["--config", NAME, "--set", f"held_out={2**30}"], "length times held_out must be below 2**31, got "),
    "no steps": (["--config", NAME, "--set", "steps_per_epoch=none"], "--set steps_per_epoch=none: must be a whole number"),
    "a source for nothing": (["--config", NAME, "--source", "x"], "--source x: the task 'adding' has no source"),
    "too short": (["--config", NAME, "--set", "length=1"], "length must be an integer of at least 2, got 1"),
    "a batch too large": (["--config", "fsdd_lstm_84"], "needs more than the 9 examples for training; set batch_size"),
    "twice": (["--config", NAME, "--set", "mu=0.1", "mu=0.2"], "--set mu=0.2: mu is given twice; give one value"),
    "more units than there are numbers": (
        ["--config", NAME, "--set", "hidden_features=1000000000"],
        "hidden_features must be small enough for arrays of at most 2147483647 elements, got (1000000000,)",
    ),
    "more units than there is memory": (
        ["--config", NAME, "--set", "hidden_features=23000"],
        "hidden_features must leave the parameters and the optimiser in ",
    ),
    "no rate for a skew-symmetric parameter": (
        ["--config", "adding_lstm", "--set", "cell=dtriv"],
        "skew_learning_rate must be given for the cell 'dtriv'",
    ),
    "no folder": (["--config", NAME, "--data-dir", ""], "argument --data-dir: must be a path, got ''"),
    "neither config nor list": ([], "one of the arguments --config --list is required"),
    "an unknown option": (["--config", NAME, "--epochs", "3"], "unrecognized arguments: --epochs 3"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs.training, "advance", None)  # it never comes to that
    assert_refused(main(tmp_path / "out", *arguments), capsys, message)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_no_folder_for_runs_is_one_line(capsys):
    assert_refused(main("", *COMMAND), capsys, "argument --out: must be a path, got ''")


def test_too_little_memory_is_one_line(tmp_path, capsys, monkeypatch):
    def exhausted(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte.\nmore")

    monkeypatch.setattr(runs.training, "advance", exhausted)
    assert_refused(main(tmp_path, *COMMAND), capsys, "out of memory; make hidden_features, batch_size or ")


def test_a_word_may_be_set():
    config = configs.override(configs.get(NAME), ["cell=lstm", "mu=none", "step_size=none", "seed=1"])
    assert (config.cell, config.mu, config.seed) == ("lstm", None, 1)
    assert config.make_cell().core.hidden_features == 128


def test_missing_data_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tasks.datasets, "load", load)  # the real one
    arguments = ["--config", "fsdd_lstm_84", "--data-dir", str(tmp_path / "data"), "--source", str(tmp_path / "no")]
    assert_refused(main(tmp_path / "out", *arguments), capsys, f"{tmp_path / 'no'} does not exist")
    assert not visible(tmp_path / "out")


def test_an_unwritable_folder_is_one_line(capsys):
    assert_refused(main(ROOT / "README.md", *COMMAND), capsys, f"--out {ROOT / 'README.md'}: nothing can be written there")


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("ended")
    with quick_data():
        assert main(out, *COMMAND) == 0
    return out / f"{NAME}-seed0"


def assert_same_end(folder, ended):
    assert (folder / "metrics.jsonl").read_bytes() == (ended / "metrics.jsonl").read_bytes()
    assert arrays(folder) == arrays(ended)
    assert (folder / "best.npz").read_bytes() == (ended / "best.npz").read_bytes()
    assert {path.name for path in folder.iterdir()} == FILES


def test_a_run_fills_its_folder(ended):
    metrics = lines(ended)
    assert [(line["kind"], line.get("step")) for line in metrics] == [("epoch", 4), ("epoch", 8), ("epoch", 12), ("test", None)]
    config = json.loads((ended / "config.json").read_text())
    assert config["training"] == {**configs.get(NAME).to_dict(), **config["training"]}
    assert config["training"]["epochs"] == 3
    assert config["cells"]["momentum_lstm"]["drive"] == {"class": "Momentum", "mu": 0.6, "step_size": 0.6}
    assert config["task"]["name"] == "adding"
    best = min(metrics[:-1], key=lambda line: line["validation_loss"])
    assert metrics[-1]["epoch"] == best["epoch"]
    with np.load(ended / "best.npz") as params:
        assert params["cell/input/kernel"].shape == (2, 16)


def test_a_run_that_ended_says_so_and_does_nothing(ended, capsys):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in ended.iterdir() if path.name != "metrics.jsonl"}
    assert main(ended.parent, *COMMAND) == 0
    printed = capsys.readouterr()
    assert "was already finished: test accuracy" in printed.out
    assert printed.err == ""
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}


def test_another_config_in_the_folder_is_refused(ended, capsys):
    before = arrays(ended)
    status = main(ended.parent, *COMMAND[:3], *changed(SET, "mu=0.25"))
    assert_refused(status, capsys, "holds a run with another config: mu is 0.6 there and 0.25 here; give another --out")
    assert arrays(ended) == before


@pytest.mark.parametrize(
    ("number", "status", "step"), [(signal.SIGTERM, 143, 6), (signal.SIGINT, 130, 4), (signal.SIGTERM, 143, 1)]
)
def test_a_signal_saves_and_the_run_goes_on_to_the_same_end(number, status, step, ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        stop(during, step, number)
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        ended_by = main(tmp_path, *COMMAND)
        assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    name = signal.Signals(number).name
    folder = tmp_path / f"{NAME}-seed0"
    assert_refused(ended_by, capsys, f"{name} after step {step}; the same command continues from {folder}", expected=status)
    assert main(tmp_path, *COMMAND) == 0
    assert_same_end(folder, ended)


def test_a_signal_before_the_first_step_ends_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "load", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGINT))
    assert_refused(main(tmp_path, *COMMAND), capsys, "stopped before the first step", expected=130)
    assert not visible(tmp_path)


def listens(pid):
    """Whether the process has a handler of its own for SIGTERM, which Python itself has not."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return bool(int(re.findall(r"SigCgt:\s+(\w+)", status)[0], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="only Linux says what a process listens to")
@pytest.mark.parametrize(
    ("number", "status", "delay"), [(signal.SIGTERM, 143, 0.0), (signal.SIGINT, 130, 0.3), (signal.SIGTERM, 143, 1.0)]
)
def test_a_signal_during_imports_is_one_line(number, status, delay, tmp_path):
    running = process(tmp_path, tmp_path / "cache", *COMMAND)
    while not listens(running.pid):
        time.sleep(0.001)
    time.sleep(delay)
    running.send_signal(number)
    printed, wrong = running.communicate(timeout=60)
    assert (running.returncode, printed) == (status, "")
    assert wrong == "error: stopped before the first step; the same command starts again\n"


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 9])
def test_a_full_disk_is_one_line_and_loses_nothing(after, ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        fill_disk(during, after)
        status = main(tmp_path, *COMMAND)
    assert_refused(status, capsys, "No space left on device")
    assert not list(tmp_path.rglob("*.new"))
    folder = tmp_path / f"{NAME}-seed0"
    assert folder.exists() == (after >= 3)  # the config, the first checkpoint and empty metrics
    assert main(tmp_path, *COMMAND) == 0
    assert_same_end(folder, ended)


DAMAGE = {
    "truncated": lambda content: content[:-100],
    "empty": lambda content: b"",
    "a changed byte": lambda content: content.replace(b"t\0\0\0r\0\0\0a\0\0\0i\0\0\0n", b"T\0\0\0r\0\0\0a\0\0\0i\0\0\0n", 1),
    "something else": lambda content: b"<html>",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_one_line(damage, ended, tmp_path, capsys):
    folder = tmp_path / ended.name
    folder.mkdir()
    (folder / "checkpoint.npz").write_bytes(damage((ended / "checkpoint.npz").read_bytes()))
    assert_refused(main(tmp_path, *COMMAND), capsys, f"{folder / 'checkpoint.npz'} is damaged")
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]


def test_a_checkpoint_of_other_arrays_is_damaged(ended):
    _, saved = checkpoint.read(ended)
    like = quick_runs(configs.override(configs.get(NAME), SET)).start()
    checkpoint.restore(ended, saved, (like, like.runs.params))
    saved["0/step"] = saved["0/step"].astype(np.int64)
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.restore(ended, saved, (like, like.runs.params))


TAMPERED = {
    "finished without metrics": {"metrics": []},
    "no list": {"metrics": 3},
    "a missing epoch": lambda progress: {"metrics": progress["metrics"][1:]},
    "a better score": lambda progress: {
        "metrics": [{**progress["metrics"][0], "validation_loss": 0.0}, *progress["metrics"][1:]]
    },
    "time": {"seconds": -1.0},
    "text": {"seconds": "long"},
    "another config": lambda progress: {"config": {**progress["config"], "mu": 0.5}},
    "no config": {"config": None},
    "another source": {"origin": []},
    "one field more": {"more": 1},
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_checkpoint_is_one_line(change, ended, tmp_path, capsys):
    folder = tmp_path / ended.name
    folder.mkdir()
    with np.load(ended / "checkpoint.npz") as file:
        entries = dict(file)
    progress = json.loads(str(entries["progress"]))
    entries["progress"] = np.array(json.dumps({**progress, **(change(progress) if callable(change) else change)}))
    np.savez(folder / "checkpoint.npz", **entries)
    message = f"{folder / 'checkpoint.npz'} is damaged (its checksum does not match its content); delete {folder} to begin again"
    assert_refused(main(tmp_path, *COMMAND), capsys, message)


def test_a_config_that_was_deleted_is_written_again(ended, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as during:
        stop(during, 6)
        assert main(tmp_path, *COMMAND) == 143
    folder = tmp_path / f"{NAME}-seed0"
    before = json.loads((folder / "config.json").read_text())
    for _ in range(2):  # the second time it has ended before
        (folder / "config.json").unlink()
        assert main(tmp_path, *COMMAND) == 0
        assert json.loads((folder / "config.json").read_text()) == before
    assert_same_end(folder, ended)


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    folder = tmp_path / f"{NAME}-seed0"
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    assert_refused(main(tmp_path, *COMMAND), capsys, f"{folder} holds no checkpoint.npz")
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_other_data_is_refused(ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        stop(during, 1)
        main(tmp_path, *COMMAND)
    capsys.readouterr()
    real = tasks.load

    def other(*arguments, **options):
        task, data = real(*arguments, **options)
        return task, data._replace(origin={**data.origin, "test_seed": 7})

    monkeypatch.setattr(tasks, "load", other)
    assert_refused(main(tmp_path, *COMMAND), capsys, "a run with another source of data: test_seed is 1000002 there and 7 here")


def test_a_run_that_diverges_stops_with_status_1(tmp_path, capsys):
    status = main(tmp_path, *COMMAND[:3], *changed(SET, "learning_rate=1e30"))
    path = tmp_path / f"{NAME}-seed0" / "checkpoint.npz"
    message = f"of {NAME} is NaN or infinite at step 2; the last good checkpoint is {path} (step 0)"
    assert_refused(status, capsys, message, expected=1)
    assert (path.parent / "metrics.jsonl").read_text() == ""
