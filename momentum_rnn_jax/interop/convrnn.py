"""The weights of the released convolutional cells (TensorFlow's layout and names), as arrays, never as files or pickles."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params
from momentum_rnn_jax.cores import (
    ConvCore,
    ConvElman,
    ConvGRU,
    ConvIntersection,
    ConvLSTM,
    ConvUGRNN,
    ReciprocalGated,
    SeparableReciprocalGated,
)
from momentum_rnn_jax.interop._layout import Arrays, check_mapping, read, to_jax

Made = tuple[ConvCore, Params]


def from_convrnn(name: str, arrays: Arrays, image: tuple[int, int], **options: Any) -> tuple[Cell, Params]:
    """A cell without a drive and its parameters from the weights of one of the released cells of Nayebi et al.

    Args:
      name: which cell: "basic", "gru", "lstm", "ugrnn", "intersection", "reciprocal", or "reciprocal_median", the one whose
        settings a search found.
      arrays: from the released variable names, such as "ConvLSTMCell/weights", to NumPy or JAX arrays, all of one dtype.
        Peepholes, layer normalisation, and the inputs of a reciprocal cell follow from which of them are there.
      image: (height, width), which the weights do not tell.
      **options: the core's other fields: `forget_bias` ("lstm", "ugrnn", "intersection"), `reset_bias` ("gru"; the released
        `forget_bias`), `activation` ("basic"), `tau_scale`, `gate_scale` and `residual` ("reciprocal_median"), `padding`.

    Returns:
      `(cell, params)`, differentiable in `arrays` that are JAX arrays. `cell.replace(drive=…)` puts a drive in front. A
      reciprocal cell takes its inputs side by side, as its core says. The released state is `[c | h]`.

    Raises:
      TypeError, ValueError: the cell is unknown; an array or option is missing, unknown or not allowed; an array has the wrong
        shape, or dtypes differ.

    Source: Nayebi et al., arXiv 1807.00053; https://github.com/neuroailab/convrnns.

    >>> import numpy as np, momentum_rnn_jax as mr
    >>> arrays = {"ConvLSTMCell/weights": np.ones((3, 3, 5, 12)), "ConvLSTMCell/bias": np.zeros(12)}
    >>> cell, params = mr.from_convrnn("lstm", arrays, image=(6, 5))
    >>> params["input"]["kernel"].shape, params["core"]["kernel"].shape
    ((3, 3, 2, 12), (3, 3, 3, 12))
    """
    _checks.choice("name", name, _CELLS)
    check_mapping("arrays", arrays)
    core, params = _CELLS[name](arrays, {"image": image, **options})
    _checks.one_dtype("arrays", params)
    cell = Cell(core)
    for part, shapes in cell.param_shapes(core.in_features(params["input"])).items():
        _checks.arrays(f"arrays, as params[{part!r}],", params[part], shapes)
    return cell, params


def _core(kind: Callable[..., ConvCore], options: Mapping[str, Any], **found: Any) -> Any:
    """A core from options of the caller's and what the arrays tell."""
    allowed = {f for f in getattr(kind, "__dataclass_fields__") if f not in found}  # noqa: B009
    _checks.names("options", options, {"image"}, optional=allowed)
    return kind(**found, **options)


def _arrays(arrays: Arrays, scope: str, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Array]:
    """The arrays under a scope, by the rest of their names, on the way to ours."""
    full = read("arrays", arrays, [f"{scope}/{name}" for name in names], optional=[f"{scope}/{name}" for name in optional])
    for name, array in full.items():
        _checks.floating(f"arrays[{name!r}]", array, min_ndim=1, layout="of the released code")
    return {name.removeprefix(f"{scope}/"): to_jax(array) for name, array in full.items()}


def _gates(kernel: Array, order: tuple[int, ...]) -> Array:
    """A kernel or bias with its gates in another order."""
    parts = jnp.split(kernel, len(order), axis=-1)
    return jnp.concatenate([parts[i] for i in order], axis=-1)


def _kernel(name: str, array: Array, multiple: int = 1) -> tuple[tuple[int, int], int]:
    """The size of a released kernel, (kernel height, kernel width, in, out), and the channels of each of its gates."""
    if array.ndim != 4 or array.shape[-1] % multiple:
        raise ValueError(f"arrays[{name!r}] must have shape (height, width, in, {multiple} C), got {array.shape}.")
    return (int(array.shape[0]), int(array.shape[1])), array.shape[-1] // multiple


def _cut(name: str, kernel: Array, features: int) -> tuple[Array, Array]:
    """A kernel on [x | h] as one on x and one on h."""
    if kernel.shape[-2] <= features:
        raise ValueError(f"arrays[{name!r}] must have more than {features} inputs, [x | h], got shape {kernel.shape}.")
    return kernel[:, :, :-features], kernel[:, :, -features:]


def _joint(scope: str, kind: Any, gates: tuple[int, ...]) -> Callable[[Arrays, Mapping[str, Any]], Made]:
    """A reader of cells with one kernel on [x | h] and one bias, whose gate `gates[i]` is our gate i."""

    def make(arrays: Arrays, options: Mapping[str, Any]) -> Made:
        peepholes = tuple(f"peepholes/w_{gate}_diag" for gate in "ifo") if kind is ConvLSTM else ()
        peepholes = peepholes if any(f"{scope}/{name}" in arrays for name in peepholes) else ()
        ours = _arrays(arrays, scope, ("weights", "bias", *peepholes))
        size, C = _kernel(f"{scope}/weights", ours["weights"], len(gates))
        image = {name: (None, None, C) for name in peepholes}
        _checks.arrays("arrays", ours, {"weights": (*size, None, len(gates) * C), "bias": (len(gates) * C,), **image})
        x, h = (_gates(kernel, gates) for kernel in _cut(f"{scope}/weights", ours["weights"], C))
        bias = _gates(ours["bias"], gates)
        core: Any = {"kernel": h}
        if peepholes:
            core["peephole"] = jnp.concatenate([ours[name] for name in peepholes], axis=-1)
        found: dict[str, Any] = {"peepholes": True} if peepholes else {}
        made = _core(kind, options, hidden_features=C, kernel_size=size, **found)
        return made, {"input": {"kernel": x, "bias": bias}, "core": core}

    return make


def _gru(arrays: Arrays, options: Mapping[str, Any]) -> Made:
    ours = _arrays(
        arrays, "ConvGRUCell", tuple(f"{part}/{name}" for part in ("gates", "candidates") for name in ("weights", "bias"))
    )
    size, C = _kernel("ConvGRUCell/candidates/weights", ours["candidates/weights"])
    shapes: Any = {"candidates/weights": ours["candidates/weights"].shape, "candidates/bias": (C,)}
    shapes |= {"gates/weights": (*ours["candidates/weights"].shape[:3], 2 * C), "gates/bias": (2 * C,)}
    _checks.arrays("arrays", ours, shapes)
    (x, h), (x_n, h_n) = (_cut(f"ConvGRUCell/{part}/weights", ours[f"{part}/weights"], C) for part in ("gates", "candidates"))
    kernel, bias = (jnp.concatenate(pair, axis=-1) for pair in ((x, x_n), (ours["gates/bias"], ours["candidates/bias"])))
    core = _core(ConvGRU, options, hidden_features=C, kernel_size=size)
    return core, {"input": {"kernel": kernel, "bias": bias}, "core": {"kernel": h, "candidate_kernel": h_n}}


def _basic(arrays: Arrays, options: Mapping[str, Any]) -> Made:
    scope = "ConvNormBasicCell"
    norm = ("layer_norm/gamma", "layer_norm/beta") if any(f"{scope}/layer_norm" in name for name in arrays) else ()
    ours = _arrays(arrays, scope, ("s/weights", "s/bias", "i/weights", "i/bias", *norm))
    size, C = _kernel(f"{scope}/s/weights", ours["s/weights"])
    core = {"kernel": ours["s/weights"], "bias": ours["s/bias"]}
    core |= {"scale": ours[norm[0]], "shift": ours[norm[1]]} if norm else {}
    made = _core(ConvElman, options, hidden_features=C, kernel_size=size, layer_norm=bool(norm))
    return made, {"input": {"kernel": ours["i/weights"], "bias": ours["i/bias"]}, "core": core}


_RECIPROCAL = "ReciprocalGateCell"


def _reciprocal(arrays: Arrays, options: Mapping[str, Any]) -> Made:
    names = {"tau_cell": "cell/tau", "gate_cell": "cell/gate", "tau_output": "out/tau", "gate_output": "out/gate"}
    given = {"kernel": "cell/input_to_cell", "residual_kernel": "out/residual_to_out_gate"}
    released = (*names.values(), given["kernel"])
    ours = _arrays(arrays, _RECIPROCAL, tuple(f"{name}/weights" for name in released), (f"{given['residual_kernel']}/weights",))
    kernels = {name.removesuffix("/weights"): array for name, array in ours.items()}
    size, C = _kernel(f"{_RECIPROCAL}/out/tau/weights", kernels["out/tau"])
    cell = _kernel(f"{_RECIPROCAL}/cell/tau/weights", kernels["cell/tau"])[1]
    inputs = {name: kernels[theirs] for name, theirs in given.items() if theirs in kernels}
    residual = inputs["residual_kernel"].shape[-2] if "residual_kernel" in inputs else 0
    core = _core(ReciprocalGated, options, hidden_features=C, kernel_size=size, cell_features=cell, residual_features=residual)
    return core, {"input": inputs, "core": {f"{name}_kernel": kernels[theirs] for name, theirs in names.items()}}


def _median(arrays: Arrays, options: Mapping[str, Any]) -> Made:
    names = {"tau_cell": "cell/tau", "gate_cell": "cell/out_to_cell", "tau_output": "out/tau", "gate_output": "out/gate"}
    separable = {"depthwise": "depthwise_weights", "pointwise": "pointwise_weights", "bias": "bias"}
    feedback = any(f"{_RECIPROCAL}/input/feedback" in name for name in arrays)
    scopes = (*names.values(), *(("input/feedback",) if feedback else ()))
    dense = ("cell/input_to_cell", "out/input_to_out")
    released = [f"{scope}/{part}" for scope in scopes for part in separable.values()]
    ours = _arrays(arrays, _RECIPROCAL, (*released, *(f"{name}_{part}" for name in dense for part in ("weights", "bias"))))

    def part(name: str, theirs: str) -> dict[str, Array]:
        arrays = {f"{name}_{entry}": ours[f"{theirs}/{released}"] for entry, released in separable.items()}
        depthwise, pointwise = arrays[f"{name}_depthwise"], arrays[f"{name}_pointwise"]
        for entry, array in (("depthwise", depthwise), ("pointwise", pointwise)):
            _kernel(f"{_RECIPROCAL}/{theirs}/{separable[entry]}", array)
        return arrays | {
            f"{name}_depthwise": jnp.swapaxes(depthwise, 2, 3),
            f"{name}_pointwise": pointwise.reshape(pointwise.shape[-2:]) if pointwise.shape[:2] == (1, 1) else pointwise,
        }

    core: dict[str, Array] = {}
    for name, theirs in names.items():
        core |= part(name, theirs)
    inputs = {
        "kernel": ours[f"{dense[0]}_weights"],
        "bias": ours[f"{dense[0]}_bias"],
        "output_kernel": ours[f"{dense[1]}_weights"],
        "output_bias": ours[f"{dense[1]}_bias"],
    }
    inputs |= part("feedback", "input/feedback") if feedback else {}
    (size, cell), (output_size, C) = (_kernel(f"{_RECIPROCAL}/{name}_weights", ours[f"{name}_weights"]) for name in dense)
    found = {"tau_kernel_size": core["tau_cell_depthwise"], "gate_kernel_size": core["gate_cell_depthwise"]}
    found |= {"feedback_kernel_size": inputs["feedback_depthwise"]} if feedback else {}
    sizes: Any = {name: kernel.shape[:2] for name, kernel in found.items()}
    sizes |= {"feedback_features": inputs["feedback_depthwise"].shape[-1]} if feedback else {}
    sizes |= {"hidden_features": C, "cell_features": cell, "kernel_size": size, "output_kernel_size": output_size}
    return _core(SeparableReciprocalGated, options, **sizes), {"input": inputs, "core": core}


_CELLS: dict[str, Callable[[Arrays, Mapping[str, Any]], Made]] = {
    "basic": _basic,
    "gru": _gru,
    "lstm": _joint("ConvLSTMCell", ConvLSTM, (0, 2, 1, 3)),  # theirs is (i, j, f, o), ours (i, f, g, o)
    "ugrnn": _joint("ConvUGRNNCell", ConvUGRNN, (0, 1)),
    "intersection": _joint("ConvIntersectionRNNCell", ConvIntersection, (0, 1, 2, 3)),
    "reciprocal": _reciprocal,
    "reciprocal_median": _median,
}
