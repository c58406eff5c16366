"""Train the paper's most telling rows at their published size, within a budget: `python -m experiments.reference --minutes 60`.

It needs a GPU machine and the data: it times every row, says how long each would take, trains them one after the other for that
long, and writes the report. The same command goes on where the last one stopped.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments import command
from experiments.command import OneLineParser, Signals, StoppedError, a_path, add_out, as_typed, whole_number

MODULE = "experiments.reference"
ROWS = {
    "pmnist_lstm_256": "mnist",
    "pmnist_momentum_lstm_256": "mnist",
    "pmnist_adam_lstm_256": "mnist",
    "pmnist_rmsprop_lstm_256": "mnist",
    "pmnist_released_nesterov_lstm_256": "mnist",
    "fsdd_lstm_158": "spoken_digits",  # everybody may have it, unlike TIMIT
    "fsdd_momentum_lstm_158": "spoken_digits",
    "ptb_lstm": "ptb",
    "ptb_momentum_lstm": "ptb",
    "pmnist_dtriv_512": "mnist",
    "pmnist_momentum_dtriv_512": "mnist",
}
TIMED_STEPS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Time, train and report; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import configs, runs, tables, tasks
        from experiments.command import DivergedError, RunError
        from experiments.datasets import DataError
        from experiments.reporting import runs as finished
        from experiments.reporting import text

        signals.raise_at_once()
        over, typed = threading.Event(), as_typed(MODULE, arguments)

        def stop() -> None:
            over.set()
            os.kill(os.getpid(), signal.SIGTERM)

        timer = threading.Timer(60 * options.minutes, stop)
        timer.daemon = True
        timer.start()
        todo, rows = {}, [("row", "ms per step", "minutes per epoch", "hours for all epochs")]
        try:
            for name in options.rows or ROWS:
                load = partial(tasks.load, data_dir=options.data_dir, source=getattr(options, ROWS[name]))
                try:
                    per_step, per_epoch, whole = durations(name, load)
                except DataError as error:
                    print(f"{name} is left out: {error}", flush=True)
                    continue
                todo[name] = load
                rows.append((name, f"{1000 * per_step:.1f}", f"{per_epoch / 60:.2f}", f"{whole / 3600:.2f}"))
                print(f"{name}: {1000 * per_step:.1f} ms per step, {whole / 3600:.2f} h for all epochs", flush=True)
            if not todo:
                raise RunError("there is no data for any row; --help lists the flags")
            print(f"\n{tables.markdown(rows)}\n\nEvaluation is not in these times.\n", flush=True)
            for name, load in todo.items():
                config = configs.get(name)
                folder = options.out / f"{name}-seed{config.seed}"
                try:
                    outcome = runs.train(name, [config], folder, load, typed, signals)
                except DivergedError as error:
                    print(f"{name} diverged: {error}", flush=True)
                    continue
                print(f"{name} {'was already finished' if outcome.before else 'finished'}: {outcome.metrics[-1]}", flush=True)
        except StoppedError as error:
            if not over.is_set():
                raise
            print(f"The {options.minutes} minutes are over: {error}")
            signals.received, signals.wait = None, True
        finally:
            timer.cancel()
        try:
            found, _ = finished.find([options.out])
        except RunError as error:
            print(f"There is no report yet: {error}")
            return
        unfinished = [run for run in found if run.test is None]
        place = text.write(options.out, text.report(finished.group(found), unfinished, typed))
        print(f"Wrote {place / 'report.md'}; finished runs: {len(found) - len(unfinished)}, unfinished: {len(unfinished)}")

    return command.run(work)


def durations(name: str, load: object) -> tuple[float, float, float]:
    """Seconds of a training step of a row, of an epoch, and of all epochs, without evaluation."""
    import jax
    import numpy as np

    from experiments import configs, devices, runs, training

    config = configs.get(name)
    task, data = load(config)  # type: ignore[operator]
    mesh = devices.make_mesh(1, config.batch_size)
    program, settings = runs.program_of(config, task, mesh), devices.put(mesh, runs.settings_of([config], data))
    state = devices.put(mesh, jax.device_get(training.start(program, settings)))
    train = devices.put(mesh, data.train)
    state = jax.block_until_ready(training.advance(program, state, np.int32(1), train, settings))  # compiles
    began = time.perf_counter()
    last = min(1 + TIMED_STEPS, task.steps_per_epoch)
    jax.block_until_ready(training.advance(program, state, np.int32(last), train, settings))
    step = (time.perf_counter() - began) / max(1, last - 1)
    return step, step * task.steps_per_epoch, step * task.steps_per_epoch * config.epochs


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("--minutes", type=whole_number(1_000_000), required=True, help="stop after so many minutes")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), help="these rows, in this order (default: all)")
    parser.add_argument("--mnist", type=a_path, metavar="FOLDER", help="the folder of MNIST's four files; else a download")
    parser.add_argument("--spoken-digits", type=a_path, metavar="FILES", help="the Free Spoken Digits: their folder or archive")
    parser.add_argument("--ptb", type=a_path, metavar="FOLDER", help="your folder of the Penn Treebank")
    parser.add_argument(
        "--data-dir", type=a_path, default=Path(".cache/data"), help="where prepared data is kept (default: %(default)s)"
    )
    add_out(parser, "each run's folder NAME-seed0, and the report's,")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
