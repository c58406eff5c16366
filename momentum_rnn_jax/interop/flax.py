"""The weights of Flax's own recurrent cells (`flax.nnx`), whose layout is ours: nothing is transposed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import activations
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.interop._layout import zero_bias


def from_flax(cell_module: Any, drive: Drive = Identity()) -> tuple[Cell, Params]:
    """A cell with the weights of a `flax.nnx` recurrent cell, which computes what Flax computes.

    Flax has one bias where we have two: an LSTM's becomes the core's, a GRU's and a simple cell's the input's, and the other is
    zero. A drive sees the input's alone.

    Args:
      cell_module: an `nnx.LSTMCell`, `nnx.OptimizedLSTMCell`, `nnx.GRUCell` or `nnx.SimpleCell`. The first three with Flax's
        default `gate_fn` and `activation_fn`; a `SimpleCell` with `nnx.tanh`, `nnx.relu`, `nnx.sigmoid` or `nnx.identity`, and
        without `residual`. For an `nnx.RNN`, hand over its `cell`.
      drive: stands in front of the cell; `Identity()` computes what Flax computes.

    Returns:
      `(cell, params)`, differentiable in the module's parameters; the core is an `LSTM`, a `GRU` or an `Elman`. Flax's carry is
      `(c, h)` for an LSTM, `h` for the others.

    Raises:
      TypeError: another type of module (a subclass may compute something else), or `drive` is no drive.
      ValueError: the module computes what no core here computes, or in another dtype than its parameters', or it starts from a
        `carry_init` of its own.

    Source: https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/recurrent.html

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from flax import nnx
    >>> module = nnx.GRUCell(3, 2, rngs=nnx.Rngs(0))
    >>> cell, params = mr.from_flax(module, mr.Momentum(mu=0.9, step_size=1.0))
    >>> cell.core
    GRU(hidden_features=2)
    >>> mr.unroll(cell, params, jnp.ones((5, 3)))[1].shape
    (5, 2)
    """
    # Not at the top: who has no such module need not wait for Flax.
    from flax import nnx
    from flax.nnx.nn.dtypes import promote_dtype

    readers: dict[type, Callable[[Any], tuple[Core, Any, Any]]] = {
        nnx.LSTMCell: _lstm,
        nnx.OptimizedLSTMCell: _optimized_lstm,
        nnx.GRUCell: _gru,
        nnx.SimpleCell: _simple,
    }
    if type(cell_module) not in readers:
        names = ", ".join(f"nnx.{cls.__name__}" for cls in readers)
        raise TypeError(f"cell_module must be exactly one of {names}, got {type(cell_module).__name__}.")
    core, dense_input, dense_core = readers[type(cell_module)](cell_module)
    cell, params = Cell(core, drive), {"input": dense_input, "core": dense_core}
    cell.check_params(params)
    _check_dtype(cell_module, dense_input["kernel"])
    _check_default(cell_module, "promote_dtype", promote_dtype)
    _check_default(cell_module, "carry_init", None)
    return cell, params


def _lstm(module: Any) -> tuple[Core, Any, Any]:
    _check_gates(module)
    input_gates, core_gates = (module.ii, module.if_, module.ig, module.io), (module.hi, module.hf, module.hg, module.ho)
    return LSTM(module.hidden_features), _side_by_side(input_gates), _side_by_side(core_gates)


def _optimized_lstm(module: Any) -> tuple[Core, Any, Any]:
    _check_gates(module)
    return LSTM(module.hidden_features), _dense(module.dense_i), _dense(module.dense_h)


def _gru(module: Any) -> tuple[Core, Any, Any]:
    _check_gates(module)
    return GRU(module.hidden_features), _dense(module.dense_i), _dense(module.dense_h)


def _simple(module: Any) -> tuple[Core, Any, Any]:
    _check_default(module, "residual", False)
    function = module.activation_fn
    names = [name for name, ours in _SIMPLE_ACTIVATIONS.items() if function is ours]
    if not names:
        raise ValueError(
            f"cell_module.activation_fn must be one of nnx.{', nnx.'.join(_SIMPLE_ACTIVATIONS)}, got {_called(function)}."
        )
    return Elman(module.hidden_features, names[0]), _dense(module.dense_i), _dense(module.dense_h)


def _dense(linear: Any) -> dict[str, Array]:
    kernel = linear.kernel[...]
    return {"kernel": kernel, "bias": zero_bias(kernel) if linear.bias is None else linear.bias[...]}


def _side_by_side(gates: tuple[Any, ...]) -> dict[str, Array]:
    parts = [_dense(gate) for gate in gates]
    return {name: jnp.concatenate([part[name] for part in parts], axis=-1) for name in ("kernel", "bias")}


def _check_gates(module: Any) -> None:
    _check_default(module, "gate_fn", jax.nn.sigmoid)
    _check_default(module, "activation_fn", jnp.tanh)


def _check_default(module: Any, name: str, default: Any) -> None:
    value = getattr(module, name)
    if value is not default:
        raise ValueError(f"cell_module.{name} must be Flax's default, {_called(default)}, got {_called(value)}.")


def _check_dtype(module: Any, kernel: Array) -> None:
    if module.dtype is not None and jnp.dtype(module.dtype) != kernel.dtype:
        raise ValueError(
            f"cell_module.dtype must be None or that of its parameters, {kernel.dtype}, in which a cell here computes; "
            f"got {jnp.dtype(module.dtype)}."
        )


def _called(value: Any) -> str:
    return getattr(value, "__name__", repr(value))


_SIMPLE_ACTIVATIONS = activations.ELEMENTWISE | {"identity": jax.nn.identity}
