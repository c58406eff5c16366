"""The convolutional LSTM."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import Params
from momentum_rnn_jax.cores.convolution import ConvCore
from momentum_rnn_jax.cores.lstm import LSTMState


@pytree_dataclass
class ConvLSTM(ConvCore):
    """The convolutional LSTM: `(i, f, g, o) = U ∗ h + d_t`, `c_t = σ(f + forget_bias) c + σ(i) tanh(g)`, `h_t = σ(o) tanh(c_t)`.

    `h` and `c` are h_{t-1} and c_{t-1}.

    Args:
      hidden_features, image, kernel_size, padding: as in `ConvElman`.
      forget_bias: a constant, which no drive amplifies.
      peepholes: whether the gates see the cell state: `p_i c`, `p_f c` and `p_o c` are added to i, f and o. All three see
        c_{t-1}, unlike in `LSTM`, and every pixel has weights of its own.

    Parameters: `kernel` U (kernel height, kernel width, C, 4C), gate order (i, f, g, o). With peepholes, `peephole`
    (height, width, 3C), order (i, f, o), zero at the start. State `LSTMState(c, h)`, each (..., height, width, C).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Shi et al., arXiv 1506.04214, but for its output gate, whose peephole sees c_t; agrees with the released code of
    Nayebi et al., arXiv 1807.00053, to rounding. Without peepholes it is Flax's `ConvLSTMCell`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ConvLSTM(4, image=(6, 5)), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=2)
    >>> mr.unroll(cell, params, jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    forget_bias: float = static(default=1.0)
    peepholes: bool = static(default=False)

    num_gates: ClassVar[int] = 4

    def __post_init__(self) -> None:
        set_fields(self, _checks.boolean, "peepholes")
        super().__post_init__()
        set_fields(self, _checks.scalar, "forget_bias")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        C = self.hidden_features
        shapes: dict[str, tuple[int, ...]] = {"kernel": self.kernel_shape(C, 4 * C)}
        return shapes | ({"peephole": self.features_shape(3 * C)} if self.peepholes else {})

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> LSTMState:
        shape = (*batch_shape, *self.features_shape(self.hidden_features))
        return LSTMState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))  # two buffers: a caller may donate them

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[LSTMState, Array]:
        i, f, g, o = jnp.split(self.convolve(state.h, prepared["kernel"]) + d, 4, axis=-1)
        if self.peepholes:
            p = (jnp.broadcast_to(one, state.c.shape) for one in jnp.split(prepared["peephole"], 3, axis=-1))
            i, f, o = (gate + one * state.c for gate, one in zip((i, f, o), p, strict=True))
        c = jax.nn.sigmoid(f + self.forget_bias) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return LSTMState(c, h), h
