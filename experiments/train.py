"""Train a named config: `python -m experiments.train --config=NAME`.

The same command started again goes on where the run was interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments import configs
from experiments.command import OneLineParser, add_data, add_out, add_values, as_typed, whole_number
from experiments.configs import CONFIGS, durations
from experiments.errors import CommandError
from experiments.fit import Outcome, fit, hosts
from experiments.fit.signals import Signals

MODULE = "experiments.train"
MAX_PROCESSES = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a config, or list them all; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    if options.list:
        print(listing())
        return 0
    try:
        if options.distributed or options.coordinator is not None:
            with Signals():
                hosts.join(options.coordinator, options.num_processes, options.process_id)
        with hosts.together():
            config = configs.override(configs.get(options.config), options.set)
        outcome = fit(
            options.config,
            config,
            options.out,
            options.data_dir,
            options.source,
            as_typed(MODULE, arguments),
            devices=options.devices,
            tensorboard=options.tensorboard,
        )
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    if hosts.is_first():
        print(summary(outcome))
    return 0


def listing() -> str:
    """Every config: its name, what it reproduces, and how long it takes where that was measured."""
    width, measured = max(map(len, CONFIGS)), durations.texts()
    return "\n".join(
        f"{name:{width}}  {'; '.join([entry.reproduces, *measured.get(name, [])])}" for name, entry in CONFIGS.items()
    )


def summary(outcome: Outcome) -> str:
    """What came out, in a line."""
    means = {key.removeprefix("test_"): value for key, value in outcome.test.items() if key.startswith("test_")}
    scores = ", ".join(f"{name} {value:.6g}" for name, value in means.items())
    ended = "had ended before, nothing to do" if outcome.before else f"ended after {outcome.seconds:.0f} s in all"
    return f"{outcome.folder} {ended}: test {scores}, at epoch {outcome.test['epoch']}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config", metavar="NAME", help="the config to train; --list prints them all")
    which.add_argument("--list", action="store_true", help="print every config's name and what it reproduces, and stop")
    add_values(parser, "--set", str, "FIELD=VALUE", "replace values of the config, as in seed=1", default=[])
    add_data(parser)
    add_out(parser, "the run's folder NAME-seedSEED")
    parser.add_argument(
        "--devices",
        type=number_of_devices,
        default=1,
        metavar="N",
        help="how many devices share each minibatch, of each process; or all (default: %(default)s)",
    )
    parser.add_argument("--tensorboard", action="store_true", help="write an event file into the run's folder too")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 of several, with the same command, is met")
    parser.add_argument("--num-processes", type=whole_number(MAX_PROCESSES), metavar="N", help="how many there are")
    parser.add_argument("--process-id", type=int, metavar="I", help="which one this is, from 0")
    parser.add_argument("--distributed", action="store_true", help="several processes, as the cluster says")
    options = parser.parse_args(arguments)
    check_processes(parser, options)
    return options


def number_of_devices(text: str) -> int | None:
    """The value of `--devices`; None for all."""
    return None if text == "all" else whole_number(MAX_PROCESSES)(text)


def check_processes(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Refuse options for several processes that do not go together."""
    given = [options.coordinator, options.num_processes, options.process_id]
    if any(value is not None for value in given):
        if options.distributed:
            parser.error("--distributed asks the cluster for what --coordinator, --num-processes and --process-id say")
        if None in given:
            parser.error("--coordinator, --num-processes and --process-id go together")
        host, _, port = options.coordinator.rpartition(":")
        if not host or not port.isdecimal():
            parser.error(f"argument --coordinator: must be HOST:PORT, got {options.coordinator!r}")
        if not 0 <= options.process_id < options.num_processes:
            parser.error(f"argument --process-id: must be from 0 to {options.num_processes - 1}, got {options.process_id}")


if __name__ == "__main__":
    sys.exit(main())
