"""What every command has alike: options and errors of one line, and signals. It imports nothing that takes long.

A command's main program imports the rest once `run` listens to signals, so that Ctrl-C has no traceback in any moment.
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
    """The run cannot start or go on."""


class DivergedError(RunError):
    """The loss, a gradient or a parameter is NaN or infinite."""

    status = 1


class StoppedError(CommandError, KeyboardInterrupt):
    """A signal asked for the end; the status is that of a process which the signal ended.

    No `Exception`, so that no library takes it for one of its own errors.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.status = 128 + signal_number


class Signals:
    """A context in which Ctrl-C and SIGTERM leave their number in `received`, or, with `wait` unset, raise a `StoppedError`."""

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
        """Imports, which do not survive an exception, are over, and training has not begun: nothing is lost by it."""
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
    """Do a command's work, listening to signals; its exit status. What it has to say to the user is one line.

    The work begins with its imports; then it calls `raise_at_once`.
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
            print("error: there is not enough memory; make hidden_features, batch_size or the sequences smaller", file=sys.stderr)
            return CommandError.status
    return 0


@contextlib.contextmanager
def once(folder: Path) -> Iterator[None]:
    """What is stopped in here is not gone on with: the same command makes another folder."""
    try:
        yield
    except StoppedError as error:
        raise StoppedError(f"stopped; what had ended by then is in {folder}", error.status - 128) from error


class OneLineParser(argparse.ArgumentParser):
    """The parser of `python -m MODULE`, whose errors are one line, without the usage in front, and exit status 2."""

    def __init__(self, module: str, description: str | None):
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def as_typed(module: str, arguments: Sequence[str]) -> str:
    """The command as it can be typed into a shell again."""
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
    """A converter for paths, which are not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, got {text!r}")
    return Path(text)


def add_number(parser: OneLineParser, name: str, default: int, high: int, text: str) -> None:
    """The option `--name`, a whole number from 1 to `high`."""
    parser.add_argument(f"--{name}", type=whole_number(high), default=default, help=f"{text} (default: %(default)s)")


def add_values(parser: OneLineParser, name: str, kind: type, metavar: str, text: str, default: list[str] | None = None) -> None:
    """An option that takes one value or more, and may be given again."""
    parser.add_argument(name, type=kind, metavar=metavar, nargs="+", action="extend", default=default, help=text)


def add_data(parser: OneLineParser) -> None:
    """The options `--data-dir` and `--source`."""
    parser.add_argument(
        "--data-dir", type=a_path, default=Path(".cache/data"), help="where prepared data is kept (default: %(default)s)"
    )
    parser.add_argument("--source", type=a_path, help="your files of the dataset, where it is not prepared yet")


def add_out(parser: OneLineParser, what: str) -> None:
    """The option `--out`: where `what` is made."""
    parser.add_argument("--out", type=a_path, default=Path("runs"), help=f"where {what} is made (default: %(default)s)")
