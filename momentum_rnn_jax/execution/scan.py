"""The reference: a scan of the cell's step, in which padded steps change nothing and resets go back to a start."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array

from momentum_rnn_jax._masked import Masks, enter, leave, zero_padding
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell


class Problem(NamedTuple):
    """What is run: a cell on prepared parameters and a sequence, with time first and every array in the dtype of computation.

    `state` is what the caller gave, or None; `start` the initial state, to which resets go back; `noise` None or the per-step
    randomness.
    """

    cell: RecurrentCell
    prepared: Params
    xs: Array
    state: CellState | None
    start: CellState
    noise: Any
    masks: Masks

    @property
    def first(self) -> CellState:
        """The state before the first step."""
        return self.start if self.state is None else self.state


class Result(NamedTuple):
    """The final state, the outputs of every step, and, where they are asked for, the states of every step."""

    final: CellState
    outputs: Array
    states: CellState | None


def scan(
    step: Callable[..., tuple[Any, Array]],
    state: Any,
    inputs: tuple[Any, ...],
    start: Any,
    masks: Masks,
    *,
    unroll: int = 1,
    return_states: bool = False,
) -> tuple[Any, Array, Any]:
    """A scan of `step(state, *inputs) -> (new state, y)`, from `start` where `resets` say, without steps that are not `valid`.

    Returns the final state, the outputs, zero at steps that are left out, and, if asked for, the states of every step.
    """

    def body(state: Any, step_inputs: tuple[Any, Masks]) -> tuple[Any, tuple[Array, Any]]:
        inputs, masks = step_inputs
        state = enter(state, start, masks)
        new, y = step(state, *inputs)
        new = leave(new, state, masks)
        return new, (zero_padding(y, masks), new if return_states else None)

    state, (ys, states) = jax.lax.scan(body, state, (inputs, masks), unroll=unroll)
    return state, ys, states
