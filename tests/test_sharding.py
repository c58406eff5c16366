"""Data parallelism over eight host devices, in a process of its own: their number is fixed when JAX starts."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def test_meshes_of_automatic_and_explicit_axes_and_shard_map():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.sharded"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("ok") == 9
