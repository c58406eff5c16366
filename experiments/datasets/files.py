"""The user's files: reading, checksums and downloads; every failure is a `DataError` that names the file."""

import contextlib
import gzip
import hashlib
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.datasets.common import DataError

TIMEOUT_SECONDS = 60


def directory(path: Path, holds: str) -> Path:
    """The path of a directory that exists; `holds` says what it should contain."""
    if not path.exists():
        raise DataError(f"{path} does not exist; it should be a directory with {holds}.")
    if not path.is_dir():
        raise DataError(f"{path} is not a directory; it should be one with {holds}.")
    return path


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:  # a BadGzipFile is an OSError too
        raise DataError(f"{path} is truncated or damaged: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def read(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    with _reading(path):
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_tree(root: Path, paths: Iterable[Path]) -> str:
    """A SHA-256 of the names, relative to `root`, and the contents of files."""
    parts = (part for path in paths for part in (path.relative_to(root).as_posix(), sha256(path)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def download(url: str, path: Path, checksum: str) -> None:
    """Download a file with that SHA-256.

    Raises:
      DataError: the download fails, or has another checksum.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
        path.write_bytes(content)
    except (OSError, EOFError) as error:  # urllib's own errors are OSErrors
        raise DataError(f"{url} cannot be downloaded ({error}); download it by hand and give its folder as source.") from error
    if (got := hashlib.sha256(content).hexdigest()) != checksum:
        raise DataError(f"{url} has the wrong checksum: SHA-256 {got}, published is {checksum}.")
