"""Long short-term memory."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores.base import KernelCore, Params, check_init, orthogonal_gates, orthogonal_init


@state_type
class LSTMState(NamedTuple):
    """`c`: cell state c_t, (..., H); `h`: hidden state h_t, (..., H), or (..., P) with a projection."""

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
      projection_features: P, at least 1: `h_t = (σ(o) tanh(c_t)) @ projection` has P features (LSTMP; PyTorch's `proj_size`).
        None for no projection.
      peepholes: whether the gates see the cell state: `i + p_i c_{t-1}`, `f + p_f c_{t-1}` and `o + p_o c_t` take the place of
        i, f and o.
      activation: in place of tanh, in both equations: "tanh", "sigmoid", "relu" or "identity", in any case.
      gate_activation: instead of σ, in all three gates, of the same form.

    Parameters: `kernel` U (H, 4H), `bias` b (4H,), gate order (i, f, g, o). With a projection, U is (P, 4H), and `projection`
    (H, P) is orthogonal at the start. With peepholes, `peephole` (3H,), order (i, f, o), is zero at the start.
    State `LSTMState(c, h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. The released code has no projection.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; gate order of PyTorch. Peepholes: Gers and
    Schmidhuber 2000. Projection: Sak, Senior and Beaufays, arXiv 1402.1128, without the non-recurrent part.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.LSTM(3, forget_bias=2.0)
    >>> core.init(jax.random.key(0))["bias"].tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> mr.LSTM(8, projection_features=2, peepholes=True).param_shapes()
    {'kernel': (2, 32), 'bias': (32,), 'projection': (8, 2), 'peephole': (24,)}
    """

    hidden_features: int = static()
    forget_bias: float = static(default=1.0)
    init_scheme: str = static(default="default")
    projection_features: int | None = static(default=None)
    peepholes: bool = static(default=False)
    activation: str = static(default="tanh")
    gate_activation: str = static(default="sigmoid")

    num_gates: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.scalar, "forget_bias")
        _checks.choice("init_scheme", self.init_scheme, ("default", "released"))
        if self.projection_features is not None:
            set_fields(self, _checks.size, "projection_features")
            if self.init_scheme == "released":
                raise ValueError(
                    f"projection_features must be None where init_scheme is 'released', got {self.projection_features}."
                )
        set_fields(self, _checks.boolean, "peepholes")
        set_fields(self, activations.elementwise, "activation", "gate_activation")
        sizes = {"hidden_features": self.hidden_features, "projection_features": self.projection_features}
        sizes = {name: size for name, size in sizes.items() if size is not None}
        _checks.elements(" and ".join(sizes), tuple(sizes.values()), self.param_shapes())

    @property
    def output_features(self) -> int:
        return self.hidden_features if self.projection_features is None else self.projection_features

    @property
    def plain(self) -> bool:
        """Whether this is the common LSTM, which other libraries compute too: no projection or peepholes, tanh and σ."""
        options = (self.projection_features, self.peepholes, self.activation, self.gate_activation)
        return options == (None, False, "tanh", "sigmoid")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H, P = self.hidden_features, self.output_features
        shapes: dict[str, tuple[int, ...]] = {"kernel": (P, 4 * H), "bias": (4 * H,)}
        shapes |= {} if self.projection_features is None else {"projection": (H, P)}
        return shapes | ({"peephole": (3 * H,)} if self.peepholes else {})

    def init(self, key: Array, dtype: Any = float) -> Params:
        check_init(key, dtype)
        H, P = self.hidden_features, self.output_features
        kernel_key, projection_key = (key, None) if self.projection_features is None else jax.random.split(key)
        released = self.init_scheme == "released"
        kernel = jnp.eye(H, 4 * H, dtype=dtype) if released else orthogonal_gates(kernel_key, P, H, 4, dtype)
        params = {"kernel": kernel, "bias": self._forget_bias(dtype)}
        if projection_key is not None:
            params["projection"] = orthogonal_init(projection_key, (H, P), dtype)
        return params | ({"peephole": jnp.zeros(3 * H, dtype)} if self.peepholes else {})

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        if self.init_scheme == "default":
            return super().init_input(key, in_features, dtype)
        check_init(key, dtype, in_features)
        shape = self.input_shapes(in_features)["kernel"]
        return {"kernel": orthogonal_init(key, shape, dtype), "bias": self._forget_bias(dtype)}

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> LSTMState:
        c = jnp.zeros((*batch_shape, self.hidden_features), dtype)
        return LSTMState(c, jnp.zeros((*batch_shape, self.output_features), dtype))  # two buffers: a caller may donate them

    def update(self, params: Params, state: LSTMState, *pre: Array) -> LSTMState:
        c, o = self.remember(params, state, *pre)
        return self.expose(params, c, o, c)

    def remember(self, params: Params, state: LSTMState, z: Array) -> tuple[Array, Array]:
        """c_t, and the output gate's pre-activation."""
        squash, gate = activations.ELEMENTWISE[self.activation], activations.ELEMENTWISE[self.gate_activation]
        i, f, g, o = jnp.split(z, 4, axis=-1)
        if self.peepholes:
            p_i, p_f, p_o = (jnp.broadcast_to(p, state.c.shape) for p in jnp.split(params["peephole"], 3))
            i, f = i + p_i * state.c, f + p_f * state.c
        c = gate(f) * state.c + gate(i) * squash(g)
        if self.peepholes:
            o = o + p_o * c
        return c, o

    def expose(self, params: Params, c: Array, o: Array, read: Array) -> LSTMState:
        """The state, whose h is what the output gate lets through of `read`: c_t, or what a normalisation makes of it."""
        squash, gate = activations.ELEMENTWISE[self.activation], activations.ELEMENTWISE[self.gate_activation]
        h = gate(o) * squash(read)
        return LSTMState(c, h if self.projection_features is None else h @ params["projection"])

    def _forget_bias(self, dtype: Any) -> Array:
        H = self.hidden_features
        return jnp.zeros(4 * H, dtype).at[H : 2 * H].set(self.forget_bias)
