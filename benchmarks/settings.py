"""What is set alike for every contestant: XLA's options, precision on a GPU; on a CPU threads, denormals and instruction set."""

import functools
import importlib.util
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from momentum_rnn_jax import native

# JAX would take most of a GPU's memory at once, and PyTorch is in the same process.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

PRECISIONS = ("float32", "tf32")
INSTRUCTION_SETS = ("x86-64-v4", "x86-64-v3", "baseline")  # of the native kernels; each includes those after it
NO_TORCH = "torch is not installed (pip install '.[bench]')"


class Settings(NamedTuple):
    """What a run sets.

    `xla_options`: compile options of every `jax.jit`. `precision`: one of `PRECISIONS`; a CPU has float32 alone.
    `instruction_set`: one of `INSTRUCTION_SETS`, or None for the best that the processor has. `torch_denormals`: PyTorch
    computes with denormal numbers, as by default; otherwise it flushes them to zero, as XLA always does.
    """

    xla_options: dict[str, str | bool]
    precision: str = "float32"
    instruction_set: str | None = None
    torch_denormals: bool = False

    @property
    def exact(self) -> "Settings":
        """The same in float32, in which contestants are checked."""
        return self._replace(precision="float32")


def apply(settings: Settings) -> None:
    """Set what is global in JAX, in the native kernels and in PyTorch, where they are installed.

    Raises:
      ValueError: XLA refuses an option, or the device or the installation does not have what was asked for.
    """
    jax.config.update("jax_enable_compilation_cache", False)  # a program that is read from a cache has no compile time
    try:
        jax.jit(jnp.negative).lower(1.0).compile(compiler_options=settings.xla_options)
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"--xla-options: XLA refuses them: {str(error).splitlines()[0]}") from error
    if on_gpu():
        _apply_on_gpu(settings)
    else:
        _apply_on_cpu(settings)


def _apply_on_gpu(settings: Settings) -> None:
    if settings.instruction_set:
        raise ValueError(f"--instruction-set {settings.instruction_set} is for a CPU; JAX runs on gpu here")
    if settings.torch_denormals:
        raise ValueError("--torch-denormals is for a CPU; JAX runs on gpu here")
    exact = settings.precision == "float32"
    jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    if torch_installed():
        import torch

        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact


def _apply_on_cpu(settings: Settings) -> None:
    if settings.precision != "float32":
        raise ValueError(f"--precision {settings.precision} is for a GPU; JAX runs on {jax.default_backend()} here")
    if settings.torch_denormals and not torch_installed():
        raise ValueError(f"--torch-denormals: {NO_TORCH}")
    _use_instruction_set(settings.instruction_set)
    if torch_installed():
        import torch

        # Of the calling thread alone; PyTorch's others inherit it when the first parallel operation starts them.
        torch.set_flush_denormal(not settings.torch_denormals)
        torch.set_num_threads(cpus())


def _use_instruction_set(name: str | None) -> None:
    why = native.why_not()
    if name and why:
        raise ValueError(f"--instruction-set {name}: {why}")
    if why:
        return
    best = _best_instruction_set()
    there = INSTRUCTION_SETS[INSTRUCTION_SETS.index(best) :]
    if name and name not in there:
        raise ValueError(f"--instruction-set must be one of {', '.join(there)} on this processor, got {name!r}")
    native.use_instruction_set(name or best)


@functools.cache
def _best_instruction_set() -> str:
    return native.instruction_set()  # at the first call, before another is chosen


def native_kernels() -> dict[str, str]:
    """The instruction set that the native kernels use, and the one they would use by themselves; or why they are not used."""
    why = "JAX runs on a GPU" if on_gpu() else native.why_not()
    return {"absent": why} if why else {"instruction_set": native.instruction_set(), "default": _best_instruction_set()}


def torch_on_cpu() -> dict[str, Any] | None:
    """PyTorch's number of threads, and whether they all flush denormals; None where it is not installed or runs on a GPU."""
    if on_gpu() or not torch_installed():
        return None
    import torch

    quarter = 0.25 * torch.full((1 << 20,), 2e-38)  # enough for every thread to have a part
    return {"threads": torch.get_num_threads(), "flushes_denormals": not quarter.any().item()}


def cpus() -> int:
    """How many CPUs this process may use; XLA has as many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_gpu() -> bool:
    """Whether JAX runs on a GPU."""
    return jax.default_backend() == "gpu"


def torch_installed() -> bool:
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None
