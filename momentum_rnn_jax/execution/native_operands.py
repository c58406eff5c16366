"""What a native call works on, and what is known of it when a program is traced."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from jax import Array

from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.drives import Drive
from momentum_rnn_jax.execution.native_support import DRIVE_KINDS, DriveKind, Kind, kind_of

LANES = 16  # what the hidden units of residuals are padded to a multiple of
HYPERPARAMETERS = ("mu", "step_size", "beta", "eps")  # of a drive that the kernels run
SHARED = ("input", "kernel", "bias", "extra", *HYPERPARAMETERS)  # operands without a batch axis
DRIVE_STATES = ("first_v", "first_m", "start_v", "start_m")
# Of the shape of a state: without an axis of time.
STATES = ("first_h", "first_c", "start_h", "start_c", *DRIVE_STATES, "last_c", "last_v", "last_m")
RESIDUALS = ("hs", "cs", "gates", "drives")  # what the forward pass keeps for the backward pass
OUTPUTS = ("hs", "last_c", "last_v", "last_m", *RESIDUALS[1:])  # what the forward pass computes
COTANGENTS = OUTPUTS[:4]  # what has a derivative
GRADIENTS = (  # what the backward pass computes
    *("kernel", "input", "bias", "extra", "first_h", "first_c", "start_h", "start_c", "d"),
    *HYPERPARAMETERS,
    *DRIVE_STATES,
)


class Operands(NamedTuple):
    """What both passes get. Without runs: T steps, B examples, F features, H hidden units, G gates; None for what is left out.

    `x` (T, B, F) and `input` (F, G·H), or `d` (T, B, G·H); or all three, where `d` is `x @ input`, computed ahead and without a
    derivative of its own. A drive of the kernels acts on these, with hyper-parameters (G·H,) and states (B, G·H). `kernel`
    (H, G·H), `bias` (G·H,), `extra` (H,) the bias of modReLU; the first state and the start, (B, H); the masks (T, B).
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
    mu: Any
    step_size: Any
    beta: Any
    eps: Any
    first_v: Any
    first_m: Any
    start_v: Any
    start_m: Any


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known when a program is traced: the core, which operands there are, and what the forward pass keeps.

    Args:
      core: the core.
      present: the names of the operands that are given.
      keep: "nothing", "states" or "gates" (and states).
      store: what is kept when there is a derivative to compute, "states" or "gates".
      ahead: whether `d` is `x @ input`, computed ahead.
      drive: the class of the drive that the kernels run, None where they run none.
      block: the drive's states are kept once in so many steps.
    """

    core: KernelCore
    present: tuple[str, ...]
    keep: str
    store: str
    ahead: bool
    drive: type[Drive] | None = None
    block: int = 1

    def operands(self, arrays: Sequence[Any]) -> Operands:
        """The operands, by name."""
        return Operands(**{**dict.fromkeys(Operands._fields), **dict(zip(self.present, arrays, strict=True))})

    @property
    def kind(self) -> Kind:
        """The kernels' kind of the core."""
        kind = kind_of(self.core)
        assert kind is not None  # resolve has chosen this strategy
        return kind

    @property
    def drive_kind(self) -> DriveKind:
        """The kernels' kind of the drive."""
        return DRIVE_KINDS[self.drive]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that have a derivative: those of `COTANGENTS` that are there."""
        return ("hs", *(("last_c",) if self.kind.cell else ()), *(f"last_{state}" for state in self.drive_kind.states))
