"""What is timed: a forward pass over the whole sequence, and a training step."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

# A training step: the mean square of the last hidden state, the gradients of all parameters, and an update by RMSprop.
LEARNING_RATE, DECAY = 1e-3, 0.9
TRAINING, INFERENCE, COMPILING = "training step", "inference", "compiling: "  # the names of what is measured


class Ready(NamedTuple):
    """`call` runs once and returns when the result is there; `compile_seconds` is None where nothing is compiled."""

    call: Callable[[], None]
    compile_seconds: float | None


class Contestant(Protocol):
    """A model, its weights and its inputs in place."""

    def ready(self, mode: str) -> Ready:
        """Compiled for "training step" or "inference"."""

    def outputs(self) -> np.ndarray:
        """All hidden states, (time, batch, hidden), at the weights it began with."""

    def gradients(self) -> dict[str, dict[str, Any]]:
        """Of the loss at these weights, in the layout of the library's own parameters."""
