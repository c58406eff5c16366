"""Strict JAX for every test: no silent rank or dtype promotion. Warnings are errors (setup.cfg)."""

import os
import pathlib

# Programs that run for a moment need no optimising: most of the time goes into compiling them. `XLA_FLAGS= make test` does it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True, scope="module")
def not_too_many_programs():
    """Compiled programs take memory maps, of which Linux allows a process 65530; beyond, it crashes."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 20_000:
        jax.clear_caches()


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
