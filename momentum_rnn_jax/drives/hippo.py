"""HiPPO as a drive: the past of the projected input as N polynomial coefficients. Momentum is the first-order case."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax._pytree import hyperparameter, pytree_dataclass, state_type, static
from momentum_rnn_jax.drives.base import Drive
from momentum_rnn_jax.hippo.memory import Memory
from momentum_rnn_jax.hippo.transition import basis_at


@state_type
class HiPPOState(NamedTuple):
    """`memory`: (..., G·H, N), for "legs" in a rotated basis, which `HiPPO.coefficients` undoes; `steps`: taken, (...), int32."""

    memory: Array
    steps: Array


@pytree_dataclass
class HiPPO(Drive):
    """The past of each gate as N coefficients of polynomials: `c_t = Ā_t c_{t-1} + B̄_t u_t`, `d_t = Σ_n readout_n c_t[n]`.

    Momentum is the case N = 1 of a measure that does not change with time: `Momentum(mu, s)` is `HiPPO(1, measure="legt",
    discretization="zoh", dt=-log(mu), readout=s / (1 - mu))`. "legs" of order 1 is the running mean, with "zoh" or "backward".
    For "legs" a step costs O(N), with "zoh" O(N²); for the other measures O(N²).

    Args:
      order: N, at least 1.
      readout: w, (N,); or (N, G·H), with (N, 1) and (1, G·H) allowed, for weights that differ between units; or one number for
        all. Any real numbers. Unless given, the weights with which d_t is the memory's reconstruction of u_t, `hippo.basis` at
        the newest point. In Flax `learnable={"readout": "each"}` learns every one of them.
      measure: what of the past is weighted how. "legs": all of it alike, without a timescale. "legt", "lmu": a window of `1/dt`
        steps, in two bases. "lagt": a past that fades.
      discretization: "bilinear", "backward", "forward" or "zoh". "forward" is unstable for "legs" while t < N/2.
      dt: the step of a measure other than "legs", in units of its window; 0.01 unless given.
      init_t: of "legs": 0 if the first input is taken for the whole past, `c_1 = (u_1, 0, …)`, after which t = 1, 2, …; 1 if the
        past is zero, and t = 1 at the first input.
      max_length: of "legs": where t stops growing; None for never.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. Traced values are not checked.

    Source: HiPPO, arXiv 2008.07669.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.HiPPO(1, discretization="zoh")
    >>> us = jnp.array([[3.0], [5.0], [1.0]])
    >>> drive.unroll(drive.init(us[0]), us)[1][:, 0].round(5).tolist()  # the running mean
    [3.0, 4.0, 3.0]

    All coefficients handed on: an LSTM on 8 coefficients of each of 3 inputs.

    >>> memory, xs = mr.HiPPO(8), jnp.ones((5, 2, 3))  # (time, batch, features)
    >>> _, cs = memory.unroll_coefficients(memory.init(xs[0]), xs)
    >>> cell = mr.lstm(4)
    >>> params = cell.init(jax.random.key(0), in_features=3 * 8)
    >>> mr.unroll(cell, params, cs.reshape(5, 2, 3 * 8))[1].shape
    (5, 2, 4)
    """

    order: int = static()
    readout: Any = hyperparameter(default=None)
    measure: str = static(default="legs")
    discretization: str = static(default="bilinear")
    dt: float | None = static(default=None)
    init_t: int = static(default=0)
    max_length: int | None = static(default=None)

    def __post_init__(self) -> None:
        given = self.readout
        super().__post_init__()
        if isinstance(given, np.ndarray):  # which keeps its precision where JAX's arrays have less for now
            object.__setattr__(self, "readout", np.array(given, float))
        memory = self._memory
        for name in ("order", "dt", "init_t", "max_length"):
            object.__setattr__(self, name, getattr(memory, name))
        _checks.elements("order", self.order, {"the basis": (self.order, self.order)})
        if self.readout is None:
            newest = np.zeros(1) if self.measure == "lagt" else np.ones(1)
            object.__setattr__(self, "readout", basis_at(newest, self.order, self.measure)[0])
        shape = np.shape(self.readout)
        if len(shape) > 2 or (shape and shape[0] != self.order and (len(shape) == 1 or shape[0] != 1)):
            raise ValueError(
                f"readout must be a number or of shape ({self.order},) or ({self.order}, units), got {describe(self.readout)}."
            )

    @property
    def _memory(self) -> Memory:
        return Memory(self.order, self.measure, self.discretization, self.dt, self.init_t, self.max_length)

    def start(self, u: Array) -> HiPPOState:
        memory = jnp.broadcast_to(jnp.zeros_like(u)[..., np.newaxis], (*u.shape, self.order))
        return HiPPOState(memory, jnp.zeros_like(u[..., 0], dtype=jnp.int32))

    def update(self, state: HiPPOState, u: Array) -> tuple[HiPPOState, Array]:
        memory = self._memory.step(state.memory, state.steps, u)
        return HiPPOState(memory, state.steps + 1), self._read(memory)

    def coefficients(self, state: HiPPOState) -> Array:
        """The coefficients c that states hold, (..., G·H, N), in the basis of `hippo.basis`; any leading axes, time among them.

        Raises:
          TypeError, ValueError: the state is not one of this drive's.
        """
        _checks.instance("state", state, HiPPOState)
        memory = _checks.floating("state.memory", state.memory, min_ndim=2, layout="(..., gates, N)")
        if memory.shape[-1] != self.order:
            raise ValueError(f"state.memory must have {self.order} coefficients in its last axis, got shape {memory.shape}.")
        return self._memory.coefficients(memory)

    def unroll_coefficients(self, state: HiPPOState, us: Array) -> tuple[HiPPOState, Array]:
        """`unroll` that hands all coefficients on: us (time, ..., F) -> `(final state, cs)`, cs (time, ..., F, N).

        As features of a cell: `cs.reshape(*us.shape[:-1], -1)`, F·N of them, the coefficients of one input side by side.

        Raises:
          TypeError, ValueError: as `unroll`.
        """
        us = _checks.floating("us", us, min_ndim=2, layout="(time, ..., features)")
        _checks.same_structure("state", state, jax.eval_shape(lambda us: self.init(us[0]), us))

        def step(state: HiPPOState, u: Array) -> tuple[HiPPOState, Array]:
            memory = self._memory.step(state.memory, state.steps, u)
            return HiPPOState(memory, state.steps + 1), memory

        final, memories = jax.lax.scan(step, state, us.astype(state.memory.dtype))
        return final, self._memory.coefficients(memories).astype(us.dtype)

    @property
    def commutes(self) -> bool:
        """Whether units are read alike, so that the drive commutes with the projection: `drive(x) @ W = drive(x @ W)`."""
        return np.ndim(self.readout) < 2 or np.shape(self.readout)[1] == 1

    def projected(self, state: HiPPOState, kernel: Array) -> HiPPOState:
        """The state after inputs `x @ kernel`, of the state after inputs x; kernel (F, G·H)."""
        return state._replace(memory=jnp.einsum("...fn,fg->...gn", state.memory, kernel))

    def _read(self, memory: Array) -> Array:
        """`Σ_n readout_n c[n]`: (..., G·H, N) -> (..., G·H)."""
        readout = jnp.asarray(self.readout).astype(memory.dtype)
        if readout.ndim == 0:
            readout = jnp.full(self.order, readout)
        if readout.ndim == 1:
            return memory @ self._memory.fold(readout)
        units = memory.shape[-2]
        if readout.shape[1] not in (1, units):
            raise ValueError(f"readout must have 1 or {units} units, as there are gates, got {describe(self.readout)}.")
        weights = self._memory.fold(jnp.broadcast_to(readout.T, (readout.shape[1], self.order)))
        return jnp.sum(memory * weights.reshape((1,) * (memory.ndim - 2) + weights.shape), axis=-1)
