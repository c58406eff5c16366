"""Files that appear whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments import record
from experiments.fit.errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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

    Says nothing where files cannot be locked.

    Raises:
      RunError: another process is in here.
    """
    if fcntl is None:
        yield
        return
    path = folder.with_name(f".{folder.name}.lock")
    with contextlib.ExitStack() as held:
        while True:
            try:
                file = held.enter_context(path.open("w"))
            except OSError as error:
                raise RunError(f"{path} cannot be written: {error.strerror}") from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another process is training in {folder}; wait for its end, or give another --out") from error
            except OSError:  # some file systems have no locks
                break
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break  # else another process has just ended, and taken this file away
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Before data is read and programs are compiled, which can take minutes.

    Raises:
      RunError: nothing can be written there.
    """
    try:
        record.check_writable(folder)
    except OSError as error:
        raise RunError(f"--out {folder}: nothing can be written there: {error.strerror}") from error
