"""Cores: what a recurrent network does with a driven pre-activation `d_t` and its own hidden state.

A core is structure only (sizes and names, no arrays). Its parameters are a dict; kernels have the layout (in, out), states
are rows: `h @ kernel`. The input projection is not a core's business, but its initialisation is (`init_input`), because it
depends on what the gates are.
"""

import abc
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations, orthogonal
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static

Params = dict[str, Array]


class Core(abc.ABC):
    """What every core does.

    A subclass has `num_gates`, `hidden_features`, and defines `param_shapes`, `init`, `initial_state` and `step`.
    """

    num_gates: ClassVar[int]
    input_bias: ClassVar[bool] = True
    hidden_features: int

    @property
    def drive_features(self) -> int:
        """G·H, the number of pre-activations a drive hands over at each step."""
        return self.num_gates * self.hidden_features

    @abc.abstractmethod
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by name."""

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        """The shape of each parameter of the input projection, by name; None stays where it was put."""
        shapes: dict[str, tuple[int | None, ...]] = {"kernel": (in_features, self.drive_features)}
        return shapes | {"bias": (self.drive_features,)} if self.input_bias else shapes

    @abc.abstractmethod
    def init(self, key: Array, dtype: Any = float) -> Params:
        """New parameters, with the shapes of `param_shapes`, in JAX's default float dtype unless another is given."""

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters of the input projection: kernel LeCun-normal (variance 1/F), bias zero."""
        shapes = self.input_shapes(in_features)
        zeros = {name: jnp.zeros(shape, dtype) for name, shape in shapes.items()}
        return zeros | {"kernel": jax.nn.initializers.lecun_normal()(key, shapes["kernel"], dtype)}

    def prepare(self, params: Params) -> Params:
        """What `step` needs of the parameters, computed once per sequence."""
        return params

    @abc.abstractmethod
    def initial_state(self, ready: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        """The state before the first step: zeros, each leaf of shape (*batch_shape, H)."""

    @abc.abstractmethod
    def step(self, ready: Params, state: Any, d: Array) -> tuple[Any, Array]:
        """One time step: `(prepared parameters, state, d_t)` with `d_t` of shape (..., G·H) -> `(new state, h_t)`."""


class KernelCore(Core):
    """A core that recurs through one product, `a_t = h_{t-1} @ kernel + bias`; the rest of its step is element-wise.

    That is what `unroll`'s fast path needs to know. Its state is a named tuple of floating-point arrays with the entry `h`, zeros
    at the start, and `h` is its output. A subclass defines `update`, and says by `additive` whether `a_t` and `d_t` enter by
    their sum alone.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Sine(mr.Elman):
    ...     def update(self, ready, state, *pre):
    ...         return mr.HiddenState(jnp.sin(pre[0]))
    >>> cell = mr.Cell(Sine(3), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=2)
    >>> mr.unroll(cell, params, jnp.ones((5, 2)), method="chunked")[1].shape
    (5, 3)
    """

    additive: ClassVar[bool] = True

    def step(self, ready: Params, state: Any, d: Array) -> tuple[Any, Array]:
        new = self.update(ready, state, *self.pre_activations(affine(ready, state.h), d))
        return new, new.h

    def pre_activations(self, a: Array, d: Array) -> tuple[Array, ...]:
        """What `update` takes: `(a + d,)`, or `(a, d)` when the core is not additive."""
        return (a + d,) if self.additive else (a, d)

    @abc.abstractmethod
    def update(self, ready: Params, state: Any, *pre: Array) -> Any:
        """The element-wise half of a step: the state after it, from the one before and `pre_activations`.

        The fast path hands over the parameters without `kernel` and `bias`, whose part is done.
        """


class HiddenState(NamedTuple):
    """`h`: h_t, (..., H)."""

    h: Array


class HiddenStateCore(KernelCore):
    """A core whose whole state is its hidden vector."""

    def initial_state(self, ready: Params, batch_shape: tuple[int, ...], dtype: Any) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_features), dtype))


class SimpleCore(HiddenStateCore):
    """A core of one gate: `h_t = σ(h_{t-1} @ kernel + bias + d_t)`, with the bias left out where there is none."""

    num_gates: ClassVar[int] = 1
    activation: str

    def update(self, ready: Params, state: HiddenState, *pre: Array) -> HiddenState:
        (z,) = pre
        if self.activation == "modrelu":
            return HiddenState(activations.modrelu(z, ready["modrelu_bias"]))
        return HiddenState(activations.ELEMENTWISE[self.activation](z))

    def modrelu_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of modReLU's own parameter, where that is the activation."""
        return {"modrelu_bias": (self.hidden_features,)} if self.activation == "modrelu" else {}

    def init_modrelu(self, key: Array, dtype: Any) -> Params:
        """modReLU's parameter, uniform in (-0.01, 0.01), where that is the activation."""
        shapes = self.modrelu_shapes()
        return {name: jax.random.uniform(key, shape, dtype, -0.01, 0.01) for name, shape in shapes.items()}


@pytree_dataclass
class Elman(SimpleCore):
    """The paper's recurrent network: `h_t = σ(U h_{t-1} + b + d_t)`.

    Args:
      hidden_features: H, at least 1.
      activation: σ, one of "tanh", "sigmoid", "relu", "identity", "modrelu" (in any case). modReLU has a bias of its own,
        the parameter `modrelu_bias`.

    Parameters: `kernel` U (H, H), orthogonal at the start; `bias` b (H,), zero. One gate; state `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: MomentumRNN, arXiv 2006.06919.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.Elman(3)
    >>> ready = core.prepare(core.init(jax.random.key(0)))
    >>> state, h = core.step(ready, core.initial_state(ready, (2,), jnp.float32), jnp.ones((2, 3)))
    >>> h.shape
    (2, 3)
    """

    hidden_features: int = static()
    activation: str = static(default="tanh")

    def __post_init__(self) -> None:
        _check_hidden_features(self)
        _check_activation(self)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"kernel": (H, H), "bias": (H,)} | self.modrelu_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        kernel_key, modrelu_key = jax.random.split(key)
        H = self.hidden_features
        params = {"kernel": _orthogonal_gates(kernel_key, H, 1, dtype), "bias": jnp.zeros(H, dtype)}
        return params | self.init_modrelu(modrelu_key, dtype)


class LSTMState(NamedTuple):
    """`c`: cell state c_t, `h`: hidden state h_t, each (..., H)."""

    c: Array
    h: Array


@pytree_dataclass
class LSTM(KernelCore):
    """Long short-term memory: `(i, f, g, o) = U h_{t-1} + b + d_t`, `c_t = σ(f) c_{t-1} + σ(i) tanh(g)`, `h_t = σ(o) tanh(c_t)`.

    Args:
      hidden_features: H, at least 1.
      forget_bias: what the forget gate's bias starts at.
      init_scheme: "default": orthogonal kernel for each gate, LeCun-normal input kernel, `forget_bias` in the core's bias
        only, where no drive amplifies it. "released": as the released code, input kernel orthogonal, `kernel` the identity for
        the input gate and zero for the others, `forget_bias` in the input's bias and again in the core's.

    Parameters: `kernel` U (H, 4H), `bias` b (4H,), gate order (i, f, g, o). State `LSTMState(c, h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; gate order of PyTorch.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.LSTM(3, forget_bias=2.0)
    >>> core.init(jax.random.key(0))["bias"].tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    hidden_features: int = static()
    forget_bias: float = static(default=1.0)
    init_scheme: str = static(default="default")

    num_gates: ClassVar[int] = 4

    def __post_init__(self) -> None:
        _check_hidden_features(self)
        set_fields(self, _one_number, "forget_bias")
        _checks.choice("init_scheme", self.init_scheme, ("default", "released"))

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"kernel": (H, 4 * H), "bias": (4 * H,)}

    def init(self, key: Array, dtype: Any = float) -> Params:
        H = self.hidden_features
        if self.init_scheme == "released":
            return {"kernel": jnp.eye(H, 4 * H, dtype=dtype), "bias": self._forget_bias(dtype)}
        return {"kernel": _orthogonal_gates(key, H, 4, dtype), "bias": self._forget_bias(dtype)}

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        if self.init_scheme == "default":
            return super().init_input(key, in_features, dtype)
        shape = self.input_shapes(in_features)["kernel"]
        return {"kernel": _orthogonal(key, shape, dtype), "bias": self._forget_bias(dtype)}

    def initial_state(self, ready: Params, batch_shape: tuple[int, ...], dtype: Any) -> LSTMState:
        shape = (*batch_shape, self.hidden_features)
        return LSTMState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))  # two buffers: a caller may donate them

    def update(self, ready: Params, state: LSTMState, *pre: Array) -> LSTMState:
        i, f, g, o = jnp.split(pre[0], 4, axis=-1)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return LSTMState(c, jax.nn.sigmoid(o) * jnp.tanh(c))

    def _forget_bias(self, dtype: Any) -> Array:
        H = self.hidden_features
        return jnp.zeros(4 * H, dtype).at[H : 2 * H].set(self.forget_bias)


@pytree_dataclass
class GRU(HiddenStateCore):
    """Gated recurrent unit: `h_t = (1 - σ(z)) n + σ(z) h_{t-1}`, `n = tanh(d_n + σ(r) a_n)`.

    Here `a = U h_{t-1} + b`, `r = a_r + d_r` and `z = a_z + d_z`: the reset gate acts behind the recurrent product, as in
    cuDNN, PyTorch and Flax.

    Args:
      hidden_features: H, at least 1.

    Parameters: `kernel` U (H, 3H), orthogonal for each gate at the start; `bias` b (3H,), zero; gate order (r, z, n). State
    `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Cho et al., arXiv 1406.1078, in the variant of cuDNN. With a drive it is the natural analogue of the paper's LSTM
    cells; the paper has no GRU.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.GRU(3)
    >>> ready = core.prepare(core.init(jax.random.key(0)))
    >>> state, h = core.step(ready, core.initial_state(ready, (), jnp.float32), jnp.zeros(9))
    >>> h.tolist()
    [0.0, 0.0, 0.0]
    """

    hidden_features: int = static()

    num_gates: ClassVar[int] = 3
    additive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_hidden_features(self)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"kernel": (H, 3 * H), "bias": (3 * H,)}

    def init(self, key: Array, dtype: Any = float) -> Params:
        H = self.hidden_features
        return {"kernel": _orthogonal_gates(key, H, 3, dtype), "bias": jnp.zeros(3 * H, dtype)}

    def update(self, ready: Params, state: HiddenState, *pre: Array) -> HiddenState:
        (a_r, a_z, a_n), (d_r, d_z, d_n) = (jnp.split(part, 3, axis=-1) for part in pre)
        z = jax.nn.sigmoid(a_z + d_z)
        return HiddenState((1 - z) * jnp.tanh(d_n + jax.nn.sigmoid(a_r + d_r) * a_n) + z * state.h)


@pytree_dataclass
class Orthogonal(SimpleCore):
    """A recurrent network with an orthogonal recurrent matrix: `h_t = σ(d_t + h_{t-1} B)`, `B = base · φ(skew(A))`.

    With the base left where it is, the identity, this is expRNN; with `rebase` called between optimiser steps it is DTRIV.
    `B` is built once per sequence, by `prepare`. The released initialisation: input kernel Kaiming-normal without a bias,
    `modrelu_bias` uniform in (-0.01, 0.01), `A` by `skew_init`.

    Args:
      hidden_features: H, at least 1.
      activation: σ, "modrelu" or one of "tanh", "sigmoid", "relu", "identity" (in any case).
      mapping: φ, "expm" (matrix exponential) or "cayley".
      skew_init: "henaff" or "cayley", how the angles of `A` start.

    Parameters: `A` (H, H), free; `base` (H, H), not trained: its gradient is zero, and an optimiser with weight decay must
    leave it out; `modrelu_bias` (H,) for modReLU. One gate; state `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: expRNN, arXiv 1901.08428; DTRIV, arXiv 1909.09501; agrees with the released code to rounding.

    >>> import jax, momentum_rnn_jax as mr
    >>> core = mr.Orthogonal(4)
    >>> B = core.prepare(core.init(jax.random.key(0)))["kernel"]
    >>> bool(abs(B @ B.T - jax.numpy.eye(4)).max() < 1e-6)
    True
    """

    hidden_features: int = static()
    activation: str = static(default="modrelu")
    mapping: str = static(default="expm")
    skew_init: str = static(default="henaff")

    input_bias: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_hidden_features(self)
        _check_activation(self)
        _checks.choice("mapping", self.mapping, orthogonal.MAPS)
        _checks.choice("skew_init", self.skew_init, orthogonal.SKEW_INITS)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"A": (H, H), "base": (H, H)} | self.modrelu_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        A_key, modrelu_key = jax.random.split(key)
        H = self.hidden_features
        A = orthogonal.SKEW_INITS[self.skew_init](A_key, H, dtype)
        return {"A": A, "base": jnp.eye(H, dtype=dtype)} | self.init_modrelu(modrelu_key, dtype)

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        shape = self.input_shapes(in_features)["kernel"]
        return {"kernel": jax.nn.initializers.he_normal()(key, shape, dtype)}

    def prepare(self, params: Params) -> Params:
        kernel = orthogonal.orthogonal_matrix(params["A"], params["base"], self.mapping)
        return {"kernel": kernel} | {name: params[name] for name in self.modrelu_shapes()}

    def rebase(self, params: Params, *, project: bool = False) -> Params:
        """`momentum_rnn_jax.rebase` with this core's mapping: the base moves to where the matrix is, and A to zero."""
        _checks.arrays("params", params, self.param_shapes())
        return orthogonal.rebase(params, self.mapping, project=project)


def affine(params: Params, x: Array) -> Array:
    """`x @ kernel + bias`, (..., in) -> (..., out); no bias where there is none."""
    y = x @ params["kernel"]
    bias = params.get("bias")
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def _orthogonal_gates(key: Array, hidden_features: int, num_gates: int, dtype: Any) -> Array:
    """(H, G·H): a random orthogonal matrix for each gate, side by side."""
    shape = (hidden_features, hidden_features)
    return jnp.concatenate([_orthogonal(k, shape, dtype) for k in jax.random.split(key, num_gates)], axis=1)


def _orthogonal(key: Array, shape: tuple[Any, ...], dtype: Any) -> Array:
    wide = at_least_float32(dtype)  # there is no QR decomposition in 16 bits
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def _check_hidden_features(core: Core) -> None:
    set_fields(core, lambda name, value: _checks.integer(name, value, low=1), "hidden_features")


def _check_activation(core: Core) -> None:
    def lower(name: str, value: Any) -> str:
        return _checks.choice(name, value.lower() if isinstance(value, str) else value, activations.NAMES)

    set_fields(core, lower, "activation")


def _one_number(name: str, value: Any) -> float:
    number = _checks.number(name, value, low=-math.inf, low_open=True)
    if isinstance(number, jax.core.Tracer) or jnp.ndim(number):
        raise TypeError(f"{name} must be one concrete number, got {value!r}.")
    return float(number)
