"""What all commands share: options, errors of one line, and signals. It imports nothing slow.

A command imports the rest inside `run`, which handles signals, so that Ctrl-C never ends in a traceback.
"""

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn


class CommandError(BaseException):
    """The message is one line for the user, and `status` the exit status; each kind is also an `Exception` or an interrupt."""

    status = 2


class RunError(CommandError, Exception):
    """The run cannot start or continue."""


class DivergedError(RunError):
    """The loss, a gradient or a parameter is NaN or infinite."""

    status = 1


class StoppedError(CommandError, KeyboardInterrupt):
    """A signal ended the command; the status is that of a process which the signal killed.

    It is not an `Exception`, so that no library catches it.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.status = 128 + signal_number


class Signals:
    """A context in which Ctrl-C and SIGTERM set `received`, or raise a `StoppedError` if `wait` is False."""

    def __init__(self) -> None:
        self.wait = True
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_at_once(self) -> None:
        """From now on, signals raise; called after the imports, which an exception would break, and before training."""
        self.wait = False
        if self.received is not None:
            self._stop()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not self.wait:
            self._stop()

    def _stop(self) -> NoReturn:
        assert self.received is not None
        raise StoppedError("stopped before the first step; the same command starts again", self.received)


def run(work: Callable[[Signals], None]) -> int:
    """Do a command's work and return its exit status; a `CommandError` is printed as one line.

    The work starts with its imports and then calls `raise_at_once`.
    """
    with Signals() as signals:
        try:
            work(signals)
        except CommandError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.status
        except Exception as error:
            if "RESOURCE_EXHAUSTED" not in str(error) and not isinstance(error, MemoryError):
                raise
            print("error: out of memory; make hidden_features, batch_size or the sequences smaller", file=sys.stderr)
            return CommandError.status
    return 0


@contextlib.contextmanager
def once(folder: Path) -> Iterator[None]:
    """For work that cannot be resumed: a signal's message names the folder with what had been done."""
    try:
        yield
    except StoppedError as error:
        raise StoppedError(f"stopped; what is finished is in {folder}", error.status - 128) from error


class OneLineParser(argparse.ArgumentParser):
    """The parser of `python -m MODULE`, whose errors are one line, without the usage in front, and exit status 2."""

    def __init__(self, module: str, description: str | None):
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def as_typed(module: str, arguments: Sequence[str]) -> str:
    """The command, quoted for a shell."""
    return shlex.join(["python", "-m", module, *arguments])


def whole_number(high: int) -> Callable[[str], int]:
    """A converter for whole numbers from 1 to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = 0
        if not 1 <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {high}, got {text!r}")
        return value

    return convert


def a_path(text: str) -> Path:
    """A converter for paths, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, got {text!r}")
    return Path(text)


def add_number(parser: OneLineParser, name: str, default: int, high: int, text: str) -> None:
    """The option `--name`, a whole number from 1 to `high`."""
    parser.add_argument(f"--{name}", type=whole_number(high), default=default, help=f"{text} (default: %(default)s)")


def add_values(parser: OneLineParser, name: str, kind: type, metavar: str, text: str, default: list[str] | None = None) -> None:
    """An option that takes one or more values, and may be repeated."""
    parser.add_argument(name, type=kind, metavar=metavar, nargs="+", action="extend", default=default, help=text)


def add_data(parser: OneLineParser) -> None:
    """The options `--data-dir` and `--source`."""
    parser.add_argument(
        "--data-dir", type=a_path, default=Path(".cache/data"), help="where prepared data is kept (default: %(default)s)"
    )
    parser.add_argument("--source", type=a_path, help="your files of the dataset, if it is not prepared yet")


def add_out(parser: OneLineParser, what: str) -> None:
    """The option `--out`: the parent of `what`."""
    parser.add_argument("--out", type=a_path, default=Path("runs"), help=f"where {what} is made (default: %(default)s)")
