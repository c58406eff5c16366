"""Train a named config: `python -m experiments.train --config=NAME`.

The same command continues an interrupted run.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from experiments import command
from experiments.command import OneLineParser, Signals, add_data, add_out, add_values, as_typed, whole_number

MODULE = "experiments.train"
MAX_PROCESSES = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a config, or list them all; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import configs, hosts, runs, tasks

        if options.list:
            print(listing())
            return
        signals.raise_at_once()
        if options.distributed or options.coordinator is not None:
            hosts.join(options.coordinator, options.num_processes, options.process_id)
        with hosts.together():
            config = configs.override(configs.get(options.config), options.set)
        outcome = runs.train(
            options.config,
            [config],
            options.out / f"{options.config}-seed{config.seed}",
            partial(tasks.load, data_dir=options.data_dir, source=options.source),
            as_typed(MODULE, arguments),
            signals,
            devices_per_process=options.devices,
            tensorboard=options.tensorboard,
        )
        if hosts.is_first():
            test = outcome.metrics[-1]
            scores = ", ".join(f"{k.removeprefix('test_')} {v:.6g}" for k, v in test.items() if k.startswith("test_"))
            ended = "was already finished" if outcome.before else f"finished after {outcome.seconds:.0f} s in total"
            print(f"{outcome.folder} {ended}: test {scores}, at epoch {test['epoch']}")

    return command.run(work)


def listing() -> str:
    """Every config: its name, what it is, and how long it takes if that was measured."""
    from experiments.configs import CONFIGS

    width = max(map(len, CONFIGS))
    return "\n".join(
        f"{name:{width}}  {row.what}{'' if row.time is None else f'; about {row.time} on 2 CPU cores'}"
        for name, row in CONFIGS.items()
    )


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
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="the address of process 0 of several with the same command")
    parser.add_argument("--num-processes", type=whole_number(MAX_PROCESSES), metavar="N", help="the number of processes")
    parser.add_argument("--process-id", type=int, metavar="I", help="the number of this process, from 0")
    parser.add_argument("--distributed", action="store_true", help="several processes, configured by the cluster")
    options = parser.parse_args(arguments)
    given = [options.coordinator, options.num_processes, options.process_id]
    if any(value is not None for value in given):
        if options.distributed:
            parser.error("--distributed excludes --coordinator, --num-processes and --process-id")
        if None in given:
            parser.error("--coordinator, --num-processes and --process-id must be given together")
        host, _, port = options.coordinator.rpartition(":")
        if not host or not port.isdecimal():
            parser.error(f"argument --coordinator: must be HOST:PORT, got {options.coordinator!r}")
        if not 0 <= options.process_id < options.num_processes:
            parser.error(f"argument --process-id: must be from 0 to {options.num_processes - 1}, got {options.process_id}")
    return options


def number_of_devices(text: str) -> int | None:
    """The value of `--devices`; None for all."""
    return None if text == "all" else whole_number(MAX_PROCESSES)(text)


if __name__ == "__main__":
    sys.exit(main())
