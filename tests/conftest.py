"""Strict JAX for every test: no silent rank or dtype promotion. Warnings are errors (setup.cfg)."""

import os

# Programs that run for a moment need no optimising: most of the time goes into compiling them. `XLA_FLAGS= make test` does it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
