"""Every cell of the released PyTorch code, recorded in float64: outputs, final states and all gradients."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax.interop.released import _RELEASED
from tests.registry import assert_close

RECORDS = {path.stem: path for path in sorted((pathlib.Path(__file__).parent / "reference" / "released").glob("*.npz"))}
TOLERANCE = 1e-10  # relative to the largest entry


def load(name):
    with np.load(RECORDS[name]) as file:
        record = dict(file)
    arrays = {key.split("/", 1)[1]: value for key, value in record.items() if key.startswith(("param/", "buffer/"))}
    hyper = {key: record[f"meta/{key}"] for key in ("mu", "epsilon", "beta", "restart") if f"meta/{key}" in record}
    return record, arrays, hyper


def test_every_released_cell_has_a_record():
    assert set(RECORDS) == set(_RELEASED)


@pytest.mark.parametrize("method", ["stepwise", "chunked"])
@pytest.mark.parametrize("name", RECORDS)
def test_agrees_with_the_released_code(float64, name, method):
    record, arrays, hyper = load(name)

    def loss(arrays, x):
        cell, params = mr.from_released(name, arrays, **hyper)
        state, hidden = mr.unroll(cell, params, x, method=method)
        return jnp.sum(hidden * record["loss_weights"]), (state, hidden)

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    if name == "nesterov_lstm_mnist" and method == "chunked":
        with pytest.raises(ValueError, match="contains the hidden state"):
            run(arrays, record["x"])
        return
    (value, (state, hidden)), (grads, grad_x) = run(arrays, record["x"])

    assert_close(hidden, record["hidden"], TOLERANCE)
    assert_close(value, record["loss"], TOLERANCE)
    assert_close(grad_x, record["grad/x"], TOLERANCE)
    recorded = {key.removeprefix("grad/"): value for key, value in record.items() if key.startswith("grad/") and key != "grad/x"}
    assert set(recorded) == {key.removeprefix("param/") for key in record if key.startswith("param/")}
    for key, gradient in recorded.items():
        assert_close(grads[key], gradient, TOLERANCE)
    for key, final in record.items():
        if key.startswith("final/"):
            entry = key.removeprefix("final/")
            if (name, entry) not in NOT_CARRIED:
                assert_close(getattr(state.core if entry == "c" else state.drive, entry), final, TOLERANCE)


# The released code keeps these; they are zeros or, for RMSProp, no more than the last scaled input.
NOT_CARRIED = {
    ("rmsprop_lstm", "velocity"),
    ("orthogonal_rnn", "velocity"),
    ("orthogonal_rnn", "second_moment"),
    ("momentum_orthogonal_rnn", "second_moment"),
    ("nesterov_orthogonal_rnn", "second_moment"),
}


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("lsmt", {}, "name must be one of 'lstm'"),
        ("momentum_lstm", {"mu": 0.6}, r"it lacks \['epsilon'\]"),
        ("lstm", {"mu": 0.6}, r"has no use for \['mu'\]"),
        ("lstm", {"momentum": 0.6}, r"has no use for \['momentum'\]"),
        ("momentum_lstm", {"mu": 1.0, "epsilon": 0.6}, r"mu must be in \[0, 1\), got 1.0"),
        ("nesterov_lstm_ptb", {"epsilon": 0.6, "restart": -1}, "restart must be an integer of at least 0, got -1"),
    ],
)
def test_refuses_wrong_names_and_hyperparameters(name, hyper, message):
    _, arrays, _ = load(name if name in RECORDS else "lstm")
    with pytest.raises(ValueError, match=message):
        mr.from_released(name, arrays, **hyper)


def test_refuses_wrong_arrays():
    _, arrays, _ = load("lstm")
    with pytest.raises(ValueError, match=r"arrays .* lacks \['h2h.bias'\]"):
        mr.from_released("lstm", {key: value for key, value in arrays.items() if key != "h2h.bias"})
    with pytest.raises(ValueError, match=r"has unknown entries \['h2h.scale'\]"):
        mr.from_released("lstm", arrays | {"h2h.scale": arrays["h2h.bias"]})
    with pytest.raises(ValueError, match=r"arrays\['x2h.bias'\] must have shape \(24,\), got \(6,\)"):
        mr.from_released("lstm", arrays | {"x2h.bias": arrays["x2h.bias"][:6]})
    with pytest.raises(ValueError, match=r"arrays\['h2h.weight'\] must have shape \(out, in\), .* got shape \(144,\)"):
        mr.from_released("lstm", arrays | {"h2h.weight": arrays["h2h.weight"].ravel()})
    with pytest.raises(TypeError, match="arrays must be a dict"):
        mr.from_released("lstm", list(arrays.values()))
