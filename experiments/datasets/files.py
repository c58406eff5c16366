"""The user's files: read, checked and fetched; whatever is wrong with one is a `DataError` that names it."""

import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path

from experiments.datasets.common import DataError

TIMEOUT_SECONDS = 60


def directory(path: str | Path, holds: str) -> Path:
    """The path of a directory that exists; `holds` says what should be in it."""
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist; it should be a directory that holds {holds}.")
    if not path.is_dir():
        raise DataError(f"{path} is not a directory; it should be one that holds {holds}.")
    return path


def read(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    # A BadGzipFile is an OSError too.
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def fingerprint(parts: Iterable[str]) -> str:
    """Sixteen hex digits that stand for a sequence of strings."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def fingerprint_of_tree(root: Path, paths: Iterable[Path]) -> str:
    """A `fingerprint` of the names, below `root`, and the contents of files."""
    return fingerprint(part for path in paths for part in (path.relative_to(root).as_posix(), sha256(path)))


def download(url: str, path: Path, checksum: str) -> Path:
    """Fetch a file with that SHA-256, unless it is there already; it appears under its name only when it is whole.

    Raises:
      DataError: It cannot be fetched or written, or what came has another checksum.
    """
    if path.exists() and sha256(path) == checksum:
        return path
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
    except (OSError, EOFError) as error:  # urllib's own errors are OSErrors
        raise DataError(
            f"{url} cannot be downloaded ({error}); fetch it by hand and give its directory as the source."
        ) from error
    got = hashlib.sha256(content).hexdigest()
    if got != checksum:
        raise DataError(f"{url} has the wrong checksum: SHA-256 {got}, published is {checksum}; the download was thrown away.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error
    return path
