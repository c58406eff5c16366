"""Measure about how long each config takes, for --list: `python -m experiments.timing [NAMES…]`.

A few optimiser steps of each config are timed at its full size, on random data of the real shapes, and a look at the validation
split; the time of a whole run follows. Configs that are the same program on the same shapes are timed once. The file keeps what
it holds of other configs and other devices.
"""

import argparse
import dataclasses
import datetime
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import configs, record
from experiments.command import OneLineParser, add_number
from experiments.configs import CONFIGS, Config, ConfigError, durations
from experiments.configs.durations import Duration
from experiments.datasets import Dataset, Info, Split
from experiments.errors import CommandError
from experiments.fit import RunError, files, problem, trainer
from experiments.fit.problem import Problem
from experiments.fit.steps import Steps

MODULE = "experiments.timing"
ROUNDS = 3  # of steps, of which the median counts


class Sizes(NamedTuple):
    """A dataset's shapes: examples and steps of its train, validation and test splits."""

    kind: str
    examples: tuple[int, int, int]
    steps: tuple[int, int, int]
    in_features: int
    outputs: int


MNIST = Sizes("classify", (55_000, 5_000, 10_000), (784, 784, 784), 1, 10)
# What is not synthetic and not here cannot be timed. Splits are filled up to their longest recording, which on TIMIT is
# the one of 7.8 s in train; its other splits are taken to be as long.
SIZES = {
    "digits": Sizes("classify", (1257, 270, 270), (64, 64, 64), 1, 10),
    "mnist": MNIST,
    "permuted_mnist": MNIST,
    "timit": Sizes("regress", (3696, 400, 192), (489, 489, 489), 129, 129),
    "fsdd": Sizes("regress", (2400, 300, 300), (145, 85, 74), 129, 129),
}
# Tokens of the train, validation and test splits, and different ones. "text" may be any: a million characters here.
TEXTS = {"ptb": ((929_589, 73_760, 82_430), 10_000), "text": ((900_000, 50_000, 50_000), 65)}
# Fields that change numbers, and not the program of a step.
NUMBERS = ("mu", "step_size", "beta", "eps", "forget_bias", "input_scale", "learning_rate", "skew_learning_rate", "rmsprop_decay")
BEFORE = ("init_scheme", "skew_init", "permutation_seed", "seed", "epochs", "evaluate_every")  # or what is not in a step


def main(arguments: Sequence[str] | None = None) -> int:
    """Time configs and write the file; return the exit status."""
    options = parse(sys.argv[1:] if arguments is None else list(arguments))
    try:
        known = [name for name, entry in CONFIGS.items() if has_sizes(entry.config)]
        for name in options.names:
            if not has_sizes(configs.get(name)):
                raise ConfigError(f"the sizes of the task {CONFIGS[name].config.task!r}, of {name}, are not known")
        for name in [name for name in CONFIGS if name not in known and not options.names]:
            print(f"{name}: left out, the sizes of its task are not known")
        time_all(options.names or known, options.out, options.seconds)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    return 0


def time_all(names: Sequence[str], out: Path, seconds: int) -> None:
    """Time each program once and write each config's duration as soon as it is known."""
    try:
        found = durations.read(out)
        record.check_writable(out.parent)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"--out {out}: no file of durations is there, or none can be written") from error
    device = record.in_words(record.device())
    by_program: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        by_program.setdefault(program(CONFIGS[name].config), []).append(name)
    for same in by_program.values():
        timed = measure(CONFIGS[same[0]].config, seconds)
        for name in same:
            duration = timed.duration(CONFIGS[name].config)
            found.setdefault(device, {})[name] = duration
            print(f"{name}: {duration.text(device)}", flush=True)
        order = {name: number for number, name in enumerate(CONFIGS)}
        found[device] = dict(sorted(found[device].items(), key=lambda pair: order.get(pair[0], len(order))))
        files.write(out, durations.content(found).encode())


def has_sizes(config: Config) -> bool:
    """Whether stand-in data can be made for a config."""
    return config.task in problem.SYNTHETIC or config.task in SIZES or config.task in TEXTS


def program(config: Config) -> tuple[object, ...]:
    """What decides a step's program and shapes; the same for configs that need not be timed twice."""
    rest = {key: value for key, value in dataclasses.asdict(config).items() if key not in (*NUMBERS, *BEFORE, "task")}
    rest["clip_norm"] = config.clip_norm is None
    return (SIZES.get(config.task, config.task), *rest.items())


class Timed(NamedTuple):
    """The seconds of one optimiser step and of one minibatch's evaluation, and how many minibatches the splits have."""

    step: float
    steps_timed: int
    evaluation: float
    compilation: float
    steps_per_epoch: int
    validation_batches: int
    test_batches: int

    def duration(self, config: Config) -> Duration:
        """Of a whole run."""
        looks = -(-config.epochs // config.evaluate_every)
        seconds = (
            self.compilation
            + config.epochs * self.steps_per_epoch * self.step
            + (looks * self.validation_batches + self.test_batches) * self.evaluation
        )
        return Duration(
            minutes=_digits(seconds / 60),
            step_seconds=_digits(self.step),
            steps_timed=self.steps_timed,
            compile_seconds=_digits(self.compilation),
            commit=record.git_commit(),
            date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
            load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0,
        )


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def measure(config: Config, seconds: float) -> Timed:
    """Time a config's steps for about so long, after compilation, on one device."""
    small, steps_per_epoch, batches = stand_in(config)
    start = time.perf_counter()
    stepper = _Stepper(config, small)
    stepper.go_to(1)
    stepper.evaluate()
    first = time.perf_counter() - start
    start = time.perf_counter()
    stepper.go_to(2)
    one = time.perf_counter() - start
    count = min(max(1, int(seconds / ROUNDS / one)), (small.steps_per_epoch - 2) // ROUNDS)
    rounds = []
    for number in range(1, ROUNDS + 1):
        start = time.perf_counter()
        stepper.go_to(2 + number * count)
        rounds.append((time.perf_counter() - start) / count)
    step = statistics.median(rounds)
    start = time.perf_counter()
    stepper.evaluate()
    whole_split = time.perf_counter() - start
    evaluation = whole_split / _batches(len(small.validation.targets), config.evaluation_rows)
    return Timed(step, ROUNDS * count, evaluation, max(0.0, first - step - whole_split), steps_per_epoch, *batches)


class _Stepper:
    """A run on stand-in data; each method returns when its work is done."""

    def __init__(self, config: Config, small: Problem) -> None:
        steps, self._key, self._problem = Steps(config, small), jax.random.key(config.seed), small
        self._advance = jax.jit(steps.advance, compiler_options=trainer.COMPILER_OPTIONS)
        self._evaluate = jax.jit(steps.score_split, compiler_options=trainer.COMPILER_OPTIONS)
        self._state = jax.jit(steps.initial, compiler_options=trainer.COMPILER_OPTIONS)(self._key)

    def go_to(self, step: int) -> None:
        self._state = jax.block_until_ready(self._advance(self._state, np.int32(step), self._problem.train, self._key))
        if int(self._state.step) != step:
            raise RunError(f"step {int(self._state.step)} on random data is not finite: the time of more cannot be measured")

    def evaluate(self) -> None:
        jax.block_until_ready(self._evaluate(self._state.params, self._problem.validation))


def stand_in(config: Config) -> tuple[Problem, int, tuple[int, int]]:
    """Random data of the real shapes, two minibatches of each split; the steps of an epoch, and the batches of the others.

    The test split is taken to be as long as the validation split: it is looked at once.
    """
    if config.task in problem.SYNTHETIC:
        made = problem.generated(config)
        held_out = _batches(len(made.validation.targets), config.batch_size)
        return made, made.steps_per_epoch, (held_out, held_out)
    if config.task in TEXTS:
        return _stand_in_text(config)
    sizes, batch = SIZES[config.task], config.batch_size
    random = np.random.default_rng(0)
    train, validation = (_split(random, sizes, 2 * batch, steps) for steps in sizes.steps[:2])
    data = Dataset(train, validation, validation, Info("random", sizes.kind, sizes.outputs, {}))
    small = problem.stored(dataclasses.replace(config, steps_per_epoch=None), data)
    steps_per_epoch = config.steps_per_epoch or sizes.examples[0] // batch
    validation_batches, test_batches = (_batches(examples, batch) for examples in sizes.examples[1:])
    # The same two minibatches again and again: one behind the end of the data is the last one.
    return dataclasses.replace(small, steps_per_epoch=steps_per_epoch), steps_per_epoch, (validation_batches, test_batches)


def _stand_in_text(config: Config) -> tuple[Problem, int, tuple[int, int]]:
    """A text of the real length to train on, and two windows of each other split."""
    (train, *held_out), vocabulary = TEXTS[config.task]
    rows, bptt = config.evaluation_rows, config.bptt
    assert bptt is not None  # so says the config
    random = np.random.default_rng(0)
    streams = (random.integers(0, vocabulary, tokens + 1, np.int32) for tokens in (train, *[2 * rows * bptt] * 2))
    first, second, third = (Split(stream[:-1], stream[1:]) for stream in streams)
    made = problem.streamed(config, Dataset(first, second, third, Info("random", "language", vocabulary, {}, ())))
    validation, test = (-(-(tokens // rows) // bptt) for tokens in held_out)
    return made, made.steps_per_epoch, (validation, test)


def _split(random: np.random.Generator, sizes: Sizes, examples: int, steps: int) -> Split:
    inputs = random.uniform(size=(examples, steps, sizes.in_features)).astype(np.float32)
    if sizes.kind == "classify":
        return Split(inputs, random.integers(0, sizes.outputs, examples).astype(np.int32))
    targets = random.uniform(size=(examples, steps, sizes.outputs)).astype(np.float32)
    return Split(inputs, targets, np.full(examples, steps, np.int32))


def _batches(examples: int, batch_size: int) -> int:
    return -(-examples // min(batch_size, examples))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("names", metavar="NAMES", nargs="*", help="configs to time (default: all whose data has a known size)")
    parser.add_argument("--out", type=Path, default=durations.PATH, help="the file to write (default: %(default)s)")
    add_number(parser, "seconds", 10, 3600, "how long each program's steps are timed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
