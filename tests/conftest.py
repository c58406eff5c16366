"""Strict JAX for every test: no silent rank or dtype promotion. Warnings are errors (setup.cfg)."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
