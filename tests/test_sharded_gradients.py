"""Gradients inside `jax.shard_map`: on a mesh of one device here, on one of four in a process of its own."""

import os
import subprocess
import sys

import jax
import pytest

from tests import sharded_gradients
from tests.test_sharding import ROOT


@pytest.mark.parametrize("name", sharded_gradients.CELLS)
def test_they_equal_those_outside(name):
    sharded_gradients.check(name, jax.devices()[:1])


def test_they_are_summed_over_devices():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.sharded_gradients"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("on 4") == len(sharded_gradients.CELLS)
