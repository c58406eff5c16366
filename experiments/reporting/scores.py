"""What a run is judged by: scores of the test, each under the name that published numbers have too."""

import math
from collections.abc import Callable
from typing import NamedTuple

from experiments import published
from experiments.reporting.runs import Group, Run

SQUARED_ERROR = ("timit", "fsdd", "adding")  # the loss of the others is in nats
BY_ACCURACY = ("mnist", "permuted_mnist")
LANGUAGE = ("ptb", "text")  # scored by perplexity, e to the loss per token


class Score(NamedTuple):
    """A score: its name with its unit, how to get it from a run that ended, and whether more is better."""

    title: str
    of: Callable[[Run], float]
    higher_is_better: bool

    def values(self, group: Group) -> list[float]:
        """One for each run."""
        return [self.of(run) for run in group.runs]


def of_task(task: str, run: Run) -> list[Score]:
    """The scores that a run of the task has; the first is the one that counts."""
    assert run.test is not None
    loss = Score(published.MSE if task in SQUARED_ERROR else published.CROSS_ENTROPY, _test("test_loss"), False)
    accuracy = Score(published.ACCURACY, lambda run: 100 * _test("test_accuracy")(run), True)
    perplexity = Score(published.PERPLEXITY, lambda run: math.exp(_test("test_loss")(run)), False)
    validation = Score(published.VALIDATION_PERPLEXITY, _validation_perplexity, False)
    if task in LANGUAGE:
        return [perplexity, validation]
    if "test_accuracy" not in run.test:
        return [loss]
    return [accuracy, loss] if task in BY_ACCURACY else [loss, accuracy]


def _test(metric: str) -> Callable[[Run], float]:
    def value(run: Run) -> float:
        assert run.test is not None
        return run.test[metric]

    return value


def _validation_perplexity(run: Run) -> float:
    assert run.test is not None
    return math.exp(run.epochs[run.test["epoch"] - 1]["validation_loss"])
