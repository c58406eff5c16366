"""Report on training runs: `python -m experiments.report RUNS…` writes tables and figures, published beside measured."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import record
from experiments.command import OneLineParser, add_out, as_typed
from experiments.errors import CommandError
from experiments.reporting import curves, runs, text, words
from experiments.reporting.errors import ReportError

MODULE = "experiments.report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, write the report, say where it is; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    try:
        found, others = runs.find(options.runs)
        groups = runs.group(found)
        published = [] if options.curves is None else curves.read(options.curves)
        unfinished = [run for run in found if run.test is None]
        folder = write(options.out, text.report(groups, unfinished, published, as_typed(MODULE, arguments)))
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    if others:
        print(f"Passed over, being runs of other commands: {', '.join(map(str, others))}")
    print(f"Wrote {folder / 'report.md'} on {words.count(len(found) - len(unfinished), 'run')} and {len(unfinished)} unfinished")
    return 0


def write(out: Path, report: text.Report) -> Path:
    """Write a report to a new folder `out/report-TIME`, whole or not at all, and return the folder.

    Raises:
      ReportError: nothing can be written there.
    """
    folder = None
    try:
        folder = record.create_folder(out, "report")
        for name, picture in report.figures.items():
            (folder / name).write_bytes(picture)
        (folder / "report.md").write_text(report.text, encoding="utf-8")
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise ReportError(f"--out {out}: the report cannot be written there: {error.strerror}") from error
    return folder


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("runs", metavar="RUNS", type=Path, nargs="+", help="a run's folder, or one that holds such folders")
    parser.add_argument("--curves", type=Path, help="a CSV file of published loss curves, to be drawn beside the measured ones")
    add_out(parser, "the report's folder")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
