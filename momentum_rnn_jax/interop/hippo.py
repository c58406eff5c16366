"""The weights of the recurrent cells that HiPPO was released with, as arrays or tensors."""

from typing import Any

import jax.numpy as jnp

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell, Params, RecurrentCell
from momentum_rnn_jax.cores import HiPPORNN
from momentum_rnn_jax.drives import Drive, Identity
from momentum_rnn_jax.hippo import MEASURES
from momentum_rnn_jax.interop._layout import Arrays, check_arrays, check_mapping, columns, read, to_jax
from momentum_rnn_jax.timed import TimedCell

_WRITE, _READ, _GATE, _HIDDEN, _FEEDBACK = "W_uxh", "W_hxm", "W_gxm.W_g", "W_hh", "W_um"
_ACTIVATIONS = {"id": "identity", "identity": "identity", "tanh": "tanh"}


def from_hippo(
    arrays: Arrays,
    *,
    measure: str = "legs",
    discretization: str | None = None,
    dt: float | None = None,
    theta: float | None = None,
    init_t: int = 0,
    max_length: int | None = None,
    memory_activation: str = "id",
    timestamps: bool = False,
    drive: Drive = Identity(),
) -> tuple[RecurrentCell, Params]:
    """A cell and its parameters from the weights of a memory cell of the released HiPPO code.

    Sizes, the gate, the feedbacks and the biases follow from the arrays that are there.

    Args:
      arrays: from the released parameter names to NumPy or JAX arrays, or tensors, all of one dtype, in PyTorch's layout:
        "W_uxh.weight" (M, F + H), columns [x, h]; "W_hxm.weight" (H, F + M·N), columns [x, memory], order fastest; with a gate
        "W_gxm.W_g.weight" (H, F + M·N), or (H, F + M·N + H) where "W_hh.weight" (H, H) is there too; "W_um" (M, N) with that
        edge. Each "….bias" either for all of these maps or for none.
      measure: "legs", "legt", "lmu" or "lagt".
      discretization: "bilinear" for "legs" and "zoh" for the others unless given, as in the released code.
      dt: the step of a measure other than "legs", 0.01 unless given; for "lmu" also as `theta`, θ = 1/dt.
      init_t, max_length: as in `HiPPORNN`. The released default of `max_length` is 1024, ours None.
      memory_activation: "id" or "tanh".
      timestamps: whether the first input feature is the time (the released "tlsi"), which F does not count: a `TimedCell`.
      drive: what to put in front; the released cells have none.

    Returns:
      `(cell, params)`, differentiable in `arrays` that are JAX arrays.

    Raises:
      TypeError, ValueError: an array is missing, unknown or of the wrong shape; dtypes differ; an option is not allowed.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> arrays = {"W_uxh.weight": jnp.ones((1, 6)), "W_hxm.weight": jnp.ones((4, 10))}  # F = 2, H = 4, M = 1, N = 8, no gate
    >>> cell, params = mr.from_hippo(arrays, measure="lmu", theta=20.0, drive=mr.Momentum(mu=0.9))
    >>> cell.core.memory_order, cell.core.dt, params["input"]["kernel"].shape
    (8, 0.05, (2, 5))
    """
    check_mapping("arrays", arrays)
    gate, hidden, feedback = f"{_GATE}.weight" in arrays, f"{_HIDDEN}.weight" in arrays, _FEEDBACK in arrays
    bias = f"{_WRITE}.bias" in arrays
    maps = [_WRITE, _READ, *([_GATE] if gate else []), *([_HIDDEN] if hidden else [])]
    names = [f"{one}.weight" for one in maps] + ([f"{one}.bias" for one in maps] if bias else [])
    arrays = read("arrays", arrays, names + ([_FEEDBACK] if feedback else []))
    M, H, F, N = _sizes(arrays)
    H_gate = H if hidden else 0
    shapes: dict[str, tuple[int | None, ...]] = {f"{_WRITE}.weight": (M, F + H), f"{_READ}.weight": (H, F + M * N)}
    shapes |= {f"{_GATE}.weight": (H, F + M * N + H_gate)} if gate else {}
    shapes |= {f"{_HIDDEN}.weight": (H, H)} if hidden else {}
    shapes |= {f"{one}.bias": (M if one == _WRITE else H,) for one in maps} if bias else {}
    shapes |= {_FEEDBACK: (M, N)} if feedback else {}
    check_arrays("arrays", arrays, shapes)

    _checks.choice("measure", measure, MEASURES)
    if theta is not None:
        if measure != "lmu" or dt is not None:
            raise ValueError(f"theta must be None unless measure is 'lmu' and dt None, got {_checks.describe(theta)}.")
        dt = 1 / _checks.scalar("theta", theta, low=0.0, low_open=True)
    core = HiPPORNN(
        H,
        memory_size=M,
        memory_order=N,
        measure=measure,
        discretization=("bilinear" if measure == "legs" else "zoh") if discretization is None else discretization,
        dt=dt,
        init_t=init_t,
        max_length=max_length,
        gate=gate,
        memory_activation=_ACTIVATIONS[_checks.choice("memory_activation", memory_activation, _ACTIVATIONS)],
        memory_feedback=feedback,
        hidden_feedback=hidden,
        input_bias=bias,
    )
    timestamps = _checks.boolean("timestamps", timestamps)
    return (TimedCell if timestamps else Cell)(core, drive), _params(arrays, maps, F, M * N)


def _sizes(arrays: Arrays) -> tuple[int, int, int, int]:
    """M, H, F and N, of the two maps that every cell has."""
    write, read = f"{_WRITE}.weight", f"{_READ}.weight"
    both, wide = columns("arrays", arrays, write), columns("arrays", arrays, read)
    M, H = arrays[write].shape[0], arrays[read].shape[0]
    F = both - H
    if F < 1 or M < 1 or wide <= F or (wide - F) % M:
        raise ValueError(
            f"arrays must have {write} of shape (M, F + H) and {read} of shape (H, F + M N), got {arrays[write].shape} and "
            f"{arrays[read].shape}."
        )
    return M, H, F, (wide - F) // M


def _params(arrays: Arrays, maps: list[str], F: int, MN: int) -> Params:
    ours = {name: to_jax(array) for name, array in arrays.items()}
    kernels = {name: ours[f"{name}.weight"].T for name in maps}
    reads = [name for name in maps if name in (_READ, _GATE)]
    inputs: dict[str, Any] = {"kernel": jnp.concatenate([kernels[name][:F] for name in (_WRITE, *reads)], axis=1)}
    core = {
        "write_kernel": kernels[_WRITE][F:],
        "read_kernel": jnp.concatenate([kernels[name][F : F + MN] for name in reads], axis=1),
    }
    biased = f"{_WRITE}.bias" in ours
    if biased:
        inputs["bias"] = jnp.concatenate([ours[f"{name}.bias"] for name in (_WRITE, *reads)])
    if _HIDDEN in kernels:
        gate = [kernels[name][F + MN :] for name in reads if name == _GATE]
        core["kernel"] = jnp.concatenate([kernels[_HIDDEN], *gate], axis=1)
        core |= {"bias": ours[f"{_HIDDEN}.bias"]} if biased else {}
    if _FEEDBACK in ours:
        core["feedback_kernel"] = ours[_FEEDBACK]
    return {"input": inputs, "core": core}
