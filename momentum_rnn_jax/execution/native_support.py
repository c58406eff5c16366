"""Whether the native CPU kernels can run here, and whether it is worth it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _compat, native
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman, Orthogonal

DTYPES = (jnp.float32, jnp.float64)


class Kind(NamedTuple):
    """A core as the kernels have it: its number there, whether it has a cell state, and how many values of a step are kept."""

    number: int
    cell: bool
    kept: int


_ACTIVATIONS = ("tanh", "sigmoid", "relu", "identity", "modrelu")


def kind_of(core: Any) -> Kind:
    """The kernels' kind of a core; a KeyError if they do not have it."""
    if type(core) is LSTM and core.plain:
        return Kind(0, True, 4)
    if type(core) is GRU and (core.activation, core.gate_activation) == ("tanh", "sigmoid"):
        return Kind(1, False, 4)
    if type(core) in (Elman, Orthogonal):
        return Kind(2 + _ACTIVATIONS.index(core.activation), False, 0)
    raise KeyError(type(core).__name__)


def why_not(core: Core, sequence: Any, *, asked: bool) -> str:
    """What prevents the kernels from running a core, or nothing; `asked` for by name, they may run where several devices are."""
    name = type(core).__name__
    if type(core) not in (LSTM, GRU, Elman, Orthogonal):
        return f"its core is {name}, and the native kernels have LSTM, GRU, Elman and Orthogonal"
    try:
        kind = kind_of(core)
    except KeyError:
        return f"the native kernels have the {name} with its common activations, and neither projection nor peepholes"
    if jnp.dtype(sequence.dtype) not in DTYPES:
        return f"it computes in {jnp.dtype(sequence.dtype)}, and the native kernels in float32 or float64"
    if not on_cpu():
        return f"JAX runs on {jax.default_backend()}, and the native kernels are for a CPU"
    if sequence.return_states and kind.cell:
        return "the native kernels do not return the cell states of every step"
    if not all(isinstance(size, int) for size in sequence.shape):
        return "sizes are symbolic"
    if sequence.batch == 0:
        return "the batch is empty"
    if sequence.is_empty:
        return "there are no steps"
    if not asked and jax.device_count() > 1 and not _compat.varies_over_devices():
        return "several devices cannot share one call of the native kernels"
    if not asked and sequence.shape[0] == 1:
        return "a single step was measured to be as fast without the native kernels"
    return native.why_not()


def on_cpu() -> bool:
    """Whether JAX runs on a CPU."""
    return jax.default_backend() == "cpu"
