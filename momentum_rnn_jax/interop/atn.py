"""The weights of the released LSTM with assorted-time normalisation, as arrays or tensors."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import LSTM, Normalized
from momentum_rnn_jax.drives import AssortedTime, AssortedTimeNorm, Chain, Drive, Identity
from momentum_rnn_jax.interop._layout import Arrays, check_arrays, read, to_jax

# The released names, and ours: the part and the entry.
_NAMES = {
    "weight_ih": ("input", "kernel"),
    "bias_x": ("input", "bias"),
    "weight_hh": ("core", "kernel"),
    "bias_h": ("core", "bias"),
    "norm_hh.weight": ("core", "a_gain"),
    "norm_hh.bias": ("core", "a_shift"),
    "norm_ih.weight": ("core", "d_gain"),
    "norm_ih.bias": ("core", "d_shift"),
    "norm_c.weight": ("core", "c_gain"),
    "norm_c.bias": ("core", "c_shift"),
}
ORDERS = ("drive_then_norm", "norm_then_drive")


def from_atn(
    arrays: Arrays, *, k: int, eps: Any = 1e-5, drive: Drive | None = None, order: str = "drive_then_norm"
) -> tuple[Cell, Params]:
    """A cell and its parameters from the weights of the released LSTM with assorted-time normalisation.

    Args:
      arrays: from the released parameter names to NumPy or JAX arrays, or tensors, all of one dtype: "weight_ih" (F, 4H),
        "weight_hh" (H, 4H), "bias_x", "bias_h", "norm_ih.weight", "norm_ih.bias", "norm_hh.weight", "norm_hh.bias", each (4H,),
        "norm_c.weight", "norm_c.bias", each (H,). Their gate order (f, i, o, g) becomes (i, f, g, o).
      k: the number of steps of the window, at least 1.
      eps: added to the variance, positive.
      drive: a drive of ours on the projected input; none, as in the released code, unless given.
      order: "drive_then_norm": the norm of the input path, `d_gain` and `d_shift`, is in the core and acts on the driven input.
        "norm_then_drive": it is an `AssortedTimeNorm` in front of the drive, whose `gain` and `shift` are leaves of the cell and
        not in `params`. Without a drive both are the released cell.

    Returns:
      `(cell, params)`, differentiable in `arrays` that are JAX arrays. For a start from given h and c, the state of the core is
      `cell.core.state_from(params["core"], LSTMState(c, h))`; `cell.core.start_of(state.core)` is the way back.

    Raises:
      TypeError, ValueError: an array is missing, unknown or of the wrong shape, dtypes differ, or an argument is not allowed.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> shapes = {"weight_ih": (3, 8), "weight_hh": (2, 8), "bias_x": 8, "bias_h": 8}
    >>> shapes |= {"norm_ih.weight": 8, "norm_ih.bias": 8, "norm_hh.weight": 8, "norm_hh.bias": 8}
    >>> shapes |= {"norm_c.weight": 2, "norm_c.bias": 2}
    >>> arrays = {name: jnp.ones(shape) for name, shape in shapes.items()}
    >>> cell, params = mr.from_atn(arrays, k=3, drive=mr.Momentum())
    >>> mr.unroll(cell, params, jnp.ones((5, 3)))[1].shape
    (5, 2)
    """
    _checks.choice("order", order, ORDERS)
    drive = Identity() if drive is None else drive
    _checks.instance("drive", drive, Drive)
    arrays = read("arrays", arrays, _NAMES)
    F, H = (_checks.floating(f"arrays[{n!r}]", arrays[n], min_ndim=2, layout="(in, out)").shape[0] for n in _KERNELS)
    core = Normalized(LSTM(H), AssortedTime(k, eps), inner_bias=True)
    shapes: dict[str, Any] = {"input": core.input_shapes(F), "core": core.param_shapes()}
    check_arrays("arrays", arrays, {name: shapes[part][entry] for name, (part, entry) in _NAMES.items()})
    params: Params = {"input": {}, "core": {}}
    for name, (part, entry) in _NAMES.items():
        array = to_jax(arrays[name])
        params[part][entry] = array if entry.startswith("c_") else _in_our_order(array)
    if order == "drive_then_norm":
        return Cell(core, drive), params
    norm = AssortedTimeNorm(k, gain=params["core"].pop("d_gain"), shift=params["core"].pop("d_shift"), eps=eps)
    return Cell(Normalized(core.core, core.norm, input_norm=False, inner_bias=True), Chain(norm, drive)), params


_KERNELS = ("weight_ih", "weight_hh")


def _in_our_order(array: Array) -> Array:
    f, i, o, g = jnp.split(array, 4, axis=-1)
    return jnp.concatenate([i, f, g, o], axis=-1)
