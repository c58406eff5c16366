"""The weights of `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`: tensors, arrays or a file of arrays, without PyTorch.

PyTorch's gate orders, (i, f, g, o) and (r, z, n), are ours, and so is its GRU, which applies the reset gate after the recurrent
product. Only the kernels are transposed.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.interop._files import read_arrays
from momentum_rnn_jax.interop._layout import (
    ENTRIES,
    Arrays,
    check_arrays,
    check_mapping,
    columns,
    read,
    to_jax,
    torch_params,
    torch_shapes,
)

Nonlinearity = Literal["tanh", "relu"]

_BIASES = ("bias_ih", "bias_hh")
_PROJECTION = "weight_hr"
_KINDS = {**ENTRIES, _PROJECTION: ("core", "projection")}
_ONE_LSTM = {f"{kind}_l0": entry for kind, entry in ENTRIES.items()}


def from_torch(
    weights: Arrays | str | os.PathLike[str],
    drive: Drive = Identity(),
    prefix: str = "",
    *,
    nonlinearity: Nonlinearity | None = None,
) -> tuple[Cell, Params]:
    """A cell with the weights of a one-layer, one-direction `torch.nn.LSTM`, `torch.nn.GRU` or `torch.nn.RNN`.

    The shapes tell which of the three it is. `from_torch_layers` reads several layers and backward directions.

    Args:
      weights: the module's state dict, whose values are PyTorch tensors (on any device; a gradient they require is not followed),
        NumPy or JAX arrays, or other objects with `__dlpack__` or `__array__`; or the path of an `.npz` or `.safetensors` file.
        "weight_ih_l0" (G·H, F), "weight_hh_l0" (G·H, H), "bias_ih_l0" and "bias_hh_l0" (G·H,), with G = 4 for an LSTM, 3 for a
        GRU and 1 for an RNN. Weights of `bias=False` have no biases; ours are then zero. An LSTM of `proj_size=P` also has
        "weight_hr_l0" (P, H), and "weight_hh_l0" is (4H, P). Pickles (`.pt`, `.pth`) are not read.
      drive: acts before the core; `Identity()` computes what PyTorch computes.
      prefix: of the names, such as "rnn.", where the weights are those of a whole model; other names are ignored.
      nonlinearity: "tanh" or "relu", required for a `torch.nn.RNN`, whose weights do not tell, and refused for the others.

    Returns:
      `(cell, params)`; the core is an `LSTM`, a `GRU` or an `Elman`. Differentiable in weights that are JAX arrays; tensors and
      NumPy arrays are copied.

    Raises:
      TypeError, ValueError: an array is missing, unknown or of the wrong shape, or dtypes differ; the weights are of several
        layers or directions; the file is of another kind; `nonlinearity` does not fit; `drive` is not a drive.
      FileNotFoundError: there is no such file.
      ImportError: the file is `.safetensors`, and the package that reads it (the extra "torch") is not installed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html, torch.nn.GRU.html and torch.nn.RNN.html

    >>> import momentum_rnn_jax as mr, numpy as np
    >>> weights = {"weight_ih_l0": np.ones((6, 3), np.float32), "weight_hh_l0": np.ones((6, 2), np.float32)}
    >>> cell, params = mr.from_torch(weights, mr.Momentum(mu=0.9, step_size=1.0))
    >>> type(cell.core).__name__, cell.core.hidden_features, params["input"]["kernel"].shape
    ('GRU', 2, (3, 6))
    """
    layers = from_torch_layers(weights, drive, prefix, nonlinearity=nonlinearity)
    if len(layers) > 1 or len(layers[0]) > 1:
        raise ValueError(
            f"weights must be of one layer in one direction, got {_count(len(layers), 'layer')} in "
            f"{_count(len(layers[0]), 'direction')}; from_torch_layers reads them."
        )
    return layers[0][0]


def from_torch_layers(
    weights: Arrays | str | os.PathLike[str],
    drive: Drive = Identity(),
    prefix: str = "",
    *,
    nonlinearity: Nonlinearity | None = None,
) -> tuple[tuple[tuple[Cell, Params], ...], ...]:
    """Cells with the weights of a `torch.nn.LSTM`, `GRU` or `RNN` of any number of layers and of one or two directions.

    A backward cell runs over the reversed sequence. A layer's output is the concatenation of the forward and the backward hidden
    states, and the next layer's input. Dropout between layers is not part of the weights.

    Args:
      weights, drive, prefix, nonlinearity: as in `from_torch`, with the arrays of layer k named "weight_ih_lk" and so on, and
        those of its backward direction "weight_ih_lk_reverse" and so on.

    Returns:
      The layers, first to last, each a tuple of one `(cell, params)` per direction: the forward one, and the backward one where
      there is one. Differentiable as `from_torch`.

    Raises:
      TypeError, ValueError, FileNotFoundError, ImportError: as `from_torch`.

    Source: as for `from_torch`.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr, numpy as np
    >>> shapes = {"weight_ih_l0": (6, 3), "weight_hh_l0": (6, 2), "bias_ih_l0": (6,), "bias_hh_l0": (6,)}
    >>> shapes |= {f"{name}_reverse": shape for name, shape in shapes.items()}
    >>> ((forward, backward),) = mr.from_torch_layers({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    >>> xs = jnp.ones((5, 3))
    >>> ahead, back = mr.unroll(*forward, xs)[1], mr.unroll(*backward, xs[::-1])[1][::-1]
    >>> jnp.concatenate([ahead, back], axis=-1).shape
    (5, 4)
    """
    found = _entries(weights, prefix)
    layers = _outline(found)
    arrays = read("weights", found, (name for layer in layers for direction in layer for name in direction))
    core = _core(arrays, nonlinearity)
    shapes: dict[str, tuple[int | None, ...]] = {}
    in_features = columns("weights", arrays, "weight_ih_l0")
    for layer in layers:
        for direction in layer:
            shapes |= torch_shapes(core, in_features, direction)
        in_features = len(layer) * core.output_features
    check_arrays("weights", arrays, shapes)
    cell = Cell(core, drive)
    return tuple(tuple((cell, torch_params(arrays, direction)) for direction in layer) for layer in layers)


def from_torch_lstm(arrays: Arrays, drive: Drive = Identity()) -> tuple[Cell, Params]:
    """`from_torch` for an LSTM only, the inverse of `to_torch_lstm`: other weights are refused.

    Args:
      arrays: the state dict: "weight_ih_l0" (4H, F), "weight_hh_l0" (4H, H), "bias_ih_l0" (4H,), "bias_hh_l0" (4H,).
      drive: acts before the core; `Identity()` computes what PyTorch computes.

    Returns:
      `(cell, params)`, as from `from_torch`.

    Raises:
      TypeError, ValueError: an array is missing, unknown (another layer's, a projection) or of the wrong shape, or dtypes differ;
        `drive` is not a drive.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> import jax, momentum_rnn_jax as mr
    >>> cell = mr.lstm(2)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> again, same = mr.from_torch_lstm(mr.to_torch_lstm(params))
    >>> again == cell, bool((same["input"]["kernel"] == params["input"]["kernel"]).all())
    (True, True)
    """
    arrays = read("arrays", arrays, _ONE_LSTM)
    F, H = (columns("arrays", arrays, f"{kind}_l0") for kind in ("weight_ih", "weight_hh"))
    core = LSTM(H)
    check_arrays("arrays", arrays, torch_shapes(core, F, _ONE_LSTM))
    return Cell(core, drive), torch_params(arrays, _ONE_LSTM)


def to_torch_lstm(params: Params) -> dict[str, Array]:
    """The parameters of an `LSTM` cell under PyTorch's names, in PyTorch's layout: the inverse of `from_torch_lstm`.

    Args:
      params: of a `Cell` with a plain `LSTM` core. The cell's drive has no counterpart in PyTorch.

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
    check_mapping("params", params)
    _checks.names("params", params, ("input", "core"))
    parts = {part: read(f"params[{part!r}]", params[part], ("kernel", "bias")) for part in ("input", "core")}
    kernel = _checks.floating("params['core']['kernel']", parts["core"]["kernel"], min_ndim=2, layout="(H, 4H)")
    Cell(LSTM(kernel.shape[0])).check_params(parts)
    return {name: to_jax(parts[part][entry]).T for name, (part, entry) in _ONE_LSTM.items()}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}"


def _entries(weights: Any, prefix: Any) -> Arrays:
    """The arrays whose names begin with `prefix`, without it."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a string, such as 'rnn.', got {describe(prefix)}.")
    if isinstance(weights, str | os.PathLike):
        weights = read_arrays("weights", os.fspath(weights), prefix)
    elif not isinstance(weights, Mapping):
        raise TypeError(
            "weights must be a state dict, from PyTorch's names to tensors or arrays, or the path of a file of arrays, got "
            f"{type(weights).__name__}."
        )
    check_mapping("weights", weights)
    found = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"weights has no entry that begins with prefix, {describe(prefix)}.")
    return found


def _outline(names: Arrays) -> list[list[dict[str, tuple[str, str]]]]:
    """For each layer and direction that the names imply, where each of its arrays goes in our parameters."""
    found = [match for name in names if (match := re.fullmatch(rf"({'|'.join(_KINDS)})_l(\d+)(_reverse)?", name))]
    layers = max(1, len({match[2] for match in found}))
    directions = ("", "_reverse") if any(match[3] for match in found) else ("",)
    # Kernels are always there; the two biases together, and projections, are in all layers and directions or in none.
    kinds_found = {match[1] for match in found}
    absent = {kind for kinds in (_BIASES, (_PROJECTION,)) if kinds_found.isdisjoint(kinds) for kind in kinds}
    kinds = {kind: entry for kind, entry in _KINDS.items() if kind not in absent}
    return [[{f"{kind}_l{k}{d}": entry for kind, entry in kinds.items()} for d in directions] for k in range(layers)]


def _core(arrays: Arrays, nonlinearity: Any) -> Core:
    H = columns("weights", arrays, "weight_hh_l0")  # with a projection, P
    shape = arrays["weight_hh_l0"].shape
    if shape == (H, H):
        if not isinstance(nonlinearity, str) or nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                "nonlinearity must be 'tanh' or 'relu' for the weights of a torch.nn.RNN, which do not tell, got "
                f"{describe(nonlinearity)}."
            )
        return Elman(H, nonlinearity)
    if nonlinearity is not None:
        raise ValueError(f"nonlinearity must be None for weights that are not a torch.nn.RNN's, got {describe(nonlinearity)}.")
    if f"{_PROJECTION}_l0" in arrays:
        return LSTM(columns("weights", arrays, f"{_PROJECTION}_l0"), projection_features=H)
    for core in (LSTM, GRU):
        if shape == (core.num_gates * H, H):
            return core(H)
    raise ValueError(
        f"weights['weight_hh_l0'] must have shape (4·H, H) for an LSTM, (3·H, H) for a GRU or (H, H) for an RNN, got {shape}."
    )
