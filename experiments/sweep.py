"""Train a named config over seeds, μ and step sizes at once: `python -m experiments.sweep --config=NAME --mu 0.6 0 --seeds 0 1`.

All runs of a cell are one compiled program. The same command started again goes on where the sweep was interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments import published
from experiments.command import OneLineParser, add_data, add_out, add_values, as_typed
from experiments.errors import CommandError
from experiments.fit import files
from experiments.sweeps import RESULTS, Outcome, cost, grid, sweep
from experiments.sweeps.grid import Grid

MODULE = "experiments.sweep"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all runs, print the table and what it cost; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    command = as_typed(MODULE, arguments)
    try:
        runs = grid.make(options.config, options.set, options.cells, options.seeds, options.mu, options.step_size)
        outcome = sweep(runs, options.out, options.data_dir, options.source, command)
        print((outcome.folder / f"{RESULTS}.md").read_text(encoding="utf-8"))
        print_cost(outcome, runs)
        if options.compare:
            metrics = outcome.progress.metrics
            print(cost.compare(runs, outcome.folder, metrics, options.data_dir, options.source, command))
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("error: stopped after the sweep had ended", file=sys.stderr)
        return 130
    return 0


def print_cost(outcome: Outcome, runs: Grid) -> None:
    """How long the sweep took, and how long separate runs would take."""
    seconds, compilation = outcome.progress.seconds, outcome.progress.notes["compile_seconds"]
    if outcome.problem is None:
        print(f"{outcome.folder} had ended before, nothing to do")
        return
    print(
        f"{outcome.folder} ended after {seconds:.1f} s in all, {seconds - compilation:.1f} s without the "
        f"{compilation:.1f} s of compilation"
    )
    estimates = []
    for cell in runs.configs:
        separate = runs.runs(cell)
        estimates.append(cost.estimate(separate[0], outcome.problem, len(separate)))
        print(estimates[-1])
    files.write(outcome.folder / "cost.json", cost.content(estimates, seconds, compilation))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("--config", metavar="NAME", required=True, help="as of `python -m experiments.train --list`")
    add_values(parser, "--set", str, "FIELD=VALUE", "replace values of the config for all runs, as in epochs=3", default=[])
    add_values(parser, "--seeds", int, "SEED", "a run for each")
    add_values(parser, "--mu", float, "MU", "a run for each momentum")
    add_values(parser, "--step-size", float, "S", "a run for each step size")
    parser.add_argument(
        "--ablation", action="store_true", help="the paper's: mu 0.9 0.6 0.3 0.1 0, each with step sizes 0.1 0.3 0.6 0.9 1"
    )
    add_values(parser, "--cells", str, "CELL", "all of it for each of these cells, as in momentum_lstm adam_lstm")
    parser.add_argument("--compare", action="store_true", help="also train every run by itself: how long it takes, how far it is")
    add_data(parser)
    add_out(parser, "the sweep's folder NAME-sweep")
    options = parser.parse_args(arguments)
    if options.ablation:
        for name, values in published.AXES.items():
            if getattr(options, name) is not None:
                parser.error(f"--ablation has its own values; leave --{name.replace('_', '-')} out")
            setattr(options, name, list(values))
    return options


if __name__ == "__main__":
    sys.exit(main())
