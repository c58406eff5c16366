"""What every core does.

A core is what a recurrent network does with a driven pre-activation `d_t` and its own state. Its parameters are a dict; kernels
have the layout (in, out), states are rows: `h @ kernel`. A core is a pytree: sizes and names are its structure, and arrays it may
have (a time constant) are leaves, which are differentiated and mapped like a drive's hyper-parameters. The input projection is
not part of a core, but its initialisation is (`init_input`), because it depends on what the gates are.

How a core recurs is declared by the class it extends, and decides how `unroll` may run it:

  `Core`        in any way;
  `KernelCore`  through one matrix product with its hidden state, `a_t = h_{t-1} @ kernel + bias`;
  `LinearCore`  linearly, `h_t = a_t ⊙ h_{t-1} + b_t`.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import check_hyperparameters, set_fields, state_type

Params = dict[str, Array]
Recurrence = Literal["general", "kernel", "linear"]


class Core(abc.ABC):
    """What every core does.

    A subclass, a `pytree_dataclass`, has `num_gates`, `hidden_features`, and defines `param_shapes`, `init`, `step` and, unless
    its state is `HiddenState(h)` and starts at zero, `initial_state`. Each of its methods acts on every example of a batch by
    itself.
    """

    recurrence: ClassVar[Recurrence] = "general"
    untrained: ClassVar[tuple[str, ...]] = ()  # the names of parameters that no optimiser moves
    num_gates: ClassVar[int]
    input_bias: ClassVar[bool] = True
    feature_axes: ClassVar[int] = 1  # the axes of one example's input, drive and output: 3 where they are images
    affine_projection: ClassVar[bool] = False  # declared with a `project` of its own: whether it is affine in x
    hidden_features: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(getattr(type(self), "num_gates", None), int | property):
            raise TypeError(f"num_gates must be defined by {name}, an int.")
        own: Any = self
        if any(field.name == "hidden_features" and not field.metadata.get("static") for field in dataclasses.fields(own)):
            raise TypeError(f"hidden_features of {name} must be declared with static(), as sizes are structure.")
        set_fields(self, _checks.size, "hidden_features")
        check_hyperparameters(self)

    @property
    def drive_features(self) -> int:
        """G·H, the number of pre-activations that the drive hands over at each step."""
        return self.num_gates * self.hidden_features

    @property
    def output_features(self) -> int:
        """The size of the output y_t; H unless the core says otherwise."""
        return self.hidden_features

    def features_shape(self, features: int) -> tuple[int, ...]:
        """The shape that one example's input, drive or output has at a step: `(features,)`, or (height, width, features)."""
        return (features,)

    def batch_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """The leading axes of an array of this shape, whose last axes are the features': (time, batch…), or (batch…)."""
        return shape[: len(shape) - self.feature_axes]

    @abc.abstractmethod
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by name."""

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        """The shape of each parameter of the input projection, by name; None marks an unknown size."""
        shapes: dict[str, tuple[int | None, ...]] = {"kernel": (in_features, self.drive_features)}
        return shapes | {"bias": (self.drive_features,)} if self.input_bias else shapes

    @abc.abstractmethod
    def init(self, key: Array, dtype: Any = float) -> Params:
        """New parameters, with the shapes of `param_shapes`, in JAX's default float dtype unless another is given."""

    def init_for_inputs(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """`init` in a cell with F input features; override it if the initial scale depends on F."""
        return self.init(key, dtype)

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters of the input projection: kernel LeCun-normal (variance 1/F), bias zero."""
        check_init(key, dtype, in_features)
        shapes = self.input_shapes(in_features)
        zeros = {name: jnp.zeros(shape, dtype) for name, shape in shapes.items()}
        return zeros | {"kernel": jax.nn.initializers.lecun_normal()(key, shapes["kernel"], dtype)}

    def in_features(self, params: Params) -> int:
        """F, of parameters of the input projection."""
        return int(params["kernel"].shape[-2])

    def project(self, params: Params, x: Array) -> Array:
        """The input projection `u = W x + b_x`, (..., F) -> (..., G·H), from its parameters; any number of leading axes."""
        return affine(params, x)

    def prepare(self, params: Params) -> Params:
        """What `step` needs of the parameters, computed once per sequence."""
        return params

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Any:
        """The random numbers of steps of `shape` (time, batch…), arrays that begin with `shape`; None if there are none.

        Steps may share numbers, so the first axis is always time: for one step, take `shape` (1, batch…), and of it `[0]`.
        """
        return None

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        """The state before the first step: a named tuple of arrays, each of shape (*batch_shape, …); here, h of zeros."""
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_features), dtype))

    def units_of(self, *path: str) -> int | None:
        """The length of a per-unit hyper-parameter: H unless the core says otherwise.

        `path` is where it is in the core, `("tau",)`. None where units cannot have a number each.
        """
        return self.hidden_features

    def start_of(self, state: Any) -> Any:
        """The trainable part of an initial state: a pytree, whose arrays `trainable_initial_state` trains.

        The state itself, unless entries of it follow from others at the start; `state_from` is then defined too.
        """
        return state

    def state_from(self, prepared: Params, start: Any) -> Any:
        """The whole state of a start, as `start_of` returns it."""
        return start

    @abc.abstractmethod
    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[Any, Array]:
        """One time step: `(prepared parameters, state, d_t)` with `d_t` of shape (..., G·H) -> `(new state, y_t)`.

        `noise` is one step's share of `sample_noise`, and not passed to cores that sample none; None means no randomness.
        """


class KernelCore(Core):
    """A core that recurs through one matrix product, `a_t = h_{t-1} @ kernel + bias`; `update` is the rest of its step.

    `unroll`'s fast path computes this product and its gradients itself. What it relies on: the state is a named tuple of
    floating-point arrays with the entry `h`, which enters the product, and an entry, `h` unless `output` names another, that is
    the output; `update` treats every example by itself, and does not use the parameters `kernel` and `bias`, which it is not
    given. A subclass defines `update`, and declares by `additive` whether `a_t` and `d_t` enter by their sum alone. What is
    declared for a class may also be a property of its instances: a `Wrapper` has its core's.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Sine(mr.Elman):
    ...     def update(self, params, state, *pre):
    ...         return mr.HiddenState(jnp.sin(pre[0]))
    >>> cell = mr.Cell(Sine(3), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=2)
    >>> mr.unroll(cell, params, jnp.ones((5, 2)), method="chunked")[1].shape
    (5, 3)
    """

    recurrence: ClassVar[Recurrence] = "kernel"
    additive: ClassVar[bool] = True
    output: ClassVar[str] = "h"  # the entry of the state that is the output

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[Any, Array]:
        pre = self.pre_activations(affine(prepared, state.h), d)
        new = self.advance(rest(prepared), state, pre, noise)
        return new, getattr(new, self.output)

    def pre_activations(self, a: Array, d: Array) -> tuple[Array, ...]:
        """What `update` takes: `(a + d,)`, or `(a, d)` when the core is not additive."""
        return (a + d,) if self.additive else (a, d)

    def advance(self, params: Params, state: Any, pre: tuple[Array, ...], noise: Any) -> Any:
        """`update`, with the noise where there is some."""
        params = WithoutProduct(params)
        return self.update(params, state, *pre) if noise is None else self.update(params, state, *pre, noise=noise)  # type: ignore[call-arg]

    @abc.abstractmethod
    def update(self, params: Params, state: Any, *pre: Array) -> Any:
        """The rest of a step: the state after it, from the parameters but `kernel` and `bias`, the state before, and `pre`.

        A core with `sample_noise` also takes the keyword `noise`, None by default.
        """


class WithoutProduct(dict[str, Array]):
    """The parameters that `update` may use; says why the others are not there."""

    def __missing__(self, name: str) -> Array:
        if name in ("kernel", "bias"):
            raise TypeError(f"update must not use params[{name!r}]: its product with h is already in the pre-activations.")
        raise KeyError(name)


class LinearCore(Core):
    """A core whose state recurs linearly: `h_t = a_t ⊙ h_{t-1} + b_t`, where `a_t` and `b_t` are functions of `d_t` alone.

    Its state is `HiddenState(h)`, and `h` its output. Every step's coefficients can be computed at once, and the recurrence by an
    associative scan, which multiplies the a of successive steps and so expects `|a_t| ≤ 1`: products of larger ones may overflow
    although h does not. `method="stepwise"` takes any a. A subclass defines `coefficients`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Average(mr.LinearCore):
    ...     hidden_features: int = mr.static()
    ...     num_gates = 1
    ...     def param_shapes(self):
    ...         return {}
    ...     def init(self, key, dtype=float):
    ...         return {}
    ...     def coefficients(self, prepared, d):
    ...         return 0.5 * jnp.ones_like(d), 0.5 * d
    >>> cell = mr.Cell(Average(3), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=2), jnp.ones((5, 2)))[1].shape
    (5, 3)
    """

    recurrence: ClassVar[Recurrence] = "linear"

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[Any, Array]:
        a, b = self.coefficients(prepared, d)
        h = a * state.h + b
        return HiddenState(h), h

    @abc.abstractmethod
    def coefficients(self, prepared: Params, d: Array) -> tuple[Array, Array]:
        """`(a_t, b_t)`, each (..., H), of `d_t`, (..., G·H); any number of leading axes, time among them."""


@state_type
class HiddenState(NamedTuple):
    """`h`: h_t, (..., H)."""

    h: Array


def affine(params: Mapping[str, Array], x: Array) -> Array:
    """`x @ kernel + bias`, (..., in) -> (..., out); no bias where there is none."""
    y = x @ params["kernel"]
    bias = params.get("bias")
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def check_init(key: Any, dtype: Any, in_features: Any = 1) -> None:
    """Refuse what a core's `init`, or with `in_features` its `init_input`, cannot take."""
    _checks.key(key)
    _checks.size("in_features", in_features)
    _checks.float_dtype("dtype", dtype)


def rest(params: Mapping[str, Array]) -> Params:
    """The parameters of a kernel core that are not part of its product."""
    return {name: value for name, value in params.items() if name not in ("kernel", "bias")}


def state_shapes(core: Core) -> Any:
    """The state of one example, with a `jax.ShapeDtypeStruct` for each array."""
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in core.param_shapes().items()}
    return jax.eval_shape(lambda params: core.initial_state(core.prepare(params), (), jnp.float32), params)


def orthogonal_gates(key: Array, rows: int, hidden_features: int, num_gates: int, dtype: Any) -> Array:
    """(rows, G·H): a random matrix with orthonormal rows or columns for each gate, side by side."""
    shape = (rows, hidden_features)
    return jnp.concatenate([orthogonal_init(k, shape, dtype) for k in jax.random.split(key, num_gates)], axis=1)


def orthogonal_init(key: Array, shape: tuple[Any, ...], dtype: Any) -> Array:
    """A random matrix with orthonormal rows or columns."""
    wide = at_least_float32(dtype)  # there is no QR decomposition in 16 bits
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)
