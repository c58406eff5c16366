"""What the tests of `python -m experiments.train` share: tiny stand-ins for datasets, a tiny config, the command itself."""

import contextlib
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

from experiments import configs, fit, train
from experiments.datasets import Dataset, Info, Split
from experiments.fit import files, meshes, problem, trainer

ROOT = pathlib.Path(__file__).parent.parent
TINY = ("hidden_features=4", "epochs=2", "batch_size=4", "steps_per_epoch=2")
TINY_SYNTHETIC = (*TINY, "length=3", "held_out=5")
TINY_LANGUAGE = (*TINY, "layers=2", "embedding_features=3", "bptt=5", "evaluation_batch_size=2")
NAME = "adding_momentum_lstm"
FILES = {"checkpoint.npz", "metrics.jsonl", "best.npz", "config.json"}
COMMAND = ("--config", NAME, "--set", *TINY_SYNTHETIC, "epochs=3", "steps_per_epoch=4")


def sizes(name):
    """What makes a named config train in no time."""
    config = configs.get(name)
    return TINY_SYNTHETIC if config.length else TINY_LANGUAGE if config.layers else TINY


def tiny(name):
    """A named config of such a size."""
    return configs.override(configs.get(name), sizes(name))


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
    if "mnist" in name or name == "digits":
        return Dataset(images(9), images(5), images(5), Info(name, "classify", 10, {"source": "random"}))
    return Dataset(speech(9), speech(5), speech(5), Info(name, "regress", 129, {"source": "random"}))


@functools.cache
def quick_trainer(config):
    """Compiled once for all tests, and as quickly as can be."""
    return trainer.Trainer(config, problem.load(config, pathlib.Path(), None), meshes.make(1, config.batch_size))


@contextlib.contextmanager
def quick_programs():
    """Tiny data, shared compiled programs, and optax's optimisers, which rely on JAX's standard promotion."""
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(problem.datasets, "load", stand_in)
        patch.setattr(trainer, "COMPILER_OPTIONS", {"xla_backend_optimization_level": 0})
        patch.setattr(fit, "Trainer", lambda config, loaded, mesh: quick_trainer(config))
        yield


@pytest.fixture
def quick():
    with quick_programs():
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


def stop(monkeypatch, trainer, step, number=signal.SIGTERM):
    """A signal comes during that step."""
    advance = trainer.advance

    def signalled(state, until):
        state = advance(state, until)
        if int(state.step) == step:
            os.kill(os.getpid(), number)
        return state

    monkeypatch.setattr(trainer, "advance", signalled)


def fill_disk(monkeypatch, after):
    """From the given write on, the disk is full."""
    sync, count = os.fsync, [0]

    def full(descriptor):
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)


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
        return {name: file[name].tobytes() for name in file.files if name != "progress"}
