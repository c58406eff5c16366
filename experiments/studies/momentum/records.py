"""The results of runs: a line of JSON for each, in a file for each task (one for all doses), which are committed."""

import json
from pathlib import Path
from typing import Any

import filelock

from experiments import checkpoint
from experiments.command import RunError
from experiments.studies.momentum.tasks import DOSES

RESULTS = Path(__file__).parent / "results"


def path_of(task: str, folder: Path) -> Path:
    """The file with a task's records."""
    return folder / f"{'dose' if task in DOSES else task}.jsonl"


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
    """Add a record to its task's file, atomically and beside other processes.

    Raises:
      RunError: the run is there already, or the task's runs were made with other data.
    """
    path = path_of(record["task"], folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        for other in read(record["task"], folder):
            if all(other.get(key) == record.get(key) for key in ("arm", "kind", "seed", "values")):
                raise RunError(f"{path} has {record['arm']}, {record['kind']}, seed {record['seed']} already")
            if other.get("data", record.get("data")) != record.get("data"):
                raise RunError(f"{path} has runs with other data; give the same files")
        before = path.read_text() if path.exists() else ""
        checkpoint.write(path, (before + json.dumps(record) + "\n").encode())


def of_arm(records: list[dict[str, Any]], arm: str, kind: str) -> dict[int, dict[str, Any]]:
    """An arm's records of a kind, "trial" or "run", by the trial or the seed."""
    return {
        record[kind if kind == "trial" else "seed"]: record
        for record in records
        if record["arm"] == arm and record["kind"] == kind
    }


def best_trial(trials: dict[int, dict[str, Any]], higher: bool) -> dict[str, Any] | None:
    """The trial with the best validation score at its best epoch; one that diverged is never chosen. None if all diverged."""
    finite = [trial for trial in trials.values() if not trial["diverged"]]

    def best(trial: dict[str, Any]) -> float:
        return max(trial["validation"]) if higher else -min(trial["validation"])

    return max(finite, key=best, default=None)
