"""A classifier's parameters in an `.npz` file."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from experiments import models
from experiments.config import Training, make_cell


def save(path: Path, params: models.Params) -> None:
    """Write entries `cell/input/kernel`, `head/bias` and so on."""
    np.savez(path, **models.flat(params))


def load(path: Path, name: str, in_features: int, num_classes: int) -> models.Params:
    """Parameters that `save` wrote, of the cell of that name in `CELLS`, of any hidden size, for a task of these sizes.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no such file, or its entries have other names or shapes, are no floating-point numbers, or hold NaN or
        infinity; the message says which and how.
    """
    arrays = _read(path)
    kernel = arrays.get("head/kernel")
    if kernel is None or kernel.ndim != 2 or not kernel.shape[0]:
        raise ValueError(f"it must hold head/kernel of shape (hidden, {num_classes}), got {_outline(arrays)}")
    cell = make_cell(name, Training(hidden_features=len(kernel)))
    like = jax.eval_shape(lambda: models.init(cell, jax.random.key(0), in_features, num_classes))
    expected = models.flat(like)
    if {entry: leaf.shape for entry, leaf in expected.items()} != {entry: array.shape for entry, array in arrays.items()}:
        raise ValueError(f"it must hold {_outline(expected)} for {name} with {len(kernel)} hidden units, got {_outline(arrays)}")
    for entry, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"{entry} must be floating-point numbers, got {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{entry} must be finite, but NaN or infinity is in it")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[entry] for entry in expected])


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is one array")
            return dict(arrays)
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"it is no .npz file of arrays: {error}") from error


def _outline(arrays: Mapping[str, np.ndarray | jax.Array]) -> str:
    return ", ".join(f"{entry} {array.shape}" for entry, array in arrays.items()) or "nothing"
