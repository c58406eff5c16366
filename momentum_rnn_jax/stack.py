"""Recurrent cells on top of one another."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell


@pytree_dataclass
class Stack:
    """Recurrent cells on top of one another: each takes the output of the one below, at the same time step.

    A stack is a pytree, as its cells are. Its parameters, its state and its noise are tuples, with an entry for each cell.

    Args:
      cells: at least one `RecurrentCell`, from the input up. Their sizes may differ, and so may their kinds.

    Raises:
      TypeError: `cells` is not a sequence of cells.
      ValueError: there is none.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> stack = mr.Stack([mr.momentum_lstm(8), mr.gru(4)])
    >>> params = stack.init(jax.random.key(0), in_features=3)
    >>> state, y = stack.step(params, stack.initial_state(params, (2,)), jnp.ones((2, 3)))
    >>> y.shape, state[0].core.c.shape, state[1].core.h.shape
    ((2, 4), (2, 8), (2, 4))
    """

    cells: tuple[RecurrentCell, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.cells, Sequence):
            raise TypeError(f"cells must be a tuple or list of cells, got {type(self.cells).__name__}.")
        if not self.cells:
            raise ValueError("cells must be at least one cell, got none.")
        object.__setattr__(self, "cells", tuple(self.cells))
        for number, cell in enumerate(self.cells):
            _checks.instance(f"cells[{number}]", cell, RecurrentCell)

    @property
    def output_features(self) -> int:
        """The size of the output, which is that of the last cell."""
        return self.cells[-1].core.output_features

    def init(self, key: Array, in_features: int, dtype: Any = float) -> tuple[Params, ...]:
        """New parameters of each cell.

        Args:
          key: a JAX random key.
          in_features: F, at least 1, the first cell's; every other cell's are the outputs of the one below.
          dtype: of every parameter.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        keys = jax.random.split(_checks.key(key), len(self.cells))
        sizes = self._in_features(_checks.size("in_features", in_features))
        return tuple(cell.init(k, size, dtype) for cell, k, size in zip(self.cells, keys, sizes, strict=True))

    def param_shapes(self, in_features: int | None) -> tuple[dict[str, dict[str, tuple[int | None, ...]]], ...]:
        """The shape of each parameter that `init` makes; None marks an unknown number of input features."""
        return tuple(cell.param_shapes(size) for cell, size in zip(self.cells, self._in_features(in_features), strict=True))

    def initial_state(self, params: Sequence[Params], batch_shape: tuple[int, ...] = ()) -> tuple[CellState, ...]:
        """The state of each cell before the first step; every leaf begins with `batch_shape`.

        Raises:
          TypeError, ValueError: `params` do not belong to this stack, or `batch_shape` is not a tuple of sizes.
        """
        self.check_params(params)
        return tuple(cell.initial_state(p, batch_shape) for cell, p in zip(self.cells, params, strict=True))

    def reset_state(self, params: Sequence[Params], state: Sequence[CellState], mask: Array) -> tuple[CellState, ...]:
        """The initial state where `mask`, a boolean array of the batch's shape, is True, and `state` elsewhere.

        Raises:
          TypeError, ValueError: an argument does not fit the stack or another argument; the message names it.
        """
        self.check_params(params)
        self._check_length("state", state)
        return tuple(cell.reset_state(p, s, mask) for cell, p, s in zip(self.cells, params, state, strict=True))

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> tuple[Any, ...] | None:
        """Each cell's noise for steps of `shape` (time, batch…), None where a cell samples none; None if no cell does.

        The first axis is always time, also for `unroll(…, time_major=False)`.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        keys = jax.random.split(_checks.key(key), len(self.cells))
        noise = tuple(cell.sample_noise(k, shape, dtype) for cell, k in zip(self.cells, keys, strict=True))
        return noise if any(one is not None for one in noise) else None

    def step(
        self, params: Sequence[Params], state: Sequence[CellState], x: Array, noise: Sequence[Any] | None = None
    ) -> tuple[tuple[CellState, ...], Array]:
        """One time step of every cell, pure: `(params, state, x_t)` -> `(new state, y_t)`.

        Args:
          params: from `init`.
          state: from `initial_state`, or an earlier step's.
          x: (..., F), floating point.
          noise: from `sample_noise`, for one step; None for no randomness.

        Returns:
          The new state, and y_t of the last cell, (..., H).

        Raises:
          TypeError, ValueError: an argument does not fit the stack or another argument; the message names it.
        """
        self.check_params(params)
        states, y = [], x
        for cell, p, s, n in self.layers(params, state, noise):
            s, y = cell.step(p, s, y, n)
            states.append(s)
        return tuple(states), y

    def layers(
        self, params: Sequence[Params], state: Sequence[CellState] | None, noise: Sequence[Any] | None
    ) -> list[tuple[RecurrentCell, Params, Any, Any]]:
        """The cells from the input up, each with its parameters, its state and its noise.

        Raises:
          TypeError, ValueError: there is not one of each for every cell.
        """
        nothing = (None,) * len(self.cells)
        self._check_length("params", params)
        return list(
            zip(
                self.cells,
                params,
                nothing if state is None else self._check_length("state", state),
                nothing if noise is None else self._check_length("noise", noise),
                strict=True,
            )
        )

    def check_params(self, params: Sequence[Params]) -> None:
        """Refuse parameters whose names, shapes or sizes are not this stack's, or whose dtypes differ."""
        self._check_length("params", params)
        sizes = self._in_features(None)
        for number, (cell, values, size) in enumerate(zip(self.cells, params, sizes, strict=True)):
            cell.check_params(values, f"params[{number}]", size)
        _checks.one_dtype("params", params)

    def _in_features(self, first: Any) -> list[Any]:
        return [first, *(cell.core.output_features for cell in self.cells[:-1])]

    def _check_length(self, name: str, value: Any) -> Sequence[Any]:
        if not isinstance(value, tuple | list) or len(value) != len(self.cells):
            got = f"{len(value)} entries" if isinstance(value, tuple | list) else type(value).__name__
            raise ValueError(f"{name} must be a tuple with an entry for each of the {len(self.cells)} cells, got {got}.")
        return value


def unroll_layers(
    unroll: Callable[..., Any],
    stack: Stack,
    params: Sequence[Params],
    xs: Array,
    state: Sequence[CellState] | None = None,
    *,
    noise: Sequence[Any] | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    """A stack over a sequence, layer by layer: `unroll(cell, params, xs, state, noise=noise, **options)` of each cell in turn.

    Returns what `unroll` does, `(state, ys)` or `(state, ys, states)`: `ys` of the last cell, and of the others a tuple with an
    entry for each cell.
    """
    stack.check_params(params)
    results: list[Any] = []
    for cell, p, s, n in stack.layers(params, state, noise):
        results.append(unroll(cell, p, results[-1][1] if results else xs, s, noise=n, **options))
    final, outputs, *states = zip(*results, strict=True)
    return (final, outputs[-1], *states)
