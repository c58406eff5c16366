"""The weights of Flax's own recurrent cells, NNX or Linen, whose layout is ours: nothing is transposed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.interop._layout import check_mapping, read, to_jax, zero_bias


class _Kind(NamedTuple):
    """A Flax cell's core here, and the names of its linear layers, each in the order of the core's gates."""

    core: type[LSTM] | type[GRU] | type[Elman]
    input: tuple[str, ...]
    recurrent: tuple[str, ...]
    biased: tuple[str, ...] = ()  # Linen: the layers that have a bias. In NNX a layer tells.


_NNX = {
    "LSTMCell": _Kind(LSTM, ("ii", "if_", "ig", "io"), ("hi", "hf", "hg", "ho")),
    "OptimizedLSTMCell": _Kind(LSTM, ("dense_i",), ("dense_h",)),
    "GRUCell": _Kind(GRU, ("dense_i",), ("dense_h",)),
    "SimpleCell": _Kind(Elman, ("dense_i",), ("dense_h",)),
}
_LINEN_LSTM = _Kind(LSTM, ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho"), biased=("hi", "hf", "hg", "ho"))
_LINEN = {
    "LSTMCell": _LINEN_LSTM,
    "OptimizedLSTMCell": _LINEN_LSTM,
    "GRUCell": _Kind(GRU, ("ir", "iz", "in"), ("hr", "hz", "hn"), biased=("ir", "iz", "in", "hn")),
    "SimpleCell": _Kind(Elman, ("i",), ("h",), biased=("i",)),
}

_Layers = dict[str, dict[str, Array]]


def from_flax(cell_module: Any, drive: Drive = Identity(), variables: Mapping[str, Any] | None = None) -> tuple[Cell, Params]:
    """A cell with the weights of one of Flax's own recurrent cells, NNX or Linen, that computes what Flax computes.

    A drive sees the input's kernel and bias alone. Where Flax has one bias for the input and the hidden state together, an LSTM's
    becomes the core's and a simple cell's the input's; a GRU's biases are the input's, but Linen's `hn`, which is the core's.
    The other bias is zero.

    Args:
      cell_module: an `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell` of `flax.nnx` or `flax.linen`, with Flax's
        default `carry_init`; its `gate_fn` and `activation_fn` must be `tanh`, `sigmoid`, `relu` or `identity` of JAX or Flax,
        and a `SimpleCell` must not be `residual`. For an `nnx.RNN` or `linen.RNN`, pass its `cell`.
      drive: acts before the core; `Identity()` computes what Flax computes.
      variables: of a Linen cell, `{"params": {…}}` as its `init` returns them; a `linen.RNN` holds the cell's parameters as
        `variables["params"]["cell"]`. Must be None for an NNX cell, which holds its own.

    Returns:
      `(cell, params)`, differentiable in the module's parameters or in `variables`; the core is an `LSTM`, a `GRU` or an `Elman`.
      Flax's carry is `(c, h)` for an LSTM, `h` for the others.

    Raises:
      TypeError: `cell_module` is of another type (a subclass may compute something else), `variables` are not of the kind that it
        needs, or `drive` is not a drive.
      ValueError: the module computes what no core here computes, or in another dtype than its parameters', or `variables` are not
        those of the module.

    Source: https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/recurrent.html and flax.linen/layers.html

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from flax import linen, nnx
    >>> cell, params = mr.from_flax(nnx.GRUCell(3, 2, rngs=nnx.Rngs(0)), mr.Momentum(mu=0.9, step_size=1.0))
    >>> type(cell.core).__name__, mr.unroll(cell, params, jnp.ones((5, 3)))[1].shape
    ('GRU', (5, 2))
    >>> module, key = linen.SimpleCell(2), jax.random.key(0)
    >>> variables = module.init(key, module.initialize_carry(key, (3,)), jnp.ones(3))
    >>> cell, params = mr.from_flax(module, variables=variables)
    >>> cell.core.activation, params["core"]["kernel"].shape
    ('tanh', (2, 2))
    """
    # Imported here, so that importing this package does not import all of Flax.
    from flax import linen, nnx

    name = type(cell_module).__name__
    if type(cell_module) is getattr(nnx, name, None) and name in _NNX:
        if variables is not None:
            raise TypeError(f"variables must be None for nnx.{name}, which holds its own, got {type(variables).__name__}.")
        kind, hidden_features, source = _NNX[name], cell_module.hidden_features, "cell_module"
        layers = _nnx_layers(cell_module, kind)
    elif type(cell_module) is getattr(linen, name, None) and name in _LINEN:
        kind, hidden_features, source = _LINEN[name], cell_module.features, "variables['params']"
        layers = _linen_layers(cell_module, kind, variables)
    else:
        names = ", ".join(f"{library}.{one}" for library in ("nnx", "linen") for one in _NNX)
        raise TypeError(f"cell_module must be exactly one of {names}, got {name}.")
    core = _core(cell_module, kind, hidden_features)
    _check_layers(source, layers, kind, core)
    _check_dtypes(cell_module, layers[kind.input[0]]["kernel"])
    params = {"input": _side_by_side(layers, kind.input), "core": _side_by_side(layers, kind.recurrent)}
    return Cell(core, drive), params


def _nnx_layers(module: Any, kind: _Kind) -> _Layers:
    from flax import nnx
    from flax.nnx.nn.dtypes import promote_dtype

    _check_default(module, "promote_dtype", promote_dtype)
    _check_default(module, "carry_init", None)
    layers = {}
    for name in (*kind.input, *kind.recurrent):
        linear = getattr(module, name)
        if type(linear) is not nnx.Linear:
            raise TypeError(f"cell_module.{name} must be an nnx.Linear, as Flax makes it, got {type(linear).__name__}.")
        values = {"kernel": linear.kernel[...]} | ({} if linear.bias is None else {"bias": linear.bias[...]})
        layers[name] = read(f"cell_module[{name!r}]", values, values)
    return layers


def _linen_layers(module: Any, kind: _Kind, variables: Any) -> _Layers:
    from flax import linen
    from flax.core import meta

    _check_default(module, "carry_init", linen.initializers.zeros_init())
    check_mapping("variables", variables)
    _checks.names("variables", variables, ("params",))
    params = variables["params"]
    check_mapping("variables['params']", params)
    _checks.names("variables['params']", params, (*kind.input, *kind.recurrent))
    layers = {}
    for name, layer in params.items():
        argument = f"variables['params'][{name!r}]"
        check_mapping(argument, layer)
        values = {entry: meta.unbox(value) for entry, value in layer.items()}  # without `linen.with_partitioning`'s metadata
        layers[name] = read(argument, values, ("kernel", "bias") if name in kind.biased else ("kernel",))
    return layers


def _core(module: Any, kind: _Kind, hidden_features: int) -> Core:
    activation = _activation(module, "activation_fn")
    core = kind.core
    if issubclass(core, Elman):
        _check_default(module, "residual", False)
        return core(hidden_features, activation)
    return core(hidden_features, activation=activation, gate_activation=_activation(module, "gate_fn"))


def _activation(module: Any, name: str) -> str:
    """The activation here that is the same function as the module's."""
    value = getattr(module, name)
    for activation, function in _ACTIVATIONS.items():
        if value is function:
            return activation
    raise ValueError(f"cell_module.{name} must be one of {', '.join(_ACTIVATIONS)}, got {_called(value)}.")


def _check_layers(source: str, layers: _Layers, kind: _Kind, core: Core) -> None:
    """Refuse layers whose shapes are not those of the core's gates, or whose dtypes differ."""
    width = core.drive_features // len(kind.input)
    first = kind.input[0]
    kernel = _checks.floating(f"{source}[{first!r}]['kernel']", layers[first]["kernel"], min_ndim=2, layout=f"(F, {width})")
    for name, layer in layers.items():
        rows = kernel.shape[0] if name in kind.input else core.hidden_features
        shapes = {"kernel": (rows, width), "bias": (width,)}
        _checks.arrays(f"{source}[{name!r}]", layer, {entry: shapes[entry] for entry in layer})
    _checks.one_dtype(source, layers)


def _check_dtypes(module: Any, kernel: Array) -> None:
    """Refuse a module that computes, or keeps its carry, in another dtype than that of its parameters."""
    for name, optional in (("dtype", True), ("param_dtype", False)):
        value = getattr(module, name)
        if optional and value is None:
            continue
        _checks.float_dtype(f"cell_module.{name}", value)
        if jnp.result_type(value) != jnp.result_type(kernel):
            raise ValueError(
                f"cell_module.{name} must be {'None or ' * optional}that of its parameters, {kernel.dtype}, in which a cell here "
                f"computes; got {jnp.dtype(value)}."
            )


def _side_by_side(layers: _Layers, names: tuple[str, ...]) -> dict[str, Array]:
    kernels = [to_jax(layers[name]["kernel"]) for name in names]
    biases = [to_jax(layers[name]["bias"]) if "bias" in layers[name] else zero_bias(layers[name]["kernel"]) for name in names]
    return {name: jnp.concatenate(parts, axis=-1) for name, parts in (("kernel", kernels), ("bias", biases))}


def _check_default(module: Any, name: str, default: Any) -> None:
    value = getattr(module, name)
    if value is not default:
        raise ValueError(f"cell_module.{name} must be Flax's default, {_called(default)}, got {_called(value)}.")


def _called(value: Any) -> str:
    """A setting of a Flax module: a function by name, a constant as it is written, anything else by type."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return getattr(value, "__name__", type(value).__name__)


# Those of `flax.nnx` and `flax.linen` are the same objects as those of JAX.
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = activations.ELEMENTWISE | {"identity": jax.nn.identity}
