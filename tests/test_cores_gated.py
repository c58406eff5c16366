"""The options of LSTM and GRU against loops written from their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax.execution import cudnn_support
from tests.new_cores import assert_follows, sigmoid

H, P = 4, 3


def relu(xp, x):
    return xp.maximum(x, 0)


def tanh(xp, x):
    return xp.tanh(x)


FUNCTIONS = {"sigmoid": sigmoid, "relu": relu, "tanh": tanh}


def lstm(xp, core, params, state, d, noise):
    gate, squash = FUNCTIONS[core.gate_activation], FUNCTIONS[core.activation]
    z = state.h @ params["kernel"] + params["bias"] + d
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    if core.peepholes:
        i, f = i + params["peephole"][:H] * state.c, f + params["peephole"][H : 2 * H] * state.c
    c = gate(xp, f) * state.c + gate(xp, i) * squash(xp, g)
    if core.peepholes:
        o = o + params["peephole"][2 * H :] * c
    h = gate(xp, o) * squash(xp, c)
    if core.projection_features is not None:
        h = h @ params["projection"]
    return mr.LSTMState(c, h), h


def gru(xp, core, params, state, d, noise):
    gate, squash = FUNCTIONS[core.gate_activation], FUNCTIONS[core.activation]
    a = state.h @ params["kernel"] + params["bias"]
    r, z = gate(xp, a[:H] + d[:H]), gate(xp, a[H : 2 * H] + d[H : 2 * H])
    n = squash(xp, d[2 * H :] + r * a[2 * H :])
    h = (1 - z) * n + z * state.h
    return mr.HiddenState(h), h


@pytest.mark.parametrize(
    ("core", "step"),
    [
        (mr.LSTM(H, projection_features=P), lstm),
        (mr.LSTM(H, peepholes=True), lstm),
        (mr.LSTM(H, projection_features=P, peepholes=True, activation="relu"), lstm),
        (mr.LSTM(H, gate_activation="tanh"), lstm),
        (mr.GRU(H, activation="relu"), gru),
        (mr.GRU(H, gate_activation="tanh"), gru),
    ],
    ids=["projection", "peepholes", "all_of_sak", "lstm_gates", "gru_candidate", "gru_gates"],
)
def test_equations(float64, core, step):
    assert_follows(core, step)


def test_without_options_the_lstm_is_the_one_it_was():
    def update(c, z):
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return c, jax.nn.sigmoid(o) * jnp.tanh(c)

    c, z = jnp.ones((2, H)), jnp.ones((2, 4 * H))
    core = mr.LSTM(H)
    program = jax.make_jaxpr(lambda c, z: tuple(core.update({}, mr.LSTMState(c, c), z)))(c, z)
    assert str(program) == str(jax.make_jaxpr(update)(c, z))
    assert core.plain
    assert list(core.param_shapes()) == list(core.init(jax.random.key(0))) == ["kernel", "bias"]
    assert core.output_features == H


def test_without_options_the_gru_is_the_one_it_was():
    def update(h, a, d):
        (a_r, a_z, a_n), (d_r, d_z, d_n) = jnp.split(a, 3, axis=-1), jnp.split(d, 3, axis=-1)
        z = jax.nn.sigmoid(a_z + d_z)
        return (1 - z) * jnp.tanh(d_n + jax.nn.sigmoid(a_r + d_r) * a_n) + z * h

    h, a = jnp.ones((2, H)), jnp.ones((2, 3 * H))
    program = jax.make_jaxpr(lambda h, a, d: mr.GRU(H).update({}, mr.HiddenState(h), a, d).h)(h, a, a)
    assert str(program) == str(jax.make_jaxpr(update)(h, a, a))


def test_an_lstm_with_an_option_is_not_plain():
    options = {"projection_features": P, "peepholes": True, "activation": "relu", "gate_activation": "relu"}
    assert not any(mr.LSTM(H, **{name: value}).plain for name, value in options.items())
    assert mr.LSTM(H, forget_bias=3.0, init_scheme="released").plain
    for name, value in options.items():
        core = mr.LSTM(H, **{name: value})
        assert "does not support projections" in cudnn_support.why_not(core, jnp.float32, asked=True)


def test_the_init_of_the_options(float64):
    core = mr.LSTM(H, projection_features=P, peepholes=True, forget_bias=2.0)
    params = core.init(jax.random.key(0))
    assert {name: value.shape for name, value in params.items()} == core.param_shapes()
    np.testing.assert_allclose(params["projection"].T @ params["projection"], np.eye(P), atol=1e-12)
    for U in np.split(np.asarray(params["kernel"]), 4, axis=1):
        np.testing.assert_allclose(U @ U.T, np.eye(P), atol=1e-12)
    assert not params["peephole"].any()
    assert params["bias"].tolist() == np.repeat([0.0, 2.0, 0.0, 0.0], H).tolist()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.LSTM(8, projection_features=0), ValueError, "projection_features must be an integer of at least 1, got 0"),
        (
            lambda: mr.LSTM(8, projection_features=4, init_scheme="released"),
            ValueError,
            "projection_features must be None where init_scheme is 'released', got 4",
        ),
        (lambda: mr.LSTM(8, peepholes=1), TypeError, "peepholes must be True or False, got 1"),
        (lambda: mr.LSTM(8, activation="modrelu"), ValueError, "activation must be one of 'tanh', .*got 'modrelu'"),
        (lambda: mr.GRU(8, gate_activation="hard"), ValueError, "gate_activation must be one of 'tanh', .*got 'hard'"),
    ],
)
def test_bad_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_activation_names_are_read_in_any_case():
    assert mr.GRU(8, activation="ReLU") == mr.GRU(8, activation="relu")
