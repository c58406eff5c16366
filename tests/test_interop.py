import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.registry import assert_close


@pytest.fixture
def record():
    with np.load(pathlib.Path(__file__).parent / "reference" / "torch" / "nn_lstm.npz") as file:
        return dict(file)


def weights(record):
    return {key.removeprefix("param/"): value for key, value in record.items() if key.startswith("param/")}


@pytest.mark.parametrize("method", ["stepwise", "hoisted"])
def test_from_torch_lstm_computes_what_torch_computed(float64, record, method):
    def loss(arrays, x):
        cell, params = mr.from_torch_lstm(arrays)
        state, hidden = mr.unroll(cell, params, x, method=method)
        return jnp.sum(hidden * record["loss_weights"]), (state, hidden)

    (_, (state, hidden)), (grads, grad_x) = jax.value_and_grad(loss, (0, 1), has_aux=True)(weights(record), record["x"])
    assert_close(hidden, record["hidden"], 1e-12)
    assert_close(state.core.c, record["final/c"], 1e-12)
    assert_close(grad_x, record["grad/x"], 1e-12)
    for name, gradient in grads.items():
        assert_close(gradient, record[f"grad/{name}"], 1e-12)


def test_to_torch_lstm_is_the_inverse(float64, record):
    cell, params = mr.from_torch_lstm(weights(record), mr.Momentum(0.6, 0.6))
    assert cell == mr.momentum_lstm(6, mu=0.6, step_size=0.6)
    back = mr.to_torch_lstm(params)
    assert set(back) == set(weights(record))
    for name, array in weights(record).items():
        assert_close(back[name], array, 0)


def test_refuses_what_is_no_single_torch_lstm(record):
    arrays = weights(record)
    with pytest.raises(ValueError, match=r"has unknown entries \['weight_ih_l1'\]"):
        mr.from_torch_lstm(arrays | {"weight_ih_l1": arrays["weight_ih_l0"]})
    with pytest.raises(ValueError, match=r"arrays\['weight_hh_l0'\] must have shape \(24, 6\)"):
        mr.from_torch_lstm(arrays | {"weight_hh_l0": arrays["weight_hh_l0"][:18]})
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_torch_lstm(arrays, "momentum")
    gru = mr.gru(4)
    with pytest.raises(ValueError, match=r"params\['core'\]\['kernel'\] must have shape \(4, 16\), got \(4, 12\)"):
        mr.to_torch_lstm(gru.init(jax.random.key(0), 3))
    dtriv = mr.dtriv(4)
    with pytest.raises(ValueError, match=r"params\['input'\] must have the entries \['bias', 'kernel'\]"):
        mr.to_torch_lstm(dtriv.init(jax.random.key(0), 3))
