"""Weights from elsewhere: the paper's released PyTorch code and `torch.nn.LSTM`. Arrays go in, never files or pickles.

PyTorch keeps kernels as (out, in); here they are (in, out), so they are transposed. Everything is differentiable in the
arrays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
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
      **hyper: by their released names, those that the cell has: `mu`, `epsilon` (the step size), `beta`, `restart` (0 for
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
    layout, make = _RELEASED[name]
    params, hidden_features = layout(arrays)
    return make(hidden_features, _ReleasedHyper(name, hyper)), params


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
    params, hidden_features = _lstm_params(_TORCH_LSTM)(arrays)
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


Layout = Callable[[Arrays], tuple[Params, int]]


def _lstm_params(names: tuple[str, str, str, str]) -> Layout:
    def convert(arrays: Arrays) -> tuple[Params, int]:
        _checks.names("arrays", arrays, names)
        kernel, bias, recurrent_kernel, recurrent_bias = (arrays[name] for name in names)
        F, H = _last_axis(names[0], kernel), _last_axis(names[2], recurrent_kernel)
        _checks.shapes("arrays", arrays, dict(zip(names, [(4 * H, F), (4 * H,), (4 * H, H), (4 * H,)], strict=True)))
        params = {
            "input": {"kernel": jnp.asarray(kernel).T, "bias": jnp.asarray(bias)},
            "core": {"kernel": jnp.asarray(recurrent_kernel).T, "bias": jnp.asarray(recurrent_bias)},
        }
        return params, H

    return convert


def _orthogonal_params(arrays: Arrays) -> tuple[Params, int]:
    required = ("input_kernel.weight", "recurrent_kernel.A", "nonlinearity.b")
    _checks.names("arrays", arrays, required, optional=("recurrent_kernel.base",))
    A = jnp.asarray(arrays["recurrent_kernel.A"])
    H, F = _last_axis(required[1], A), _last_axis(required[0], arrays[required[0]])
    arrays = {"recurrent_kernel.base": jnp.eye(H, dtype=A.dtype), **arrays}
    _checks.shapes("arrays", arrays, {**dict.fromkeys(arrays, (H, H)), required[0]: (H, F), required[2]: (H,)})
    params = {
        "input": {"kernel": jnp.asarray(arrays["input_kernel.weight"]).T},
        "core": {
            "A": A,
            "base": jnp.asarray(arrays["recurrent_kernel.base"]),
            "modrelu_bias": jnp.asarray(arrays["nonlinearity.b"]),
        },
    }
    return params, H


def _last_axis(name: str, array: Any) -> int:
    if jnp.ndim(array) != 2:
        raise ValueError(f"arrays[{name!r}] must have shape (out, in), got {jnp.shape(array)}.")
    return jnp.shape(array)[1]


class _ReleasedHyper:
    """The released hyper-parameters of one cell; each maker takes what it needs, and nothing else may have been given."""

    def __init__(self, cell: str, given: dict[str, Any]):
        self.cell, self.given = cell, given

    def take(self, **ours: str) -> dict[str, Any]:
        """`take(step_size="epsilon")` gives `{"step_size": the released epsilon}`."""
        missing = sorted(set(ours.values()) - set(self.given))
        surplus = {name: value for name, value in self.given.items() if name not in ours.values()}
        unknown = sorted(set(surplus) - {"mu", "epsilon", "beta", "restart"})
        unused = sorted(name for name in set(surplus) - set(unknown) if surplus[name] != 0)
        if missing or unknown or unused:
            wrong = [f"lacks {missing}"] * bool(missing) + [f"has no use for {unknown + unused}"] * bool(unknown + unused)
            raise ValueError(
                f"hyper must have {sorted(ours.values())} for {self.cell!r}, got {sorted(self.given)}: it {' and '.join(wrong)}."
            )
        values = {name: self.given[released] for name, released in ours.items()}
        if "restart" in values:
            values["restart"] = _checks.integer("restart", values["restart"], low=0) or None
        return values


def _with_drive(core: Callable[[int], Any], drive: type[Drive], **ours: str) -> Callable[[int, _ReleasedHyper], Cell]:
    return lambda hidden_features, hyper: Cell(core(hidden_features), drive(**hyper.take(**ours)))


def _released_nesterov(hidden_features: int, hyper: _ReleasedHyper) -> ReleasedNesterovLSTM:
    return ReleasedNesterovLSTM(LSTM(hidden_features), **hyper.take(**_NESTEROV))


_MOMENTUM = {"mu": "mu", "step_size": "epsilon"}
_ADAM = _MOMENTUM | {"beta": "beta"}
_RMSPROP = {"step_size": "epsilon", "beta": "beta"}
_NESTEROV = {"step_size": "epsilon", "restart": "restart"}

_RELEASED: dict[str, tuple[Layout, Callable[[int, _ReleasedHyper], RecurrentCell]]] = {
    "lstm": (_lstm_params(_LINEAR_LAYERS), _with_drive(LSTM, Identity)),
    "momentum_lstm": (_lstm_params(_LINEAR_LAYERS), _with_drive(LSTM, Momentum, **_MOMENTUM)),
    "adam_lstm": (_lstm_params(_LINEAR_LAYERS), _with_drive(LSTM, Adam, **_ADAM)),
    "rmsprop_lstm": (_lstm_params(_LINEAR_LAYERS), _with_drive(LSTM, RMSProp, **_RMSPROP)),
    "nesterov_lstm_ptb": (_lstm_params(_LSTM_CELL), _with_drive(LSTM, Nesterov, **_NESTEROV)),
    "nesterov_lstm_ptb_norestart": (_lstm_params(_LSTM_CELL), _with_drive(LSTM, Nesterov, **_NESTEROV)),
    "nesterov_lstm_mnist": (_lstm_params(_LINEAR_LAYERS), _released_nesterov),
    "orthogonal_rnn": (_orthogonal_params, _with_drive(Orthogonal, Identity)),
    "momentum_orthogonal_rnn": (_orthogonal_params, _with_drive(Orthogonal, Momentum, **_MOMENTUM)),
    "adam_orthogonal_rnn": (_orthogonal_params, _with_drive(Orthogonal, Adam, **_ADAM)),
    "nesterov_orthogonal_rnn": (_orthogonal_params, _with_drive(Orthogonal, Nesterov, **_NESTEROV)),
}
