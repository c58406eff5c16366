"""The results of runs: a line of JSON for each, in a file for each task (one for all doses), which are committed."""

import json
from pathlib import Path
from typing import Any

from experiments import checkpoint
from experiments.command import RunError
from experiments.studies.momentum.tasks import TASKS

RESULTS = Path(__file__).parent / "results"


def path_of(task: str, folder: Path) -> Path:
    """The file with a task's records."""
    return folder / f"{task.partition('_')[0] if task.startswith('dose_') else task}.jsonl"


def read(task: str, folder: Path) -> list[dict[str, Any]]:
    """The records of a task, in the order in which their runs ended.

    Raises:
      RunError: the file is damaged.
    """
    path = path_of(task, folder)
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in lines if line["task"] == task]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def add(record: dict[str, Any], folder: Path) -> None:
    """Add a record to its task's file, atomically."""
    path = path_of(record["task"], folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.exists() else ""
    checkpoint.write(path, (before + json.dumps(record) + "\n").encode())


def of_arm(records: list[dict[str, Any]], arm: str, kind: str) -> dict[int, dict[str, Any]]:
    """An arm's records of a kind, "trial" or "run", by the trial or the seed."""
    return {
        record[kind if kind == "trial" else "seed"]: record
        for record in records
        if record["arm"] == arm and record["kind"] == kind
    }


def higher_is_better(task: str) -> bool:
    """Whether a task's score is an accuracy."""
    return TASKS[task].unit.startswith("accuracy")


def best_trial(trials: dict[int, dict[str, Any]], higher: bool) -> dict[str, Any]:
    """The trial with the best validation score at its best epoch; one that diverged counts as the worst.

    Raises:
      RunError: all diverged.
    """
    finite = [trial for trial in trials.values() if not trial["diverged"]]
    if not finite:
        raise RunError("every trial of an arm diverged")

    def best(trial: dict[str, Any]) -> float:
        return max(trial["validation"]) if higher else -min(trial["validation"])

    return max(finite, key=best)
