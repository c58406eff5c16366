"""Weights from elsewhere: the paper's released PyTorch code and `torch.nn.LSTM`. Arrays go in, never files or pickles.

PyTorch keeps kernels as (out, in); here they are (in, out), so they are transposed. Everything is differentiable in the
arrays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params, RecurrentCell
from momentum_rnn_jax.cores import LSTM, Orthogonal
from momentum_rnn_jax.drives import Adam, Drive, Identity, Momentum, Nesterov, RMSProp
from momentum_rnn_jax.released_nesterov import ReleasedNesterovLSTM

Arrays = Mapping[str, Any]

# Where a released LSTM keeps the input's kernel and bias, and the recurrent ones.
_LINEAR_LAYERS = ("x2h.weight", "x2h.bias", "h2h.weight", "h2h.bias")
_LSTM_CELL = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
_TORCH_LSTM = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")


def from_released(name: str, arrays: Arrays, **hyper: Any) -> tuple[RecurrentCell, Params]:
    """A cell and its parameters from the weights of one of the paper's released PyTorch cells.

    Args:
      name: which cell: "lstm", "momentum_lstm", "adam_lstm", "rmsprop_lstm" (MNIST and TIMIT code), "nesterov_lstm_ptb",
        "nesterov_lstm_ptb_norestart" (language-model code), "nesterov_lstm_mnist" (a `ReleasedNesterovLSTM`),
        "orthogonal_rnn", "momentum_orthogonal_rnn", "adam_orthogonal_rnn", "nesterov_orthogonal_rnn".
      arrays: from the released parameter names to arrays in PyTorch's layout. LSTMs: "x2h.weight" (4H, F), "x2h.bias" (4H,),
        "h2h.weight" (4H, H), "h2h.bias" (4H,); the language-model code's "weight_ih", "bias_ih", "weight_hh", "bias_hh".
        Orthogonal: "input_kernel.weight" (H, F), "recurrent_kernel.A" (H, H), "nonlinearity.b" (H,), and
        "recurrent_kernel.base" (H, H), the identity unless given.
      **hyper: those that the cell has of `mu`, `epsilon` (the released name of the step size), `beta` and `restart` (0 for
        never). A zero for one that the cell does not have is accepted.

    Returns:
      `(cell, params)`, differentiable in `arrays`.

    Raises:
      TypeError, ValueError: an unknown cell, a missing or unknown array or hyper-parameter, or one of the wrong shape.

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


def from_torch_lstm(arrays: Arrays, drive: Drive = Identity()) -> tuple[Cell, Params]:
    """A cell with the weights of a one-layer, one-directional `torch.nn.LSTM`; a drive may be put in front of it.

    Args:
      arrays: the state dict as arrays: "weight_ih_l0" (4H, F), "weight_hh_l0" (4H, H), "bias_ih_l0" (4H,),
        "bias_hh_l0" (4H,).
      drive: `Identity()` computes what PyTorch computes.

    Returns:
      `(cell, params)`, differentiable in `arrays`.

    Raises:
      TypeError, ValueError: a missing or unknown array (another layer's, a projection's), or one of the wrong shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> import jax, momentum_rnn_jax as mr
    >>> cell = mr.lstm(2)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> again, same = mr.from_torch_lstm(mr.to_torch_lstm(params))
    >>> again == cell, bool((same["input"]["kernel"] == params["input"]["kernel"]).all())
    (True, True)
    """
    params, hidden_features = _lstm_params(arrays, _TORCH_LSTM)
    return Cell(LSTM(hidden_features), drive), params


def to_torch_lstm(params: Params) -> dict[str, Array]:
    """The inverse of `from_torch_lstm`: the parameters of an `LSTM` cell under PyTorch's names, in PyTorch's layout.

    Raises:
      TypeError, ValueError: `params` are not those of an `LSTM` cell.
    """
    _checks.names("params", params, ("input", "core"))
    for part in ("input", "core"):
        _checks.names(f"params[{part!r}]", params[part], ("kernel", "bias"))
    Cell(LSTM(jnp.shape(params["core"]["kernel"])[0])).check_params(params)
    kernel, bias, recurrent_kernel, recurrent_bias = _TORCH_LSTM
    return {
        kernel: params["input"]["kernel"].T,
        recurrent_kernel: params["core"]["kernel"].T,
        bias: params["input"]["bias"],
        recurrent_bias: params["core"]["bias"],
    }


def _lstm_params(arrays: Arrays, names: tuple[str, str, str, str]) -> tuple[Params, int]:
    _checks.names("arrays", arrays, names)
    F, H = _last_axis(arrays, names[0]), _last_axis(arrays, names[2])
    _checks.arrays("arrays", arrays, dict(zip(names, [(4 * H, F), (4 * H,), (4 * H, H), (4 * H,)], strict=True)))
    kernel, bias, recurrent_kernel, recurrent_bias = (jnp.asarray(arrays[name]) for name in names)
    params = {"input": {"kernel": kernel.T, "bias": bias}, "core": {"kernel": recurrent_kernel.T, "bias": recurrent_bias}}
    return params, H


def _orthogonal_params(arrays: Arrays) -> tuple[Params, int]:
    kernel, A, base, bias = "input_kernel.weight", "recurrent_kernel.A", "recurrent_kernel.base", "nonlinearity.b"
    _checks.names("arrays", arrays, (kernel, A, bias), optional=(base,))
    F, H = _last_axis(arrays, kernel), _last_axis(arrays, A)
    arrays = {base: jnp.eye(H, dtype=arrays[A].dtype), **arrays}
    _checks.arrays("arrays", arrays, {kernel: (H, F), A: (H, H), base: (H, H), bias: (H,)})
    ours = {name: jnp.asarray(array) for name, array in arrays.items()}
    core = {"A": ours[A], "base": ours[base], "modrelu_bias": ours[bias]}
    return {"input": {"kernel": ours[kernel].T}, "core": core}, H


def _last_axis(arrays: Arrays, name: str) -> int:
    array = _checks.floating(f"arrays[{name!r}]", arrays[name], min_ndim=2, layout="(out, in)")
    return array.shape[-1]


def _hyperparameters(cell: str, given: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """Our names and values for the released hyper-parameters; none may be missing, and none be there for nothing."""
    missing = sorted(set(ours.values()) - set(given))
    surplus = {name: value for name, value in given.items() if name not in ours.values()}
    unused = sorted(
        name for name, value in surplus.items() if name not in ("mu", "epsilon", "beta", "restart") or not _is_zero(value)
    )
    if missing or unused:
        wrong = [f"lacks {missing}"] * bool(missing) + [f"has no use for {unused}"] * bool(unused)
        raise ValueError(f"hyper must have {sorted(ours.values())} for {cell!r}, got {sorted(given)}: it {' and '.join(wrong)}.")
    values = {name: given[released] for name, released in ours.items()}
    if "restart" in values:
        values["restart"] = _checks.integer("restart", values["restart"], low=0) or None
    return values


def _is_zero(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer) and np.ndim(value) == 0 and value == 0


_MOMENTUM = {"mu": "mu", "step_size": "epsilon"}
_ADAM = {"mu": "mu", "step_size": "epsilon", "beta": "beta"}
_RMSPROP = {"step_size": "epsilon", "beta": "beta"}
_NESTEROV = {"step_size": "epsilon", "restart": "restart"}

# The core, what stands in front of it, and our names of the released hyper-parameters.
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
