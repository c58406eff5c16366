"""Convolutional cells joined by arrows that each take one time step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import ConvCore

Edge = tuple[int, int]


@state_type
class NetworkState(NamedTuple):
    """`cells`: the state of each cell; `outputs`: the output of each at the step before, which the arrows carry on."""

    cells: tuple[CellState, ...]
    outputs: tuple[Array, ...]


@pytree_dataclass
class Network:
    """Convolutional cells with feed-forward and feedback arrows, each of which takes one step ("biological" unrolling).

    Cell l takes at step t what the arrows into it carry, side by side: of each cell they come from, the output of step t-1,
    resized to the size of cell l's image; and cell 0, before them, x_t. So cell l first sees the sequence at its step l, and
    every cell of a step can run at once. In a `Stack`, a step passes through all cells.

    Args:
      cells: at least one `RecurrentCell` with a `ConvCore`, from the input up. An arrow goes from each to the next.
      edges: further arrows, pairs (from, to) of the cells' numbers: feedback, (2, 0), or one that skips cells, (0, 2).

    Images are resized by `jax.image.resize`, "linear". Parameters, a tuple with an entry for each cell; state `NetworkState`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or an edge is there twice or names no cell.

    Source: Nayebi et al., arXiv 1807.00053.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cells = [mr.Cell(mr.ConvLSTM(4, (6, 6)), mr.Momentum()), mr.Cell(mr.ConvGRU(3, (3, 3)))]
    >>> network = mr.Network(cells, edges=[(1, 0)])
    >>> params = network.init(jax.random.key(0), in_features=2)
    >>> params[0]["input"]["kernel"].shape  # x and the second cell's output
    (3, 3, 5, 16)
    >>> state, ys = network.unroll(params, jnp.ones((5, 8, 6, 6, 2)))
    >>> ys.shape
    (5, 8, 3, 3, 3)
    """

    cells: tuple[RecurrentCell, ...]
    edges: tuple[Edge, ...] = static(default=())

    def __post_init__(self) -> None:
        for name in ("cells", "edges"):
            if not isinstance(getattr(self, name), Sequence) or isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a tuple or list, got {_checks.describe(getattr(self, name))}.")
        if not self.cells:
            raise ValueError("cells must be at least one cell, got none.")
        for number, cell in enumerate(self.cells):
            _checks.instance(f"cells[{number}]", cell, RecurrentCell)
            _checks.instance(f"cells[{number}].core", cell.core, ConvCore)
        set_fields(self, lambda name, value: tuple(value), "cells")
        set_fields(self, lambda name, value: tuple(self._edge(edge) for edge in value), "edges")
        arrows = [(number - 1, number) for number in range(1, len(self.cells))] + list(self.edges)
        if twice := sorted({arrow for arrow in arrows if arrows.count(arrow) > 1}):
            raise ValueError(f"edges must not have an arrow twice, counting those from each cell to the next, got {twice}.")

    @property
    def output_features(self) -> int:
        """The channels of the output, which is that of the last cell."""
        return self.cells[-1].core.output_features

    def init(self, key: Array, in_features: int, dtype: Any = float) -> tuple[Params, ...]:
        """New parameters of each cell; `in_features` are the channels of x.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        keys = jax.random.split(_checks.key(key), len(self.cells))
        in_features = _checks.size("in_features", in_features)
        sizes = [self._in_features(number, in_features) for number in range(len(self.cells))]
        return tuple(cell.init(k, size, dtype) for cell, k, size in zip(self.cells, keys, sizes, strict=True))

    def initial_state(self, params: Sequence[Params], batch_shape: tuple[int, ...] = ()) -> NetworkState:
        """The state before the first step: each cell's, and outputs of zero.

        Raises:
          TypeError, ValueError: `params` do not belong to this network, or `batch_shape` is not a tuple of sizes.
        """
        self._check_length("params", params)
        cells = tuple(cell.initial_state(p, batch_shape) for cell, p in zip(self.cells, params, strict=True))

        def silence(cell: RecurrentCell, params: Params) -> Array:
            shape = cell.core.features_shape(cell.core.output_features)
            return jnp.zeros((*batch_shape, *shape), jax.tree.leaves(params)[0].dtype)

        return NetworkState(cells, tuple(silence(cell, p) for cell, p in zip(self.cells, params, strict=True)))

    def step(self, params: Sequence[Params], state: NetworkState, x: Array) -> tuple[NetworkState, Array]:
        """One time step of every cell: `(params, state, x_t)` -> `(new state, y_t)`, y_t that of the last cell.

        Raises:
          TypeError, ValueError: an argument does not fit the network; the message names it.
        """
        self._check_length("params", params)
        _checks.instance("state", state, NetworkState)
        for name, entries in state._asdict().items():
            self._check_length(f"state.{name}", entries)
        states, outputs = [], []
        for number, (cell, p, s) in enumerate(zip(self.cells, params, state.cells, strict=True)):
            parts = [_resized(state.outputs[source], cell.core) for source in self._sources(number)]
            if number == 0:
                parts.insert(0, x)
            new, y = cell.step(p, s, jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0])
            states.append(new)
            outputs.append(y)
        return NetworkState(tuple(states), tuple(outputs)), outputs[-1]

    def unroll(self, params: Sequence[Params], xs: Array, state: NetworkState | None = None) -> tuple[NetworkState, Array]:
        """Run it over (time, batch…, height, width, F), a scan of the step: `(final state, ys)`.

        Raises:
          TypeError, ValueError: an argument does not fit the network; the message names it.
        """
        core = self.cells[0].core
        layout = f"(time, ..., {core.features_shape(0)[0]}, {core.features_shape(0)[1]}, features)"
        xs = _checks.floating("xs", xs, min_ndim=4, layout=layout)
        start = self.initial_state(params, core.batch_shape(xs.shape)[1:])
        if state is None:
            state = start
        _checks.same_structure("state", state, start)
        features = core.in_features(params[0]["input"]) - self._in_features(0, 0)
        if xs.shape[-3:] != core.features_shape(features):
            raise ValueError(f"xs must have the last axes {core.features_shape(features)}, got shape {xs.shape}.")
        return jax.lax.scan(lambda state, x: self.step(params, state, x), state, xs)

    def _sources(self, number: int) -> list[int]:
        """The cells from which arrows go to a cell: the one before it, then those of `edges`, in their order."""
        return [number - 1] * (number > 0) + [source for source, target in self.edges if target == number]

    def _in_features(self, number: int, first: int) -> int:
        return first * (number == 0) + sum(self.cells[source].core.output_features for source in self._sources(number))

    def _edge(self, edge: Any) -> Edge:
        if not isinstance(edge, tuple | list) or len(edge) != 2:
            raise TypeError(f"edges must be pairs of the cells' numbers, such as (2, 0), got {_checks.describe(edge)}.")
        source, target = (_checks.integer("edges", end, low=0, high=len(self.cells) - 1) for end in edge)
        return source, target

    def _check_length(self, name: str, value: Any) -> None:
        if not isinstance(value, tuple | list) or len(value) != len(self.cells):
            got = f"{len(value)} entries" if isinstance(value, tuple | list) else _checks.describe(value)
            raise ValueError(f"{name} must be a tuple with an entry for each of the {len(self.cells)} cells, got {got}.")


def _resized(image: Array, core: Any) -> Array:
    """An output at the size of a core's image."""
    shape = (*image.shape[:-3], *core.features_shape(image.shape[-1]))
    return image if image.shape == shape else jax.image.resize(image, shape, "linear")
