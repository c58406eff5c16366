"""Cells whose inputs carry time stamps, for signals that are sampled irregularly or at another rate."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import Core, HiPPORNN
from momentum_rnn_jax.drives import Drive, Identity


@state_type
class TimedState(NamedTuple):
    """`time`: of the last input, (...), 0 before the first; `steps`: taken so far, (...), int32; `inner`: the drive's state."""

    time: Array
    steps: Array
    inner: Any


@pytree_dataclass
class TimedCell(RecurrentCell):
    """A cell whose first input feature is the time: `x_t = [time_t, features]`, and `u_t = W features + b_x`.

    Times count from the start of the sequence or episode, must not decrease (which is not checked), and are each example's own.
    They are computed in the cell's dtype: 16 bits lose their last digits. A core's `init_t` has no effect here.
    With `Δ_t = time_t - time_{t-1}`, from `time_0 = 0`,

    - `Momentum` takes steps of that length, `mu^Δ_t`, as `Momentum.resampled` says; the first of them counts as 1;
    - `HiPPORNN` with the measure "legs" takes the step δ = Δ_t / time_t, whatever the number of inputs so far. Where the time is
      0, its memory starts with that input, `c = (f, 0, …)`, in that example alone.

    Other cores step as without times.

    Args:
      core: any `Core`; a `HiPPORNN` must have the measure "legs" and no `max_length`.
      drive: `Momentum` or `Identity`, or one of your own with the method `resampled`.
      trainable_initial_state: as in `Cell`.

    `init` takes the number of features with the time, at least 2. State `CellState(TimedState(time, steps, inner), …)`. `unroll`
    runs the cell step by step.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: the time stamps of HiPPO, arXiv 2008.07669, whose released code resets all examples of a batch at once.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.TimedCell(mr.HiPPORNN(4), mr.Momentum(mu=0.9, step_size=0.1))
    >>> params = cell.init(jax.random.key(0), in_features=3)  # the time and two features
    >>> times = jnp.cumsum(jax.random.uniform(jax.random.key(1), (5, 2, 1)), axis=0)
    >>> xs = jnp.concatenate([times, jnp.ones((5, 2, 2))], axis=-1)
    >>> mr.unroll(cell, params, xs)[1].shape
    (5, 2, 4)
    """

    core: Core
    drive: Drive = Identity()
    trainable_initial_state: bool = static(default=False)

    why_stepwise: ClassVar[str] = "the steps of TimedCell have lengths of their own, which the fast paths do not take"
    why_not_reversed: ClassVar[str] = "whose times must not decrease"

    def __post_init__(self) -> None:
        core = _checks.instance("core", self.core, Core)
        _checks.instance("drive", self.drive, Drive)
        if core.feature_axes != 1:
            raise TypeError(f"core must read vectors, of which the first entry is the time, got {describe(core)}.")
        if isinstance(core, HiPPORNN) and (core.measure != "legs" or core.max_length is not None):
            raise ValueError(f"core must be a HiPPORNN of 'legs' without max_length, got {core.measure!r}, {core.max_length}.")
        if not hasattr(self.drive, "resampled"):
            raise TypeError(f"drive must have steps of any length, as Momentum has, got {describe(self.drive)}.")
        set_fields(self, _checks.boolean, "trainable_initial_state")

    def init(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters, as in `Cell`; F counts the time, and is at least 2."""
        return super().init(key, _checks.integer("in_features", in_features, low=2) - 1, dtype)

    def param_shapes(self, in_features: int | None) -> dict[str, dict[str, tuple[int | None, ...]]]:
        return super().param_shapes(None if in_features is None else in_features - 1)

    def features_of(self, params: Params) -> int:
        return super().features_of(params) + 1

    def project(self, prepared: Params, x: Array) -> Array:
        """`u = W features + b_x`: (..., F), the time first, -> (..., G·H)."""
        return self.core.project(prepared["input"], x[..., 1:])

    def fill_padding(self, xs: Array, valid: Array, state: CellState | None) -> Array:
        """As in `RecurrentCell`, with the time one after the last valid one: a step backwards in time may overflow."""
        last = jnp.take_along_axis(xs[..., 0], jnp.maximum(valid.sum(0) - 1, 0)[jnp.newaxis], axis=0)[0]
        before = jnp.zeros_like(last) if state is None else state.drive.time.astype(last.dtype)
        time = jnp.where(valid.any(0), last, before) + 1
        filled = super().fill_padding(xs, valid, state)
        return filled.at[..., 0].set(jnp.where(valid, xs[..., 0], time[jnp.newaxis]))

    def advance(self, prepared: Params, state: CellState, x: Array, noise: Any = None) -> tuple[CellState, Array]:
        before, steps, inner = state.drive
        time = x[..., 0].astype(before.dtype)
        length = jnp.where(steps == 0, jnp.ones_like(time), time - before)
        drive: Any = self.drive
        inner, d = drive.resampled(length[..., jnp.newaxis]).advance(inner, self.project(prepared, x))
        if isinstance(self.core, HiPPORNN):
            core_state, y = self.core.step_between(prepared["core"], state.core, d, before, time)
        else:
            noisy = {} if noise is None else {"noise": noise}
            core_state, y = self.core.step(prepared["core"], state.core, d, **noisy)
        return CellState(TimedState(time, steps + 1, inner), core_state), y

    def initial_drive_state(self, u: Array) -> TimedState:
        example = u[..., 0]
        time = jnp.zeros_like(example, dtype=at_least_float32(u.dtype))
        return TimedState(time, jnp.zeros_like(example, dtype=jnp.int32), self.drive.init(u))
