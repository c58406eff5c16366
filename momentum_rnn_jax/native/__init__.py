"""The native CPU kernels, an optional compiled part: whether they are there, and their registration with XLA.

They are written in C++ (the folder `native` of the source), compiled when the package is installed, and loaded by ctypes, so that
one library serves every version of Python. `MOMENTUM_RNN_JAX_NATIVE=0` in the environment leaves them unused.
"""

import ctypes
import functools
import os
import warnings
from pathlib import Path
from typing import Any

import jax

LIBRARY = Path(__file__).with_name("kernels.so")
FORWARD, BACKWARD = TARGETS = (
    "momentum_rnn_jax_forward_2",
    "momentum_rnn_jax_backward_2",
)  # raise the number when what the operands mean changes


@functools.cache
def why_not() -> str:
    """Why the kernels cannot be called, empty if they can; registers them at the first call, when the package is imported."""
    if os.environ.get("MOMENTUM_RNN_JAX_NATIVE") == "0":
        return "MOMENTUM_RNN_JAX_NATIVE is 0"
    if not LIBRARY.exists():
        return "the native kernels are not installed"
    try:
        library = _library()
        for name in TARGETS:
            if not hasattr(library, name):
                why = "the native kernels are those of another version of the package; install it again, or run `make native`"
                warnings.warn(f"momentum_rnn_jax runs without its native kernels: {why}.", stacklevel=2)
                return why
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except Exception as error:  # whatever ctypes and XLA raise for a library made for another platform or version
        why = f"the native kernels do not work with this version of JAX ({str(error).splitlines()[0]})"
        warnings.warn(f"momentum_rnn_jax runs without its native kernels: {why}.", stacklevel=2)
        return why
    return ""


def instruction_set() -> str:
    """What the kernels use of the processor: "x86-64-v4", "x86-64-v3" or "baseline"."""
    return _NAMES[_library().momentum_rnn_target()]


def use_instruction_set(name: str) -> None:
    """Use another instruction set, for tests and benchmarks.

    Args:
      name: "x86-64-v4", "x86-64-v3" or "baseline".

    Raises:
      ValueError: the processor or the library does not have it, or there are no kernels.
    """
    versions = {name: version for version, name in _NAMES.items()}
    if why_not():
        raise ValueError(f"name must not be given here: {why_not()}.")
    if name not in versions or _library().momentum_rnn_set_target(versions[name]):
        raise ValueError(f"name must be an instruction set of this processor and library, one of {list(versions)}, got {name!r}.")


_NAMES = {0: "baseline", 3: "x86-64-v3", 4: "x86-64-v4"}


@functools.cache
def _library() -> Any:
    return ctypes.CDLL(str(LIBRARY))
