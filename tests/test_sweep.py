"""`python -m experiments.sweep`: many runs in one program are the same runs as one by one, and one of them disturbs no other."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest

from experiments import checkpoint, configs, grid, loop, sweep, training
from experiments.cells import options_of
from tests.train_command import (
    NAME,
    TINY,
    TINY_LANGUAGE,
    TINY_SYNTHETIC,
    Runs,
    arrays,
    assert_refused,
    changed,
    fill_disk,
    lines,
    main,
    process,
    quick,  # noqa: F401
    quick_data,
    status_of,
    stop,
    tiny,
    visible,
)

pytestmark = pytest.mark.usefixtures("quick")

MU, STEP_SIZE, SEEDS = (0.9, 0.3), (0.6, 1.0), (0, 3)
GRID = ("--seeds", "0", "3", "--mu", "0.9", "0.3", "--step-size", "0.6", "1")
SET = ("--set", *changed(TINY_SYNTHETIC, "steps_per_epoch=3"))
COMMAND = ("--config", NAME, *SET, *GRID, "--cells", "momentum_lstm", "adam_lstm")
FILES = ["adam_lstm", "heatmap.png", "momentum_lstm", "results.json", "results.md"]
# Of float32 results of many operations, in another order.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
CELLS = ("momentum_lstm", "adam_lstm")


def command(out, *arguments):
    """The command in this process: its exit status."""
    return status_of(sweep.main, *arguments, "--out", out)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a sweep that nothing disturbed."""
    out = tmp_path_factory.mktemp("ended")
    with quick_data():
        assert command(out, *COMMAND) == 0
    return out / f"{NAME}-sweep"


def assert_runs_are_those_one_by_one(folder, name, assignments, out):
    """Every number of every epoch, and the test; the parameters of the best epoch too."""
    together = lines(folder)
    with np.load(folder / "best.npz") as file:
        best = dict(file)
    for number, (seed, mu, step_size) in enumerate(itertools.product(SEEDS, MU, STEP_SIZE)):
        point = {"seed": seed, "mu": mu, "step_size": step_size}
        alone_out = out / str(number)
        values = changed(assignments[1:], *(f"{key}={value}" for key, value in point.items()))
        assert main(alone_out, "--config", name, "--set", *values) == 0
        alone = lines(alone_out / f"{name}-seed{seed}")
        of_run = [line for line in together if line["run"] == number]
        assert len(of_run) == len(alone)
        for one, other in zip(of_run, alone, strict=True):
            assert {key: one[key] for key in ("kind", "epoch", *point)} == {
                **{key: other[key] for key in ("kind", "epoch")},
                **point,
            }
            assert one.keys() - point.keys() - {"run"} == other.keys()
            numbers = other.keys() - {"kind"}
            np.testing.assert_allclose([one[key] for key in numbers], [other[key] for key in numbers], **CLOSE)
        with np.load(alone_out / f"{name}-seed{seed}" / "best.npz") as params:
            assert set(params) == set(best)
            for entry in params:
                np.testing.assert_allclose(best[entry][number], params[entry], **CLOSE, err_msg=entry)


def test_a_sweep_is_its_runs_one_by_one(ended, tmp_path):
    assert_runs_are_those_one_by_one(ended / "momentum_lstm", NAME, SET, tmp_path)


def test_a_sweep_is_its_runs_one_by_one_where_a_base_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PROJECT_EVERY", 2)
    assignments = ("--set", *changed(SET[1:], "rebase_every=2"))
    assert command(tmp_path, "--config", "adding_momentum_dtriv", *assignments, *GRID) == 0
    folder = tmp_path / "adding_momentum_dtriv-sweep" / "momentum_dtriv"
    assert_runs_are_those_one_by_one(folder, "adding_momentum_dtriv", assignments, tmp_path)
    # The base has moved, and not in every run to the same place.
    with np.load(folder / "best.npz") as best:
        base = best["cell/core/base"]
    assert len({matrix.tobytes() for matrix in base}) == 8


def test_runs_that_average_their_steps_are_those_one_by_one(tmp_path):
    values = changed(TINY_LANGUAGE, "epochs=6", "nonmonotone=1")
    assert command(tmp_path, "--config", "ptb_lstm", "--set", *values, "--seeds", "0", "1") == 0
    together = lines(tmp_path / "ptb_lstm-sweep" / "lstm")
    for seed in (0, 1):
        assert main(tmp_path, "--config", "ptb_lstm", "--set", *values, f"seed={seed}") == 0
        for one, other in zip(
            (line for line in together if line["seed"] == seed), lines(tmp_path / f"ptb_lstm-seed{seed}"), strict=True
        ):
            numbers = other.keys() - {"kind"}
            np.testing.assert_allclose([one[key] for key in numbers], [other[key] for key in numbers], rtol=2e-4)


def test_all_runs_of_a_cell_are_one_program(tmp_path, monkeypatch):
    """However many calls, seeds and values there are: one program trains, and one for each number of runs."""
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    few = ("--mu", "0.5", "--step-size", "3e38", "--seeds", "0", "1")  # these diverge
    many = ("--mu", "0.5", "0.1", "0.2", "--step-size", "0.5", "1", "--seeds", "0", "1")
    others = ("--mu", "0.3", "0.7", "0.1", "--step-size", "0.2", "0.9", "--seeds", "4", "7")
    values = ("--set", *changed(SET[1:], "hidden_features=5"))
    for number, (arguments, new) in enumerate(((few, 1), (many, 1), (others, 0))):
        before = training.advance._cache_size()
        assert command(tmp_path / str(number), "--config", NAME, *values, *arguments) == 0
        assert training.advance._cache_size() - before == new
    diverged = tmp_path / "0" / f"{NAME}-sweep"
    assert [line["kind"] for line in lines(diverged / "momentum_lstm")] == ["diverged"] * 2
    assert "runs diverged at every point" in (diverged / "results.md").read_text()
    assert (diverged / "heatmap.png").exists()


def test_a_single_run_is_computed_as_it_would_be_by_itself(monkeypatch):
    """Without `vmap`, for which cuDNN has no kernel."""
    monkeypatch.setattr(training.jax, "vmap", None)
    found = training.each_run(lambda a, b: {"sum": a + b, "shape": np.zeros(a.shape)}, np.ones((1, 3)), np.ones((1, 3)))
    assert (found["sum"].tolist(), found["shape"].shape) == ([[2.0] * 3], (1, 3))


def test_the_data_is_not_copied_for_every_run():
    many = Runs(tiny("mnist_lstm_128"), seeds=range(50))
    arguments = jax.eval_shape(many.start), np.int32(1), many.train, many.settings
    text = training.advance.lower(many.program, *arguments).as_text()
    whole = "x".join(map(str, many.train.inputs.shape))
    assert f"tensor<{whole}xf32>" in text
    assert f"tensor<50x{whole}xf32>" not in text


def test_a_run_that_diverges_stops_alone(ended, tmp_path):
    big = ("--step-size", "0.6", "3e38")
    assert command(tmp_path, "--config", NAME, *SET, "--seeds", "0", "3", "--mu", "0.9", "0.3", *big) == 0
    folder = tmp_path / f"{NAME}-sweep"
    found, expected = lines(folder / "momentum_lstm"), lines(ended / "momentum_lstm")
    stopped = [line for line in found if line["step_size"] == 3e38]
    assert {line["kind"] for line in stopped} == {"diverged"}
    assert len(stopped) == 4
    assert all(line["epoch"] == 1 and 1 <= line["step"] <= 3 for line in stopped)
    others, undisturbed = ([line for line in of if line["step_size"] == 0.6] for of in (found, expected))
    assert len(others) == len(undisturbed) == 12
    for one, other in zip(others, undisturbed, strict=True):
        assert one.keys() == other.keys()
        numbers = [key for key, value in one.items() if isinstance(value, float)]
        np.testing.assert_allclose([one[key] for key in numbers], [other[key] for key in numbers], **CLOSE)
    table = (folder / "results.md").read_text()
    assert table.count("2 of 2") == 2
    assert "Diverged runs (NaN or infinity) are not in the means." in table
    assert command(tmp_path, "--config", NAME, *SET, "--seeds", "0", "3", "--mu", "0.9", "0.3", *big) == 0  # had ended


def eight():
    """The first cell's runs."""
    points = list(itertools.product(SEEDS, MU, STEP_SIZE))
    config = configs.override(configs.get(NAME), SET[1:])
    return Runs(config, [seed for seed, *_ in points], mu=[mu for _, mu, _ in points], step_size=[s for *_, s in points])


def test_a_run_that_diverges_before_any_look_at_validation_stops_alone_where_steps_are_averaged(tmp_path):
    values = changed(TINY_LANGUAGE, "epochs=1", "layers=1", "hidden_features=3", "nonmonotone=1")
    grid = ("--step-size", "0.6", "3e38")
    assert command(tmp_path, "--config", "text_momentum_lstm", "--set", *values, *grid) == 0
    found = lines(tmp_path / "text_momentum_lstm-sweep" / "momentum_lstm")
    assert [(line["kind"], line["run"]) for line in found] == [("epoch", 0), ("diverged", 1), ("test", 0)]


def test_a_run_stops_at_the_step_where_it_diverged():
    of = eight()
    first = of.advance(of.start(), 1)
    params = jax.tree.map(lambda leaf: leaf.at[1].set(np.nan), first.runs.params)
    after = of.advance(first._replace(runs=first.runs._replace(params=params)), 2)
    assert after.runs.finite.tolist() == [True, False, *[True] * 6]
    later, undisturbed = of.advance(after, 3), of.advance(first, 3)
    assert later.runs.done.tolist() == [3, 2, *[3] * 6]
    assert int(later.step) == 3
    for number, (one, other) in enumerate([(later, undisturbed), (later, after), *[(later, undisturbed)] * 6]):
        same = [np.array_equal(a[number], b[number], equal_nan=True) for a, b in zip(*map(leaves, (one, other)), strict=True)]
        assert all(same), number


def test_a_stopped_run_stands_still_even_if_its_numbers_are_finite():
    of = eight()
    first = of.advance(of.start(), 1)
    stopped = first._replace(runs=first.runs._replace(finite=first.runs.finite.at[1].set(False)))
    later, undisturbed = of.advance(stopped, 3), of.advance(first, 3)
    assert later.runs.done.tolist() == [3, 1, *[3] * 6]
    for number in range(8):
        other = stopped if number == 1 else undisturbed
        assert all(np.array_equal(a[number], b[number]) for a, b in zip(leaves(later), leaves(other), strict=True)), number


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.runs)]


def test_the_table_is_computed_from_the_metrics(ended):
    metrics = [{"cell": cell, **line} for cell in CELLS for line in lines(ended / cell)]
    found = json.loads((ended / "results.json").read_text())
    assert found["score"] == "loss"
    assert len(found["rows"]) == 8
    markdown = (ended / "results.md").read_text()
    assert (ended / "results.md").read_text().count("| momentum_lstm |") == 4
    validation = {}
    for row in found["rows"]:
        point = {key: row[key] for key in ("cell", "mu", "step_size")}
        of_point = [line for line in metrics if {key: line[key] for key in point} == point]
        tests = [line for line in of_point if line["kind"] == "test"]
        assert [line["seed"] for line in tests] == row["seeds"] == list(SEEDS)
        for name in ("loss", "accuracy"):
            values = [line[f"test_{name}"] for line in tests]
            assert row["test"][name] == values
        by_seed = [[line for line in of_point if line["kind"] == "epoch" and line["seed"] == seed] for seed in SEEDS]
        best = [min(of, key=lambda line: line["validation_loss"]) for of in by_seed]
        assert [line["epoch"] for line in best] == [line["epoch"] for line in tests] == row["best_epoch"]
        validation[row["cell"], row["mu"], row["step_size"]] = sum(line["validation_loss"] for line in best) / 2
        text = next(
            line
            for line in markdown.splitlines()
            if line.startswith(f"| {row['cell']} ") and at(line) == list(point.values())[1:]
        )
        assert float(text.split("|")[4].split("±")[0]) == pytest.approx(np.mean(row["test"]["loss"]), rel=0.02)
    for cell, values in found["chosen_by_validation"].items():
        assert min((key for key in validation if key[0] == cell), key=validation.get)[1:] == (values["mu"], values["step_size"])


def at(line):
    return [float(text) for text in line.split("|")[2:4]]


def test_the_best_epoch_may_be_an_early_one_and_spread_is_that_of_a_sample():
    epochs = [{"kind": "epoch", "epoch": epoch, "validation_loss": loss} for epoch, loss in ((1, 2.0), (2, 1.0), (3, 3.0))]
    config = configs.get(NAME)
    (row,) = grid.rows_of("c", [config], [*epochs, {"kind": "test", "epoch": 2, "test_loss": 7.0}])
    assert row == grid.Row("c", 0.6, 0.6, [0], [], [2], {"loss": [1.0]}, {"loss": [7.0]})
    two = row._replace(seeds=[0, 1], best_epoch=[1, 2], test={"loss": [1.0, 2.0]}, validation={"loss": [1.0, 2.0]})
    assert " 1.50 ± 0.71 | " in grid.to_markdown("", {"c": [two]}, "loss")
    accuracies = {"accuracy": [1.0, 2.0]}
    assert " 150.00 ± 70.71 | " in grid.to_markdown("", {"c": [two._replace(test=accuracies, validation=accuracies)]}, "accuracy")


def row(mu, step_size, value, diverged=()):
    scores = {"accuracy": [value] if value is not None else []}
    return grid.Row("c", mu, step_size, [0] if value is not None else [], list(diverged), [1], scores, scores)


def test_mu_grows_upwards_and_step_size_to_the_right():
    rows = [row(0.9, 0.1, 0.1), row(0.9, 1.0, 0.5), row(0.0, 0.1, 0.3), row(0.0, 1.0, None, [0])]
    figure = grid.draw("title", {"c": rows}, "accuracy")
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "0.9"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "1"]
    np.testing.assert_allclose(shown.filled(np.nan), [[30, np.nan], [10, 50]])
    assert axes.get_ylim()[0] < axes.get_ylim()[1]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 1): "10", (1, 1): "50", (0, 0): "30", (1, 0): "diverged"}
    (frame,) = axes.patches
    assert (frame.get_x() + 0.47, frame.get_y() + 0.47) == pytest.approx((1, 1))
    brightness = [np.mean(axes.images[0].to_rgba(shown)[y, x, :3]) for y, x in ((1, 0), (0, 0), (1, 1))]
    assert brightness == sorted(brightness)


def test_a_sweep_fills_its_folder(ended):
    assert visible(ended) == FILES
    for cell in CELLS:
        assert visible(ended / cell) == ["best.npz", "checkpoint.npz", "config.json", "metrics.jsonl"]
        config = json.loads((ended / cell / "config.json").read_text())
        assert config["command"].startswith(f"python -m experiments.sweep --config {NAME} --set")
        assert config["training"]["runs"][3] == {"run": 3, "seed": 0, "mu": 0.3, "step_size": 1.0}
        assert config["training"]["cell"] == cell
        assert [line["kind"] for line in lines(ended / cell)] == ["epoch"] * 16 + ["test"] * 8
    assert (ended / "heatmap.png").read_bytes().startswith(b"\x89PNG")


def assert_same_end(folder, ended):
    for name in (
        "results.md",
        "results.json",
        "heatmap.png",
        *(f"{c}/{n}" for c in CELLS for n in ("metrics.jsonl", "best.npz")),
    ):
        assert (folder / name).read_bytes() == (ended / name).read_bytes(), name
    assert all(arrays(folder / cell) == arrays(ended / cell) for cell in CELLS)
    assert visible(folder) == FILES


@pytest.mark.parametrize(("cell", "step"), [("momentum_lstm", 4), ("adam_lstm", 3), ("adam_lstm", 1), ("momentum_lstm", 6)])
def test_a_signal_saves_and_the_sweep_goes_on_to_the_same_end(cell, step, ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        stop(during, step, after=CELLS.index(cell))
        status = command(tmp_path, *COMMAND)
    folder = tmp_path / f"{NAME}-sweep"
    assert_refused(status, capsys, f"SIGTERM after step {step}; the same command continues from {folder / cell}", expected=143)
    assert checkpoint.read(folder / cell)[1]["0/step"] == step
    assert command(tmp_path, *COMMAND) == 0
    assert_same_end(folder, ended)


@pytest.mark.parametrize("after", [3, 6, 9, 12, 17])
def test_a_full_disk_loses_nothing(after, ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        fill_disk(during, after)
        status = command(tmp_path, *COMMAND)
    assert_refused(status, capsys, "No space left on device")
    assert command(tmp_path, *COMMAND) == 0
    assert_same_end(tmp_path / f"{NAME}-sweep", ended)


def test_a_sweep_that_ended_says_so_and_another_grid_is_refused(ended, capsys):
    before = [arrays(ended / cell) for cell in CELLS]
    assert command(ended.parent, *COMMAND) == 0
    printed = capsys.readouterr()
    assert "was already finished" in printed.out
    assert "| adam_lstm" in printed.out
    status = command(ended.parent, *COMMAND, "--mu", "0.1")
    assert_refused(status, capsys, "holds a run with another grid: ")
    assert [arrays(ended / cell) for cell in CELLS] == before


def test_the_command_runs_as_it_is(tmp_path):
    few = ("--config", "adding_lstm", "--set", *changed(SET[1:], "epochs=1"), "--seeds", "0")
    running = process(tmp_path, tmp_path / "cache", *few, module="experiments.sweep")
    printed, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert f"{tmp_path / 'adding_lstm-sweep'} finished after " in printed


def test_the_papers_ablation_is_one_option():
    options = sweep.parse(["--config", NAME, "--ablation"])
    assert (options.mu, options.step_size) == ([0.9, 0.6, 0.3, 0.1, 0.0], [0.1, 0.3, 0.6, 0.9, 1.0])
    made = grid.make(NAME, [], None, None, options.mu, options.step_size)["momentum_lstm"]
    assert len({(run.mu, run.step_size) for run in made}) == 25


def test_what_is_not_given_is_the_configs_own():
    made = grid.make("fsdd_momentum_lstm_158", ["seed=5"], ["momentum_lstm", "lstm", "rmsprop_lstm"], None, None, None)
    assert [(run.cell, run.seed, run.mu, run.step_size) for (run,) in made.values()] == [
        ("momentum_lstm", 5, 0.3, 0.1),
        ("lstm", 5, None, None),
        ("rmsprop_lstm", 5, None, 0.1),
    ]
    assert all(run.forget_bias == -4.0 for (run,) in made.values())
    orthogonal = grid.make("pmnist_momentum_dtriv_170", [], ["momentum_dtriv", "dtriv", "momentum_lstm"], [1], None, None)
    assert [(run.rebase_every, run.skew_learning_rate) for (run,) in orthogonal.values()] == [(1, 2e-4), (1, 2e-4), (None, None)]
    (released,) = grid.make("timit_lstm_158", [], ["released_nesterov_lstm"], None, None, None)["released_nesterov_lstm"]
    assert dataclasses.asdict(released.make_cell())["core"]["forget_bias"] == -4.0
    assert options_of("released_nesterov_lstm") == ["step_size", "restart", "forget_bias", "init_scheme"]


REFUSALS = {
    "an unknown config": (["--config", "mnist"], "no config is called 'mnist'"),
    "no config": ([], "the following arguments are required: --config"),
    "an unknown field": (["--config", NAME, "--set", "hiden=3"], "no field 'hiden'"),
    "set twice": (["--config", NAME, "--set", "mu=0.9", "--mu", "0.5"], "--set mu=… and --mu exclude each other"),
    "no momentum": (
        ["--config", "adding_rmsprop_lstm", "--mu", "0.5"],
        "mu is not an argument of the cell 'rmsprop_lstm'",
    ),
    "no drive": (
        ["--config", "adding_lstm", "--step-size", "1"],
        "step_size is not an argument of the cell 'lstm'",
    ),
    "not in one of the cells": (
        ["--config", NAME, "--mu", "0.5", "--cells", "momentum_lstm", "lstm"],
        "--mu 0.5: mu is not an argument of the cell 'lstm'",
    ),
    "mu out of range": (["--config", NAME, "--mu", "0.5", "1"], "--mu 1.0: mu must be in [0, 1), got 1.0"),
    "a negative mu": (["--config", NAME, "--mu", "-0.5"], "--mu -0.5: mu must be in [0, 1), got -0.5"),
    "no step": (["--config", NAME, "--step-size", "0"], "--step-size 0.0: step_size must be in (0, inf), got 0.0"),
    "NaN": (["--config", NAME, "--mu", "nan"], "--mu nan: mu must be in [0, 1), got nan"),
    "no number": (["--config", NAME, "--mu", "x"], "argument --mu: invalid float value: 'x'"),
    "no seed": (["--config", NAME, "--seeds", "1.5"], "argument --seeds: invalid int value: '1.5'"),
    "a negative seed": (["--config", NAME, "--seeds", "-1"], "--seeds -1: seed must be an integer of at least 0, got -1"),
    "a seed too large": (["--config", NAME, "--seeds", "9" * 30], f"--seeds {'9' * 30}: "),
    "a seed twice": (["--config", NAME, "--seeds", "1", "2", "1"], "--seeds: 1 is given twice"),
    "mu twice": (["--config", NAME, "--mu", "0", "0.0"], "--mu: 0.0 is given twice"),
    "an unknown cell": (["--config", NAME, "--cells", "momentum"], "--cells momentum: must be one of adam_dtriv, "),
    "a cell in two places": (["--config", NAME, "--cells", "lstm", "--set", "cell=lstm"], "--set cell=… and --cells exclude"),
    "a grid beside the ablation": (
        ["--config", NAME, "--ablation", "--mu", "0.5"],
        "--ablation excludes --mu",
    ),
    "an option of another cell": (
        ["--config", NAME, "--cells", "momentum_lstm", "adam_lstm", "--set", "beta=0.5"],
        "beta is not an argument of the cell 'momentum_lstm'",
    ),
    "a source for nothing": (["--config", NAME, "--source", "x"], "--source x: the task 'adding' has no source"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "advance", None)  # it never comes to that
    assert_refused(command(tmp_path / "out", *arguments), capsys, message)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_second_process_in_the_folder_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "advance", None)  # it never comes to that
    folder = tmp_path / f"{NAME}-sweep"
    with checkpoint.lock(folder / "momentum_lstm"):
        message = f"another process is training in {folder / 'momentum_lstm'}; wait for its end"
        assert_refused(command(tmp_path, "--config", NAME), capsys, message)
    assert not visible(folder)


def test_a_sweep_of_a_stored_dataset_shows_accuracies(tmp_path):
    assert command(tmp_path, "--config", "mnist_lstm_128", "--set", *TINY, "--seeds", "0", "1") == 0
    found = json.loads((tmp_path / "mnist_lstm_128-sweep" / "results.json").read_text())
    assert found["score"] == "accuracy"
    assert (found["rows"][0]["mu"], found["rows"][0]["seeds"]) == (None, [0, 1])
    assert "test accuracy (%)" in (tmp_path / "mnist_lstm_128-sweep" / "results.md").read_text()
