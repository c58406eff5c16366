"""Whether the native CPU kernels can run here, and whether it is worth it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _compat, native
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman, Orthogonal
from momentum_rnn_jax.drives import Adam, Drive, Momentum, RMSProp

DTYPES = (jnp.float32, jnp.float64)


class Kind(NamedTuple):
    """A core as the kernels have it: its number there, whether it has a cell state, and how many values of a step are kept."""

    number: int
    cell: bool
    kept: int


_ACTIVATIONS = ("tanh", "sigmoid", "relu", "identity", "modrelu")


def kind_of(core: Any) -> Kind | None:
    """The kernels' kind of a core, None if they do not support it."""
    if type(core) is LSTM and core.plain:
        return Kind(0, True, 4)
    if type(core) is GRU and (core.activation, core.gate_activation) == ("tanh", "sigmoid"):
        return Kind(1, False, 4)
    if type(core) in (Elman, Orthogonal):
        return Kind(2 + _ACTIVATIONS.index(core.activation), False, 0)
    return None


class DriveKind(NamedTuple):
    """A drive as the kernels have it: its number there, and the letters of its states, v and m."""

    number: int
    states: tuple[str, ...]


DRIVE_KINDS: dict[type | None, DriveKind] = {
    None: DriveKind(-1, ()),
    Adam: DriveKind(0, ("v", "m")),
    RMSProp: DriveKind(1, ("m",)),
    Momentum: DriveKind(2, ("v",)),
}


def runs_drive(drive: Drive, sequence: Any, gates: int) -> bool:
    """Whether the kernels run a drive after the projection: its coefficients must be scalars, or one for every gate."""
    if type(drive) not in DRIVE_KINDS or sequence.return_states:
        return False
    return all(jnp.shape(leaf) in ((), (1,), (gates,)) for leaf in jax.tree.leaves(drive))


def why_not(core: Core, sequence: Any, drive_ahead: bool, *, asked: bool) -> str:
    """What prevents the kernels from running a core, empty if nothing does. `asked`, by name, they may run with several devices.

    `drive_ahead`: there is no drive, or it filters the inputs, or the kernels run it.
    """
    kind = kind_of(core)
    if kind is None:
        supported = "LSTM, GRU, Elman and Orthogonal, with their default activations"
        return f"its core is {type(core).__name__}, and the native kernels support {supported}"
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
    if not asked and not drive_ahead:
        return "with a drive after the projection, the chunks were measured to be as fast, in less memory"
    return native.why_not()


def on_cpu() -> bool:
    """Whether JAX runs on a CPU."""
    return jax.default_backend() == "cpu"
