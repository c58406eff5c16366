"""The weights of the paper's released PyTorch cells, as arrays or tensors, never as files or pickles."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params, RecurrentCell
from momentum_rnn_jax.cores import LSTM, Orthogonal
from momentum_rnn_jax.drives import Adam, Identity, Momentum, Nesterov, RMSProp
from momentum_rnn_jax.interop._layout import (
    ENTRIES,
    Arrays,
    check_arrays,
    columns,
    read,
    to_jax,
    torch_params,
    torch_shapes,
)
from momentum_rnn_jax.released_nesterov import ReleasedNesterovLSTM

# The released names of an LSTM's arrays, in the order of `ENTRIES`: MNIST and TIMIT code, and language-model code.
_LINEAR_LAYERS = ("x2h.weight", "h2h.weight", "x2h.bias", "h2h.bias")
_LSTM_CELL = tuple(ENTRIES)


def from_released(name: str, arrays: Arrays, **hyper: Any) -> tuple[RecurrentCell, Params]:
    """A cell and its parameters from the weights of one of the paper's released PyTorch cells.

    Args:
      name: which cell: "lstm", "momentum_lstm", "adam_lstm", "rmsprop_lstm" (MNIST and TIMIT code), "nesterov_lstm_ptb",
        "nesterov_lstm_ptb_norestart" (language-model code), "nesterov_lstm_mnist" (a `ReleasedNesterovLSTM`),
        "orthogonal_rnn", "momentum_orthogonal_rnn", "adam_orthogonal_rnn", "nesterov_orthogonal_rnn".
      arrays: from the released parameter names to NumPy or JAX arrays, or tensors, all of one dtype, in PyTorch's layout. LSTMs:
        "x2h.weight" (4H, F), "x2h.bias" (4H,), "h2h.weight" (4H, H), "h2h.bias" (4H,); the language-model code's "weight_ih",
        "bias_ih", "weight_hh", "bias_hh". Orthogonal: "input_kernel.weight" (H, F), "recurrent_kernel.A" (H, H),
        "nonlinearity.b" (H,), and "recurrent_kernel.base" (H, H), the identity unless given.
      **hyper: the cell's hyper-parameters among `mu`, `epsilon` (the released name of the step size), `beta` and `restart` (0
        for never). A zero is accepted for one that the cell does not have.

    Returns:
      `(cell, params)`, differentiable in `arrays` that are JAX arrays.

    Raises:
      TypeError, ValueError: the cell is unknown; an array or hyper-parameter is missing, unknown or not allowed; an array has the
        wrong shape, or dtypes differ.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> shapes = {"x2h.weight": (8, 3), "x2h.bias": (8,), "h2h.weight": (8, 2), "h2h.bias": (8,)}
    >>> arrays = {name: jnp.ones(shape) for name, shape in shapes.items()}
    >>> cell, params = mr.from_released("momentum_lstm", arrays, mu=0.6, epsilon=0.6)
    >>> cell.drive
    Momentum(mu=0.6, step_size=0.6)
    >>> params["input"]["kernel"].shape
    (3, 8)
    """
    _checks.choice("name", name, _RELEASED)
    core, drive, ours = _RELEASED[name]
    if core is Orthogonal:
        params, hidden_features = _orthogonal_params(arrays)
    else:
        params, hidden_features = _lstm_params(arrays, _LSTM_CELL if "ptb" in name else _LINEAR_LAYERS)
    values = _hyperparameters(name, hyper, ours)
    if drive is ReleasedNesterovLSTM:
        return ReleasedNesterovLSTM(core(hidden_features), **values), params
    return Cell(core(hidden_features), drive(**values)), params


def _lstm_params(arrays: Arrays, names: tuple[str, ...]) -> tuple[Params, int]:
    arrays = read("arrays", arrays, names)
    entries = dict(zip(names, ENTRIES.values(), strict=True))
    F, H = (columns("arrays", arrays, name) for name in names[:2])
    check_arrays("arrays", arrays, torch_shapes(LSTM(H), F, entries))
    return torch_params(arrays, entries), H


def _orthogonal_params(arrays: Arrays) -> tuple[Params, int]:
    kernel, A, base, bias = "input_kernel.weight", "recurrent_kernel.A", "recurrent_kernel.base", "nonlinearity.b"
    arrays = read("arrays", arrays, (kernel, A, bias), optional=(base,))
    F, H = (columns("arrays", arrays, name) for name in (kernel, A))
    arrays = {base: np.eye(H, dtype=arrays[A].dtype), **arrays}
    check_arrays("arrays", arrays, {kernel: (H, F), A: (H, H), base: (H, H), bias: (H,)})
    ours = {name: to_jax(array) for name, array in arrays.items()}
    core = {"A": ours[A], "base": ours[base], "modrelu_bias": ours[bias]}
    return {"input": {"kernel": ours[kernel].T}, "core": core}, H


def _hyperparameters(cell: str, given: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """Our names and values of the released hyper-parameters; missing and superfluous ones are refused."""
    missing = sorted(set(ours.values()) - set(given))
    surplus = {name: value for name, value in given.items() if name not in ours.values()}
    unused = sorted(
        name for name, value in surplus.items() if name not in ("mu", "epsilon", "beta", "restart") or not _is_zero(value)
    )
    if missing or unused:
        wrong = [f"lacks {missing}"] * bool(missing) + [f"has no use for {unused}"] * bool(unused)
        raise ValueError(f"hyper must have {sorted(ours.values())} for {cell!r}, got {sorted(given)}: it {' and '.join(wrong)}.")
    values = {name: given[released] for name, released in ours.items()}
    # The drives check the rest; these two have other names there.
    if "step_size" in values:
        values["step_size"] = _checks.number("epsilon", values["step_size"], low=0.0, low_open=True)
    if "restart" in values:
        values["restart"] = _checks.integer("restart", values["restart"], low=0) or None
    return values


def _is_zero(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer):
        return False
    is_number = isinstance(value, int | float) or (
        isinstance(value, np.generic | np.ndarray | jax.Array) and value.shape == () and jnp.issubdtype(value.dtype, jnp.number)
    )
    return is_number and bool(value == 0)


_MOMENTUM = {"mu": "mu", "step_size": "epsilon"}
_ADAM = {"mu": "mu", "step_size": "epsilon", "beta": "beta"}
_RMSPROP = {"step_size": "epsilon", "beta": "beta"}
_NESTEROV = {"step_size": "epsilon", "restart": "restart"}

# The core, the drive (or the whole cell), and the released name of each of our hyper-parameters.
_RELEASED: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, str]]] = {
    "lstm": (LSTM, Identity, {}),
    "momentum_lstm": (LSTM, Momentum, _MOMENTUM),
    "adam_lstm": (LSTM, Adam, _ADAM),
    "rmsprop_lstm": (LSTM, RMSProp, _RMSPROP),
    "nesterov_lstm_ptb": (LSTM, Nesterov, _NESTEROV),
    "nesterov_lstm_ptb_norestart": (LSTM, Nesterov, _NESTEROV),
    "nesterov_lstm_mnist": (LSTM, ReleasedNesterovLSTM, _NESTEROV),
    "orthogonal_rnn": (Orthogonal, Identity, {}),
    "momentum_orthogonal_rnn": (Orthogonal, Momentum, _MOMENTUM),
    "adam_orthogonal_rnn": (Orthogonal, Adam, _ADAM),
    "nesterov_orthogonal_rnn": (Orthogonal, Nesterov, _NESTEROV),
}
