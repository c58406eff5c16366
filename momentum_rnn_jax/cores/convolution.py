"""The base of convolutional cores, and convolutions with any number of leading axes."""

import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import Core, HiddenState, Params, check_init

SIZES = ("hidden_features", "cell_features", "residual_features", "feedback_features", "image", "kernel_size")
PADDINGS = ("SAME", "CIRCULAR")


@pytree_dataclass
class ConvCore(Core):
    """Base class of cores on images: inputs, drives, states and outputs are (..., height, width, channels).

    `hidden_features` is the number of channels of the output. Convolutions are cross-correlations with kernels
    (kernel height, kernel width, in, out), keep the size of the image, and pad as Flax's do: one more at the end where the
    kernel's size is even. A subclass is a `pytree_dataclass`, has the static fields `hidden_features`, `image`, `kernel_size` and
    `padding` of this class, and defines what a `Core` does.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Sum(mr.ConvCore):
    ...     num_gates = 1
    ...     def param_shapes(self):
    ...         return {}
    ...     def init(self, key, dtype=float):
    ...         return {}
    ...     def step(self, prepared, state, d, noise=None):
    ...         return mr.HiddenState(state.h + d), state.h + d
    >>> cell = mr.Cell(Sum(4, (6, 5)), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=2)
    >>> mr.unroll(cell, params, jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    feature_axes: ClassVar[int] = 3
    affine_projection: ClassVar[bool] = True
    hidden_features: int = static()
    image: tuple[int, int] = static()
    kernel_size: tuple[int, int] = static(default=(3, 3))
    padding: str = static(default="SAME")

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, window, "image", "kernel_size")
        set_fields(self, lambda name, value: _checks.choice(name, value, PADDINGS), "padding")
        inputs = {name: tuple(size or 1 for size in shape) for name, shape in self.input_shapes(None).items()}
        sizes = {name: getattr(self, name) for name in SIZES if hasattr(self, name)}
        shapes = {"a step's drive": self.features_shape(self.drive_features), **inputs, **self.param_shapes()}
        _checks.elements(", ".join(sizes), tuple(sizes.values()), shapes)

    def features_shape(self, features: int) -> tuple[int, ...]:
        return (*self.image, features)

    def kernel_shape(self, in_features: Any, out_features: int) -> tuple[Any, ...]:
        """The shape of a kernel between so many channels: (kernel height, kernel width, in, out)."""
        return (*self.kernel_size, in_features, out_features)

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        return {"kernel": self.kernel_shape(in_features, self.drive_features), "bias": (self.drive_features,)}

    def init(self, key: Array, dtype: Any = float) -> Params:
        """New parameters: kernels LeCun-normal, as Flax's, and everything else zero."""
        check_init(key, dtype)
        return draw(key, self.param_shapes(), dtype)

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters of the input projection: kernels LeCun-normal, biases zero."""
        check_init(key, dtype, in_features)
        shapes: Any = self.input_shapes(in_features)
        return draw(key, shapes, dtype)

    def project(self, params: Params, x: Array) -> Array:
        """The input projection `u = K ∗ x + b`: (..., height, width, F) -> (..., height, width, drive features)."""
        return self.convolve(x, params["kernel"], params["bias"])

    def convolve(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        """`kernel ∗ x + bias` with this core's padding."""
        return convolve(x, kernel, bias, self.padding)

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        return HiddenState(jnp.zeros((*batch_shape, *self.features_shape(self.hidden_features)), dtype))


class Separable(NamedTuple):
    """A depth-separable convolution: `depthwise` (kernel height, kernel width, 1, in), `pointwise` (in, out), `bias` (out,)."""

    depthwise: Any
    pointwise: Any
    bias: Any

    @classmethod
    def shapes(cls, size: tuple[int, int], in_features: Any, out_features: Any) -> "Separable":
        """The shape of each of its arrays."""
        return cls((*size, 1, in_features), (in_features, out_features), (out_features,))

    def named(self, name: str) -> Params:
        """Its arrays as parameters, `NAME_depthwise` and so on."""
        return {f"{name}_{part}": value for part, value in self._asdict().items()}

    @classmethod
    def of(cls, params: Params, name: str) -> "Separable":
        """Its arrays from parameters."""
        return cls(*(params[f"{name}_{part}"] for part in cls._fields))

    def __call__(self, x: Array, padding: str) -> Array:
        y = convolve(x, self.depthwise, None, padding, groups=x.shape[-1]) @ self.pointwise
        return plus_bias(y, self.bias)


def convolve(x: Array, kernel: Array, bias: Array | None, padding: str, groups: int = 1) -> Array:
    """`kernel ∗ x + bias`: (..., height, width, in) -> (..., height, width, out); any number of leading axes."""
    *leading, height, width, channels = x.shape
    images = x.reshape(math.prod(leading), height, width, channels)
    if padding == "CIRCULAR":
        around = [(0, 0), *(((size - 1) // 2, size // 2) for size in kernel.shape[:2]), (0, 0)]
        images = jnp.pad(images, around, mode="wrap")
    how = "SAME" if padding == "SAME" else "VALID"
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(images, kernel, (1, 1), how, dimension_numbers=layout, feature_group_count=groups)
    y = y.reshape(*leading, *y.shape[1:])
    return y if bias is None else plus_bias(y, bias)


def plus_bias(y: Array, bias: Array) -> Array:
    """A bias for each channel, added at every pixel."""
    return y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def draw(key: Array, shapes: dict[str, tuple[int, ...]], dtype: Any) -> Params:
    """Kernels, whose arrays have more than one axis and whose names say so, LeCun-normal; everything else zero."""
    kernels = [name for name in shapes if name.endswith(("kernel", "depthwise", "pointwise"))]
    params = {name: jnp.zeros(shape, dtype) for name, shape in shapes.items()}
    for name, k in zip(kernels, jax.random.split(key, max(1, len(kernels))), strict=False):
        params[name] = jax.nn.initializers.lecun_normal()(k, shapes[name], dtype)
    return params


def window(name: str, value: Any) -> tuple[int, int]:
    """Two sizes, (height, width)."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be a pair of sizes, (height, width), got {_checks.describe(value)}.")
    height, width = (_checks.size(name, size) for size in value)
    return height, width


def exactly(core: Core, in_features: int | None, expected: int, why: str) -> None:
    """Refuse a number of input features that a core cannot have."""
    if in_features not in (None, expected):
        raise ValueError(f"in_features must be {expected} for {type(core).__name__}, {why}, got {in_features}.")
