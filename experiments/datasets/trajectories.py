"""Smooth trajectories of three channels, made here from a seed, that can be sampled at different rates.

A stand-in for CharacterTrajectories, which HiPPO's experiments use: each class is a smooth path, a sum of a few sinusoids with
coefficients of its own, and each example a version of it with other coefficients and a warped time. Splits may differ in how
often such paths are sampled: a model that counts steps, and not time, is lost at another rate.
"""

import numpy as np

from experiments.datasets.common import Dataset, Info, Split
from momentum_rnn_jax import _checks

CLASSES, CHANNELS, HARMONICS = 10, 3, 4
STEPS = 100  # of the higher rate
VARIATION = 1.0  # standard deviation of an example's coefficients around those of its class, which have the same
NOISE = 0.05
SIZES = {"train": 1200, "validation": 400, "test": 400}
SEED = 0  # belongs to the task and not to a run


def load(*, train_every: int = 1, test_every: int = 1) -> Dataset:
    """Three splits of (examples, 100 // every, 3) float32, with balanced labels of ten classes.

    Args:
      train_every: keep every n-th sample for training and validation.
      test_every: the same for testing.

    Raises:
      ValueError: a rate leaves no sample.
    """
    for name, every in (("train_every", train_every), ("test_every", test_every)):
        _checks.integer(name, every, low=1)
        if every > STEPS:
            raise ValueError(f"{name} must be at most {STEPS}, got {every}.")
    random = np.random.RandomState(SEED)  # its numbers never change
    decay = 1 / np.arange(1, HARMONICS + 1)
    classes = random.normal(size=(CLASSES, CHANNELS, 2, HARMONICS)) * decay
    train, validation, test = (
        _split(random, classes, size, every)
        for size, every in zip(SIZES.values(), (train_every, train_every, test_every), strict=True)
    )
    origin = {"classes": CLASSES, "steps": STEPS, "variation": VARIATION, "noise": NOISE, "sizes": SIZES, "data_seed": SEED}
    origin |= {"train_every": train_every, "test_every": test_every}
    return Dataset(train, validation, test, Info("trajectories", "classify", CLASSES, origin))


def _split(random: np.random.RandomState, classes: np.ndarray, size: int, every: int) -> Split:
    targets = random.permutation(np.arange(size) % CLASSES)
    decay = 1 / np.arange(1, HARMONICS + 1)
    own = classes[targets] + VARIATION * random.normal(size=(size, *classes.shape[1:])) * decay
    time = np.linspace(0, 1, STEPS)
    warped = time + 0.05 * random.normal(size=(size, 1)) * np.sin(np.pi * time)
    angles = np.pi * warped[:, :, np.newaxis] * np.arange(1, HARMONICS + 1)
    paths = np.einsum("ech,eth->etc", own[:, :, 0], np.sin(angles)) + np.einsum("ech,eth->etc", own[:, :, 1], np.cos(angles))
    paths = paths + NOISE * random.normal(size=paths.shape)
    return Split(paths[:, every - 1 :: every].astype(np.float32), targets.astype(np.int32))
