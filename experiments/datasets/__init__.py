"""Datasets: data read from the user's files, prepared once and held as NumPy arrays; and synthetic data made on the device.

Every dataset is one of three kinds (`Info.task`): `"classify"` a sequence, `"regress"` every step under a mask, or `"language"`,
a stream in which each token is predicted from those before it. Synthetic tasks have no files: `experiments.datasets.synthetic`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.datasets import digits, drifts, mnist, moving, speech, text, trajectories
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

__all__ = ["BUNDLED", "DATASETS", "DataError", "Dataset", "Info", "Split", "load"]

# Called as f(**options).
BUNDLED: dict[str, Callable[..., Dataset]] = {
    "digits": digits.load,
    "drifts": drifts.load,
    "moving": moving.load,
    "trajectories": trajectories.load,
}
# Called as f(data_dir, source, **options).
DATASETS: dict[str, Callable[..., Dataset]] = {
    "mnist": mnist.load,
    "timit": speech.load_timit,
    "fsdd": speech.load_fsdd,
    "ptb": text.load_ptb,
    "text": text.load_text,
}


def load(name: str, data_dir: str | Path, source: str | Path | None = None, **options: Any) -> Dataset:
    """Load a dataset as arrays in memory; the first time, prepare it from its source in a data directory.

    Args:
      name: one of `BUNDLED` or `DATASETS`, whose functions describe the shapes, splits and options.
      data_dir: where prepared data is kept, by the content of its source; it is created if need be.
      source: the user's files. Without a source: what is already prepared, a download (MNIST), or a small generated text
        (`"text"`). Bundled datasets have none.
      **options: those of the named dataset.

    Raises:
      DataError: data is missing, truncated or damaged, or `data_dir` cannot be written; one line that says what to do.
      ValueError: an unknown name, or a wrong option.
    """
    _checks.choice("name", name, (*BUNDLED, *DATASETS))
    if name in BUNDLED:
        if source is not None:
            raise DataError(f"{name} has no source, got {source}: its data comes with the code.")
        return BUNDLED[name](**options)
    return DATASETS[name](data_dir, source, **options)
