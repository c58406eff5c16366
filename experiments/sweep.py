"""Train a named config over seeds, μ and step sizes at once: `python -m experiments.sweep --config=NAME --mu 0.6 0 --seeds 0 1`.

All runs of a cell are one compiled program. The same command continues an interrupted sweep.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from experiments import command
from experiments.command import OneLineParser, Signals, add_data, add_out, add_values, as_typed

MODULE = "experiments.sweep"
ABLATION = {"mu": [0.9, 0.6, 0.3, 0.1, 0.0], "step_size": [0.1, 0.3, 0.6, 0.9, 1.0]}  # the paper's


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all runs and print the table; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import grid, runs, tasks

        signals.raise_at_once()
        cells = grid.make(options.config, options.set, options.cells, options.seeds, options.mu, options.step_size)
        folder, typed = options.out / f"{options.config}-sweep", as_typed(MODULE, arguments)
        load = partial(tasks.load, data_dir=options.data_dir, source=options.source)
        outcomes = {
            cell: runs.train(f"{options.config} {cell}", configs, folder / cell, load, typed, signals)
            for cell, configs in cells.items()
        }
        print(grid.write(folder, options.config, cells, {cell: outcome.metrics for cell, outcome in outcomes.items()}))
        if all(outcome.before for outcome in outcomes.values()):
            print(f"{folder} was already finished")
        else:
            print(f"{folder} finished after {sum(outcome.seconds for outcome in outcomes.values()):.0f} s in total")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("--config", metavar="NAME", required=True, help="one of `python -m experiments.train --list`")
    add_values(parser, "--set", str, "FIELD=VALUE", "replace values of the config for all runs, as in epochs=3", default=[])
    add_values(parser, "--seeds", int, "SEED", "a run for each")
    add_values(parser, "--mu", float, "MU", "a run for each momentum")
    add_values(parser, "--step-size", float, "S", "a run for each step size")
    parser.add_argument(
        "--ablation", action="store_true", help="the paper's: mu 0.9 0.6 0.3 0.1 0, each with step sizes 0.1 0.3 0.6 0.9 1"
    )
    add_values(parser, "--cells", str, "CELL", "all runs for each of these cells, as in momentum_lstm adam_lstm")
    add_data(parser)
    add_out(parser, "the sweep's folder NAME-sweep")
    options = parser.parse_args(arguments)
    if options.ablation:
        for name, values in ABLATION.items():
            if getattr(options, name) is not None:
                parser.error(f"--ablation excludes --{name.replace('_', '-')}")
            setattr(options, name, values)
    return options


if __name__ == "__main__":
    sys.exit(main())
