"""The scores that runs are compared by, under the names that published numbers have too."""

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.configs import row
from experiments.configs.base import TASKS
from experiments.reporting.runs import Group, Run


class Score(NamedTuple):
    """A score: its name with its unit, how to get it from a finished run, and whether more is better."""

    title: str
    of: Callable[[Run], float]
    higher_is_better: bool

    def values(self, group: Group) -> list[float]:
        """One for each run."""
        return [self.of(run) for run in group.runs]


def of_task(task: str, run: Run) -> list[Score]:
    """The scores of a task's run; the first is the main one."""
    assert run.test is not None
    if TASKS[task].score == "perplexity":
        return [
            Score(row.PERPLEXITY, lambda run: _test(run)["test_perplexity"], False),
            Score(row.VALIDATION_PERPLEXITY, lambda run: run.epochs[_test(run)["epoch"] - 1]["validation_perplexity"], False),
        ]
    mean_of = row.MSE if TASKS[task].score == "squared error" else row.CROSS_ENTROPY
    loss = Score(mean_of, lambda run: _test(run)["test_loss"], False)
    if "test_accuracy" not in run.test:
        return [loss]
    accuracy = Score(row.ACCURACY, lambda run: 100 * _test(run)["test_accuracy"], True)
    return [accuracy, loss] if TASKS[task].score == "accuracy" else [loss, accuracy]


def _test(run: Run) -> dict[str, Any]:
    assert run.test is not None
    return run.test
