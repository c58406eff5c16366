"""`python -m experiments.timing` and what --list says of it: durations by hand, and one tiny program timed."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments import configs, record, timing, train
from experiments.configs import CONFIGS, durations
from experiments.configs.durations import Duration
from experiments.datasets import Dataset, Info
from experiments.fit import problem, trainer, windows
from experiments.timing import SIZES, Sizes, Timed
from tests.train_command import status_of

DURATION = Duration(250.0, 0.2, 50, 9.0, "a" * 40, "2026-01-31", 0.5)
DEVICE = record.in_words(record.device())


def test_the_list_says_how_long_a_config_takes(tmp_path, capsys, monkeypatch):
    path = tmp_path / "durations.json"
    monkeypatch.setattr(durations, "PATH", path)
    found = {"2 CPU cores": {"adding_lstm": DURATION}, "A GPU": {"adding_lstm": DURATION._replace(minutes=12.3)}}
    path.write_text(durations.content(found))
    assert durations.read(path) == found
    assert train.main(["--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    expected = "about 4.2 hours on 2 CPU cores, from 50 steps timed; about 12 minutes on A GPU, from 50 steps timed"
    assert lines["adding_lstm"].endswith(f"no table: adding, T = 200; {expected}")
    assert not any(" about " in line for name, line in lines.items() if name != "adding_lstm")


def test_a_duration_is_the_sum_of_its_parts():
    timed = Timed(0.5, 30, 0.25, 10.0, steps_per_epoch=429, validation_batches=40, test_batches=79)
    config = dataclasses.replace(CONFIGS["mnist_lstm_128"].config, epochs=5, evaluate_every=2)
    # compilation; 5 epochs; looks at epochs 2, 4 and 5; the test
    seconds = 10.0 + 5 * 429 * 0.5 + 3 * 40 * 0.25 + 79 * 0.25
    found = timed.duration(config)
    assert found.minutes == pytest.approx(seconds / 60, rel=5e-3)
    assert (found.step_seconds, found.steps_timed, found.compile_seconds) == (0.5, 30, 10.0)


def test_the_same_program_is_timed_once():
    def same(first, second):
        return timing.program(CONFIGS[first].config) == timing.program(CONFIGS[second].config)

    assert same("mnist_momentum_lstm_256", "pmnist_momentum_lstm_256")  # mu and step size are numbers
    assert same("fsdd_lstm_158", "ablation_controls_fsdd_gain_and_forget_bias_158")
    assert not same("fsdd_lstm_158", "timit_lstm_158")
    assert not same("fsdd_lstm_158", "fsdd_lstm_120")
    assert not same("fsdd_lstm_158", "fsdd_momentum_lstm_158")
    assert not same("pmnist_dtriv_170", "pmnist_momentum_dtriv_170")
    clipped = dataclasses.replace(CONFIGS["fsdd_lstm_158"].config, clip_norm=1.0)
    assert timing.program(clipped) != timing.program(CONFIGS["fsdd_lstm_158"].config)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trainer, "COMPILER_OPTIONS", {"xla_backend_optimization_level": 0})
    with jax.numpy_dtype_promotion("standard"):  # which optax's optimisers rely on
        yield


TINY = Sizes("classify", (50, 9, 17), (6, 6, 6), 1, 10)


@pytest.fixture
def tiny(monkeypatch, quick):
    """One config of a size that is timed in no time, under two names."""
    monkeypatch.setitem(SIZES, "mnist", TINY)
    monkeypatch.setitem(SIZES, "permuted_mnist", TINY)
    for name in ("mnist_lstm_128", "pmnist_lstm_128"):
        config = configs.override(CONFIGS[name].config, ["hidden_features=3", "batch_size=4", "epochs=2"])
        monkeypatch.setitem(CONFIGS, name, CONFIGS[name]._replace(config=config))


def test_configs_are_timed_and_others_kept(tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "durations.json"
    out.write_text(durations.content({DEVICE: {"adding_lstm": DURATION}, "A GPU": {"mnist_lstm_128": DURATION}}))
    programs = []
    measure = timing.measure
    monkeypatch.setattr(timing, "measure", lambda config, seconds: programs.append(config) or measure(config, 0.01))
    assert timing.main(["pmnist_lstm_128", "mnist_lstm_128", "--out", str(out)]) == 0
    assert len(programs) == 1
    found = durations.read(out)
    assert found["A GPU"] == {"mnist_lstm_128": DURATION}
    assert list(found[DEVICE]) == ["mnist_lstm_128", "pmnist_lstm_128", "adding_lstm"]
    assert found[DEVICE]["adding_lstm"] == DURATION
    timed = found[DEVICE]["mnist_lstm_128"]
    assert timed == found[DEVICE]["pmnist_lstm_128"]
    assert timed.steps_timed % timing.ROUNDS == 0
    assert 3 <= timed.steps_timed <= 10  # 12 steps in an epoch, two of which come before
    assert timed.step_seconds > 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(": about ")[0] for line in printed] == ["pmnist_lstm_128", "mnist_lstm_128"]


def test_a_stand_in_has_the_steps_of_the_real_data(tiny):
    small, steps_per_epoch, batches = timing.stand_in(CONFIGS["mnist_lstm_128"].config)
    assert (steps_per_epoch, batches) == (12, (3, 5))
    assert small.train.inputs.shape == (8, 6, 1)
    plan = small.plan(small.train, jax.random.key(0))
    last = small.batch(small.train, plan, np.int32(11))
    assert last.inputs.shape == (4, 6, 1)


def test_a_stand_in_for_a_text_has_its_windows():
    config = CONFIGS["text_lstm"].config
    small, steps_per_epoch, batches = timing.stand_in(config)
    assert steps_per_epoch == len(windows.draw_lengths(900_000 // 32, 64))
    assert batches == (79, 79)  # windows of 64 in rows of 5000
    assert len(small.validation.targets) == 2 * 10


def test_sizes_have_the_shapes_of_the_datasets():
    """What the loop would find: the same number of minibatches from data of those sizes."""
    for name in ("digits_lstm", "mnist_lstm_128", "fsdd_lstm_84", "timit_lstm_84"):
        config = CONFIGS[name].config
        sizes = SIZES[config.task]
        short = sizes._replace(steps=(1, 1, 1), in_features=1, outputs=2)
        splits = (timing._split(np.random.default_rng(0), short, examples, 1) for examples in sizes.examples)
        whole = problem.stored(config, Dataset(*splits, Info("random", sizes.kind, 2, {})))
        assert whole.steps_per_epoch == timing.stand_in(config)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "no config is called 'mnist'"),
        (["mnist_lstm_128"], "the sizes of the task 'mnist', of mnist_lstm_128, are not known"),
        (["adding_lstm", "--out", "FILE"], "FILE: no file of durations is there, or none can be written"),
        (["adding_lstm", "--seconds", "0"], "argument --seconds: must be a whole number from 1 to 3600, got '0'"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(SIZES, "mnist")
    file = tmp_path / "durations.json"
    file.write_text(json.dumps({"2 CPU cores": {"adding_lstm": {"minutes": 3}}}))
    before = file.read_text()
    assert status_of(timing.main, *(file if argument == "FILE" else argument for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message.replace("FILE", str(file)) in printed.err
    assert file.read_text() == before
