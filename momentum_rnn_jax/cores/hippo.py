"""The gated recurrent network of HiPPO, and the Legendre memory unit as one of its configurations."""

import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores.base import Core, Params, check_init, orthogonal_gates
from momentum_rnn_jax.hippo.memory import Memory


@state_type
class HiPPORNNState(NamedTuple):
    """`h`: (..., H). `memory`: (..., M, N), in at least float32, for "legs" in a rotated basis, which `HiPPORNN.coefficients`
    undoes. `steps`: taken so far, (...), int32."""

    h: Array
    memory: Array
    steps: Array


@pytree_dataclass
class HiPPORNN(Core):
    """A recurrent network that writes to a polynomial memory and reads all of it: with `(d^f, d^ĥ, d^g) = d_t`,

    `f_t = φ(d^f + V h_{t-1})`, `c_t = Ā_t c_{t-1} + B̄_t f_t` for each of the M signals f, `ĥ_t = tanh(d^ĥ + R_ĥ c_t)`,
    `g_t = σ(d^g + R_g c_t)`, `h_t = (1 - g_t) h_{t-1} + g_t ĥ_t`.

    The new memory is read. g near 1 overwrites, the opposite of the z of `GRU`. By default h reaches the next h through the M
    numbers f and the leak alone.

    Args:
      hidden_features: H, at least 1.
      memory_size: M, the number of signals that are remembered.
      memory_order: N, the number of coefficients of each; H unless given.
      measure, discretization, dt, init_t, max_length: as in `HiPPO`.
      gate: whether there is a gate; without one `h_t = ĥ_t`.
      memory_activation: φ, "identity", "tanh", "sigmoid" or "relu", in any case.
      memory_feedback: whether `Σ_n c_{t-1}[m, n] E[m, n]` is added to `f_m` inside φ.
      hidden_feedback: whether `U_ĥ h_{t-1} + b` is added inside the tanh, and `U_g h_{t-1}` to the gate.
      input_bias: whether the input projection, and the hidden feedback, have biases.

    The Legendre memory unit is `HiPPORNN(H, memory_order=N, measure="lmu", discretization="zoh", dt=1/θ, gate=False,
    memory_feedback=True, hidden_feedback=True, input_bias=False)`.

    Parameters: `write_kernel` V (H, M); `read_kernel` R (M·N, 2H), the rows of one signal side by side, columns (ĥ, g); with
    feedback `feedback_kernel` E (M, N), `kernel` U (H, 2H) and `bias` b (H,). Without a gate H columns instead of 2H. Input
    projection: M + 2H features, or M + H. At the start V is uniform within ±sqrt(3/(F + H)); R_ĥ and the input's columns for ĥ
    are Xavier-normal, each by its own size; those for g normal, of variance 1/(F + M·N); U orthogonal, E zero; biases uniform
    within ±1/sqrt(fan-in).

    State `HiPPORNNState(h, memory, steps)`, zero at the start, of which `trainable_initial_state` trains h. Counts are per
    example. `TimedCell` gives it time stamps.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: HiPPO, arXiv 2008.07669; agrees with the released code to rounding. LMU: Voelker, Kajić and Eliasmith, NeurIPS 2019.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.HiPPORNN(4, memory_order=8), mr.Momentum(mu=0.9))
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> params["input"]["kernel"].shape, params["core"]["read_kernel"].shape
    ((3, 9), (8, 8))
    >>> state, hs = mr.unroll(cell, params, jnp.ones((5, 2, 3)))
    >>> hs.shape, cell.core.coefficients(state.core).shape
    ((5, 2, 4), (2, 1, 8))
    """

    hidden_features: int = static()
    memory_size: int = static(default=1)
    memory_order: int | None = static(default=None)
    measure: str = static(default="legs")
    discretization: str = static(default="bilinear")
    dt: float | None = static(default=None)
    init_t: int = static(default=0)
    max_length: int | None = static(default=None)
    gate: bool = static(default=True)
    memory_activation: str = static(default="identity")
    memory_feedback: bool = static(default=False)
    hidden_feedback: bool = static(default=False)
    input_bias: bool = static(default=True)  # type: ignore[misc]

    num_gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.size, "memory_size", *(["memory_order"] if self.memory_order is not None else []))
        memory = self.memory
        for name in ("dt", "init_t", "max_length"):
            object.__setattr__(self, name, getattr(memory, name))
        set_fields(self, activations.elementwise, "memory_activation")
        set_fields(self, _checks.boolean, "gate", "memory_feedback", "hidden_feedback", "input_bias")
        sizes = {"hidden_features": self.hidden_features, "memory_size": self.memory_size, "memory_order": memory.order}
        shapes = self.param_shapes() | {"the basis": (memory.order, memory.order)}
        _checks.elements(" and ".join(sizes), tuple(sizes.values()), shapes)

    @property
    def memory(self) -> Memory:
        """The options of the memory."""
        order = self.hidden_features if self.memory_order is None else self.memory_order
        return Memory(order, self.measure, self.discretization, self.dt, self.init_t, self.max_length)

    @property
    def drive_features(self) -> int:
        return self.memory_size + self._read_features

    @property
    def _read_features(self) -> int:
        return (2 if self.gate else 1) * self.hidden_features

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H, M, N = self.hidden_features, self.memory_size, self.memory.order
        shapes: dict[str, tuple[int, ...]] = {"write_kernel": (H, M), "read_kernel": (M * N, self._read_features)}
        shapes |= {"feedback_kernel": (M, N)} if self.memory_feedback else {}
        shapes |= {"kernel": (H, self._read_features)} if self.hidden_feedback else {}
        return shapes | ({"bias": (H,)} if self.hidden_feedback and self.input_bias else {})

    def init(self, key: Array, dtype: Any = float) -> Params:
        return self.init_for_inputs(key, 1, dtype)

    def init_for_inputs(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        check_init(key, dtype, in_features)
        H, MN = self.hidden_features, self.memory_size * self.memory.order
        shapes = self.param_shapes()
        write, candidate, gate, kernel, bias = jax.random.split(key, 5)
        reads = [_normal(candidate, MN, H, (MN + H) / 2, dtype)] + (
            [_normal(gate, MN, H, in_features + MN, dtype)] if self.gate else []
        )
        params = {
            "write_kernel": _uniform(write, shapes["write_kernel"], math.sqrt(3 / (in_features + H)), dtype),
            "read_kernel": jnp.concatenate(reads, axis=1),
        }
        if self.memory_feedback:
            params["feedback_kernel"] = jnp.zeros(shapes["feedback_kernel"], dtype)
        if self.hidden_feedback:
            params["kernel"] = orthogonal_gates(kernel, H, H, self._read_features // H, dtype)
        if "bias" in shapes:
            params["bias"] = _uniform(bias, shapes["bias"], 1 / math.sqrt(H), dtype)
        return params

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        check_init(key, dtype, in_features)
        F, H, M, MN = in_features, self.hidden_features, self.memory_size, self.memory_size * self.memory.order
        write, candidate, gate, *biases = jax.random.split(key, 6)
        kernels = [_uniform(write, (F, M), math.sqrt(3 / (F + H)), dtype), _normal(candidate, F, H, (F + H) / 2, dtype)]
        kernels += [_normal(gate, F, H, F + MN, dtype)] if self.gate else []
        params = {"kernel": jnp.concatenate(kernels, axis=1)}
        if self.input_bias:
            fans = [(M, F + H), (H, F + MN), (H, F + MN)][: len(kernels)]
            drawn = [_uniform(k, (n,), 1 / math.sqrt(fan), dtype) for k, (n, fan) in zip(biases, fans, strict=False)]
            params["bias"] = jnp.concatenate(drawn)
        return params

    def prepare(self, params: Params) -> Params:
        """The parameters, with the weights of the coefficients as weights of what the memory holds."""
        memory, M = self.memory, self.memory_size
        read = params["read_kernel"].reshape(M, memory.order, -1)
        folded = jnp.swapaxes(memory.fold(jnp.swapaxes(read, 1, 2)), 1, 2)
        prepared = {**params, "read_kernel": folded.reshape(params["read_kernel"].shape)}
        if self.memory_feedback:
            prepared["feedback_kernel"] = memory.fold(params["feedback_kernel"])
        return prepared

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> HiPPORNNState:
        h = jnp.zeros((*batch_shape, self.hidden_features), dtype)
        return self.state_from(prepared, HiPPORNNState(h, None, None))  # type: ignore[arg-type]

    def start_of(self, state: HiPPORNNState) -> Any:
        return state._replace(memory=None, steps=None)  # type: ignore[arg-type]

    def state_from(self, prepared: Params, start: Any) -> HiPPORNNState:
        batch_shape = start.h.shape[:-1]
        memory = self.memory.start((*batch_shape, self.memory_size), start.h.dtype)
        return HiPPORNNState(start.h, memory, jnp.zeros(batch_shape, jnp.int32))

    def step(self, prepared: Params, state: HiPPORNNState, d: Array, noise: Any = None) -> tuple[HiPPORNNState, Array]:
        f, rest = self._write(prepared, state, d)
        return self._read(prepared, state, self.memory.step(state.memory, state.steps, f), rest)

    def step_between(
        self, prepared: Params, state: HiPPORNNState, d: Array, before: Array, time: Array
    ) -> tuple[HiPPORNNState, Array]:
        """`step` of "legs" from one time to another, each (...): δ is `(time - before) / time`, and the count does not matter.

        Where `time` is 0, `c_t = (f_t, 0, …)`.
        """
        f, rest = self._write(prepared, state, d)
        fresh = time <= 0
        whole = jnp.where(fresh, jnp.ones_like(time), time)
        memory = self.memory.scaled(state.memory, f, (time - before) / whole, before / whole, fresh)
        return self._read(prepared, state, memory, rest)

    def coefficients(self, state: HiPPORNNState) -> Array:
        """The coefficients c that states hold, (..., M, N), in the basis of `hippo.basis`; any leading axes, time among them.

        Raises:
          TypeError, ValueError: the state is not one of this core's.
        """
        _checks.instance("state", state, HiPPORNNState)
        memory = _checks.floating("state.memory", state.memory, min_ndim=2, layout="(..., M, N)")
        if memory.shape[-2:] != (self.memory_size, self.memory.order):
            wanted = (self.memory_size, self.memory.order)
            raise ValueError(f"state.memory must end with the axes {wanted}, got shape {memory.shape}.")
        return self.memory.coefficients(memory)

    def units_of(self, *path: str) -> int | None:
        return None

    def _write(self, prepared: Params, state: HiPPORNNState, d: Array) -> tuple[Array, Array]:
        """`f_t`, (..., M), and what of d_t is left for the read."""
        f, rest = d[..., : self.memory_size], d[..., self.memory_size :]
        f = f + state.h @ prepared["write_kernel"]
        if self.memory_feedback:
            weights = prepared["feedback_kernel"].astype(state.memory.dtype)
            weights = weights.reshape((1,) * (state.memory.ndim - 2) + weights.shape)
            f = f + jnp.sum(state.memory * weights, axis=-1).astype(f.dtype)
        return activations.ELEMENTWISE[self.memory_activation](f), rest

    def _read(self, prepared: Params, state: HiPPORNNState, memory: Array, rest: Array) -> tuple[HiPPORNNState, Array]:
        """The new state and output, of the new memory."""
        flat = memory.reshape(*memory.shape[:-2], math.prod(memory.shape[-2:])).astype(rest.dtype)
        z = rest + flat @ prepared["read_kernel"]
        if self.hidden_feedback:
            z = z + state.h @ prepared["kernel"]
        candidate = z[..., : self.hidden_features]
        if "bias" in prepared:
            candidate = candidate + prepared["bias"].reshape((1,) * (z.ndim - 1) + (-1,))
        h = jnp.tanh(candidate)
        if self.gate:
            g = z[..., self.hidden_features :]
            h = jax.nn.sigmoid(-g) * state.h + jax.nn.sigmoid(g) * h  # 1 - σ(g) = σ(-g), to full precision
        return HiPPORNNState(h, memory, state.steps + 1), h


def _uniform(key: Array, shape: tuple[int, ...], bound: float, dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _normal(key: Array, rows: int, columns: int, fan: float, dtype: Any) -> Array:
    """Normal numbers of variance 1/fan."""
    return jax.random.normal(key, (rows, columns), dtype) / jnp.sqrt(fan).astype(dtype)
