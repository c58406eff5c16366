"""Firing rates from spikes: momentum cells beside the Neural Data Transformer: `python -m experiments.neural`.

Tries six settings of each rate model (two of the control), trains the best one with every seed, and writes a table and a figure.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from experiments.command import OneLineParser, Signals, StoppedError, a_path, add_number, as_typed, run, whole_number

MODULE = "experiments.neural"
MODELS = ("ndt", "momentum", "control", "delayed", "plain", "smoothed", "regression", "smoother")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit all, write the folder, print the table; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import checkpoint
        from experiments.neural import study

        signals.raise_at_once()
        start, folder = time.perf_counter(), options.out
        names = tuple(name for name in MODELS if name in options.models)
        chosen = study.Options(options.data, names, options.seeds, options.epochs, options.conditions)
        try:
            with checkpoint.lock(folder):
                text = study.run(folder, chosen, as_typed(MODULE, arguments), lambda line: print(line, flush=True))
        except StoppedError as error:
            raise StoppedError(
                f"stopped; run the same command to resume after the last finished fit in {folder}", error.status - 128
            ) from error
        print(f"\n{text}\n\nWrote {folder} in {time.perf_counter() - start:.0f} s")

    return run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument(
        "--out",
        type=a_path,
        required=True,
        help="the run's folder; a run with the same options is resumed, also with other models",
    )
    parser.add_argument("--data", choices=("chaotic", "lorenz"), default="chaotic", help="the population (default: %(default)s)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="which models (default: all)")
    add_number(parser, "seeds", 3, 100, "how many seeds the best setting is trained with")
    add_number(parser, "epochs", 16, 10_000, "passes through the training trials")
    parser.add_argument(
        "--conditions", type=whole_number(1000), help="how many initial states the data has (default: 130; lorenz: 65)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
