"""How gradients flow through the LSTM and its momentum variants as they learn: `python -m experiments.analyse`.

Trains each cell for a few epochs and looks at it before the first and after every one, or looks at parameters from a file.
"""

import argparse
import json
import shlex
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

import momentum_rnn_jax as mr
from experiments import metrics, models, record
from experiments.config import CELLS, Training, make_cell
from experiments.plots import COLOURS
from experiments.tasks import Examples, digits
from experiments.train import OneLineParser, whole_number
from experiments.trainer import Trainer
from momentum_rnn_jax.analysis import GradientFlow, gradient_flow

TASKS = {"digits": digits}
# The momentum RNN is compared with the RNN at these, in a core that forgets fast: its recurrent matrix is orthogonal, and halved.
MU, STEP_SIZE, RECURRENT_SCALE = 0.9, 0.1, 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, write a run folder, print what was found; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    try:
        loaded = None if options.params is None else load(options.params, options.cell)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"error: --params {options.params}: {error}", file=sys.stderr)
        return 2
    try:
        folder = record.create_folder(options.out, f"analysis-{options.task}")
    except OSError as error:
        print(f"error: --out {options.out}: no run folder can be made there: {error.strerror}", file=sys.stderr)
        return 2
    try:
        run(folder, shlex.join(["python", "-m", "experiments.analyse", *arguments]), options, loaded)
    except KeyboardInterrupt:
        print(f"\nInterrupted; {folder} is not complete", file=sys.stderr)
        return 130
    return 0


def run(folder: Path, command: str, options: argparse.Namespace, loaded: models.Params | None) -> None:
    """Look at every cell at every epoch, and fill the run folder."""
    start = time.perf_counter()
    hidden = options.hidden if loaded is None else len(loaded["head"]["kernel"])
    training = Training(hidden_features=hidden, seeds=1, epochs=options.epochs)
    cells = {name: make_cell(name, training) for name in ([options.cell] if options.cell else CELLS)}
    record.write_config(folder, command, TASKS[options.task].SETTINGS, training, cells)
    task = TASKS[options.task].load()
    examples = jax.tree.map(lambda leaf: leaf[: options.examples], task.validation)

    reports: dict[str, dict[int, GradientFlow]] = {}  # by cell and epoch, one report for each example, stacked
    looks = 1 if loaded else options.epochs + 1
    with tqdm(total=1 + looks * len(cells), mininterval=0.5, dynamic_ncols=True) as bar:
        bar.set_description("RNN with and without momentum (compiling)")
        pair = with_and_without_momentum(hidden, examples)
        bar.update()
        for name, cell in cells.items():
            bar.set_description(f"{name} (compiling)")
            look, reports[name] = observer(cell), {}
            for epoch, params in [(0, loaded)] if loaded else while_training(Trainer(cell, task, training), options.epochs):
                reports[name][epoch] = look(params, examples)
                bar.set_description(name, refresh=False)
                bar.update()
            save(folder / f"{name}.npz", params)

    found = {name: {epoch: median(report) for epoch, report in epochs.items()} for name, epochs in reports.items()}
    numbers = {
        "examples": len(examples.labels),
        "cells": {name: {epoch: report.to_dict() for epoch, report in epochs.items()} for name, epochs in found.items()},
        "momentum": {name: median(report).to_dict() for name, report in pair.items()},
    }
    (folder / "analysis.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    plot_epochs(folder / "gradients.png", found)
    plot_singular_values(folder / "singular_values.png", reports)
    plot_cells(folder / "cells.png", {name: epochs[max(epochs)] for name, epochs in found.items()})
    plot_momentum(folder / "momentum.png", {name: median(report) for name, report in pair.items()})
    for name, epochs in found.items():
        print(f"\n## {name}, epoch {max(epochs)}: medians of {len(examples.labels)} sequences\n\n{epochs[max(epochs)].table()}")
    print(f"Wrote {folder} in {time.perf_counter() - start:.0f} s")


def while_training(trainer: Trainer, epochs: int) -> Iterator[tuple[int, models.Params]]:
    """The parameters before the first epoch, numbered 0, and after every one."""
    state = trainer.start()
    for epoch in range(epochs + 1):
        if epoch:
            state, _ = trainer.epoch(state, epoch)
        yield epoch, jax.tree.map(lambda leaf: leaf[0], state.params)  # of the only seed


def observer(cell: mr.Cell) -> Callable[[models.Params, Examples], GradientFlow]:
    """A function from parameters and examples to the examples' reports, stacked: one compiled program, in float64."""

    def one(params: models.Params, example: Examples) -> GradientFlow:
        def loss(hs: jax.Array) -> jax.Array:
            logits = hs[-1] @ params["head"]["kernel"] + params["head"]["bias"]
            return metrics.cross_entropy(logits[jnp.newaxis], example.labels[jnp.newaxis])

        return gradient_flow(cell, params["cell"], example.inputs, loss_fn=loss)

    batch = jax.jit(jax.vmap(one, in_axes=(None, 0)))

    def look(params: models.Params, examples: Examples) -> GradientFlow:
        with jax.enable_x64(True):
            params, inputs = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, examples.inputs))
            return jax.device_get(batch(params, examples._replace(inputs=inputs)))

    return look


def with_and_without_momentum(hidden: int, examples: Examples) -> dict[str, GradientFlow]:
    """The reports of an RNN and of a momentum RNN with the same parameters, both untrained."""
    cells = {"RNN": mr.rnn(hidden), "MomentumRNN": mr.momentum_rnn(hidden, mu=MU, step_size=STEP_SIZE)}
    params = models.init(cells["RNN"], jax.random.key(0), examples.inputs.shape[-1], num_classes=2)
    params["cell"]["core"]["kernel"] *= RECURRENT_SCALE
    any_label = examples._replace(labels=np.zeros_like(examples.labels))
    return {name: observer(cell)(params, any_label) for name, cell in cells.items()}


def median(reports: GradientFlow) -> GradientFlow:
    """Of stacked reports, number by number."""
    return jax.tree.map(lambda leaf: np.median(leaf, axis=0), reports)


def save(path: Path, params: models.Params) -> None:
    """Parameters as an `.npz` with the entries `cell/input/kernel`, `head/bias` and so on."""
    np.savez(path, **flat(params))


def load(path: Path, name: str) -> models.Params:
    """Parameters that `save` wrote, of the cell of that name in `CELLS`, of any size.

    Raises:
      OSError, ValueError, zipfile.BadZipFile: the file cannot be read, or holds other entries or shapes; the message names them.
    """
    file = np.load(path)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError("it is no .npz file")
    with file:
        arrays = dict(file)
    if "head/kernel" not in arrays or "cell/input/kernel" not in arrays:
        raise ValueError(f"it must hold cell/input/kernel and head/kernel, got {sorted(arrays)}")
    hidden, classes = arrays["head/kernel"].shape
    cell = make_cell(name, Training(hidden_features=hidden))
    like = jax.eval_shape(lambda: models.init(cell, jax.random.key(0), len(arrays["cell/input/kernel"]), classes))
    shapes = {entry: leaf.shape for entry, leaf in flat(like).items()}
    if shapes != {entry: array.shape for entry, array in arrays.items()}:
        raise ValueError(f"it must hold {shapes} for {name}, got { {entry: array.shape for entry, array in arrays.items()} }")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[entry] for entry in shapes])


def flat(tree: models.Params) -> dict[str, jax.Array]:
    """The leaves of nested dicts by their names, joined with slashes."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def plot_epochs(path: Path, found: dict[str, dict[int, GradientFlow]]) -> None:
    """The paper's figure: how large the loss's gradient is at each h_t, for each cell, from epoch to epoch."""
    figure, panels = panels_in_a_row(len(found))
    curves = {name: {epoch: report.curves()["∂L/∂h"] for epoch, report in epochs.items()} for name, epochs in found.items()}
    # One scale for all cells, but not that of the few steps at which an untrained AdamLSTM is saturated: 1e-100 and less.
    values = np.concatenate([curve for epochs in curves.values() for curve in epochs.values()])
    lowest, highest = np.percentile(values[np.isfinite(values)], (1, 100))
    for axes, (name, epochs) in zip(panels, curves.items(), strict=True):
        for epoch, curve in epochs.items():
            shade = str(0.8 * (1 - epoch / max(1, max(epochs))))  # from light grey to black
            axes.plot(curve, color=shade, label=f"epoch {epoch}")
        axes.set(title=name, xlabel="distance from the end (steps)", ylim=(lowest - 0.2, highest + 0.2))
    panels[0].set(ylabel="log10 ‖∂L/∂h‖, median")
    panels[0].legend()
    figure.savefig(path, dpi=120)


def plot_cells(path: Path, found: dict[str, GradientFlow]) -> None:
    """The cells beside each other: what is left of a change of the state, and of an input."""
    figure, panels = panels_in_a_row(3)
    labels = {"core": "log10 ‖∂(h, c)_T / ∂(h, c)_t‖", "input": "log10 ‖∂h_T / ∂x_s‖", "∂L/∂h": "log10 ‖∂L/∂h_t‖"}
    for axes, (curve, label) in zip(panels, labels.items(), strict=True):
        for (name, report), colour in zip(found.items(), COLOURS, strict=False):
            axes.plot(report.curves()[curve], color=colour, label=name)
        axes.set(title=label, xlabel="distance from the end (steps)")
    panels[0].legend()
    figure.savefig(path, dpi=120)


def plot_singular_values(path: Path, reports: dict[str, dict[int, GradientFlow]]) -> None:
    """Histograms over all examples of the singular values of the core's product over the whole sequence."""
    figure, panels = panels_in_a_row(len(reports))
    for axes, (name, epochs) in zip(panels, reports.items(), strict=True):
        for epoch, colour in zip(sorted({0, max(epochs)}), COLOURS, strict=False):
            values = epochs[epoch].singular_spectrum
            kept = values[np.isfinite(values)]
            label = f"epoch {epoch}: {1 - kept.size / values.size:.0%} lost in rounding"
            axes.hist(kept, bins=np.arange(-20, 3), histtype="step", color=colour, label=label)
        axes.set(title=name, xlabel="log10 of the singular value, whole sequence")
        axes.legend()
    panels[0].set(ylabel="count")
    figure.savefig(path, dpi=120)


def plot_momentum(path: Path, found: dict[str, GradientFlow]) -> None:
    """What momentum does to an RNN, and what it leaves alone."""
    figure, (hidden, exponents, inputs) = panels_in_a_row(3)
    styles = {"RNN": {"color": COLOURS[0]}, "MomentumRNN": {"color": COLOURS[2], "linestyle": "--"}}
    for name, report in found.items():
        curves = report.curves()
        hidden.plot(curves["hidden"], **styles[name], label=name)
        inputs.plot(curves["input"], **styles[name], label=name)
        joint = np.sort(np.concatenate(list(report.lyapunov_spectrum.values())))[::-1]
        exponents.plot(joint, **styles[name], label=name)
        if "paper" in curves:
            hidden.plot(curves["paper"], color=COLOURS[1], linestyle=":", label="∏ D (U + μΣ), no gradient")
    exponents.axhline(np.log(MU), color=COLOURS[6], linewidth=0.8, label=f"log {MU}")
    distance = "distance from the end (steps)"
    hidden.set(title="log10 ‖∂h_T / ∂h_t‖, velocity given", xlabel=distance)
    exponents.set(title="Lyapunov exponents of the joint map", xlabel="index", ylabel="per step")
    inputs.set(title="log10 ‖∂h_T / ∂x_s‖", xlabel=distance)
    for axes in (hidden, exponents, inputs):
        axes.legend()
    figure.suptitle(
        f"Same parameters, U orthogonal times {RECURRENT_SCALE}; μ = {MU}, step size {STEP_SIZE}; medians over sequences"
    )
    figure.savefig(path, dpi=120)


def panels_in_a_row(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels."""
    figure = Figure(figsize=(4.5 * count, 4), layout="constrained")
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    parser = OneLineParser(prog="python -m experiments.analyse", description=__doc__, allow_abbrev=False)
    parser.add_argument("--task", choices=TASKS, default="digits", help="whose sequences (default: %(default)s)")
    parser.add_argument("--cell", choices=CELLS, help="look at this cell alone (default: all)")
    parser.add_argument("--params", type=Path, help="an .npz of --cell's parameters, as a run writes them; nothing is trained")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the run's folder is made (default: %(default)s)")
    for name, value, high, text in (
        ("epochs", 5, 10_000, "passes through the training split, with a look after each"),
        ("hidden", Training().hidden_features, 1024, "hidden units of every cell"),
        ("examples", 16, 1000, "how many sequences of the validation split are looked at"),
    ):
        parser.add_argument(f"--{name}", type=whole_number(high), default=value, help=f"{text} (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.params is not None and options.cell is None:
        parser.error("argument --params: needs --cell, to say whose parameters they are")
    return options


if __name__ == "__main__":
    sys.exit(main())
