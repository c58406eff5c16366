"""`python -m experiments.report`, on run folders made by hand."""

import csv
import gzip
import io
import json
import pathlib

import numpy as np
import pytest

from experiments import report
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import TASKS
from experiments.reporting import controls, curves, runs, text
from experiments.reporting.runs import Run
from tests.train_command import fill_disk, status_of

COMMITS = ("a" * 40, "b" * 40 + "-dirty")
TIMIT = "timit_momentum_lstm_158"


def write_run(
    out, name, seed, test_loss, *, epochs=3, ended=True, accuracy=None, commit=COMMITS[0], origin=None, seconds=None, **changes
):
    """A run's folder; its validation loss falls by one each epoch, down to the test loss."""
    training = {**CONFIGS[name].config.to_dict(), "epochs": epochs, **changes, "seed": seed}
    folder = out / f"{name}-seed{seed}"
    folder.mkdir(parents=True)
    config = {
        "command": f"python -m experiments.train --config={name} --set seed={seed}",
        "task": {"name": training["task"], **(origin or {})},
        "training": training,
        "cells": {},
        "versions": {"jax": "1"},
        "device": {"platform": "cpu", "kind": "cpu", "cpu_cores": 2},
        "git_commit": commit,
    }
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"kind": "epoch", "epoch": e, "step": e, "train_loss": 2.0, "validation_loss": test_loss + epochs - e}
        for e in range(1, epochs + 1)
    ]
    test = {"kind": "test", "epoch": epochs, "test_loss": test_loss}
    if CONFIGS[name].config.score == "perplexity":
        for line in (*lines, test):
            line |= {f"{split}_perplexity": 7.0 for split in ("validation", "test") if f"{split}_loss" in line}
    lines = [*lines, test | ({} if accuracy is None else {"test_accuracy": accuracy})] if ended else lines[:-1]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if seconds is not None:
        np.savez(folder / "checkpoint.npz", progress=np.array(json.dumps({"seconds": seconds})), other=np.zeros(3))
    return folder


def write_curves(path, rows):
    """Rows are changes of a row of TIMIT's MomentumLSTM."""
    row = {"dataset": "timit", "cell": "momentum_lstm", "hidden": 158, "mu": 0.3, "epsilon": 0.1, "beta": "", "restart": ""}
    row |= {"gradient_clip_tag": "", "seed": 0, "split": "test", "step": 0, "loss": 1.0}
    file = io.StringIO()
    writer = csv.DictWriter(file, curves.COLUMNS)
    writer.writeheader()
    writer.writerows({**row, **changes} for changes in rows)
    path.write_bytes(gzip.compress(file.getvalue().encode()) if path.suffix == ".gz" else file.getvalue().encode())
    return path


CURVE_ROWS = [{"seed": seed, "step": step, "loss": 30 - 10 * step + seed} for seed in (0, 1) for step in (0, 1, 2, 3)]


def main(*arguments):
    """The command in this process: its exit status."""
    return status_of(report.main, *arguments)


@pytest.fixture
def written(tmp_path, capsys):
    """Make a report of the runs in `tmp_path / "runs"`: its text, its folder."""

    def write(*arguments):
        assert main(tmp_path / "runs", *arguments, "--out", tmp_path / "out") == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        (folder,) = (tmp_path / "out").iterdir()
        assert str(folder / "report.md") in printed.out
        return (folder / "report.md").read_text(), folder

    return write


def row(text, start, number=0):
    """The cells of a table's row, by its first one."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in lines[number].strip("|").split("|")]


def test_measured_beside_published(tmp_path, written):
    for seed, loss in enumerate((5.0, 6.0, 7.0)):
        write_run(tmp_path / "runs", TIMIT, seed, loss, epochs=700, seconds=10.0 + seed)
    found, folder = written()
    # by hand: 6 ± 1, t = 4.303 of 2 degrees of freedom, 4.303 / sqrt(3) = 2.484
    published = "5.87 [confirmed]; 5.874 ± 0.147 [curves]"
    unlike = "whether the files are the published ones is not checked"
    assert row(found, f"`{TIMIT}`") == [f"`{TIMIT}`", "3", "6.000", "1.0", "3.516 to 8.484", published, unlike]
    expected = [f"`{TIMIT}`", "0, 1, 2", "700 of 700", "700 (700–700)", "11", "aaaaaaa", "2 CPU cores"]
    assert row(found, f"`{TIMIT}`", 1) == expected
    assert "- [confirmed] = recalled from the paper, and within" in found
    assert f"    python -m experiments.train --config={TIMIT} --set seed=0\n" in found
    assert {path.name for path in folder.iterdir()} == {"report.md", "timit.png"}
    assert (folder / "timit.png").read_bytes().startswith(b"\x89PNG")
    assert "](timit.png)" in found
    assert "same epoch" not in found
    assert "Mind" not in found
    assert "not ended" not in found


def test_other_settings_and_data_are_other_rows_and_said(tmp_path, written):
    out = tmp_path / "runs"
    write_run(out / "1", "mnist_lstm_128", 0, 0.5, accuracy=0.8, epochs=150)
    write_run(out / "2", "mnist_lstm_128", 0, 0.5, accuracy=0.7, epochs=150, hidden_features=4)
    write_run(out / "3", "mnist_lstm_128", 0, 0.5, accuracy=0.6, epochs=150, origin={"as_published": {"x.gz": False}})
    write_run(out / "4", "mnist_momentum_lstm_256", 0, 0.5, accuracy=0.5, mu=0.9, step_size=0.1)
    write_run(out / "5", "mnist_momentum_lstm_256", 0, 0.5, accuracy=0.4, epochs=150, mu=0.8)
    write_run(out / "6", "fsdd_lstm_84", 0, 9.0, epochs=700)
    found, _ = written()
    rows = [line.strip("|").split("|") for line in found.splitlines() if "[" in line and line.startswith("| `")]
    measured = {tuple(cell.strip() for cell in cells[:3]): (cells[5].strip(), cells[6].strip()) for cells in rows}
    data = "as_published={'x.gz': False}"
    assert measured == {
        ("`mnist_lstm_128`", "1", "80.00"): ("98.7 [baseline]", "nothing but what is said below"),
        ("`mnist_lstm_128 hidden_features=4`", "1", "70.00"): (
            "98.7 [baseline]",
            "hidden_features 4, published 128",
        ),
        (f"`mnist_lstm_128 {data}`", "1", "60.00"): ("98.7 [baseline]", "x.gz is not the published file"),
        ("`mnist_momentum_lstm_256 mu=0.9 step_size=0.1 epochs=3`", "1", "50.00"): ("99.08 [code]", "epochs 3, published 150"),
        ("`mnist_momentum_lstm_256 mu=0.8`", "1", "40.00"): ("99.08 ± 0.05 [recalled]", "mu 0.8, published 0.6"),
        ("`mnist_momentum_lstm_256 mu=0.8`", "1", "0.5000"): ("0.0438 ± 0.0017 [curves]", "mu 0.8, published 0.6"),
        ("`fsdd_lstm_84`", "1", "9.000"): ("14.94 [recalled]", "other data: published on TIMIT"),
    }


def test_no_published_column_where_nothing_was_published(tmp_path, written):
    write_run(tmp_path / "runs", "adding_lstm", 0, 0.1, accuracy=0.5)
    found, _ = written()
    assert row(found, "test MSE") == ["test MSE", "n", "mean", "std", "95 % interval"]
    assert row(found, "`adding_lstm epochs=3`") == ["`adding_lstm epochs=3`", "1", "0.1000", "–", "–"]


def test_different_commits_and_devices_in_one_row_are_said(tmp_path, written):
    write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    folder = write_run(tmp_path / "runs", TIMIT, 1, 6.0, commit=COMMITS[1])
    config = json.loads((folder / "config.json").read_text())
    config["device"] = {"platform": "gpu", "kind": "A GPU", "count": 2}
    (folder / "config.json").write_text(json.dumps(config))
    found, _ = written()
    assert f"Mind that runs of different commits (aaaaaaa / bbbbbbb-dirty) stand in one row: `{TIMIT} epochs=3`." in found
    assert f"Mind that runs of different devices (2 CPU cores / A GPU, count 2) stand in one row: `{TIMIT} epochs=3`." in found


def test_unfinished_runs_are_apart(tmp_path, written):
    write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    folder = write_run(tmp_path / "runs", TIMIT, 1, 1.0, ended=False)
    begun = write_run(tmp_path / "runs", TIMIT, 2, 1.0)
    (begun / "metrics.jsonl").write_text("")
    found, _ = written()
    assert row(found, f"`{TIMIT} epochs=3`")[1:3] == ["1", "5.000"]
    assert row(found, f"`{TIMIT}`") == [f"`{TIMIT}`", "1", "2 of 3", "2.000 at epoch 2", f"`{folder}`"]
    assert row(found, f"`{TIMIT}`", 1) == [f"`{TIMIT}`", "2", "0 of 3", "–", f"`{begun}`"]


def test_runs_of_other_commands_are_passed_over(tmp_path, capsys):
    write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    other = tmp_path / "runs" / "digits-20260101-000000"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"training": {"seeds": 3}, "task": {}}))
    being_made = tmp_path / "runs" / "x-seed0.new"
    being_made.mkdir()
    (being_made / "config.json").write_text("{")
    assert main(tmp_path / "runs", tmp_path / "runs" / f"{TIMIT}-seed0", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert f"Passed over, being no single runs of experiments.train: {other}\n" in printed
    assert "on 1 run and 0 unfinished" in printed


def test_the_same_epoch(tmp_path, written):
    for seed in (0, 1):
        write_run(tmp_path / "runs", TIMIT, seed, 5.0 + seed)
    write_run(tmp_path / "runs", "ablation_controls_timit_step_size_158", 0, 5.0)
    found, _ = written("--curves", write_curves(tmp_path / "curves.csv.gz", CURVE_ROWS))
    section = found.split("### TIMIT: the loss at the same epoch")[1]
    # Steps 0 to 3 are epochs 1 to 4, and the runs have three: validation 5 and 6; published 10 and 11.
    unlike = "epochs 3, published 700; whether the files are the published ones is not checked"
    expected = ["3", "5.500 ± 0.71", "2", "momentum_lstm, N = 158, test split", "10.50 ± 0.71", "2", unlike]
    assert row(section, f"`{TIMIT} epochs=3`") == [f"`{TIMIT} epochs=3`", *expected]
    assert sum(line.startswith("| `") for line in section.splitlines()) == 1  # none was published of the control
    assert "cut off at the last epoch measured" in found


def test_curves_of_other_settings_are_not_drawn(tmp_path, written):
    write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    rows = [{"mu": 0.6}, {"hidden": 120}, {"epsilon": 0.2}, {"cell": "lstm"}, {"dataset": "mnist"}]
    found, _ = written("--curves", write_curves(tmp_path / "curves.csv", rows))
    assert "no curves of these cells on this data with these settings" in found
    assert "cut off" not in found


def test_curves_are_read(tmp_path):
    rows = [
        *CURVE_ROWS,
        {"split": "val", "step": 1, "loss": 3.0, "cell": "scheduled_restart_lstm", "mu": "0.0", "restart": 2},
        {"split": "train", "step": 42},
        {"dataset": "pmnist", "cell": "dtriv", "hidden": 512, "mu": "", "epsilon": ""},
        {"dataset": "pmnist", "cell": "dtriv", "hidden": 512, "mu": "", "epsilon": "", "gradient_clip_tag": "gc", "loss": 2.0},
    ]
    found = curves.read(write_curves(tmp_path / "curves.csv", rows))
    assert len(found) == 4
    assert found[0].losses == {"0": {1: 30.0, 2: 20.0, 3: 10.0, 4: 0.0}, "1": {1: 31.0, 2: 21.0, 3: 11.0, 4: 1.0}}
    assert found[0].label == "momentum_lstm, N = 158, test loss, 2 seeds"
    assert (found[1].split, found[1].losses) == ("validation", {"0": {1: 3.0}})
    settings = CONFIGS["pmnist_dtriv_512"].config.to_dict()
    assert curves.matching(found, settings) is found[3]
    assert curves.matching(found, {**settings, "clip_norm": None}) is found[2]
    assert curves.matching(found, CONFIGS["timit_scheduled_restart_lstm_158"].config.to_dict()) is found[1]
    assert curves.matching(found, CONFIGS["timit_adam_lstm_158"].config.to_dict()) is None
    epochs, losses = curves.stack([{1: 5.0, 2: 4.0, 3: 3.0}, {2: 8.0, 3: 7.0, 4: 6.0}])
    assert epochs.tolist() == [2, 3]
    assert losses.tolist() == [[4.0, 8.0], [3.0, 7.0]]


LSTM, CONTROL = "fsdd_lstm_158", "ablation_controls_fsdd_step_size_158"
MOMENTUM = "fsdd_momentum_lstm_158"


def write_controls(out, lstm, momentum, control, **changes):
    for name, losses in ((LSTM, lstm), (MOMENTUM, momentum), (CONTROL, control)):
        for seed, loss in enumerate(losses):
            write_run(out, name, seed, loss, epochs=700, **changes)


def test_what_a_control_recovers(tmp_path, written):
    write_controls(tmp_path / "runs", *((mean, *[mean + 0.1, mean - 0.1] * 2) for mean in (10.0, 6.0, 7.0)))
    found, _ = written()
    section = found.split("what the controls recover")[1]
    share = row(section, f"`{CONTROL}`")[3]
    assert share.startswith("75 % (7")
    # Welch: standard deviations of 0.1 each, 8 degrees of freedom, 2.306 * 0.1 * sqrt(2 / 5) = 0.146
    assert row(section, f"`{CONTROL}`")[4] == "+1 (+0.854 to +1.15)"
    assert f"- `{MOMENTUM}` gains +4 (+3.85 to +4.15) over `{LSTM}` in test MSE.\n" in section
    words = f"recovers {share} of the gain; it differs from the momentum cell by +1 (+0.854 to +1.15): the control is worse."
    assert f"- `{CONTROL}` {words}" in section


CASES = {
    "the gain may be zero": ((10.0, 12.0), (9.0, 11.0), (9.0, 12.0), "so shares of it have no bounds", " % (unbounded)"),
    "no gain": ((6.0, 6.1), (10.0, 10.1), (9.0, 9.1), "it is not better, so there is no gain", "| – |"),
    "one seed": (
        (10.0,),
        (6.0,),
        (7.0,),
        "a single seed, so nothing tells whether that is chance",
        "75 % (no interval of fewer than 5 seeds)",
    ),
    "the control is better": ((10.0, 10.1), (6.0, 6.1), (5.0, 5.1), "gains +4", "the control is better."),
    "no difference": ((10.0, 10.1), (6.0, 6.1), (6.0, 6.12), "gains +4", "not distinguishable from zero."),
}


@pytest.mark.parametrize(("lstm", "momentum", "control", "gain", "words"), CASES.values(), ids=CASES)
def test_a_verdict_is_what_the_numbers_say(lstm, momentum, control, gain, words, tmp_path):
    write_controls(tmp_path, lstm, momentum, control)
    (comparison,), alone = controls.find(runs.group(runs.find([tmp_path])[0]))
    section = " ".join(controls.section(comparison).split())
    assert alone == []
    assert gain in section
    assert words in section


def test_a_control_is_compared_with_runs_of_its_own_settings(tmp_path, written):
    out = tmp_path / "runs"
    write_controls(out / "1", (10.0,), (6.0,), (7.0,))
    write_controls(out / "2", (20.0,), (8.0,), (14.0,), batch_size=16)
    write_run(out / "3", CONTROL, 0, 3.0, batch_size=8)
    found, _ = written()
    assert "recovers 75 % (no interval of fewer than 5 seeds)" in found
    assert "recovers 50 % (no interval of fewer than 5 seeds)" in found
    assert f"Not compared: `{CONTROL} epochs=3 batch_size=8`" in found


def test_a_comparison_across_commits_is_said(tmp_path):
    write_controls(tmp_path / "1", (10.0,), (6.0,), (7.0,))
    write_run(tmp_path / "2", "ablation_controls_fsdd_gain_158", 0, 7.0, epochs=700, commit=COMMITS[1])
    (comparison,), _ = controls.find(runs.group(runs.find([tmp_path])[0]))
    section = controls.section(comparison)
    assert section.endswith("- Mind that these runs are of different commits: aaaaaaa / bbbbbbb-dirty.")
    assert "`ablation_controls_fsdd_gain_158` recovers 75 %" in section
    assert "different" not in controls.section(comparison._replace(controls=[]))


def test_where_more_is_better_the_sign_of_a_gain_turns():
    score = text.of_task(
        "mnist", Run(pathlib.Path(), "", 0, {}, {}, [], {"test_accuracy": 1, "test_loss": 1}, None, "", "", "", "")
    )[0]
    gain = controls.Gain(score, controls.intervals.sample([90.0, 91.0]), controls.intervals.sample([95.0, 96.0]))
    assert gain.size == pytest.approx(5.0)
    assert "the control is better" in gain.verdict(controls.intervals.sample([110.0, 110.1]))


def test_a_text_is_judged_by_its_perplexity():
    line = {"kind": "epoch", "epoch": 1, "validation_loss": 1.0, "validation_perplexity": 3.0}
    test = {"epoch": 1, "test_loss": 1.0, "test_perplexity": 2.0}
    scores = text.of_task("ptb", Run(pathlib.Path(), "ptb_lstm", 0, {}, {}, [line], test, None, "", "", "", ""))
    run = Run(pathlib.Path(), "ptb_lstm", 0, {}, {}, [line], test, None, "", "", "", "")
    assert [(score.title, score.of(run)) for score in scores] == [("test perplexity", 2.0), ("validation perplexity", 3.0)]


def test_every_task_has_a_title_and_a_score_that_counts(tmp_path, written):
    for name in {entry.config.task: name for name, entry in CONFIGS.items()}.values():
        losses_alone = CONFIGS[name].config.task in ("timit", "fsdd", "ptb", "text")
        write_run(tmp_path / "runs", name, 0, 0.5, accuracy=None if losses_alone else 0.25)
    lines = written()[0].splitlines()
    first = {line[3:]: lines[number + 2].split("|")[1].strip() for number, line in enumerate(lines) if line.startswith("## ")}
    assert first == {
        **dict.fromkeys(("Digits", "Slow noisy signals", "MNIST", "Permuted MNIST"), "test accuracy (%)"),
        **dict.fromkeys(("TIMIT", "Free Spoken Digits", "Adding"), "test MSE"),
        **dict.fromkeys(("Copying", "Denoising"), "test cross entropy (nats)"),
        **dict.fromkeys(("Penn Treebank", "Text"), "test perplexity"),
    }
    assert len(first) == len(TASKS)


def test_the_name_is_the_commands_and_not_the_folders(tmp_path):
    write_run(tmp_path, TIMIT, 0, 5.0).rename(tmp_path / "renamed")
    (run,), _ = runs.find([tmp_path / "renamed"])
    assert run.name == TIMIT


def spoil(file, content):
    """A way to damage a run."""

    def damage(folder):
        path = folder / file
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)

    return damage


WHOLE = {"training": CONFIGS[TIMIT].config.to_dict(), "task": {}}
EPOCH = '{"kind": "epoch", "epoch": 1, "train_loss": 1.0, "validation_loss": 1.0}\n'
DAMAGED = {
    "no config": (spoil("config.json", None), "no run of experiments.train is there"),
    "another command's run": (spoil("config.json", '{"training": {}, "task": {}}'), "holds no run of experiments.train"),
    "config that is a list": (spoil("config.json", "[]"), "holds no run of experiments.train"),
    "config that is cut off": (spoil("config.json", '{"training": {'), "config.json cannot be read: "),
    "config that is no text": (lambda folder: (folder / "config.json").write_bytes(b"\xff"), "config.json cannot be read: "),
    "a device that is none": (spoil("config.json", json.dumps({**WHOLE, "device": 3})), "config.json is damaged: its"),
    "an unknown task": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "task": "chess"}})),
        "config.json holds no config of experiments.train: task must be one of 'mnist', ",
    ),
    "a seed that is none": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "seed": "x"}})),
        "holds no config of experiments.train: seed must be an integer of at least 0, got 'x'",
    ),
    "a list of tasks": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "task": ["timit"]}})),
        "holds no config of experiments.train: task must be one of ",
    ),
    "data that is published in a list": (
        spoil("config.json", json.dumps({**WHOLE, "task": {"name": "timit", "as_published": [1]}})),
        "is damaged: its as_published is no object",
    ),
    "fewer epochs than the config's": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 1, "test_loss": 1.0}'),
        "is damaged: it is no whole run of 3 epochs",
    ),
    "no metrics": (spoil("metrics.jsonl", None), "metrics.jsonl cannot be read: "),
    "empty metrics": (spoil("metrics.jsonl", ""), "no run has ended; the furthest is "),
    "unfinished": (spoil("metrics.jsonl", EPOCH), ", 1 epoch\n"),
    "metrics cut off": (spoil("metrics.jsonl", EPOCH + EPOCH[:20]), "metrics.jsonl is damaged at line 2: "),
    "a line that is no dictionary": (spoil("metrics.jsonl", "3\n"), "metrics.jsonl is damaged at line 1: it is no epoch"),
    "a loss that is not finite": (spoil("metrics.jsonl", EPOCH.replace("1.0", "NaN")), "damaged at line 1: it is no epoch"),
    "a test without a loss": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 1}'),
        "damaged at line 2: it is no epoch",
    ),
    "an epoch twice": (spoil("metrics.jsonl", EPOCH + EPOCH), "is damaged: its epochs are not 1, 2, …"),
    "a test of no epoch": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 2, "test_loss": 1.0}'),
        "is damaged: the test is of epoch 2, of 1",
    ),
    "a test of an epoch without validation": (
        spoil(
            "metrics.jsonl", '{"kind": "epoch", "epoch": 1, "train_loss": 1.0}\n{"kind": "test", "epoch": 1, "test_loss": 1.0}'
        ),
        "epoch 1, which the test is of, has no validation loss",
    ),
    "a damaged checkpoint": (spoil("checkpoint.npz", "x"), "checkpoint.npz is damaged: "),
}


def assert_refused(status, capsys, message, out):
    printed = capsys.readouterr()
    assert status == 2
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_run_is_one_line_and_status_2(damage, message, tmp_path, capsys):
    folder = write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    damage(folder)
    assert_refused(main(folder, "--out", tmp_path / "out"), capsys, message, tmp_path / "out")


CURVES = "dataset,cell,hidden,mu,epsilon,beta,restart,gradient_clip_tag,seed,split,step,loss\n"
BAD_CURVES = {
    "no file": (None, "cannot be read: "),
    "no text": (b"\xff\xfe\x00", "cannot be read: "),
    "a gzip that is cut off": (gzip.compress(CURVES.encode())[:-9], "cannot be read: "),
    "another table": (b"a,b\n1,2\n", "there is no column 'dataset'; the columns should be dataset, cell, "),
    "empty": (b"", "there is no column 'dataset'"),
    "no rows": (CURVES.encode(), "it holds no curve over epochs"),
    "no number": (CURVES.encode() + b"timit,lstm,158,,,,,,0,test,0,low\n", "line 2 is damaged: could not convert"),
    "not finite": (CURVES.encode() + b"timit,lstm,158,,,,,,0,test,0,nan\n", "line 2 is damaged: the loss is not finite"),
    "a row cut off": (CURVES.encode() + b"timit,lstm,158,,,,,,0,test\n", "line 2 is damaged: "),
}


@pytest.mark.parametrize(("content", "message"), BAD_CURVES.values(), ids=BAD_CURVES)
def test_unreadable_curves_are_one_line_and_status_2(content, message, tmp_path, capsys):
    folder = write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    path = tmp_path / "curves.csv"
    if content is not None:
        path.write_bytes(content)
    status = main(folder, "--curves", path, "--out", tmp_path / "out")
    assert_refused(status, capsys, f"--curves {path}: {message}", tmp_path / "out")


def test_no_folder_or_one_that_cannot_be_written_is_one_line(tmp_path, capsys):
    folder = write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    out = tmp_path / "out"
    assert_refused(main("--out", out), capsys, "the following arguments are required: RUNS", out)
    assert_refused(main(tmp_path / "nowhere", "--out", out), capsys, f"{tmp_path / 'nowhere'} does not exist", out)
    assert_refused(main(folder / "config.json", "--out", out), capsys, "config.json is no folder", out)
    assert_refused(main(tmp_path / "runs", "--out", folder / "config.json"), capsys, "no run folder can be made there", out)


def test_a_full_disk_leaves_no_half_of_a_report(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "runs", TIMIT, 0, 5.0)

    fill_disk(monkeypatch, after=1)
    assert_refused(main(folder, "--out", tmp_path / "out"), capsys, "No space left on device", tmp_path / "out")


def test_a_seed_that_would_count_twice_is_refused(tmp_path):
    first, second = (write_run(tmp_path / part, TIMIT, 0, 5.0) for part in "ab")
    with pytest.raises(RunError, match="are the same run, of seed 0; give one of them") as error:
        runs.group(runs.find([tmp_path])[0])
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)
