"""Strict JAX for every test: no silent rank or dtype promotion. Warnings are errors (setup.cfg)."""

import ctypes
import importlib.metadata
import os
import pathlib
import re
import sys

# Programs that run for a moment need no optimising: most of the time goes into compiling them. Without XLA's emitters of fused
# loops, and with a program as one module of LLVM's, compiling takes half as long. `make test-all` has the emitters of users,
# and `XLA_FLAGS= make test-all` all of the optimising too. An XLA that does not know a flag ends the process: newer ones have no
# other emitters.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if importlib.metadata.version("jaxlib").startswith("0.10.") else ""),
)

import jax
import pytest

from momentum_rnn_jax import native

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


LARGE = 500_000  # kB


@pytest.fixture(autouse=True)
def not_too_many_programs():
    """Clears JAX's caches where a process has grown.

    Compiled programs take memory, and memory maps, of which Linux allows a process 65530; beyond, it crashes.
    """
    yield
    status, maps = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/maps")
    if not status.exists():
        return
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
    if int(resident) > CLEARED["resident"] + LARGE or len(maps.read_bytes().splitlines()) > 20_000:
        jax.clear_caches()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        (CLEARED["resident"],) = map(int, re.findall(r"VmRSS:\s+(\d+) kB", status.read_text()))


CLEARED = {"resident": 0}  # what was left after caches were cleared


@pytest.fixture
def without_native(monkeypatch):
    """As where the native kernels are not installed."""
    monkeypatch.setattr(native, "why_not", lambda: "the native kernels are not installed")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
