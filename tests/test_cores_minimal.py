"""minGRU and minLSTM against loops written from their paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.new_cores import assert_follows, sigmoid

H = 4


def candidate(xp, core, x):
    return x if core.activation == "identity" else xp.where(x >= 0, x + 0.5, sigmoid(xp, x))


def min_gru(xp, core, params, state, d, noise):
    z = sigmoid(xp, d[:H])
    h = (1 - z) * state.h + z * candidate(xp, core, d[H:])
    return mr.HiddenState(h), h


def min_lstm(xp, core, params, state, d, noise):
    f, i = sigmoid(xp, d[:H]), sigmoid(xp, d[H : 2 * H])
    if core.normalized:
        f, i = f / (f + i), i / (f + i)
    h = f * state.h + i * candidate(xp, core, d[2 * H :])
    return mr.HiddenState(h), h


@pytest.mark.parametrize(
    ("core", "step"),
    [
        (mr.MinGRU(H), min_gru),
        (mr.MinGRU(H, activation="positive"), min_gru),
        (mr.MinLSTM(H), min_lstm),
        (mr.MinLSTM(H, activation="positive", normalized=False), min_lstm),
    ],
    ids=["min_gru", "positive_min_gru", "min_lstm", "positive_unnormalized_min_lstm"],
)
def test_equations(float64, core, step):
    assert_follows(core, step)


@pytest.mark.parametrize("core", [mr.MinGRU(H), mr.MinLSTM(H)])
def test_all_parameters_are_the_inputs(core):
    params = mr.Cell(core).init(jax.random.key(0), 3)
    assert params["core"] == core.param_shapes() == {}
    assert {name: value.shape for name, value in params["input"].items()} == core.input_shapes(3)


def test_gates_that_are_both_shut_are_weighed_all_the_same():
    core = mr.MinLSTM(1)
    run = jax.value_and_grad(lambda d: core.coefficients({}, d)[0][0])
    value, gradient = run(jnp.array([-200.0, -200.0, 1.0]))
    assert value == 0.5
    np.testing.assert_allclose(gradient, [0.25, -0.25, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.MinGRU(8, activation="modrelu"), ValueError, "activation must be one of 'tanh', .*'positive', got 'modrelu'"),
        (lambda: mr.MinLSTM(8, normalized=None), TypeError, "normalized must be True or False, got None"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
