"""Tasks: what a network is trained on, as plain arrays."""

from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """`inputs`: (examples, time, features), float32; `labels`: (examples,), int32."""

    inputs: np.ndarray
    labels: np.ndarray


class Task(NamedTuple):
    """Three disjoint sets of examples, and the number of classes that their labels count."""

    num_classes: int
    train: Examples
    validation: Examples
    test: Examples
