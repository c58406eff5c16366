"""Slow signals under noise, generated from a seed: tell which of five periods a sine has under noise of its own size.

Each sequence has 100 steps of one feature, `x_t = sin(2π t / P + φ) + n_t`: the period P is one of 20, 30, 45, 67 and 100 steps
and is the class, the phase φ is uniform, and the noise is white, with a standard deviation of 1 beside the sine's 0.71.
The noise changes at every step and the signal hardly does, which a filter of the input could exploit.
"""

import numpy as np

from experiments.datasets.common import Dataset, Info, Split

PERIODS = (20, 30, 45, 67, 100)
STEPS = 100
NOISE = 1.0
SIZES = {"train": 1200, "validation": 400, "test": 400}
SEED = 0  # the same sequences for every cell and training seed
SETTINGS = {"periods": list(PERIODS), "steps": STEPS, "noise": NOISE, "sizes": SIZES, "data_seed": SEED}


def load() -> Dataset:
    """Three splits, in each of which every class is equally frequent."""
    random = np.random.RandomState(SEED)  # its numbers never change
    train, validation, test = (_split(random, size) for size in SIZES.values())
    return Dataset(train, validation, test, Info("drifts", "classify", len(PERIODS), SETTINGS))


def _split(random: np.random.RandomState, size: int) -> Split:
    targets = random.permutation(np.arange(size) % len(PERIODS))
    phases = random.uniform(0, 2 * np.pi, (size, 1))
    angles = 2 * np.pi * np.arange(STEPS) / np.array(PERIODS)[targets, np.newaxis] + phases
    inputs = np.sin(angles) + NOISE * random.normal(size=angles.shape)
    return Split(inputs[..., np.newaxis].astype(np.float32), targets.astype(np.int32))
