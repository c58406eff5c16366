"""One file that holds all there is to know of a run: its config, its state, its best parameters and its metrics so far."""

import dataclasses
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import models
from experiments.configs import Config
from experiments.fit import files, hosts
from experiments.fit.errors import RunError

NAME = "checkpoint.npz"
METRICS = "metrics.jsonl"
BEST = "best.npz"
TEXT = "progress"  # beside the arrays, the entry for everything else


@dataclasses.dataclass
class Progress:
    """What is known of a run besides its arrays; plain values for JSON.

    `config` and `origin` say what is run on which data; `metrics` are the lines of metrics.jsonl; `best` is the line of the best
    epoch, whose parameters are kept; `seconds` is the time spent in training, evaluation and compilation; `notes` is
    what else the kind of run must remember.
    """

    config: dict[str, Any]
    origin: dict[str, Any]
    metrics: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    finished: bool = False
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


class Saved(NamedTuple):
    """A checkpoint as it was read: the arrays, by name, find their places once the network is known."""

    path: Path
    progress: Progress
    arrays: dict[str, np.ndarray]


def save(folder: Path, progress: Progress, state: Any, best: models.Params) -> None:
    """Write the checkpoint, and then the files that are made from it.

    Raises:
      RunError: one of them cannot be written.
    """
    file = io.BytesIO()
    entries: dict[str, Any] = {TEXT: np.array(json.dumps(dataclasses.asdict(progress)))}
    arrays = jax.device_get(models.flat({"state": state, "best": best}))
    entries |= {name: array.astype(_stored(array.dtype)) for name, array in arrays.items()}
    np.savez(file, **entries)
    files.write(folder / NAME, file.getvalue())
    write_metrics(folder, progress)


def write_metrics(folder: Path, progress: Progress) -> None:
    """Write `metrics.jsonl` anew."""
    lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in progress.metrics)
    files.write(folder / METRICS, lines.encode())


def save_best(folder: Path, best: models.Params, name: str = BEST) -> None:
    """Write the best parameters by themselves, under the names of `models.flat`."""
    file = io.BytesIO()
    np.savez(file, **jax.device_get(models.flat(best)))
    files.write(folder / name, file.getvalue())


def read(folder: Path) -> Saved | None:
    """The checkpoint in a folder, or None if there is no such folder; for all processes, what the first one finds.

    Raises:
      RunError: the folder holds none, or one that is damaged.
    """
    path = folder / NAME
    with hosts.together():
        content = _content(path) if hosts.is_first() else None
    if not hosts.from_each(content is not None)[0]:
        return None
    try:
        with np.load(io.BytesIO(hosts.from_first(content or b""))) as entries:
            arrays = dict(entries)
        return Saved(path, Progress(**json.loads(str(arrays.pop(TEXT)))), arrays)
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _content(path: Path) -> bytes | None:
    try:
        if not path.parent.exists():
            return None
        if not path.exists():
            raise RunError(f"{path.parent} is in the way: it holds no {NAME}; move it, or give another --out")
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, error) from error


def restore(saved: Saved, state: Any) -> tuple[Any, models.Params]:
    """The state and the best parameters, arrays of this process; `state` says which shapes and dtypes they must have.

    Raises:
      RunError: they have others.
    """
    like = {"state": state, "best": state.params}
    expected = models.flat(like)
    wanted = {name: (array.shape, _stored(array.dtype)) for name, array in expected.items()}
    if {name: (array.shape, array.dtype) for name, array in saved.arrays.items()} != wanted:
        raise _damaged(saved.path, ValueError("its arrays are not those of this network"))
    leaves = [saved.arrays[name].astype(array.dtype) for name, array in expected.items()]
    tree = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return tree["state"], tree["best"]


def _stored(dtype: Any) -> np.dtype:
    """NumPy's files know no bfloat16; as float32 it is the same number."""
    return np.dtype(np.float32 if dtype == jax.numpy.bfloat16 else dtype)


def check_same(saved: Saved, name: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse to go on with another config, or on other data, than the checkpoint's.

    A field that is younger than the checkpoint counts as its default.

    Raises:
      RunError: they differ; the message says where.
    """
    here = json.loads(json.dumps(here))  # tuples are lists there
    defaults = Config.defaults()
    there = {key: defaults[field] for key in here if (field := key.rpartition(".")[2]) in defaults} | there
    differ = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if differ:
        key = differ[0]
        raise RunError(
            f"{saved.path.parent} holds a run with another {name}: {key} is {there.get(key)!r} there and {here.get(key)!r} here; "
            "give another --out"
        )


def _damaged(path: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RunError(f"{path} is damaged ({reason}); delete {path.parent} to begin again")
