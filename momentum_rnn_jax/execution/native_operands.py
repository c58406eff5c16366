"""What a native call works on, and what is known of it when a program is traced."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from jax import Array

from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.execution.native_support import Kind, kind_of

LANES = 16  # what the hidden units of residuals are padded to a multiple of
SHARED = ("input", "kernel", "bias", "extra")  # operands without a batch axis
STATES = ("first_h", "first_c", "start_h", "start_c", "last_c")  # of the shape of a state: without an axis of time
RESIDUALS = ("hs", "cs", "gates")  # what the forward pass keeps for the backward pass
GRADIENTS = ("kernel", "input", "bias", "extra", "first_h", "first_c", "start_h", "start_c", "d")  # what the latter computes


class Operands(NamedTuple):
    """What both passes get. Without runs: T steps, B examples, F features, H hidden units, G gates; None for what is left out.

    `x` (T, B, F) and `input` (F, G·H), or `d` (T, B, G·H); or all three, where `d` is `x @ input`, computed ahead and without a
    derivative of its own. `kernel` (H, G·H), `bias` (G·H,), `extra` (H,) the bias of modReLU; the first state and the start,
    (B, H); the masks (T, B).
    """

    x: Any
    d: Any
    input: Any
    kernel: Array
    bias: Array | None
    extra: Array | None
    first_h: Array
    first_c: Any
    resets: Array | None
    valid: Array | None
    start_h: Any
    start_c: Any


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known when a program is traced: the core, which operands there are, and what the forward pass keeps.

    Args:
      core: the core.
      present: the names of the operands that are given.
      keep: "nothing", "states" or "gates" (and states).
      store: what is kept when there is a derivative to compute, "states" or "gates".
      ahead: whether `d` is `x @ input`, computed ahead.
    """

    core: KernelCore
    present: tuple[str, ...]
    keep: str
    store: str
    ahead: bool

    def operands(self, arrays: Sequence[Any]) -> Operands:
        """The operands, by name."""
        return Operands(**{**dict.fromkeys(Operands._fields), **dict(zip(self.present, arrays, strict=True))})

    @property
    def kind(self) -> Kind:
        """The kernels' kind of the core."""
        kind = kind_of(self.core)
        assert kind is not None  # resolve has chosen this strategy
        return kind
