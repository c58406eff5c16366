"""What every command has alike: options whose errors are one line, whole numbers, and a run in a folder of its own."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from experiments import record


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


def add_number(parser: OneLineParser, name: str, default: int, high: int, text: str) -> None:
    """The option `--name`, a whole number from 1 to `high`."""
    parser.add_argument(f"--{name}", type=whole_number(high), default=default, help=f"{text} (default: %(default)s)")


def add_values(parser: OneLineParser, name: str, kind: type, metavar: str, text: str, default: list[str] | None = None) -> None:
    """An option that takes one value or more, and may be given again."""
    parser.add_argument(name, type=kind, metavar=metavar, nargs="+", action="extend", default=default, help=text)


def add_data(parser: OneLineParser) -> None:
    """The options `--data-dir` and `--source`."""
    parser.add_argument(
        "--data-dir", type=Path, default=Path(".cache/data"), help="where prepared data is kept (default: %(default)s)"
    )
    parser.add_argument("--source", type=Path, help="your files of the dataset, where it is not prepared yet")


def add_out(parser: OneLineParser, what: str) -> None:
    """The option `--out`: where `what` is made."""
    parser.add_argument("--out", type=Path, default=Path("runs"), help=f"where {what} is made (default: %(default)s)")


def run_in_folder(out: Path, name: str, run: Callable[[Path], None], interrupted: str) -> int:
    """Make a new folder `out/NAME-TIME` and let `run` fill it.

    Args:
      interrupted: what to say of the folder after Ctrl-C, with `{folder}` in the place of its path.

    Returns:
      The exit status: 0; 2 if the folder cannot be made, with a line that says why; 130 when it was interrupted.
    """
    try:
        folder = record.create_folder(out, name)
    except OSError as error:
        print(f"error: --out {out}: no run folder can be made there: {error.strerror}", file=sys.stderr)
        return 2
    try:
        run(folder)
    except KeyboardInterrupt:
        print(f"\nInterrupted; {interrupted.format(folder=folder)}", file=sys.stderr)
        return 130
    return 0
