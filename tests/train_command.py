"""What the tests of `python -m experiments.train` share: tiny stand-ins for datasets, a tiny config, the command itself."""

import contextlib
import dataclasses
import errno
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments import checkpoint, configs, devices, loop, runs, tasks, train, training
from experiments.configs.base import Language, Memory
from experiments.datasets import Dataset, Info, Split

ROOT = pathlib.Path(__file__).parent.parent
TINY = ("hidden_features=4", "epochs=2", "batch_size=4", "steps_per_epoch=2")
TINY_SYNTHETIC = (*TINY, "length=3", "held_out=5")
TINY_LANGUAGE = (*TINY, "layers=2", "embedding_features=3", "bptt=5", "evaluation_batch_size=2")
NAME = "adding_momentum_lstm"
FILES = {"checkpoint.npz", "metrics.jsonl", "best.npz", "config.json"}


def changed(assignments, *others):
    """Assignments with others in the place of those of the same fields."""
    values = dict(one.split("=", 1) for one in (*assignments, *others))
    return tuple(f"{name}={value}" for name, value in values.items())


SET = changed(TINY_SYNTHETIC, "epochs=3", "steps_per_epoch=4")
COMMAND = ("--config", NAME, "--set", *SET)


def sizes(name):
    """What makes a named config train in no time."""
    config = configs.get(name)
    return TINY_SYNTHETIC if isinstance(config, Memory) else TINY_LANGUAGE if isinstance(config, Language) else TINY


def tiny(name, **values):
    """A named config of such a size."""
    return dataclasses.replace(configs.override(configs.get(name), sizes(name)), **values)


def stand_in(name, *paths, **options):
    """Random data of a dataset's kind, in the place of `datasets.load`."""
    random = np.random.default_rng(0)

    def images(examples):
        return Split(random.uniform(size=(examples, 6, 1)).astype(np.float32), random.integers(0, 10, examples).astype(np.int32))

    def speech(examples):
        frames = random.normal(size=(examples, 6, 129)).astype(np.float32)
        return Split(frames[:, :-1], frames[:, 1:], random.integers(1, 6, examples).astype(np.int32))

    def text(tokens):
        ids = random.integers(0, 7, tokens + 1).astype(np.int32)
        return Split(ids[:-1], ids[1:])

    if name in ("ptb", "text"):
        return Dataset(text(90), text(21), text(16), Info(name, "language", 7, {"source": "random"}, tuple("abcdefg")))
    if name == "moving":
        frames = [random.uniform(size=(examples, 6, 16, 16, 1)).astype(np.float32) for examples in (9, 5, 5)]
        classes = [random.integers(0, 10, len(part)).astype(np.int32) for part in frames]
        if options["predict"] == "class":
            return Dataset(*map(Split, frames, classes), Info(name, "classify", 10, {"source": "random"}))
        return Dataset(*map(Split, frames, frames), Info(name, "frames", 1, {"source": "random"}))
    if name in ("mnist", "digits", "drifts", "trajectories"):
        return Dataset(images(9), images(5), images(5), Info(name, "classify", 10, {"source": "random"}))
    return Dataset(speech(9), speech(5), speech(5), Info(name, "regress", 129, {"source": "random"}))


class Runs:
    """Some runs of a config side by side; one, unless seeds are given."""

    def __init__(self, config, seeds=None, **hyper):
        self.configs = [dataclasses.replace(config, seed=seed) for seed in seeds or [config.seed]]
        for name, values in hyper.items():
            self.configs = [dataclasses.replace(run, **{name: value}) for run, value in zip(self.configs, values, strict=True)]
        self.task, self.data = tasks.load(config, None, None)
        self.program = runs.program_of(config, self.task, devices.make_mesh(1, config.batch_size))
        self.settings = devices.put(self.program.mesh, runs.settings_of(self.configs, self.data))
        self.train, self.validation, self.test = devices.put(self.program.mesh, self.data[:3])

    def start(self):
        return training.start(self.program, self.settings)

    def advance(self, state, until):
        return training.advance(self.program, state, np.int32(until), self.train, self.settings)

    def evaluate(self, params, split):
        found = training.evaluate(self.program, params, split, self.settings)
        return {name: np.asarray(mean).tolist() for name, mean in found.items()}

    @property
    def setting(self):
        """The first run's."""
        return jax.tree.map(lambda leaf: leaf[0], self.settings)

    @property
    def model(self):
        """The first run's."""
        return self.program.model(self.setting)


def first(tree):
    """The first run's part."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


@functools.cache
def quick_runs(config):
    """A single run; its data is loaded once for all tests."""
    return Runs(config)


@contextlib.contextmanager
def quick_data():
    """Tiny data, and optax's optimisers, which rely on JAX's standard promotion."""
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(tasks.datasets, "load", stand_in)
        yield


@pytest.fixture
def quick():
    with quick_data():
        yield


def status_of(command, *arguments):
    """What a command, its `main`, ends with in this process."""
    try:
        return command([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def main(out, *arguments):
    """The command in this process: its exit status."""
    return status_of(train.main, *arguments, "--out", out)


def assert_refused(status, capsys, message, expected=2):
    printed = capsys.readouterr()
    last = printed.err.splitlines(keepends=True)[-1]
    assert status == expected, printed.err
    assert message in last
    assert last.startswith("error: ")
    assert "Traceback" not in printed.err
    assert printed.out == ""


def stop(monkeypatch, step, number=signal.SIGTERM, after=0):
    """A signal comes during that step, of the program after so many others that come to it; one step at a time."""
    advance, count = training.advance, [after]

    def signalled(program, state, *rest):
        state = advance(program, state, *rest)
        if int(state.step) == step:
            if not count[0]:
                os.kill(os.getpid(), number)
            count[0] -= 1
        return state

    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(training, "advance", signalled)


def fill_disk(monkeypatch, after):
    """From the given write on, the disk is full."""
    sync, count = os.fsync, [0]

    def full(descriptor):
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", full)


def process(out, cache, *arguments, module="experiments.train", devices=1):
    """The command in a process of its own; all of them share their compiled programs."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-W", "error", "-m", module, *arguments, "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def lines(folder):
    """A run's metrics."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def arrays(folder):
    """The arrays of a run's checkpoint, as bytes."""
    with np.load(folder / "checkpoint.npz") as file:
        return {name: file[name].tobytes() for name in file.files if name not in ("progress", "checksum")}


def visible(folder):
    """The names in a folder, but for locks, which stay."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))
