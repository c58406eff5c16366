"""The LSTM, its control and its momentum variants on two small tasks: `python -m experiments.demo`.

Small handwritten digits read pixel by pixel, and slow signals under noise.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from experiments import command
from experiments.command import OneLineParser, Signals, add_number, add_out, as_typed

MODULE = "experiments.demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every cell on both tasks, write a run folder, print the tables; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import comparison, record

        signals.raise_at_once()
        start, typed = time.perf_counter(), as_typed(MODULE, arguments)
        folder = record.create_folder(options.out, "demo")
        with command.once(folder):
            text = comparison.run(folder, options.seeds, options.epochs, options.hidden, typed, signals)
        print(f"\n{text}\nWrote {folder} in {time.perf_counter() - start:.0f} s")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    number = command.whole_number
    add_out(parser, "the run's folder")
    add_number(parser, "seeds", 3, 100, "how many seeds are trained at once")
    parser.add_argument("--epochs", type=number(10_000), help="passes through the training split (default: the configs')")
    parser.add_argument("--hidden", type=number(1024), help="hidden units of every cell (default: the configs')")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
