"""What happens where there are no native kernels, or none that work."""

import os
import pathlib
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import native


def test_auto_takes_the_chunks_where_there_are_no_kernels(without_native):
    cell = mr.lstm(4)
    params, xs = cell.init(jax.random.key(0), 2), jnp.ones((3, 1, 2))
    assert mr.explain(cell, params, xs).startswith("chunked: ")
    with pytest.raises(ValueError, match="method must not be 'native' here: the native kernels are not installed"):
        mr.unroll(cell, params, xs, method="native")


def test_a_library_that_does_not_fit_is_left_out_with_one_warning(tmp_path, monkeypatch):
    broken = tmp_path / "kernels.so"
    broken.write_bytes(b"not a library")
    monkeypatch.delenv("MOMENTUM_RNN_JAX_NATIVE", raising=False)
    monkeypatch.setattr(native, "LIBRARY", broken)
    native._library.cache_clear()
    native.why_not.cache_clear()
    try:
        with pytest.warns(UserWarning, match="momentum_rnn_jax runs without its native kernels: .* do not work"):
            assert "do not work with this version of JAX" in native.why_not()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert native.why_not()
    finally:
        monkeypatch.undo()
        native._library.cache_clear()
        native.why_not.cache_clear()


@pytest.mark.skipif(not native.LIBRARY.exists(), reason="there is no library to be of another version")
def test_a_library_of_another_version_is_left_out_with_one_warning(monkeypatch):
    """As after a checkout of other sources, without a new installation."""
    monkeypatch.delenv("MOMENTUM_RNN_JAX_NATIVE", raising=False)
    monkeypatch.setattr(native, "TARGETS", ("momentum_rnn_jax_forward_1000", "momentum_rnn_jax_backward_1000"))
    native.why_not.cache_clear()
    try:
        with pytest.warns(
            UserWarning, match="runs without its native kernels: .* of another version of the package; .*`make native`"
        ):
            assert "another version" in native.why_not()
    finally:
        monkeypatch.undo()
        native.why_not.cache_clear()


def test_an_environment_variable_leaves_them_out():
    code = "import momentum_rnn_jax as mr; from momentum_rnn_jax import native; print(native.why_not())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MOMENTUM_RNN_JAX_NATIVE": "0"},
        cwd=pathlib.Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "MOMENTUM_RNN_JAX_NATIVE is 0"
