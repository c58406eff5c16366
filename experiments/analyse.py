"""How gradients flow through the LSTM and its momentum variants as they learn: `python -m experiments.analyse`.

Trains each cell for a few epochs on the handwritten digits and looks at it before the first and after every one, and at an RNN
with and without momentum; or looks at the parameters of one cell from a file.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from experiments import command
from experiments.command import OneLineParser, Signals, a_path, add_number, add_out, as_typed

MODULE = "experiments.analyse"
CELLS = ("LSTM", "MomentumLSTM", "AdamLSTM", "RMSPropLSTM", "SRLSTM")
DEFAULTS = {"epochs": 5, "hidden": 32}


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, write a run folder, print what was found; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import flow, record

        signals.raise_at_once()
        start, typed = time.perf_counter(), as_typed(MODULE, arguments)
        loaded = None if options.params is None else flow.load_params(options.params, options.cell)
        folder = record.create_folder(options.out, "analysis-digits")
        cells = CELLS if options.cell is None else (options.cell,)
        sizes = options.epochs, options.hidden, options.examples
        with command.once(folder):
            text = flow.run(folder, cells, *sizes, loaded, options.params, typed, signals)
        print(f"{text}\nWrote {folder} in {time.perf_counter() - start:.0f} s")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument(
        "--cell", choices=CELLS, help="look at this cell alone (default: all, and an RNN with and without momentum)"
    )
    parser.add_argument("--params", type=a_path, help="an .npz of --cell's parameters, as a run writes them; nothing is trained")
    add_out(parser, "the run's folder")
    add_number(parser, "epochs", DEFAULTS["epochs"], 10_000, "passes through the training split, with a look after each")
    add_number(parser, "hidden", DEFAULTS["hidden"], 1024, "hidden units of every cell")
    add_number(parser, "examples", 16, 270, "how many sequences of the validation split are looked at")
    options = parser.parse_args(arguments)
    if options.params is not None:
        if options.cell is None:
            parser.error("argument --params: needs --cell, to say whose parameters they are")
        for name in DEFAULTS:
            if any(argument.split("=")[0] == f"--{name}" for argument in arguments):
                parser.error(f"argument --{name}: does not go with --params, whose parameters are looked at as they are")
    return options


if __name__ == "__main__":
    sys.exit(main())
