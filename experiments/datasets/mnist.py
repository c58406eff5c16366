"""MNIST read pixel by pixel, in the order of the page or in a fixed shuffled order.

Images: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits". Pixel by pixel: Q. Le, N. Jaitly, G. Hinton,
"A Simple Way to Initialize Recurrent Networks of Rectified Linear Units" (2015).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.datasets import files, store
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

VALIDATION_SIZE = 5000
NUM_CLASSES = 10
SIDE = 28

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
# Published SHA-256 of the four files, packed.
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FILES = f"MNIST's four files: {', '.join(CHECKSUMS)} (or the same without .gz)"


class SequentialMnist(store.Builder):
    """MNIST; a record holds up to `BLOCK` consecutive images, because splits are always read whole."""

    FEATURES = {"images": store.array((None, SIDE, SIDE), np.uint8), "labels": store.array((None,), np.uint8)}  # noqa: RUF012
    BLOCK = 1000


def load(data_dir: str | Path, source: str | Path | None = None, *, validation_size: int = VALIDATION_SIZE) -> Dataset:
    """MNIST, one pixel per step.

    `inputs` are (images, 784, 1) float32 in [0, 1], in the order of reading a page; `targets` are the digits, (images,) int32.
    The validation split is the last `validation_size` images of the 60,000 for training.

    Args:
      data_dir: See `experiments.datasets.load`.
      source: A directory with the four idx files, packed or not. They may be of another collection in that format:
        `info.origin` says of each whether it is the published one. Without a source: what is prepared in `data_dir`,
        also by the stock builder `mnist` of tensorflow-datasets (then in its order), or else a download, with verified checksums.
      validation_size: How many of the training images are held out.

    Raises:
      DataError: A file is missing, truncated or damaged, images and labels do not match, or the download fails.
      ValueError: `validation_size` leaves no image for training.
    """
    prepared = _prepared(data_dir, source)
    rest, test = (_examples(prepared.splits[split]) for split in ("train", "test"))
    size = _checks.integer("validation_size", validation_size, low=1)
    if size >= len(rest.targets):
        raise ValueError(f"validation_size must be less than the {len(rest.targets)} images for training, got {size}.")
    train, validation = Split(rest.inputs[:-size], rest.targets[:-size]), Split(rest.inputs[-size:], rest.targets[-size:])
    info = Info("mnist", "classify", NUM_CLASSES, {**prepared.metadata, "validation": f"last {size} images of train"})
    return Dataset(train, validation, test, info)


def permutation(seed: int, pixels: int = SIDE * SIDE) -> np.ndarray:
    """The order in which permuted MNIST reads the pixels, that of the authors' code for the same seed; (pixels,), integers.

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


def _prepared(data_dir: str | Path, source: str | Path | None) -> store.Prepared:
    if source is None:
        found = store.find(SequentialMnist, data_dir) or _find_stock(data_dir)
        if found is not None:
            return found
        downloads = Path(data_dir).expanduser() / "downloads" / "mnist"
        paths = {name: files.download(URL + name, downloads / name, checksum) for name, checksum in CHECKSUMS.items()}
    else:
        folder = files.directory(source, FILES)
        paths = {name: _locate(folder, name) for name in CHECKSUMS}
    checksums = {name: files.sha256(path) for name, path in paths.items()}
    fingerprint = files.fingerprint(checksums.values())
    return store.prepare(SequentialMnist, data_dir, fingerprint, lambda: _read(paths, checksums))


def _locate(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.exists():
            return path
    raise DataError(f"{folder / name} is missing; the directory should hold {FILES}.")


def _find_stock(data_dir: str | Path) -> store.Prepared | None:
    """What the stock builder of tensorflow-datasets prepared, if it can be read without TensorFlow."""
    folders = [path for path in sorted(Path(data_dir).expanduser().glob("mnist/*.*.*")) if store.is_readable(path)]
    if not folders:
        return None
    splits = store.read_folder(folders[-1]).splits
    examples = {
        name: [{"images": record["image"][np.newaxis, ..., 0], "labels": np.array([record["label"]])} for record in records]
        for name, records in splits.items()
    }
    return store.Prepared(examples, {"source": f"tensorflow-datasets mnist/{folders[-1].name}"})


def _examples(records: list[store.Example]) -> Split:
    images = np.concatenate([record["images"] for record in records])
    labels = np.concatenate([record["labels"] for record in records])
    inputs = images.reshape(len(images), SIDE * SIDE, 1).astype(np.float32) / np.float32(255)
    return Split(inputs, labels.astype(np.int32))


def _read(paths: dict[str, Path], checksums: dict[str, str]) -> store.Contents:
    published = {name: checksum == CHECKSUMS[name] for name, checksum in checksums.items() if paths[name].suffix == ".gz"}
    metadata = {"source": "idx files", "sha256": checksums, "as_published": published}
    return store.Contents({split: _blocks(paths, prefix) for split, prefix in (("train", "train"), ("test", "t10k"))}, metadata)


def _blocks(paths: dict[str, Path], prefix: str) -> Iterator[store.Example]:
    image_path, label_path = paths[f"{prefix}-images-idx3-ubyte.gz"], paths[f"{prefix}-labels-idx1-ubyte.gz"]
    images, labels = read_idx(image_path, (SIDE, SIDE)), read_idx(label_path, ())
    if len(images) != len(labels):
        raise DataError(f"{image_path} holds {len(images)} images, but {label_path} holds {len(labels)} labels.")
    if not len(labels):
        raise DataError(f"{image_path} holds no image.")
    if labels.max() >= NUM_CLASSES:
        raise DataError(f"{label_path} holds the label {labels.max()}; a label must be from 0 to {NUM_CLASSES - 1}.")
    for start in range(0, len(labels), SequentialMnist.BLOCK):
        block = slice(start, start + SequentialMnist.BLOCK)
        yield {"images": images[block], "labels": labels[block]}


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """An array of bytes from an idx file: (items, *item), uint8.

    Raises:
      DataError: The file is missing, truncated or damaged, or holds something else.
    """
    data = files.read(path)
    ndim = 1 + len(item)
    header = 4 + 4 * ndim
    magic = 0x0800 + ndim  # 08: unsigned bytes
    if len(data) < header:
        raise DataError(f"{path} is truncated: it has {len(data)} bytes, its header alone has {header}.")
    if int.from_bytes(data[:4], "big") != magic:
        raise DataError(f"{path} is no idx file of its kind: it begins with 0x{data[:4].hex()}, not 0x{magic:08x}.")
    items, *sizes = np.frombuffer(data, ">u4", ndim, offset=4).tolist()
    if tuple(sizes) != item:
        raise DataError(f"{path} holds items of shape {tuple(sizes)}, expected {item}.")
    expected = header + items * int(np.prod(item))
    if len(data) != expected:
        raise DataError(f"{path} is truncated or damaged: it has {len(data)} bytes, its header promises {expected}.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(items, *item)
