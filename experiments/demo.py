"""Train the LSTM and its momentum variants on handwritten digits read pixel by pixel: `python -m experiments.demo`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

import momentum_rnn_jax as mr
from experiments import demo_plots, demo_report, models, record
from experiments.command import OneLineParser, add_number, add_out, as_typed, run_in_folder
from experiments.config import BASELINE, CELLS, Training, make_cell
from experiments.datasets import Dataset, digits
from experiments.trainer import Trainer

TITLE = "Handwritten digits, 8x8 pixels one by one in a fixed shuffled order"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every cell, write a run folder, print what was found; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    training = Training(hidden_features=options.hidden, seeds=options.seeds, epochs=options.epochs)
    cells = {name: make_cell(name, training) for name in CELLS}
    command = as_typed("experiments.demo", arguments)
    return run_in_folder(
        options.out, "digits", lambda folder: run(folder, command, cells, training), "the epochs that ended are in {folder}"
    )


def run(folder: Path, command: str, cells: dict[str, mr.Cell], training: Training) -> None:
    """Train every cell and fill the run folder."""
    start = time.perf_counter()
    record.write_config(folder, command, {"name": "digits", **digits.SETTINGS}, training, cells)
    task = digits.load()
    results = []
    with tqdm(total=len(cells) * training.epochs, unit="epoch", mininterval=0.5, dynamic_ncols=True) as bar:
        for name, cell in cells.items():
            results.append(train(name, cell, task, training, folder, bar))
    text = f"{demo_report.table(results)}\n\n{demo_report.verdict(results, BASELINE, len(task.test.targets))}\n"
    demo_plots.learning_curves(folder / "curves.png", TITLE, results)
    notes = (
        f"Seeds: {training.seeds}, epochs: {training.epochs}. The test split is looked at once, at each seed's best epoch on the "
        f"validation split. Accuracies are mean ± standard deviation over the seeds; seconds are for all seeds together, with "
        f"compilation.\n\n`{command}`\n"
    )
    (folder / "results.md").write_text(f"# {TITLE}\n\n{text}\n{notes}", encoding="utf-8")
    print(f"\n{text}\nWrote {folder} in {time.perf_counter() - start:.0f} s")


def train(name: str, cell: mr.Cell, task: Dataset, training: Training, folder: Path, bar: tqdm) -> demo_report.CellResult:
    """Train all seeds of one cell; every epoch's metrics are in the run folder before the next begins."""
    start = time.perf_counter()
    bar.set_description(f"{name} (compiling)")
    trainer = Trainer(cell, task, training)
    state = trainer.start()
    curves = []
    for number in range(1, training.epochs + 1):
        state, epoch = jax.device_get(trainer.epoch(state, number))
        curves.append(epoch)
        log(folder, "epoch", name, number, epoch._asdict())
        bar.set_description(name, refresh=False)
        bar.set_postfix(
            loss=f"{epoch.train_loss.mean():.3f}", val_acc=f"{100 * epoch.validation_accuracy.mean():.1f}%", refresh=False
        )
        bar.update()
    test = jax.device_get(trainer.test(state))
    log(folder, "test", name, state.best.epoch, {"test_loss": test.loss, "test_accuracy": test.accuracy})
    return demo_report.CellResult(
        name=name,
        test_accuracy=test.accuracy,
        best_epoch=np.asarray(state.best.epoch),
        num_parameters=models.num_parameters(state.params) // training.seeds,
        seconds=time.perf_counter() - start,
        train_loss=np.stack([epoch.train_loss for epoch in curves]),
        validation_accuracy=np.stack([epoch.validation_accuracy for epoch in curves]),
    )


def log(folder: Path, kind: str, cell: str, epoch: int | np.ndarray | jax.Array, values: dict[str, np.ndarray]) -> None:
    """One line of `metrics.jsonl` for each seed; `epoch` is one number, or one per seed."""
    seeds = len(next(iter(values.values())))
    epochs = np.broadcast_to(epoch, seeds)
    record.append_metrics(
        folder,
        [
            {"kind": kind, "cell": cell, "seed": seed, "epoch": int(epochs[seed])}
            | {key: float(value[seed]) for key, value in values.items()}
            for seed in range(seeds)
        ],
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options; a wrong one ends the program with status 2."""
    default = Training()
    parser = OneLineParser("experiments.demo", __doc__)
    add_out(parser, "the run's folder")
    add_number(parser, "seeds", default.seeds, 100, "how many seeds are trained at once")
    add_number(parser, "epochs", default.epochs, 10_000, "passes through the training split")
    add_number(parser, "hidden", default.hidden_features, 1024, "hidden units of every cell")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
