"""How gradients flow through the LSTM and its momentum variants as they learn: `python -m experiments.analyse`.

Trains each cell for a few epochs on the handwritten digits and analyses it before the first and after every one, and an RNN with
and without momentum. For parameters of your own: `momentum_rnn_jax.analysis.gradient_flow`.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from experiments import command
from experiments.command import OneLineParser, Signals, add_number, add_out, as_typed

MODULE = "experiments.analyse"
CELLS = ("LSTM", "MomentumLSTM", "AdamLSTM", "RMSPropLSTM", "SRLSTM")


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, write a run folder, print the tables; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)

    def work(signals: Signals) -> None:
        from experiments import flow, record

        signals.raise_at_once()
        start, typed = time.perf_counter(), as_typed(MODULE, arguments)
        folder = record.create_folder(options.out, "analysis-digits")
        cells = CELLS if options.cell is None else (options.cell,)
        sizes = options.epochs, options.hidden, options.examples
        with command.once(folder):
            text = flow.run(folder, cells, *sizes, typed, signals)
        print(f"{text}\nWrote {folder} in {time.perf_counter() - start:.0f} s")

    return command.run(work)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("--cell", choices=CELLS, help="only this cell (default: all, and an RNN with and without momentum)")
    add_out(parser, "the run's folder")
    add_number(parser, "epochs", 5, 10_000, "passes through the training split, with an analysis after each")
    add_number(parser, "hidden", 32, 1024, "hidden units of every cell")
    add_number(parser, "examples", 16, 270, "how many sequences of the validation split are analysed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
