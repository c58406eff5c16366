"""How gradients flow through cells: reports of `momentum_rnn_jax.analysis` during training on the digits."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import momentum_rnn_jax as mr
from experiments import checkpoint, flow_plots, record, runs, tasks
from experiments.command import Signals
from experiments.comparison import CELLS
from experiments.configs import demo
from experiments.configs.base import Config
from experiments.datasets import digits
from experiments.networks import Network, Params
from momentum_rnn_jax.analysis import GradientFlow, gradient_flow

# Of the comparison of a momentum RNN with an RNN, in a core that forgets fast: its recurrent matrix is orthogonal, times 0.5.
MU, STEP_SIZE, RECURRENT_SCALE = 0.9, 0.1, 0.5
CLASSES = 10

Observer = Callable[[Params, np.ndarray, np.ndarray | None], GradientFlow]


def config_of(name: str, **changes: Any) -> Config:
    """The demo's config of that cell."""
    cell = next(key for key, title in CELLS.items() if title == name)
    return dataclasses.replace(demo.ROWS[f"digits_{cell}"].config, **changes)


def run(folder: Path, names: Sequence[str], epochs: int, hidden: int, examples: int, command: str, signals: Signals) -> str:
    """Train every cell, analyse it before the first epoch and after each, and fill the run folder; return the tables.

    Raises:
      RunError, StoppedError: as `runs.train`.
    """
    configs = {name: config_of(name, hidden_features=hidden, epochs=epochs) for name in names}
    cells = {name: config.make_cell() for name, config in configs.items()}
    training = {"epochs": epochs, "hidden_features": hidden}
    text = record.config_of(command, {"name": "digits", **digits.SETTINGS}, training, cells)
    checkpoint.write(folder / checkpoint.CONFIG, text.encode())
    inputs, labels, _ = jax.tree.map(lambda leaf: leaf[:examples], digits.load().validation)
    pair = with_and_without_momentum(hidden, inputs) if len(names) != 1 else {}
    reports: dict[str, dict[int, GradientFlow]] = {}  # by cell and epoch; a report's leading axis is the examples
    for name, config in configs.items():
        look, found = observer(cells[name]), reports.setdefault(name, {})
        last: dict[str, Params] = {}

        def observe(epoch: int, params: Params, look: Any = look, found: Any = found, last: Any = last) -> None:
            last["params"] = jax.tree.map(lambda leaf: np.asarray(leaf)[0], params)
            found[epoch] = look(last["params"], inputs, labels)

        runs.train(name, [config], folder / "runs" / name, tasks.load, command, signals, observe=observe)
        checkpoint.save_params(folder / f"{name}.npz", last["params"])
    return write(folder, reports, pair, pair_title(hidden, examples), examples)


def write(
    folder: Path, reports: dict[str, dict[int, GradientFlow]], pair: dict[str, GradientFlow], title: str, examples: int
) -> str:
    """Write the numbers and the figures; return the tables."""
    found = {name: {epoch: median(report) for epoch, report in by_epoch.items()} for name, by_epoch in reports.items()}
    medians_of_pair = {name: median(report) for name, report in pair.items()}
    numbers = {
        "examples": examples,
        "cells": {name: {epoch: report.to_dict() for epoch, report in by_epoch.items()} for name, by_epoch in found.items()},
        "momentum": {name: report.to_dict() for name, report in medians_of_pair.items()},
    }
    checkpoint.write(folder / "analysis.json", (json.dumps(numbers) + "\n").encode())
    flow_plots.epochs(folder / "gradients.png", found)
    flow_plots.singular_values(folder / "singular_values.png", reports)
    flow_plots.cells(folder / "cells.png", {name: by_epoch[max(by_epoch)] for name, by_epoch in found.items()})
    if pair:
        flow_plots.momentum(folder / "momentum.png", medians_of_pair, MU, title)
    return "\n".join(
        f"\n## {name}, epoch {max(by_epoch)}: medians of {examples} sequences\n\n{by_epoch[max(by_epoch)].table()}"
        for name, by_epoch in found.items()
    )


def observer(cell: mr.Cell) -> Observer:
    """A function from parameters, inputs and labels to the stacked reports of the examples, compiled, in float64.

    Without labels (None) there is no loss, and no head is needed.
    """

    def one(params: Params, xs: jax.Array, label: Any) -> GradientFlow:
        def loss(hs: jax.Array) -> jax.Array:
            network = Network(cell, 1, CLASSES, every_step=False, dtype=hs.dtype)
            return optax.softmax_cross_entropy_with_integer_labels(network.read(params, hs[-1]), label)

        return gradient_flow(cell, params["cell"], xs, loss_fn=None if label is None else loss)

    batch = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))

    def look(params: Params, inputs: np.ndarray, labels: np.ndarray | None) -> GradientFlow:
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
    """The title of the figure of `with_and_without_momentum`."""
    return (
        f"An untrained RNN with and without momentum, the same parameters: {hidden} units, U orthogonal times {RECURRENT_SCALE}; "
        f"μ = {MU}, step size {STEP_SIZE}; medians of {examples} sequences"
    )


def median(reports: GradientFlow) -> GradientFlow:
    """The median of stacked reports, number by number."""
    return jax.tree.map(lambda leaf: np.median(leaf, axis=0), reports)
