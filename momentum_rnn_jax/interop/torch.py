"""The weights of `torch.nn.LSTM` and `torch.nn.GRU`, as arrays or from a file of arrays; PyTorch itself is not needed.

PyTorch's gate orders, (i, f, g, o) and (r, z, n), and its GRU, whose reset gate acts behind the recurrent product, are
ours: only the kernels are transposed.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import GRU, LSTM, Core
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.interop._files import read_arrays
from momentum_rnn_jax.interop._layout import Arrays, gated_params, gated_shapes, last_axis

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_ONE_LSTM = tuple(f"{kind}_l0" for kind in _KINDS)
_CORES: dict[int, type[LSTM] | type[GRU]] = {LSTM.num_gates: LSTM, GRU.num_gates: GRU}


def from_torch(
    weights: Arrays | str | os.PathLike[str], drive: Drive = Identity(), prefix: str = ""
) -> tuple[tuple[tuple[Cell, Params], ...], ...]:
    """Cells with the weights of a `torch.nn.LSTM` or `torch.nn.GRU`, of any number of layers and one or two directions.

    The shapes tell which of the two it is. A backward cell runs over the sequence from its end, a layer's output is the forward
    and the backward hidden states side by side, and the next layer's input is this output.
    Dropout between the layers is no part of the weights, and the caller's.

    Args:
      weights: the module's state dict as NumPy or JAX arrays, or the path of an `.npz` or `.safetensors` file of it. For each
        layer k: "weight_ih_lk" (G·H, F), "weight_hh_lk" (G·H, H), "bias_ih_lk" and "bias_hh_lk" (G·H,), G = 4 for an LSTM and 3
        for a GRU; for a backward direction the same with "_reverse" behind. With `bias=False` there are no biases, and ours are
        zero. Pickles (`.pt`, `.pth`) are not read.
      drive: stands in front of every cell; `Identity()` computes what PyTorch computes.
      prefix: of the names, such as "rnn.", where the weights are those of a whole model; names that begin otherwise are left out.

    Returns:
      The layers, first to last; each is a tuple of one `(cell, params)`, or of two, forward and backward. Differentiable in the
      arrays.

    Raises:
      TypeError, ValueError: a missing or unknown array (a projection's, a plain `torch.nn.RNN`'s), one of the wrong shape or
        dtype, a file of another kind, or `drive` is no drive.
      ImportError: a `.safetensors` file, and the package that reads it is not installed: the extra "torch".

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html and torch.nn.GRU.html beside it.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr, numpy as np
    >>> shapes = {"weight_ih_l0": (6, 3), "weight_hh_l0": (6, 2), "bias_ih_l0": (6,), "bias_hh_l0": (6,)}
    >>> shapes |= {f"{name}_reverse": shape for name, shape in shapes.items()}
    >>> ((forward, backward),) = mr.from_torch({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    >>> forward[0]
    Cell(core=GRU(hidden_features=2), drive=Identity())
    >>> xs = jnp.ones((5, 3))
    >>> ahead, back = mr.unroll(*forward, xs)[1], mr.unroll(*backward, xs[::-1])[1][::-1]
    >>> jnp.concatenate([ahead, back], axis=-1).shape
    (5, 4)
    """
    arrays = _entries(weights, prefix)
    layers, directions, kinds = _outline(arrays)
    names = [[[f"{kind}_l{k}{suffix}" for kind in kinds] for suffix in directions] for k in range(layers)]
    _checks.names("weights", arrays, (name for layer in names for direction in layer for name in direction))
    core = _core(arrays)
    F, H = last_axis("weights", arrays, "weight_ih_l0"), core.hidden_features
    in_features = [F] + [len(directions) * H] * (layers - 1)
    shapes: dict[str, tuple[int | None, ...]] = {}
    for layer, features in zip(names, in_features, strict=True):
        for direction in layer:
            shapes |= gated_shapes(direction, features, H, core.num_gates)
    _checks.arrays("weights", arrays, shapes)
    arrays = {name: jnp.asarray(array) for name, array in arrays.items()}
    _checks.one_dtype("weights", arrays)
    cell = Cell(core, drive)
    return tuple(tuple((cell, gated_params(arrays, direction)) for direction in layer) for layer in names)


def from_torch_lstm(arrays: Arrays, drive: Drive = Identity()) -> tuple[Cell, Params]:
    """A cell with the weights of a one-layer, one-directional `torch.nn.LSTM`: `from_torch` where there is one cell.

    Args:
      arrays: the state dict as arrays: "weight_ih_l0" (4H, F), "weight_hh_l0" (4H, H), "bias_ih_l0" (4H,),
        "bias_hh_l0" (4H,).
      drive: stands in front of the cell; `Identity()` computes what PyTorch computes.

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
    _checks.names("arrays", arrays, _ONE_LSTM)
    F, H = (last_axis("arrays", arrays, name) for name in _ONE_LSTM[:2])
    _checks.arrays("arrays", arrays, gated_shapes(_ONE_LSTM, F, H, LSTM.num_gates))
    ((pair,),) = from_torch(arrays, drive)
    return pair


def to_torch_lstm(params: Params) -> dict[str, Array]:
    """The inverse of `from_torch_lstm`: the parameters of an `LSTM` cell under PyTorch's names, in PyTorch's layout.

    Args:
      params: of a `Cell` whose core is an `LSTM`; its drive is lost.

    Returns:
      "weight_ih_l0" (4H, F), "weight_hh_l0" (4H, H), "bias_ih_l0" (4H,) and "bias_hh_l0" (4H,).

    Raises:
      TypeError, ValueError: `params` are not those of an `LSTM` cell.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> import jax, momentum_rnn_jax as mr
    >>> params = mr.lstm(2).init(jax.random.key(0), in_features=3)
    >>> {name: array.shape for name, array in mr.to_torch_lstm(params).items()}
    {'weight_ih_l0': (8, 3), 'weight_hh_l0': (8, 2), 'bias_ih_l0': (8,), 'bias_hh_l0': (8,)}
    """
    _checks.names("params", params, ("input", "core"))
    for part in ("input", "core"):
        _checks.names(f"params[{part!r}]", params[part], ("kernel", "bias"))
    kernel = _checks.floating("params['core']['kernel']", params["core"]["kernel"], min_ndim=2, layout="(H, 4H)")
    Cell(LSTM(kernel.shape[0])).check_params(params)
    arrays = (params["input"]["kernel"].T, params["core"]["kernel"].T, params["input"]["bias"], params["core"]["bias"])
    return dict(zip(_ONE_LSTM, arrays, strict=True))


def _entries(weights: Any, prefix: Any) -> Arrays:
    """The arrays whose names begin with `prefix`, without it."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a string, such as 'rnn.', got {prefix!r}.")
    if isinstance(weights, str | os.PathLike):
        weights = read_arrays("weights", os.fspath(weights), prefix)
    elif not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise TypeError(
            f"weights must be a dict from PyTorch's names to arrays, or the path of a file of them, got {type(weights).__name__}."
        )
    found = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"weights has no entry that begins with prefix, {prefix!r}.")
    return found


def _outline(arrays: Arrays) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """How many layers, which suffixes (one for each direction) and which kinds of arrays the names ask for."""
    projections = sorted(name for name in arrays if name.startswith("weight_hr_"))
    if projections:
        raise ValueError(f"weights has the projections {projections} (proj_size in PyTorch); no core here projects its output.")
    found = [match for name in arrays if (match := re.fullmatch(rf"({'|'.join(_KINDS)})_l(\d+)(_reverse)?", name))]
    layers = max(1, len({match[2] for match in found}))
    directions = ("", "_reverse") if any(match[3] for match in found) else ("",)
    return layers, directions, _KINDS if any(match[1].startswith("bias") for match in found) else _KINDS[:2]


def _core(arrays: Arrays) -> Core:
    H = last_axis("weights", arrays, "weight_hh_l0")
    shape = arrays["weight_hh_l0"].shape
    for num_gates, core in _CORES.items():
        if shape == (num_gates * H, H):
            return core(H)
    raise ValueError(f"weights['weight_hh_l0'] must have shape (4·H, H) for an LSTM or (3·H, H) for a GRU, got {shape}.")
