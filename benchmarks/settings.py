"""What is set alike for every contestant: XLA's options, and the precision of matrix products on a GPU."""

import importlib.util
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

# JAX would take most of a GPU's memory at once, and PyTorch is in the same process.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

PRECISIONS = ("float32", "tf32")


class Settings(NamedTuple):
    """`xla_options`: compile options of every `jax.jit`. `precision`: one of `PRECISIONS`; a CPU has float32 alone."""

    xla_options: dict[str, str | bool]
    precision: str = "float32"

    @property
    def exact(self) -> "Settings":
        """The same in float32, in which contestants are checked."""
        return self._replace(precision="float32")


def apply(settings: Settings) -> None:
    """Set what is global in JAX and in PyTorch, where it is installed.

    Raises:
      ValueError: XLA refuses an option, or the device does not have the precision.
    """
    jax.config.update("jax_enable_compilation_cache", False)  # a program that is read from a cache has no compile time
    try:
        jax.jit(jnp.negative).lower(1.0).compile(compiler_options=settings.xla_options)
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"--xla-options: XLA refuses them: {str(error).splitlines()[0]}") from error
    if not on_gpu():
        if settings.precision != "float32":
            raise ValueError(f"--precision {settings.precision} is for a GPU; JAX runs on {jax.default_backend()} here")
        return
    exact = settings.precision == "float32"
    jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    if torch_installed():
        import torch

        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact


def on_gpu() -> bool:
    """Whether JAX runs on a GPU."""
    return jax.default_backend() == "gpu"


def torch_installed() -> bool:
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None
