"""MNIST read pixel by pixel, in reading order or in a shuffled one.

Images: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits". Pixel by pixel: Q. Le, N. Jaitly, G. Hinton,
"A Simple Way to Initialize Recurrent Networks of Rectified Linear Units" (2015).
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets import files, store
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

VALIDATION_SIZE = 5000
NUM_CLASSES = 10
SIDE = 28
BLOCK = 1000  # images in a record; splits are always read whole

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
# Published SHA-256 of the four packed files.
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FILES = f"MNIST's four files: {', '.join(CHECKSUMS)} (or the same without .gz)"


class MomentumMnist(store.Builder):
    """MNIST's images, 28 x 28 bytes, and labels; a record holds up to 1000 consecutive ones."""

    FEATURES = {"images": store.array((None, SIDE, SIDE), np.uint8), "labels": store.array((None,), np.uint8)}  # noqa: RUF012
    HOLDS = f"the directory with {FILES}"

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        paths = _locate(source)
        checksums = {name: files.sha256(path) for name, path in paths.items()}
        published = {name: checksum == CHECKSUMS[name] for name, checksum in checksums.items() if paths[name].suffix == ".gz"}
        return {"source": "idx files", "sha256": checksums, "as_published": published}

    def read(self) -> tuple[dict[str, Iterable[store.Example]], dict[str, Any]]:
        paths = _locate(self.source)
        return {"train": _blocks(paths, "train"), "test": _blocks(paths, "t10k")}, {}


def load(data_dir: str | Path, source: str | Path | None = None, *, validation_size: int = VALIDATION_SIZE) -> Dataset:
    """MNIST, one pixel per step.

    `inputs` are (images, 784, 1) float32 in [0, 1], in reading order; `targets` are the digits, (images,) int32. The validation
    split is the last `validation_size` images of the 60,000 for training.

    Args:
      data_dir: see `experiments.datasets.load`.
      source: a directory with the four idx files, packed or not. They may be another collection in that format:
        `info.origin` says of each whether it is the published one. Without a source: what is prepared in `data_dir`, or a
        download with verified checksums.
      validation_size: how many of the training images are held out.

    Raises:
      DataError: a file is missing, truncated or damaged, images and labels do not match, or the download fails.
      ValueError: `validation_size` leaves no image for training.
    """
    with contextlib.ExitStack() as downloads:
        if source is None and not store.prepared(MomentumMnist, data_dir):
            store.check_writable(data_dir)
            source = Path(downloads.enter_context(tempfile.TemporaryDirectory()))
            for name, checksum in CHECKSUMS.items():
                files.download(URL + name, source / name, checksum)
        prepared = store.load(MomentumMnist, data_dir, source)
    rest, test = (_examples(prepared.splits[split]) for split in ("train", "test"))
    size = _checks.integer("validation_size", validation_size, low=1)
    if size >= len(rest.targets):
        raise ValueError(f"validation_size must be less than the {len(rest.targets)} images for training, got {size}.")
    train, validation = Split(rest.inputs[:-size], rest.targets[:-size]), Split(rest.inputs[-size:], rest.targets[-size:])
    info = Info("mnist", "classify", NUM_CLASSES, {**prepared.metadata, "validation": f"last {size} images of train"})
    return Dataset(train, validation, test, info)


def permutation(seed: int, pixels: int = SIDE * SIDE) -> np.ndarray:
    """The order in which permuted MNIST reads the pixels, the same as in the authors' code; (pixels,), integers.

    >>> permutation(0)[:5].tolist()
    [693, 85, 647, 392, 765]
    """
    # RandomState, because NumPy promises that its numbers never change.
    return np.random.RandomState(_checks.integer("permutation_seed", seed, low=0)).permutation(pixels)


def bit_reversal(pixels: int = SIDE * SIDE) -> np.ndarray:
    """The order of HiPPO's experiments: numbers below a power of two by their reversed bits, without those of no pixel.

    It goes over the whole image, coarsely and then ever finer, and is not comparable with a random order.

    Source: HiPPO, arXiv 2008.07669, its released code.

    >>> bit_reversal()[:10].tolist()
    [0, 512, 256, 768, 128, 640, 384, 64, 576, 320]
    """
    bits = max(1, (pixels - 1).bit_length())
    reversed_bits = [int(format(number, f"0{bits}b")[::-1], 2) for number in range(2**bits)]
    return np.array([number for number in reversed_bits if number < pixels])


def _locate(source: Path) -> dict[str, Path]:
    """The four files, by their packed names."""
    folder, found = files.directory(source, FILES), {}
    for name in CHECKSUMS:
        paths = [path for path in (folder / name, folder / name.removesuffix(".gz")) if path.exists()]
        if not paths:
            raise DataError(f"{folder / name} is missing; the directory should hold {FILES}.")
        found[name] = paths[0]
    return found


def _examples(records: list[store.Example]) -> Split:
    images, labels = (np.concatenate([record[name] for record in records]) for name in ("images", "labels"))
    return Split(images.reshape(len(images), SIDE * SIDE, 1).astype(np.float32) / np.float32(255), labels.astype(np.int32))


def _blocks(paths: dict[str, Path], prefix: str) -> Iterator[store.Example]:
    image_path, label_path = paths[f"{prefix}-images-idx3-ubyte.gz"], paths[f"{prefix}-labels-idx1-ubyte.gz"]
    images, labels = read_idx(image_path, (SIDE, SIDE)), read_idx(label_path, ())
    if len(images) != len(labels):
        raise DataError(f"{image_path} holds {len(images)} images, but {label_path} holds {len(labels)} labels.")
    if not len(labels):
        raise DataError(f"{image_path} holds no image.")
    if labels.max() >= NUM_CLASSES:
        raise DataError(f"{label_path} holds the label {labels.max()}; labels must be from 0 to {NUM_CLASSES - 1}.")
    for start in range(0, len(labels), BLOCK):
        yield {"images": images[start : start + BLOCK], "labels": labels[start : start + BLOCK]}


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """An array of bytes from an idx file: (items, *item), uint8.

    Raises:
      DataError: the file is missing, truncated or damaged, or holds something else.
    """
    data, ndim = files.read(path), 1 + len(item)
    magic, header = bytes([0, 0, 8, ndim]), 4 + 4 * ndim  # 8: unsigned bytes
    if len(data) < header:
        raise DataError(f"{path} is truncated: it has {len(data)} bytes, its header alone has {header}.")
    if data[:4] != magic:
        raise DataError(f"{path} is not an idx file of that kind: it begins with 0x{data[:4].hex()}, not 0x{magic.hex()}.")
    items, *sizes = np.frombuffer(data, ">u4", ndim, offset=4).tolist()
    if tuple(sizes) != item:
        raise DataError(f"{path} holds items of shape {tuple(sizes)}, expected {item}.")
    expected = header + items * int(np.prod(item))
    if len(data) != expected:
        raise DataError(f"{path} is truncated or damaged: it has {len(data)} bytes, but its header announces {expected}.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(items, *item)
