"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from experiments import record
from experiments.fit.errors import RunError


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


def check_writable(folder: Path) -> None:
    """Before data is read and programs are compiled, which can take minutes.

    Raises:
      RunError: nothing can be written there.
    """
    try:
        record.check_writable(folder)
    except OSError as error:
        raise RunError(f"--out {folder}: nothing can be written there: {error.strerror}") from error
