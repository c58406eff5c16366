"""Convolutional cores with one hidden image: the simple one, ConvGRU, ConvUGRNN and the Intersection cell."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import HiddenState, Params
from momentum_rnn_jax.cores.convolution import ConvCore, exactly

ACTIVATIONS = {**activations.ELEMENTWISE, "elu": jax.nn.elu}


@pytree_dataclass
class ConvElman(ConvCore):
    """The simple convolutional cell: `h_t = elu(norm(U ∗ h_{t-1} + b + d_t))`, on images.

    Args:
      hidden_features: C, the channels of h.
      image: (height, width) of the inputs and of h.
      kernel_size: (height, width) of both kernels.
      padding: "SAME" (zeros) or "CIRCULAR".
      activation: "elu", "tanh", "sigmoid", "relu" or "identity".
      layer_norm: whether `norm` is layer normalisation over height, width and channels, with a scale and a shift for each
        channel; it is left out otherwise.
      eps: added to the variance.

    Parameters: `kernel` U (kernel height, kernel width, C, C), `bias` (C,), and with `layer_norm`, `scale` and `shift` (C,).
    State `HiddenState(h)`, (..., height, width, C).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Nayebi et al., arXiv 1807.00053; agrees with the released code to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ConvElman(4, image=(6, 5)), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=2), jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    activation: str = static(default="elu")
    layer_norm: bool = static(default=False)
    eps: float = static(default=1e-12)

    num_gates: ClassVar[int] = 1

    def __post_init__(self) -> None:
        set_fields(self, _checks.boolean, "layer_norm")
        super().__post_init__()
        set_fields(self, lambda name, value: activations.named(name, value, ACTIVATIONS), "activation")
        set_fields(self, lambda name, value: _checks.scalar(name, value, low=0.0, low_open=True), "eps")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        C = self.hidden_features
        shapes: dict[str, tuple[int, ...]] = {"kernel": self.kernel_shape(C, C), "bias": (C,)}
        return shapes | ({"scale": (C,), "shift": (C,)} if self.layer_norm else {})

    def init(self, key: Array, dtype: Any = float) -> Params:
        params = super().init(key, dtype)
        return params | ({"scale": jnp.ones(self.hidden_features, dtype)} if self.layer_norm else {})

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[HiddenState, Array]:
        z = self.convolve(state.h, prepared["kernel"], prepared["bias"]) + d
        if self.layer_norm:
            wide = z.astype(at_least_float32(z.dtype))
            normal = jax.nn.standardize(wide, axis=(-3, -2, -1), epsilon=self.eps)
            scale, shift = (prepared[name].reshape((1,) * (z.ndim - 1) + (-1,)) for name in ("scale", "shift"))
            z = normal.astype(z.dtype) * scale + shift
        h = ACTIVATIONS[self.activation](z)
        return HiddenState(h), h


@pytree_dataclass
class ConvGRU(ConvCore):
    """A convolutional GRU: `(r, z) = U ∗ h + d^rz`, `n = tanh(V ∗ (σ(r + reset_bias) h) + d^n)`, `h_t = ẑ h + (1 - ẑ) n`.

    `h` is h_{t-1} and `ẑ = σ(z + update_bias)`. The reset acts before the convolution, unlike in `GRU`, whose reset acts on the
    product: this is not a convolutional version of that core.

    Args:
      hidden_features, image, kernel_size, padding: as in `ConvElman`.
      reset_bias, update_bias: constants, which no drive amplifies. The released code adds 1 to r, and starts the bias of r and
        of z at 1: `reset_bias=2.0, update_bias=1.0` starts there.

    Parameters: `kernel` U (kernel height, kernel width, C, 2C), gate order (r, z), and `candidate_kernel` V (…, C, C). The
    drive has 3C channels (r, z, n). State `HiddenState(h)`, (..., height, width, C).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Nayebi et al., arXiv 1807.00053; agrees with the released code to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ConvGRU(4, image=(6, 5)), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=2), jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    reset_bias: float = static(default=1.0)
    update_bias: float = static(default=0.0)

    num_gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.scalar, "reset_bias", "update_bias")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        C = self.hidden_features
        return {"kernel": self.kernel_shape(C, 2 * C), "candidate_kernel": self.kernel_shape(C, C)}

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[HiddenState, Array]:
        C = self.hidden_features
        r, z = jnp.split(self.convolve(state.h, prepared["kernel"]) + d[..., : 2 * C], 2, axis=-1)
        r, z = jax.nn.sigmoid(r + self.reset_bias), jax.nn.sigmoid(z + self.update_bias)
        n = jnp.tanh(self.convolve(r * state.h, prepared["candidate_kernel"]) + d[..., 2 * C :])
        h = z * state.h + (1 - z) * n
        return HiddenState(h), h


@pytree_dataclass
class ConvUGRNN(ConvCore):
    """The convolutional update-gate RNN: `(g, n) = U ∗ h_{t-1} + d_t`, `h_t = ĝ h_{t-1} + (1 - ĝ) tanh(n)`.

    `ĝ = σ(g + forget_bias)`.

    Args:
      hidden_features, image, kernel_size, padding: as in `ConvElman`.
      forget_bias: a constant, which no drive amplifies.

    Parameters: `kernel` U (kernel height, kernel width, C, 2C), gate order (g, n). State `HiddenState(h)`, (..., height, width,
    C).

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Collins et al., arXiv 1611.09913; agrees with the released code of Nayebi et al., arXiv 1807.00053, to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ConvUGRNN(4, image=(6, 5)), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=2), jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    forget_bias: float = static(default=1.0)

    num_gates: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.scalar, "forget_bias")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": self.kernel_shape(self.hidden_features, 2 * self.hidden_features)}

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[HiddenState, Array]:
        g, n = jnp.split(self.convolve(state.h, prepared["kernel"]) + d, 2, axis=-1)
        g = jax.nn.sigmoid(g + self.forget_bias)
        h = g * state.h + (1 - g) * jnp.tanh(n)
        return HiddenState(h), h


@pytree_dataclass
class ConvIntersection(ConvCore):
    """The convolutional Intersection RNN, whose output is gated between the input itself and a new feature map.

    `(g, p, q, y) = U ∗ h_{t-1} + d_t`, `h_t = ĝ h_{t-1} + (1 - ĝ) tanh(p)`, output `q̂ d^x_t + (1 - q̂) relu(y)`, where
    `ĝ = σ(g + forget_bias)`, `q̂ = σ(q + forget_bias)`, and `d^x` is what the drive makes of x as it is, without a kernel: without
    a drive it is x.

    Args:
      hidden_features, image, kernel_size, padding: as in `ConvElman`. x has C channels too.
      forget_bias: a constant, which no drive amplifies.

    Parameters: `kernel` U (kernel height, kernel width, C, 4C), gate order (g, p, q, y). The input projection is
    `u = [K ∗ x + b | x]` with 5C channels; a drive whose `mu` is 0 and whose `step_size` is 1 on the last C leaves x as it is.
    State `HiddenState(h)`, (..., height, width, C); it is not the output.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. By a cell's `init`: `in_features` is not C.

    Source: Collins et al., arXiv 1611.09913; agrees with the released code of Nayebi et al., arXiv 1807.00053, to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ConvIntersection(4, image=(6, 5)), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=4), jnp.ones((3, 8, 6, 5, 4)))[1].shape
    (3, 8, 6, 5, 4)
    """

    forget_bias: float = static(default=1.0)

    num_gates: ClassVar[int] = 5
    affine_projection: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.scalar, "forget_bias")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": self.kernel_shape(self.hidden_features, 4 * self.hidden_features)}

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        C = self.hidden_features
        exactly(self, in_features, C, "whose output has the channels of its input")
        return {"kernel": self.kernel_shape(C, 4 * C), "bias": (4 * C,)}

    def project(self, params: Params, x: Array) -> Array:
        return jnp.concatenate([super().project(params, x), x], axis=-1)

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[HiddenState, Array]:
        C = self.hidden_features
        g, p, q, y = jnp.split(self.convolve(state.h, prepared["kernel"]) + d[..., : 4 * C], 4, axis=-1)
        g, q = jax.nn.sigmoid(g + self.forget_bias), jax.nn.sigmoid(q + self.forget_bias)
        h = g * state.h + (1 - g) * jnp.tanh(p)
        return HiddenState(h), q * d[..., 4 * C :] + (1 - q) * jax.nn.relu(y)
