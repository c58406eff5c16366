"""A run's folder: files that appear whole or not at all, and one that holds all there is to know of the run.

Checkpoints are NumPy archives and not Orbax's: one file that is replaced whole is never half there, is read without pickle and
with errors of one line, and takes 0.02 s to write for an LSTM of 158 units. Orbax 0.12 writes 13
files in 0.06 s, and says in pages of traceback what is wrong with them.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments import hosts, record
from experiments.command import RunError
from experiments.networks import flat

NAME, METRICS, CONFIG, BEST = "checkpoint.npz", "metrics.jsonl", "config.json", "best.npz"
TEXT, CHECKSUM = "progress", "checksum"  # beside the arrays, the entries for everything else and for what all of them must be


@dataclasses.dataclass
class Progress:
    """What is known of a run besides its arrays; plain values for JSON.

    `config`, `runs` and `origin` say what is run on which data, `metrics` are the lines of metrics.jsonl, and `seconds` is the
    time spent in training, evaluation and compilation.
    """

    config: dict[str, Any]
    runs: list[dict[str, Any]]
    origin: dict[str, Any]
    metrics: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def save(folder: Path, progress: Progress, arrays: Any) -> None:
    """Write the checkpoint, and then the metrics, which follow from it.

    Raises:
      RunError: one of them cannot be written.
    """
    entries = {name: array.astype(_stored(array.dtype)) for name, array in jax.device_get(flat(arrays)).items()}
    entries[TEXT] = np.array(json.dumps(dataclasses.asdict(progress), allow_nan=False))
    write(folder / NAME, _archive({**entries, CHECKSUM: np.array(_checksum(entries))}))
    write_metrics(folder, progress)


def write_metrics(folder: Path, progress: Progress) -> None:
    """Write `metrics.jsonl` anew."""
    write(folder / METRICS, "".join(json.dumps(line, allow_nan=False) + "\n" for line in progress.metrics).encode())


def save_params(path: Path, params: Any) -> None:
    """Write parameters by themselves, under the names of `networks.flat`."""
    write(path, _archive(jax.device_get(flat(params))))


def _archive(entries: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **entries)
    return file.getvalue()


def _checksum(entries: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(entries.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def read(folder: Path) -> tuple[Progress, dict[str, np.ndarray]] | None:
    """What is in a folder, or None if there is no such folder. The first process reads; others get the progress and no arrays.

    Raises:
      RunError: the folder holds no checkpoint, or one that is damaged.
    """
    found: list[Any] = [None, {}]

    def work() -> None:
        if folder.exists():
            found[0], found[1] = _read(folder / NAME)

    hosts.on_first(work)
    progress = hosts.from_each(found[0] and dataclasses.asdict(found[0]))[0]
    return None if progress is None else (Progress(**progress), found[1])


def _read(path: Path) -> tuple[Progress, dict[str, np.ndarray]]:
    if not path.exists():
        raise RunError(f"{path.parent} is in the way: it holds no {NAME}; move it, or give another --out")
    try:
        with path.open("rb") as file, np.load(file) as entries:
            arrays = dict(entries)
        if str(arrays.pop(CHECKSUM)) != _checksum(arrays):
            raise ValueError("its checksum is not that of its content")
        return Progress(**json.loads(str(arrays.pop(TEXT)))), arrays
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def restore(folder: Path, arrays: dict[str, np.ndarray], like: Any) -> Any:
    """The tree of arrays that was saved; `like` says which shapes and dtypes they must have.

    Raises:
      RunError: they have others.
    """
    expected, tree = flat(like), like

    def work() -> None:
        nonlocal tree
        wanted = {name: (array.shape, _stored(array.dtype)) for name, array in expected.items()}
        if {name: (array.shape, array.dtype) for name, array in arrays.items()} != wanted:
            raise _damaged(folder / NAME, ValueError("its arrays are not those of this network"))
        leaves = [arrays[name].astype(array.dtype) for name, array in expected.items()]
        tree = jax.tree.unflatten(jax.tree.structure(like), leaves)

    hosts.on_first(work)
    if jax.process_count() == 1:
        return tree
    mine = tree if hosts.is_first() else jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return multihost_utils.broadcast_one_to_all(mine)


def _stored(dtype: Any) -> np.dtype:
    """NumPy's files know no bfloat16; as float32 it is the same number."""
    return np.dtype(np.float32 if dtype == jax.numpy.bfloat16 else dtype)


def check_same(folder: Path, name: str, there: Any, here: Any) -> None:
    """Refuse to go on with another config, or on other data, than the checkpoint's.

    Raises:
      RunError: they differ; the message says where.
    """
    here = json.loads(json.dumps(here))  # tuples are lists there
    if there == here:
        return
    text = f"is {there!r} there and {here!r} here"
    if isinstance(there, dict):
        key = next(key for key in {**there, **here} if there.get(key) != here.get(key))
        text = f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
    raise RunError(f"{folder} holds a run with another {name}: {text}; give another --out")


def _damaged(path: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RunError(f"{path} is damaged ({reason}); delete {path.parent} to begin again")


def write(path: Path, content: bytes) -> None:
    """Write a file; whatever happens, the path holds what it held before, or all of the content.

    Raises:
      RunError: it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def create_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that holds what `fill` writes into it; it appears only when that is done.

    Raises:
      RunError: it cannot be written.
    """
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)  # of a run that was killed here
    try:
        new.mkdir(parents=True)
        fill(new)
        os.rename(new, folder)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """No other process may be in here for that folder; it need not exist yet. A process that is killed leaves its lock at once.

    Raises:
      RunError: another process is in here, or nothing can be written.
    """
    try:
        record.check_writable(folder.parent)  # before data is read and programs are compiled, which can take minutes
    except OSError as error:
        raise RunError(f"--out {folder.parent}: nothing can be written there: {error.strerror}") from error
    try:
        held = filelock.FileLock(folder.with_name(f".{folder.name}.lock"), blocking=False)
        held.acquire()
    except filelock.Timeout as error:
        raise RunError(f"another process is training in {folder}; wait for its end, or give another --out") from error
    with held:
        held.release()  # `with` holds it once more
        yield


def is_finite(scores: dict[str, float]) -> bool:
    """Whether all are numbers that JSON knows."""
    return all(math.isfinite(score) for score in scores.values())
