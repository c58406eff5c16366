"""How gradients flow through cells: reports of `momentum_rnn_jax.analysis` before, during and after training on the digits."""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import momentum_rnn_jax as mr
from experiments import checkpoint, flow_plots, record, runs
from experiments.command import RunError, Signals
from experiments.comparison import CELLS
from experiments.configs import demo
from experiments.configs.base import Config
from experiments.datasets import digits
from experiments.networks import Network, Params, flat
from momentum_rnn_jax.analysis import GradientFlow, gradient_flow

# The momentum RNN is compared with the RNN at these, in a core that forgets fast: its recurrent matrix is orthogonal, and halved.
MU, STEP_SIZE, RECURRENT_SCALE = 0.9, 0.1, 0.5
CLASSES = 10

Observer = Callable[[Params, np.ndarray, np.ndarray | None], GradientFlow]


def config_of(name: str, **changes: Any) -> Config:
    """The demo's config of that cell."""
    cell = next(key for key, title in CELLS.items() if title == name)
    return dataclasses.replace(demo.ROWS[f"digits_{cell}"].config, **changes)


def run(
    folder: Path,
    names: Sequence[str],
    epochs: int,
    hidden: int,
    examples: int,
    loaded: Params | None,
    params_path: Path | None,
    command: str,
    signals: Signals,
) -> str:
    """Look at every cell at every epoch, and fill the run folder; the tables at the end.

    Raises:
      RunError, StoppedError: as `runs.train`.
    """
    task = digits.load()
    hidden = hidden if loaded is None else len(loaded["head"]["kernel"])
    configs = {name: config_of(name, hidden_features=hidden, epochs=epochs) for name in names}
    training = (
        {"params": str(params_path), "hidden_features": hidden} if loaded else {"epochs": epochs, "hidden_features": hidden}
    )
    cells = {name: config.make_cell() for name, config in configs.items()}
    text = record.config_of(command, {"name": "digits", **digits.SETTINGS}, training, cells)
    checkpoint.write(folder / checkpoint.CONFIG, text.encode())
    inputs, labels, _ = jax.tree.map(lambda leaf: leaf[:examples], task.validation)
    pair = with_and_without_momentum(hidden, inputs) if loaded is None and len(names) != 1 else {}
    reports: dict[str, dict[int, GradientFlow]] = {}  # by cell and epoch, one report for each example, stacked
    for name, config in configs.items():
        look, found = observer(config.make_cell()), reports.setdefault(name, {})
        if loaded is not None:
            found[0] = look(loaded, inputs, labels)
            checkpoint.save_params(folder / f"{name}.npz", loaded)
            continue

        def observe(epoch: int, params: Params, look: Observer = look, found: dict[int, GradientFlow] = found) -> None:
            found[epoch] = look(jax.tree.map(lambda leaf: leaf[0], params), inputs, labels)

        outcome = runs.train(name, [config], folder / "runs" / name, None, None, command, signals, observe=observe)
        params = outcome.folder / checkpoint.NAME
        with np.load(params) as arrays:  # those at the end, not the best
            last = {key.removeprefix("0/runs/params/"): arrays[key][0] for key in arrays if key.startswith("0/runs/params/")}
        checkpoint.save_params(folder / f"{name}.npz", last)
    return write(folder, reports, pair, pair_title(hidden, len(labels)), "" if loaded is None else str(params_path), len(labels))


def write(
    folder: Path,
    reports: dict[str, dict[int, GradientFlow]],
    pair: dict[str, GradientFlow],
    title: str,
    source: str,
    examples: int,
) -> str:
    """Write the numbers and the figures; the tables at the end."""
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
    parts = []
    for name, by_epoch in found.items():
        when = source or f"epoch {max(by_epoch)}"
        parts.append(f"\n## {name}, {when}: medians of {examples} sequences\n\n{by_epoch[max(by_epoch)].table()}")
    return "\n".join(parts)


def observer(cell: mr.Cell) -> Observer:
    """A function from parameters, inputs and labels to the examples' reports, stacked: one compiled program, in float64.

    With None for the labels there is no loss, and no head is needed.
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
    """What `with_and_without_momentum` looks at."""
    return (
        f"An untrained RNN with and without momentum, the same parameters: {hidden} units, U orthogonal times {RECURRENT_SCALE}; "
        f"μ = {MU}, step size {STEP_SIZE}; medians of {examples} sequences"
    )


def median(reports: GradientFlow) -> GradientFlow:
    """Of stacked reports, number by number."""
    return jax.tree.map(lambda leaf: np.median(leaf, axis=0), reports)


def load_params(path: Path, name: str) -> Params:
    """Parameters of the cell of that name in an `.npz` file, of any hidden size.

    Raises:
      RunError: the file cannot be read or is no such file, or its entries have other names or shapes, are no floating-point
        numbers, or hold NaN or infinity; the message says which and how.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is one array")
            arrays = dict(arrays)
    except OSError as error:
        raise RunError(f"--params {path}: {error}") from error
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"--params {path}: it is no .npz file of arrays: {' '.join(str(error).split())}") from error
    kernel = arrays.get("head/kernel")
    if kernel is None or kernel.ndim != 2 or not kernel.shape[0]:
        raise RunError(f"--params {path}: it must hold head/kernel of shape (hidden, {CLASSES}), got {_outline(arrays)}")
    network = Network(config_of(name, hidden_features=len(kernel)).make_cell(), 1, CLASSES, every_step=False)
    like = jax.eval_shape(network.init, jax.random.key(0))
    expected = flat(like)
    if {entry: leaf.shape for entry, leaf in expected.items()} != {entry: array.shape for entry, array in arrays.items()}:
        what = f"{_outline(expected)} for {name} with {len(kernel)} hidden units"
        raise RunError(f"--params {path}: it must hold {what}, got {_outline(arrays)}")
    for entry, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise RunError(f"--params {path}: {entry} must be floating-point numbers, got {array.dtype}")
        if not np.isfinite(array).all():
            raise RunError(f"--params {path}: {entry} must be finite, but NaN or infinity is in it")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[entry] for entry in expected])


def _outline(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{entry} {array.shape}" for entry, array in arrays.items()) or "nothing"
