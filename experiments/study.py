"""Run what is left of a registered study, or write its report: `python -m experiments.study momentum`.

Interrupted or killed, the same command goes on. Results are in the study's folder, a line for each run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import command
from experiments.command import OneLineParser, RunError, Signals, a_path, add_values, as_typed, whole_number

MODULE = "experiments.study"
STUDIES = ("momentum",)
MINUTES = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or report; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import checkpoint
        from experiments.studies.momentum import records, remaining, report, tasks
        from experiments.studies.momentum.arms import ARMS

        signals.raise_at_once()
        if options.report:
            print(report.write(options.results or records.RESULTS))
            return
        names = remaining.tasks_of(options.tasks)
        for arm in options.arms or ():
            if arm not in ARMS:
                raise RunError(f"--arms must be of {', '.join(ARMS)}, got {arm!r}")
        sources = tasks.Sources(options.data_dir, options.spoken_digits, options.mnist, options.text)
        folder, typed = options.results or records.RESULTS, as_typed(MODULE, arguments)
        todo = remaining.exploration(folder) if options.explore else remaining.queue(names, options.arms, folder)
        with checkpoint.lock(options.out / "-".join(options.tasks or ["all"])):
            done = remaining.run_all(todo, options.out, sources, folder, options.minutes, typed, signals)
        print("Nothing is left." if done else "The minutes are over; the same command goes on.")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("study", choices=STUDIES, help="which study")
    parser.add_argument("--report", action="store_true", help="write the report of the results that are there, and stop")
    parser.add_argument("--explore", action="store_true", help="what the report explores outside of the plan, and nothing else")
    add_values(parser, "--tasks", str, "TASK", "these tasks, in this order; dose stands for all of them (default: all)")
    add_values(parser, "--arms", str, "ARM", "these arms of each task, in this order (default: all)")
    parser.add_argument("--minutes", type=whole_number(MINUTES), help="begin no run after so many minutes")
    parser.add_argument("--spoken-digits", type=a_path, metavar="FILES", help="the Free Spoken Digits: their folder or archive")
    parser.add_argument("--mnist", type=a_path, metavar="FOLDER", help="the folder of MNIST's four files; else a download")
    parser.add_argument("--text", type=a_path, metavar="FILE", help="the text for the characters; else a generated one")
    parser.add_argument(
        "--data-dir", type=a_path, default=Path(".cache/data"), help="where prepared data is kept (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/study-momentum"), help="where runs are trained (default: %(default)s)"
    )
    parser.add_argument("--results", type=a_path, help="the folder of the results (default: the study's own, which is committed)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
