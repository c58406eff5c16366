"""`python -m experiments.report`, on run folders made by hand."""

import json
import pathlib

import numpy as np
import pytest

from experiments import report
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import TASKS
from experiments.reporting import controls, runs, text
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
    assert "Note" not in found
    assert "Unfinished" not in found


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
        ("`mnist_lstm_128`", "1", "80.00"): ("98.7 [baseline]", "only what is listed below"),
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
    assert f"Note: different commits (aaaaaaa / bbbbbbb-dirty) in one row: `{TIMIT} epochs=3`." in found
    assert f"Note: different devices (2 CPU cores / A GPU, count 2) in one row: `{TIMIT} epochs=3`." in found


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
    assert f"Skipped, not single runs of experiments.train: {other}\n" in printed
    assert "finished runs: 1, unfinished: 0" in printed


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
    "the gain may be zero": ((10.0, 12.0), (9.0, 11.0), (9.0, 12.0), "so shares of it are unbounded", " % (unbounded)"),
    "no gain": ((6.0, 6.1), (10.0, 10.1), (9.0, 9.1), "it is not better, so there is no gain", "| – |"),
    "one seed": (
        (10.0,),
        (6.0,),
        (7.0,),
        "a single seed, so this may be chance",
        "75 % (no interval below 5 seeds)",
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
    assert "recovers 75 % (no interval below 5 seeds)" in found
    assert "recovers 50 % (no interval below 5 seeds)" in found
    assert f"Not compared: `{CONTROL} epochs=3 batch_size=8`" in found


def test_a_comparison_across_commits_is_said(tmp_path):
    write_controls(tmp_path / "1", (10.0,), (6.0,), (7.0,))
    write_run(tmp_path / "2", "ablation_controls_fsdd_gain_158", 0, 7.0, epochs=700, commit=COMMITS[1])
    (comparison,), _ = controls.find(runs.group(runs.find([tmp_path])[0]))
    section = controls.section(comparison)
    assert section.endswith("- Note: these runs have different commits: aaaaaaa / bbbbbbb-dirty.")
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
        losses_alone = CONFIGS[name].config.task in ("timit", "fsdd", "ptb", "text", "moving_frames", "tracking")
        write_run(tmp_path / "runs", name, 0, 0.5, accuracy=None if losses_alone else 0.25)
    lines = written()[0].splitlines()
    first = {line[3:]: lines[number + 2].split("|")[1].strip() for number, line in enumerate(lines) if line.startswith("## ")}
    assert first == {
        **dict.fromkeys(("Digits", "Slow noisy signals", "MNIST", "Permuted MNIST"), "test accuracy (%)"),
        **dict.fromkeys(("MNIST in bit-reversed order", "Trajectories", "Moving digits, class"), "test accuracy (%)"),
        **dict.fromkeys(("TIMIT", "Free Spoken Digits", "Adding", "Moving digits, next frame"), "test MSE"),
        "Tracking a signal in noise": "test MSE",
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
    "no config": (spoil("config.json", None), "no run of experiments.train in "),
    "another command's run": (spoil("config.json", '{"training": {}, "task": {}}'), "is not a run of experiments.train"),
    "config that is a list": (spoil("config.json", "[]"), "is not a run of experiments.train"),
    "config that is cut off": (spoil("config.json", '{"training": {'), "config.json is missing or damaged: "),
    "config that is no text": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff"),
        "config.json is missing or damaged: ",
    ),
    "a device that is none": (
        spoil("config.json", json.dumps({**WHOLE, "device": 3})),
        "damaged: its device is not a dict",
    ),
    "an unknown task": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "task": "chess"}})),
        "config.json is missing or damaged: task must be one of 'mnist', ",
    ),
    "a seed that is none": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "seed": "x"}})),
        "is missing or damaged: seed must be an integer of at least 0, got 'x'",
    ),
    "a list of tasks": (
        spoil("config.json", json.dumps({**WHOLE, "training": {**WHOLE["training"], "task": ["timit"]}})),
        "is missing or damaged: task must be one of ",
    ),
    "data that is published in a list": (
        spoil("config.json", json.dumps({**WHOLE, "task": {"name": "timit", "as_published": [1]}})),
        "is missing or damaged: its as_published is not a dict",
    ),
    "fewer epochs than the config's": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 1, "test_loss": 1.0}'),
        "is missing or damaged: it has a test, but not all of the 3 epochs",
    ),
    "no metrics": (spoil("metrics.jsonl", None), "metrics.jsonl is missing or damaged: "),
    "empty metrics": (spoil("metrics.jsonl", ""), "no run is finished; the furthest is "),
    "unfinished": (spoil("metrics.jsonl", EPOCH), ", epochs: 1\n"),
    "metrics cut off": (spoil("metrics.jsonl", EPOCH + EPOCH[:20]), "metrics.jsonl is missing or damaged: line 2: "),
    "a line that is no dictionary": (
        spoil("metrics.jsonl", "3\n"),
        "damaged: line 1 is not an epoch",
    ),
    "a loss that is not finite": (spoil("metrics.jsonl", EPOCH.replace("1.0", "NaN")), "damaged: line 1 is not an epoch"),
    "a test without a loss": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 1}'),
        "damaged: line 2 is not an epoch",
    ),
    "an epoch twice": (spoil("metrics.jsonl", EPOCH + EPOCH), "damaged: its lines are not epochs 1, 2, …"),
    "a test of no epoch": (
        spoil("metrics.jsonl", EPOCH + '{"kind": "test", "epoch": 2, "test_loss": 1.0}'),
        "damaged: its test is of epoch 2, which has no validation loss",
    ),
    "a test of an epoch without validation": (
        spoil(
            "metrics.jsonl", '{"kind": "epoch", "epoch": 1, "train_loss": 1.0}\n{"kind": "test", "epoch": 1, "test_loss": 1.0}'
        ),
        "damaged: its test is of epoch 1, which has no validation loss",
    ),
    "a damaged checkpoint": (spoil("checkpoint.npz", "x"), "checkpoint.npz is missing or damaged: "),
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


def test_no_folder_or_one_that_cannot_be_written_is_one_line(tmp_path, capsys):
    folder = write_run(tmp_path / "runs", TIMIT, 0, 5.0)
    out = tmp_path / "out"
    assert_refused(main("--out", out), capsys, "the following arguments are required: RUNS", out)
    assert_refused(main(tmp_path / "nowhere", "--out", out), capsys, f"{tmp_path / 'nowhere'} does not exist", out)
    assert_refused(main(folder / "config.json", "--out", out), capsys, "config.json is not a folder", out)
    assert_refused(main(tmp_path / "runs", "--out", folder / "config.json"), capsys, "cannot make a folder there", out)


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
