"""A memory of polynomial coefficients, as the drive and the core of HiPPO share it: its options, its start and its step.

A memory holds N numbers for each signal. For "legs" with a discretisation other than "zoh" they are the coefficients in a rotated
basis (see `legs`), in which a step costs O(N); otherwise the coefficients themselves, and a step is O(N²).
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.hippo.legs import hold, rotation
from momentum_rnn_jax.hippo.legs import step as legs_step
from momentum_rnn_jax.hippo.transition import DISCRETIZATIONS, MEASURES, Matrix, discretize

DT = 0.01  # the step of measures that do not change with time, unless another is given


@dataclasses.dataclass(frozen=True)
class Memory:
    """The options of a memory; every one is structure.

    Args:
      order: N, an integer of at least 1.
      measure, discretization: as in `discretize`.
      dt: the step of a measure other than "legs", 0.01 unless given; None for "legs", whose steps are 1/t.
      init_t: of "legs": t at the first input. 1 for a past of zeros; 0 for a past that is taken to have been the first input.
      max_length: of "legs": where t stops growing, after which the memory is a sliding one; None for never.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed; the message names it.
    """

    order: int
    measure: str = "legs"
    discretization: str = "bilinear"
    dt: float | None = None
    init_t: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        _checks.choice("measure", self.measure, MEASURES)
        _checks.choice("discretization", self.discretization, DISCRETIZATIONS)
        values = {"order": _checks.size("order", self.order), "init_t": _checks.integer("init_t", self.init_t, low=0, high=1)}
        if self.dt is not None:
            values["dt"] = _checks.scalar("dt", self.dt, low=0.0, low_open=True)  # type: ignore[assignment]
        if self.max_length is not None:
            values["max_length"] = _checks.size("max_length", self.max_length)
        if self.measure == "legs" and self.dt is not None:
            raise ValueError(f"dt must be None for 'legs', whose steps are 1/t, got {describe(self.dt)}.")
        if self.measure != "legs" and (self.init_t or self.max_length is not None):
            name = "init_t" if self.init_t else "max_length"
            raise ValueError(
                f"{name} must be left out for {self.measure!r}, which has no t, got {describe(getattr(self, name))}."
            )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def rotated(self) -> bool:
        """Whether the numbers it holds are coefficients in the rotated basis."""
        return self.measure == "legs" and self.discretization != "zoh"

    def start(self, shape: tuple[int, ...], dtype: object) -> Array:
        """An empty memory of signals of this shape, (*shape, N), in at least float32."""
        return jnp.zeros((*shape, self.order), at_least_float32(dtype))

    def step(self, memory: Array, steps: Array, f: Array) -> Array:
        """The memory after one more input: memory (batch…, M, N), steps before it (batch…), f (batch…, M)."""
        if self.measure != "legs":
            return self._invariant(memory, f)
        t = steps + self.init_t
        if self.max_length is not None:
            t = jnp.minimum(t, self.max_length)
        t = jnp.maximum(t, 1).astype(memory.dtype)
        return self.scaled(memory, f, 1 / t, t / (t + 1), None if self.init_t else steps == 0)

    def scaled(self, memory: Array, f: Array, delta: Array, ratio: Array, fresh: Array | None) -> Array:
        """A step of "legs", per example: by δ, or for "zoh" to a whole of which the past is a part, `ratio`; each (batch…).

        Where `fresh`, the past is taken to have been f throughout.
        """
        f = f.astype(memory.dtype)
        fresh = None if fresh is None else fresh[..., np.newaxis]
        if self.discretization == "zoh":
            return hold(memory, f, ratio[..., np.newaxis], fresh)
        return legs_step(self.discretization, memory, f, delta[..., np.newaxis], fresh)

    def coefficients(self, memory: Array) -> Array:
        """The coefficients c that a memory holds, (..., N) -> (..., N)."""
        return memory @ jnp.asarray(rotation(self.order).Q.T, memory.dtype) if self.rotated else memory

    def fold(self, weights: Array) -> Array:
        """Weights of the coefficients, (..., N), as weights of what the memory holds: `c · w = memory · fold(w)`."""
        return weights @ jnp.asarray(rotation(self.order).Q, weights.dtype) if self.rotated else weights

    def _invariant(self, memory: Array, f: Array) -> Array:
        A, B = self._matrices()
        written = f.astype(memory.dtype)[..., np.newaxis] * jnp.asarray(B.reshape((1,) * f.ndim + B.shape), memory.dtype)
        return memory @ jnp.asarray(A.T, memory.dtype) + written

    def _matrices(self) -> tuple[Matrix, Matrix]:
        return discretize(self.order, self.measure, self.discretization, dt=DT if self.dt is None else self.dt)
