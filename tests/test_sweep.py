"""`python -m experiments.sweep`: many runs in one program are the same runs as one by one, and one of them disturbs no other."""

import copy
import dataclasses
import functools
import itertools
import json
import types

import jax
import numpy as np
import pytest

from experiments import configs, fit, sweep, sweeps
from experiments.fit import checkpoint, files, loop, problem, steps
from experiments.sweeps import cost, grid, heat_map, results, trainer
from experiments.sweeps.trainer import SweepTrainer
from tests.train_command import (
    NAME,
    TINY,
    TINY_SYNTHETIC,
    arrays,
    assert_refused,
    fill_disk,
    lines,
    main,
    process,
    quick,  # noqa: F401
    quick_programs,
    status_of,
    stop,
)

pytestmark = pytest.mark.usefixtures("quick_sweeps")

MU, STEP_SIZE, SEEDS = (0.9, 0.3), (0.6, 1.0), (0, 3)
GRID = ("--seeds", "0", "3", "--mu", "0.9", "0.3", "--step-size", "0.6", "1")
SET = ("--set", *TINY_SYNTHETIC, "steps_per_epoch=3")
COMMAND = ("--config", NAME, *SET, *GRID, "--cells", "momentum_lstm", "adam_lstm")
FILES = {"config.json", "checkpoint.npz", "metrics.jsonl", "results.md", "results.json", "heatmap.png", "cost.json"}
estimate = cost.estimate  # the tests that do not look at it do without
# Of float32 results of many operations, in another order.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


@functools.cache
def programs(config, runs, names):
    """Compiled once for all tests: seeds and hyper-parameters are arguments."""
    return SweepTrainer(config, problem.load(config, None, None), range(runs), {name: [0.5] * runs for name in names})


@functools.cache
def shared(config, seeds, hyper_parameters):
    of = copy.copy(programs(config, len(seeds), tuple(name for name, _ in hyper_parameters)))
    new = SweepTrainer(config, of.problem, seeds, dict(hyper_parameters))
    of._keys, of._hyper = new._keys, new._hyper
    return of


class Alone:
    """A `fit.trainer.Trainer` whose μ, step size and key are arguments of programs that all runs share, one after the other."""

    def __init__(self, config, loaded, mesh):
        self._programs = single_programs(dataclasses.replace(config, mu=0.5, step_size=0.5, seed=0))
        self.problem = self._programs.problem
        self.network = steps.Steps(config, self.problem).network
        self._arguments = jax.random.key(config.seed), {name: np.float32(getattr(config, name)) for name in ("mu", "step_size")}

    def put(self, tree):
        return tree

    def start(self):
        return self._programs.start(*self._arguments)

    def template(self):
        return jax.eval_shape(self._programs.start, *self._arguments)

    def advance(self, state, until):
        return self._programs.advance(state, np.int32(until), *self._arguments)

    def evaluate(self, params, split):
        return {name: float(mean) for name, mean in self._programs.score(params, split, self._arguments[1]).items()}

    def forget_totals(self, state):
        return state._replace(totals=jax.tree.map(np.zeros_like, state.totals))


@functools.cache
def single_programs(config):
    task = problem.load(config, None, None)

    def run(hyper):
        return steps.Steps(config, task, **hyper)

    jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    return types.SimpleNamespace(
        problem=task,
        start=jit(lambda key, hyper: run(hyper).initial(key)),
        advance=jit(lambda state, until, key, hyper: run(hyper).advance(state, until, task.train, key)),
        score=jit(lambda params, split, hyper: run(hyper).score_split(params, split)),
    )


def patch_sweeps(patch):
    patch.setattr(
        sweeps,
        "SweepTrainer",
        lambda config, loaded, seeds, hyper: shared(config, tuple(seeds), tuple(hyper.items())),
    )
    patch.setattr(cost, "estimate", lambda run, loaded, runs: cost.Estimate(run.cell, runs, 1, 1.0, 1.0))


@pytest.fixture
def quick_sweeps(quick, monkeypatch):  # noqa: F811
    patch_sweeps(monkeypatch)


def command(out, *arguments):
    """The command in this process: its exit status."""
    return status_of(sweep.main, *arguments, "--out", out)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a sweep that nothing disturbed."""
    out = tmp_path_factory.mktemp("ended")
    with quick_programs(), pytest.MonkeyPatch.context() as patch:
        patch_sweeps(patch)
        assert command(out, *COMMAND) == 0
    return out / f"{NAME}-sweep"


def assert_runs_are_those_one_by_one(folder, name, assignments, out):
    """Every number of every epoch, and the test; the parameters of the best epoch too."""
    cell = configs.get(name).cell
    together = [line for line in lines(folder) if line["cell"] == cell]
    with np.load(folder / f"best-{cell}.npz") as file:
        best = dict(file)
    for number, (seed, mu, step_size) in enumerate(itertools.product(SEEDS, MU, STEP_SIZE)):
        values = (f"seed={seed}", f"mu={mu}", f"step_size={step_size}")
        alone_out = out / str(number)
        assert main(alone_out, "--config", name, *assignments, *values) == 0
        alone = lines(alone_out / f"{name}-seed{seed}")
        point = {"seed": seed, "mu": mu, "step_size": step_size}
        of_run = [line for line in together if {key: line[key] for key in point} == point]
        assert len(of_run) == len(alone)
        for one, other in zip(of_run, alone, strict=True):
            assert {key: one[key] for key in ("kind", "epoch")} == {key: other[key] for key in ("kind", "epoch")}
            assert one.keys() - point.keys() - {"cell"} == other.keys()
            numbers = other.keys() - {"kind"}
            np.testing.assert_allclose([one[key] for key in numbers], [other[key] for key in numbers], **CLOSE)
        with np.load(alone_out / f"{name}-seed{seed}" / "best.npz") as params:
            assert set(params) == set(best)
            for entry in params:
                np.testing.assert_allclose(best[entry][number], params[entry], **CLOSE, err_msg=entry)


def test_a_sweep_is_its_runs_one_by_one(ended, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "Trainer", Alone)
    assert_runs_are_those_one_by_one(ended, NAME, SET, tmp_path)


def test_a_sweep_is_its_runs_one_by_one_where_a_base_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "Trainer", Alone)
    monkeypatch.setattr(steps, "PROJECT_EVERY", 2)
    assignments = (*SET, "rebase_every=2")
    assert command(tmp_path, "--config", "adding_momentum_dtriv", *assignments, *GRID) == 0
    folder = tmp_path / "adding_momentum_dtriv-sweep"
    assert_runs_are_those_one_by_one(folder, "adding_momentum_dtriv", assignments, tmp_path)
    # The base has moved, and not in every run to the same place.
    with np.load(folder / "best-momentum_dtriv.npz") as best:
        base = best["cell/core/base"]
    assert len({matrix.tobytes() for matrix in base}) == 8


def test_all_runs_of_a_cell_are_one_program(tmp_path, monkeypatch):
    traced, compiled = [], []
    one_step, program = steps.Steps.one_step, trainer.Program.__init__

    def count(self, *arguments):
        traced.append(arguments)
        return one_step(self, *arguments)

    def remember(self, function):
        program(self, function)
        compiled.append(self)

    monkeypatch.setattr(steps.Steps, "one_step", count)
    monkeypatch.setattr(trainer.Program, "__init__", remember)
    monkeypatch.setattr(sweeps, "SweepTrainer", SweepTrainer)
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    few = ("--mu", "0.5", "--step-size", "3e38", "--seeds", "0", "1")  # these diverge
    many = ("--mu", "0.5", "0.1", "0.2", "--step-size", "0.5", "1", "--seeds", "0", "1")
    counts = []
    for number, values in enumerate((few, many)):
        traced.clear()
        compiled.clear()
        assert command(tmp_path / str(number), "--config", NAME, *SET, *values) == 0
        counts.append(len(traced))
        assert [len(of._compiled) for of in compiled] == [1, 1]  # all calls that train, all that evaluate
        assert all(of.seconds > 0 for of in compiled)
    assert counts[0] == counts[1] > 0
    diverged = tmp_path / "0" / f"{NAME}-sweep"
    assert [line["kind"] for line in lines(diverged)] == ["diverged"] * 2
    assert "at no point did every run stay finite" in (diverged / "results.md").read_text()
    assert (diverged / "heatmap.png").exists()


def test_the_data_is_not_copied_for_every_run():
    config = configs.override(configs.get("mnist_lstm_128"), TINY)
    many = SweepTrainer(config, problem.load(config, None, None), range(50), {})
    program = jax.jit(many._advance._jitted).lower(many.template(), np.int32(1), many.problem.train, many._keys, many._hyper)
    inputs = many.problem.train.inputs
    text = program.as_text()
    whole = "x".join(map(str, inputs.shape))
    assert f"tensor<{whole}xf32>" in text
    assert f"tensor<50x{whole}xf32>" not in text


def test_a_run_that_diverges_stops_alone(ended, tmp_path):
    big = ("--step-size", "0.6", "3e38")
    assert command(tmp_path, "--config", NAME, *SET, "--seeds", "0", "3", "--mu", "0.9", "0.3", *big) == 0
    folder = tmp_path / f"{NAME}-sweep"
    found, expected = ([line for line in lines(of) if line["cell"] == "momentum_lstm"] for of in (folder, ended))
    stopped = [line for line in found if line["step_size"] == 3e38]
    assert {line["kind"] for line in stopped} == {"diverged"}
    assert len(stopped) == 4
    assert all(line["epoch"] == 1 and 1 <= line["step"] <= 3 for line in stopped)
    others, undisturbed = ([line for line in of if line["step_size"] == 0.6] for of in (found, expected))
    assert len(others) == len(undisturbed) == 12
    for one, other in zip(others, undisturbed, strict=True):
        assert {k: v for k, v in one.items() if not isinstance(v, float)} == {
            k: v for k, v in other.items() if not isinstance(v, float)
        }
        np.testing.assert_allclose(
            [v for v in one.values() if isinstance(v, float)], [v for v in other.values() if isinstance(v, float)], **CLOSE
        )
    table = (folder / "results.md").read_text()
    assert table.count("2 of 2") == 2
    assert "Runs that diverged (NaN or infinity) are in no mean." in table


def test_a_run_stops_at_the_step_where_it_diverged():
    of = trainer_of("momentum_lstm")
    first = of.advance(of.start(), 1)
    params = jax.tree.map(lambda leaf: leaf.at[1].set(np.nan), first.params)
    after = of.advance(first._replace(stacked=first.stacked._replace(params=params)), 2)
    assert after.stacked.finite.tolist() == [True, False, *[True] * 6]
    later, undisturbed = of.advance(after, 3), of.advance(first, 3)
    assert later.done.tolist() == [3, 2, *[3] * 6]
    assert int(later.step) == 3
    for number, (one, other) in enumerate([(later, undisturbed), (later, after), *[(later, undisturbed)] * 6]):
        same = [np.array_equal(a[number], b[number], equal_nan=True) for a, b in zip(*map(leaves, (one, other)), strict=True)]
        assert all(same), number


def test_a_stopped_run_stands_still_even_if_its_numbers_are_finite():
    of = trainer_of("momentum_lstm")
    first = of.advance(of.start(), 1)
    stopped = first._replace(stacked=first.stacked._replace(finite=first.stacked.finite.at[1].set(False)))
    later, undisturbed = of.advance(stopped, 3), of.advance(first, 3)
    assert later.done.tolist() == [3, 1, *[3] * 6]
    for number in range(8):
        other = stopped if number == 1 else undisturbed
        assert all(np.array_equal(a[number], b[number]) for a, b in zip(leaves(later), leaves(other), strict=True)), number


def leaves(runs):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(runs._replace(stacked=runs.stacked._replace(step=())))]


def test_the_table_is_computed_from_the_metrics(ended):
    metrics = lines(ended)
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
            assert row["test"][name]["mean"] == pytest.approx(sum(values) / 2)
            assert row["test"][name]["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        by_seed = [[line for line in of_point if line["kind"] == "epoch" and line["seed"] == seed] for seed in SEEDS]
        best = [min(of, key=lambda line: line["validation_loss"]) for of in by_seed]
        assert [line["epoch"] for line in best] == [line["epoch"] for line in tests] == row["best_epoch"]
        validation[row["cell"], row["mu"], row["step_size"]] = sum(line["validation_loss"] for line in best) / 2
        text = next(
            line
            for line in markdown.splitlines()
            if line.startswith(f"| {row['cell']} ") and at(line) == list(point.values())[1:]
        )
        assert float(text.split("|")[4].split("±")[0]) == pytest.approx(row["test"]["loss"]["mean"], rel=0.02)
    for cell, values in found["chosen_by_validation"].items():
        assert min((key for key in validation if key[0] == cell), key=validation.get)[1:] == (values["mu"], values["step_size"])


def at(line):
    return [float(text) for text in line.split("|")[2:4]]


def test_the_best_epoch_may_be_an_early_one():
    epochs = [{"kind": "epoch", "epoch": epoch, "validation_loss": loss} for epoch, loss in ((1, 2.0), (2, 1.0), (3, 3.0))]
    of = {"cell": "c", "seed": 0, "mu": 0.5, "step_size": None}
    (row,) = results.rows([{**of, **line} for line in (*epochs, {"kind": "test", "epoch": 2, "test_loss": 7.0})])
    assert row == results.Row("c", 0.5, None, [0], [], [2], {"loss": [1.0]}, {"loss": [7.0]})


def row(mu, step_size, value, diverged=()):
    scores = {"accuracy": [value] if value is not None else []}
    return results.Row("c", mu, step_size, [0] if value is not None else [], list(diverged), [1], scores, scores)


def test_mu_grows_upwards_and_step_size_to_the_right():
    rows = [row(0.9, 0.1, 0.1), row(0.9, 1.0, 0.5), row(0.0, 0.1, 0.3), row(0.0, 1.0, None, [0])]
    figure = heat_map.draw("title", rows, "accuracy")
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
    assert {path.name for path in ended.iterdir()} == FILES | {"best-momentum_lstm.npz", "best-adam_lstm.npz"}
    config = json.loads((ended / "config.json").read_text())
    assert config["command"].startswith(f"python -m experiments.sweep --config {NAME} --set")
    assert config["training"]["mu"] == list(MU)
    assert config["training"]["configs"]["adam_lstm"]["step_size"] == 0.6
    assert config["cells"].keys() == {"momentum_lstm", "adam_lstm"}
    assert (ended / "heatmap.png").read_bytes().startswith(b"\x89PNG")
    kinds = [line["kind"] for line in lines(ended)]
    assert kinds == (["epoch"] * 16 + ["test"] * 8) * 2


def assert_same_end(folder, ended):
    for name in ("metrics.jsonl", "results.md", "results.json", "heatmap.png", "best-momentum_lstm.npz", "best-adam_lstm.npz"):
        assert (folder / name).read_bytes() == (ended / name).read_bytes(), name
    assert arrays(folder) == arrays(ended)
    assert {path.name for path in folder.iterdir()} == {path.name for path in ended.iterdir()}


def trainer_of(cell):
    runs = grid.make(NAME, COMMAND[3 : 3 + len(SET) - 1], [cell], SEEDS, MU, STEP_SIZE)
    return sweeps.SweepTrainer(runs.configs[cell], None, [run.seed for run in runs.runs(cell)], runs.hyper_parameters(cell))


@pytest.mark.parametrize(("cell", "step"), [("momentum_lstm", 4), ("adam_lstm", 3), ("adam_lstm", 1), ("momentum_lstm", 6)])
def test_a_signal_saves_and_the_sweep_goes_on_to_the_same_end(cell, step, ended, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)  # one step at a time
    with monkeypatch.context() as during:
        stop(during, trainer_of(cell), step)
        status = command(tmp_path, *COMMAND)
    folder = tmp_path / f"{NAME}-sweep"
    assert_refused(status, capsys, f"SIGTERM after step {step}; the same command goes on from {folder}", expected=143)
    assert checkpoint.read(folder).arrays["state/stacked/step"] == step
    assert command(tmp_path, *COMMAND) == 0
    assert_same_end(folder, ended)


@pytest.mark.parametrize("after", [7, 8, 14, 16, 17])
def test_a_full_disk_loses_nothing(after, ended, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as during:
        fill_disk(during, after)
        status = command(tmp_path, *COMMAND)
    assert_refused(status, capsys, "No space left on device")
    assert command(tmp_path, *COMMAND) == 0
    assert_same_end(tmp_path / f"{NAME}-sweep", ended)


def test_a_sweep_that_ended_says_so_and_another_grid_is_refused(ended, capsys):
    before = arrays(ended)
    assert command(ended.parent, *COMMAND) == 0
    printed = capsys.readouterr()
    assert "had ended before, nothing to do" in printed.out
    assert "| adam_lstm" in printed.out
    status = command(ended.parent, *COMMAND, "--mu", "0.1")
    message = "holds a run with another grid or config: mu is [0.9, 0.3] there and [0.9, 0.3, 0.1] here; give another --out"
    assert_refused(status, capsys, message)
    assert arrays(ended) == before


def test_the_separate_runs_can_be_trained_and_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cost, "estimate", estimate)
    monkeypatch.setattr(cost, "SECONDS", 0.01)
    few = ("--config", NAME, *SET, "--seeds", "0", "--mu", "0.9", "--step-size", "0.6")
    assert command(tmp_path, *few, "--compare") == 0
    printed = capsys.readouterr().out
    assert "momentum_lstm: separate runs (1) would take" in printed
    last = printed.splitlines()[-1]
    assert last.startswith("separate runs (1) took ")
    assert float(last.split("largest differences: loss ")[1].split()[0]) < 1e-5
    folder = tmp_path / f"{NAME}-sweep"
    metrics = lines(folder)
    metrics[0]["train_loss"] += 0.5
    assert "largest differences: loss 0.5 (train_loss of momentum_lstm-0-0.9-0.6, epoch 1" in cost.compare(
        grid.make(NAME, SET[1:], None, (0,), (0.9,), (0.6,)), folder, metrics, None, None, ""
    )


def test_the_command_runs_as_it_is(tmp_path):
    few = ("--config", "adding_lstm", *SET, "epochs=1", "--seeds", "0")
    running = process(tmp_path, tmp_path / "cache", *few, module="experiments.sweep")
    printed, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert "lstm: separate runs (1) would take " in printed
    found = json.loads((tmp_path / "adding_lstm-sweep" / "cost.json").read_text())
    assert found["separate_runs_estimated"][0]["steps"] > 0


def test_the_papers_ablation_is_one_option():
    options = sweep.parse(["--config", NAME, "--ablation"])
    assert (options.mu, options.step_size) == ([0.9, 0.6, 0.3, 0.1, 0.0], [0.1, 0.3, 0.6, 0.9, 1.0])
    runs = grid.make(NAME, [], None, None, options.mu, options.step_size).runs("momentum_lstm")
    assert len({(run.mu, run.step_size) for run in runs}) == 25


def test_what_is_not_given_is_the_configs_own():
    runs = grid.make("fsdd_momentum_lstm_158", ["seed=5"], ["momentum_lstm", "lstm", "rmsprop_lstm"], None, None, None)
    labels = [grid.label(run) for cell in runs.configs for run in runs.runs(cell)]
    assert labels == [
        {"cell": "momentum_lstm", "seed": 5, "mu": 0.3, "step_size": 0.1},
        {"cell": "lstm", "seed": 5, "mu": None, "step_size": None},
        {"cell": "rmsprop_lstm", "seed": 5, "mu": None, "step_size": 0.1},
    ]
    assert all(config.forget_bias == -4.0 for config in runs.configs.values())
    orthogonal = grid.make("pmnist_momentum_dtriv_170", [], ["momentum_dtriv", "dtriv", "momentum_lstm"], [1], None, None)
    assert [config.rebase_every for config in orthogonal.configs.values()] == [1, 1, None]


REFUSALS = {
    "an unknown config": (["--config", "mnist"], "no config is called 'mnist'"),
    "no config": ([], "the following arguments are required: --config"),
    "an unknown field": (["--config", NAME, "--set", "hiden=3"], "no field 'hiden'"),
    "averaged steps": (["--config", "ptb_lstm"], "averages its steps when it is stuck, which a sweep cannot: --set nonm"),
    "set twice": (["--config", NAME, "--set", "mu=0.9", "--mu", "0.5"], "--set mu=… and --mu exclude each other"),
    "no momentum": (["--config", "adding_rmsprop_lstm", "--mu", "0.5"], "--mu 0.5: mu is no argument of the cell 'rmsprop_lstm'"),
    "no drive": (["--config", "adding_lstm", "--step-size", "1"], "--step-size 1.0: step_size is no argument of the cell 'lstm'"),
    "not in one of the cells": (
        ["--config", NAME, "--mu", "0.5", "--cells", "momentum_lstm", "lstm"],
        "--mu 0.5: mu is no argument of the cell 'lstm'",
    ),
    "mu out of range": (["--config", NAME, "--mu", "0.5", "1"], "--mu 1.0: mu must be in [0, 1), got 1.0"),
    "a negative mu": (["--config", NAME, "--mu", "-0.5"], "--mu -0.5: mu must be in [0, 1), got -0.5"),
    "no step": (["--config", NAME, "--step-size", "0"], "--step-size 0.0: step_size must be in (0, inf), got 0.0"),
    "NaN": (["--config", NAME, "--mu", "nan"], "--mu nan: mu must be in [0, 1), got nan"),
    "no number": (["--config", NAME, "--mu", "x"], "argument --mu: invalid float value: 'x'"),
    "no seed": (["--config", NAME, "--seeds", "1.5"], "argument --seeds: invalid int value: '1.5'"),
    "a negative seed": (["--config", NAME, "--seeds", "-1"], "--seeds -1: seed must be an integer of at least 0, got -1"),
    "a seed too large": (["--config", NAME, "--seeds", "9" * 30], f"--seeds {'9' * 30}: "),
    "a seed twice": (["--config", NAME, "--seeds", "1", "2", "1"], "--seeds: 1 stands there twice"),
    "mu twice": (["--config", NAME, "--mu", "0", "0.0"], "--mu: 0.0 stands there twice"),
    "an unknown cell": (["--config", NAME, "--cells", "momentum"], "--cells momentum: must be one of adam_dtriv, "),
    "a cell in two places": (["--config", NAME, "--cells", "lstm", "--set", "cell=lstm"], "--set cell=… and --cells exclude"),
    "a grid beside the ablation": (
        ["--config", NAME, "--ablation", "--mu", "0.5"],
        "--ablation has its own values; leave --mu out",
    ),
    "an option of another cell": (
        ["--config", NAME, "--cells", "momentum_lstm", "adam_lstm", "--set", "beta=0.5"],
        "beta is no argument of the cell 'momentum_lstm'",
    ),
    "a source for nothing": (["--config", NAME, "--source", "x"], "--source x: the task 'adding' has no source"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweeps, "SweepTrainer", None)  # it never comes to that
    assert_refused(command(tmp_path / "out", *arguments), capsys, message)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_second_process_in_the_folder_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweeps, "SweepTrainer", None)  # it never comes to that
    folder = tmp_path / f"{NAME}-sweep"
    with files.lock(folder):
        assert_refused(command(tmp_path, "--config", NAME), capsys, f"another process is training in {folder}; wait for its end")
    assert not folder.exists()


def test_a_sweep_of_a_stored_dataset_shows_accuracies(tmp_path):
    assert command(tmp_path, "--config", "mnist_lstm_128", "--set", *TINY, "--seeds", "0", "1") == 0
    found = json.loads((tmp_path / "mnist_lstm_128-sweep" / "results.json").read_text())
    assert found["score"] == "accuracy"
    assert (found["rows"][0]["mu"], found["rows"][0]["seeds"]) == (None, [0, 1])
    assert "test accuracy (%)" in (tmp_path / "mnist_lstm_128-sweep" / "results.md").read_text()
