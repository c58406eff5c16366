"""What all contestants of one case compute: the sizes, and for each kind of cell the same weights and inputs."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

import momentum_rnn_jax as mr

# What is computed. Drives have the paper's settings for permuted MNIST, which are the library's defaults.
CELLS: dict[str, Callable[[int], mr.Cell]] = {
    "lstm": mr.lstm,
    "momentum_lstm": partial(mr.momentum_lstm, mu=0.6, step_size=0.6),
    "adam_lstm": partial(mr.adam_lstm, mu=0.6, step_size=0.6, beta=0.1),
    "gru": mr.gru,
    "momentum_gru": partial(mr.momentum_gru, mu=0.6, step_size=0.6),
    "elman": mr.rnn,
    "momentum_elman": partial(mr.momentum_rnn, mu=0.6, step_size=0.6),
    "momentum_dtriv": partial(mr.momentum_dtriv, mu=0.6, step_size=0.6),
}


class Shape(NamedTuple):
    """The sizes of one case."""

    batch: int
    time: int
    features: int
    hidden: int

    def __str__(self) -> str:
        return "×".join(map(str, self))


class Problem(NamedTuple):
    """A cell, its parameters as NumPy arrays, and `xs`, (time, batch, features); all float32."""

    shape: Shape
    cell: mr.Cell
    params: dict[str, dict[str, np.ndarray]]
    xs: np.ndarray

    def in_float64(self) -> "Problem":
        """The same problem in float64."""
        params, xs = jax.tree.map(lambda leaf: leaf.astype(np.float64), (self.params, self.xs))
        return self._replace(params=params, xs=xs)


def make(kind: str, shape: Shape) -> Problem:
    """The problem of that kind in `CELLS`; always the same numbers."""
    cell = CELLS[kind](shape.hidden)
    random = np.random.default_rng(0)

    def param(path: Any, leaf: jax.Array) -> np.ndarray:
        # Some biases start at zero, where a contestant that forgets one would pass the check.
        noise = random.uniform(-0.1, 0.1, leaf.shape) if path[-1].key == "bias" else 0.0
        return np.asarray(leaf + noise, np.float32)

    params = jax.tree_util.tree_map_with_path(param, cell.init(jax.random.key(0), shape.features))
    xs = random.normal(size=(shape.time, shape.batch, shape.features)).astype(np.float32)
    return Problem(shape, cell, params, xs)
