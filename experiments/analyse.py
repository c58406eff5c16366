"""How gradients flow through the LSTM and its momentum variants as they learn: `python -m experiments.analyse`.

Trains each cell for a few epochs on the handwritten digits and looks at it before the first and after every one, and at an RNN
with and without momentum; or looks at the parameters of one cell from a file.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import momentum_rnn_jax as mr
from experiments import flow_plots, metrics, models, parameters, record
from experiments.command import OneLineParser, add_number, add_out, as_typed, run_in_folder
from experiments.config import CELLS, Training, make_cell
from experiments.datasets import Dataset, digits
from experiments.trainer import Trainer
from momentum_rnn_jax.analysis import GradientFlow, gradient_flow

# The momentum RNN is compared with the RNN at these, in a core that forgets fast: its recurrent matrix is orthogonal, and halved.
MU, STEP_SIZE, RECURRENT_SCALE = 0.9, 0.1, 0.5

Observer = Callable[[models.Params, np.ndarray, np.ndarray | None], GradientFlow]


@dataclasses.dataclass(frozen=True)
class NotTrained:
    """What a run's `config.json` says in the place of a training recipe."""

    params: str
    hidden_features: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, write a run folder, print what was found; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    task = digits.load()
    loaded = None
    if options.params is not None:
        try:
            loaded = parameters.load(options.params, options.cell, task.train.inputs.shape[-1], task.info.outputs)
        except (OSError, ValueError) as error:
            print(f"error: --params {options.params}: {error}", file=sys.stderr)
            return 2
    command = as_typed("experiments.analyse", arguments)
    return run_in_folder(
        options.out, "analysis-digits", lambda folder: run(folder, command, options, task, loaded), "{folder} is not complete"
    )


def run(folder: Path, command: str, options: argparse.Namespace, task: Dataset, loaded: models.Params | None) -> None:
    """Look at every cell at every epoch, and fill the run folder."""
    start = time.perf_counter()
    hidden = options.hidden if loaded is None else len(loaded["head"]["kernel"])
    training = Training(hidden_features=hidden, seeds=1, epochs=options.epochs)
    cells = {name: make_cell(name, training) for name in ([options.cell] if options.cell else CELLS)}
    recipe = training if loaded is None else NotTrained(str(options.params), hidden)
    record.write_config(folder, command, {"name": "digits", **digits.SETTINGS}, recipe, cells)
    inputs, labels, _ = jax.tree.map(lambda leaf: leaf[: options.examples], task.validation)

    pair: dict[str, GradientFlow] = {}
    reports: dict[str, dict[int, GradientFlow]] = {}  # by cell and epoch, one report for each example, stacked
    looks = 1 if loaded else options.epochs + 1
    with tqdm(total=(options.cell is None) + looks * len(cells), mininterval=0.5, dynamic_ncols=True) as bar:
        if options.cell is None:  # who asks for one cell gets that one
            bar.set_description("RNN with and without momentum (compiling)")
            pair = with_and_without_momentum(hidden, inputs)
            bar.update()
        for name, cell in cells.items():
            bar.set_description(f"{name} (compiling)")
            look, reports[name] = observer(cell), {}
            for epoch, params in [(0, loaded)] if loaded else while_training(Trainer(cell, task, training), options.epochs):
                reports[name][epoch] = look(params, inputs, labels)
                bar.set_description(name, refresh=False)
                bar.update()
            parameters.save(folder / f"{name}.npz", params)

    found = {name: {epoch: median(report) for epoch, report in by_epoch.items()} for name, by_epoch in reports.items()}
    medians_of_pair = {name: median(report) for name, report in pair.items()}
    numbers = {
        "examples": len(labels),
        "cells": {name: {epoch: report.to_dict() for epoch, report in by_epoch.items()} for name, by_epoch in found.items()},
        "momentum": {name: report.to_dict() for name, report in medians_of_pair.items()},
    }
    (folder / "analysis.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    flow_plots.epochs(folder / "gradients.png", found)
    flow_plots.singular_values(folder / "singular_values.png", reports)
    flow_plots.cells(folder / "cells.png", {name: by_epoch[max(by_epoch)] for name, by_epoch in found.items()})
    if pair:
        flow_plots.momentum(folder / "momentum.png", medians_of_pair, MU, pair_title(hidden, len(labels)))
    for name, by_epoch in found.items():
        when = f"epoch {max(by_epoch)}" if loaded is None else str(options.params)
        print(f"\n## {name}, {when}: medians of {len(labels)} sequences\n\n{by_epoch[max(by_epoch)].table()}")
    print(f"Wrote {folder} in {time.perf_counter() - start:.0f} s")


def while_training(trainer: Trainer, epochs: int) -> Iterator[tuple[int, models.Params]]:
    """The parameters before the first epoch, numbered 0, and after every one."""
    state = trainer.start()
    for epoch in range(epochs + 1):
        if epoch:
            state, _ = trainer.epoch(state, epoch)
        yield epoch, jax.tree.map(lambda leaf: leaf[0], state.params)  # of the only seed


def observer(cell: mr.Cell) -> Observer:
    """A function from parameters, inputs and labels to the examples' reports, stacked: one compiled program, in float64.

    With None for the labels there is no loss, and no head is needed.
    """

    def one(params: models.Params, xs: jax.Array, label: Any) -> GradientFlow:
        def loss(hs: jax.Array) -> jax.Array:
            return metrics.cross_entropy(models.logits(params, hs[-1:]), label[jnp.newaxis])

        return gradient_flow(cell, params["cell"], xs, loss_fn=None if label is None else loss)

    batch = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))

    def look(params: models.Params, inputs: np.ndarray, labels: np.ndarray | None) -> GradientFlow:
        with jax.enable_x64(True):
            params, inputs = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, inputs))
            return jax.device_get(batch(params, inputs, labels))

    return look


def with_and_without_momentum(hidden: int, inputs: np.ndarray) -> dict[str, GradientFlow]:
    """The reports of an RNN and of a momentum RNN with the same parameters, both untrained."""
    cells = {"RNN": mr.rnn(hidden), "MomentumRNN": mr.momentum_rnn(hidden, mu=MU, step_size=STEP_SIZE)}
    params = cells["RNN"].init(jax.random.key(0), inputs.shape[-1])
    params["core"]["kernel"] *= RECURRENT_SCALE
    return {name: observer(cell)({"cell": params}, inputs, None) for name, cell in cells.items()}


def pair_title(hidden: int, examples: int) -> str:
    """What `with_and_without_momentum` looks at."""
    return (
        f"An untrained RNN with and without momentum, the same parameters: {hidden} units, U orthogonal times {RECURRENT_SCALE}; "
        f"μ = {MU}, step size {STEP_SIZE}; medians of {examples} sequences"
    )


def median(reports: GradientFlow) -> GradientFlow:
    """Of stacked reports, number by number."""
    return jax.tree.map(lambda leaf: np.median(leaf, axis=0), reports)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    default = {"epochs": 5, "hidden": Training().hidden_features}
    parser = OneLineParser("experiments.analyse", __doc__)
    parser.add_argument(
        "--cell", choices=CELLS, help="look at this cell alone (default: all, and an RNN with and without momentum)"
    )
    parser.add_argument("--params", type=Path, help="an .npz of --cell's parameters, as a run writes them; nothing is trained")
    add_out(parser, "the run's folder")
    add_number(parser, "epochs", default["epochs"], 10_000, "passes through the training split, with a look after each")
    add_number(parser, "hidden", default["hidden"], 1024, "hidden units of every cell")
    add_number(parser, "examples", 16, 270, "how many sequences of the validation split are looked at")
    options = parser.parse_args(arguments)
    if options.params is not None:
        if options.cell is None:
            parser.error("argument --params: needs --cell, to say whose parameters they are")
        for name in default:
            if any(argument.split("=")[0] == f"--{name}" for argument in arguments):
                parser.error(f"argument --{name}: does not go with --params, whose parameters are looked at as they are")
    return options


if __name__ == "__main__":
    sys.exit(main())
