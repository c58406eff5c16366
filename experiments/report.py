"""Report on training runs: `python -m experiments.report RUNS…` writes tables and figures, published numbers beside measured."""

import argparse
import sys
from collections.abc import Sequence

from experiments import command
from experiments.command import OneLineParser, Signals, a_path, add_out, as_typed

MODULE = "experiments.report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, write the report, print its path; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments.reporting import runs, text

        signals.raise_at_once()
        found, others = runs.find(options.runs)
        unfinished = [run for run in found if run.test is None]
        folder = text.write(options.out, text.report(runs.group(found), unfinished, as_typed(MODULE, arguments)))
        if others:
            print(f"Skipped, not single runs of experiments.train: {', '.join(map(str, others))}")
        print(f"Wrote {folder / 'report.md'}; finished runs: {len(found) - len(unfinished)}, unfinished: {len(unfinished)}")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("runs", metavar="RUNS", type=a_path, nargs="+", help="the folder of a run, or one that contains some")
    add_out(parser, "the report's folder")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
