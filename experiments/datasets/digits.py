"""Handwritten digits, 8x8 real images, read pixel by pixel in one shuffled order.

The images are the 1797 of scikit-learn's `load_digits`, from the UCI collection "Optical Recognition of Handwritten Digits";
they come with the library, so nothing is downloaded.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from experiments.datasets.common import Dataset, Info, Split

HELD_OUT = 0.15
# Both belong to the task and not to a run: the pixels' order and the split are the same for every cell and training seed.
ORDER_SEED = 0
SPLIT_SEED = 0
SETTINGS = {"held_out": HELD_OUT, "order_seed": ORDER_SEED, "split_seed": SPLIT_SEED}


def load() -> Dataset:
    """Sequences of 64 pixels in [0, 1], one per step; about 15 % of each class held out for validation, and 15 % for testing."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(ORDER_SEED).permutation(images.shape[1])
    inputs = (images[:, order, np.newaxis] / images.max()).astype(np.float32)
    labels = labels.astype(np.int32)

    held_out = round(HELD_OUT * len(labels))
    rest, test = _split(np.arange(len(labels)), labels, held_out)
    train, validation = _split(rest, labels, held_out)
    first, second, third = (Split(inputs[part], labels[part]) for part in (train, validation, test))
    return Dataset(first, second, third, Info("digits", "classify", 10, SETTINGS))


def _split(indices: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two parts with the same share of each class, the second of the given size."""
    kept, taken = train_test_split(indices, test_size=size, stratify=labels[indices], random_state=SPLIT_SEED)
    return kept, taken
