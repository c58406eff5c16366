"""Datasets: real data read from the user's files, prepared once and held as NumPy arrays; and synthetic data made on the device.

Every dataset is one of three kinds (`Info.task`): `"classify"` a sequence, `"regress"` every step under a mask, or `"language"`,
a stream in which each token is predicted from those before it. Synthetic tasks have no files: `experiments.datasets.synthetic`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.datasets import digits, drifts, mnist, moving, speech, text, trajectories
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

__all__ = ["DATASETS", "DataError", "Dataset", "Info", "Split", "load"]

# Read as f(data_dir, source, **options).
DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits.load,
    "mnist": mnist.load,
    "drifts": drifts.load,
    "trajectories": trajectories.load,
    "moving": moving.load,
    "timit": speech.load_timit,
    "fsdd": speech.load_fsdd,
    "ptb": text.load_ptb,
    "text": text.load_text,
}


def load(name: str, data_dir: str | Path, source: str | Path | None = None, **options: Any) -> Dataset:
    """Load a dataset as arrays in memory; the first time, prepare it from its source under a data directory.

    Args:
      name: One of `DATASETS`; the functions listed there say the arrays' shapes, the splits and the options.
      data_dir: Where prepared data is kept. It is made if need be. Nothing in it is half-written: data appears there whole.
      source: The user's files. What is prepared is kept by the content of its source, so that another source in the same data
        directory never gives the wrong data. Without a source: what is already prepared there, a download (MNIST), or a
        small generated text (`"text"`).
      **options: Those of the named dataset.

    Raises:
      DataError: Data is missing, truncated or damaged, or `data_dir` cannot be written; one line that says what to do.
      ValueError: An unknown name, or a wrong option.
    """
    _checks.choice("name", name, DATASETS)
    return DATASETS[name](data_dir, source, **options)
