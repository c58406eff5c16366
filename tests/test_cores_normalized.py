"""Layer normalisation against loops written from its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.new_cores import assert_follows, close, normal, sigmoid

H = 4


def norm(xp, x, gain, shift, eps):
    mean = xp.sum(x) / len(x)
    return gain * (x - mean) / xp.sqrt(xp.sum((x - mean) ** 2) / len(x) + eps) + shift


def both(xp, core, params, h, d):
    """`(a', d')`, normalised over all gates or over each."""
    per_gate = getattr(core, "per_gate", False)
    results = []
    for name, x in (("a", h @ params["kernel"]), ("d", d)):
        parts = [slice(g, g + H) for g in range(0, len(x), H)] if per_gate else [slice(None)]
        gain, shift = params[f"{name}_gain"], params[f"{name}_shift"]
        results.append(xp.concatenate([norm(xp, x[part], gain[part], shift[part], core.eps) for part in parts]))
    return results


def lstm(xp, core, params, state, d, noise, read=lambda c: c):
    i, f, g, o = xp.split(sum(both(xp, core, params, state.h, d)), 4)
    c = sigmoid(xp, f) * state.c + sigmoid(xp, i) * xp.tanh(g)
    h = sigmoid(xp, o) * xp.tanh(read(c))
    return mr.LSTMState(c, h), h


def layer_norm_lstm(xp, core, params, state, d, noise):
    return lstm(xp, core, params, state, d, noise, lambda c: norm(xp, c, params["c_gain"], params["c_shift"], core.eps))


def gru(xp, core, params, state, d, noise):
    (a_r, a_z, a_n), (d_r, d_z, d_n) = (xp.split(x, 3) for x in both(xp, core, params, state.h, d))
    z = sigmoid(xp, a_z + d_z)
    h = (1 - z) * xp.tanh(d_n + sigmoid(xp, a_r + d_r) * a_n) + z * state.h
    return mr.HiddenState(h), h


def orthogonal(xp, core, params, state, d, noise):
    S = xp.triu(params["A"], 1) - xp.triu(params["A"], 1).T
    base = params["base"] if xp is np else jax.lax.stop_gradient(params["base"])  # it is not trained
    B = base @ xp.linalg.solve(xp.eye(H) + S, xp.eye(H) - S)
    z = sum(both(xp, core, {**params, "kernel": B}, state.h, d))
    h = xp.sign(z) * xp.maximum(abs(z) + params["modrelu_bias"], 0)
    return mr.HiddenState(h), h


@pytest.mark.parametrize(
    ("core", "step"),
    [
        (mr.LayerNorm(mr.LSTM(H), eps=0.1), lstm),
        (mr.LayerNorm(mr.LSTM(H), eps=0.1, per_gate=True), lstm),
        (mr.LayerNorm(mr.GRU(H), eps=0.1), gru),
        (mr.LayerNorm(mr.Orthogonal(H, mapping="cayley"), eps=0.1), orthogonal),
        (mr.LayerNormLSTM(H, eps=0.1), layer_norm_lstm),
        (mr.LayerNormLSTM(H, eps=0.1, per_gate=True), layer_norm_lstm),
    ],
    ids=["lstm", "lstm_per_gate", "gru", "orthogonal", "layer_norm_lstm", "layer_norm_lstm_per_gate"],
)
def test_equations(float64, core, step):
    assert_follows(core, step)


@pytest.mark.parametrize("make", [lambda **lstm: mr.LayerNorm(mr.LSTM(H, **lstm)), lambda **lstm: mr.LayerNormLSTM(H, **lstm)])
def test_the_bias_of_the_core_becomes_the_shift_of_a(make):
    core = make(forget_bias=2.0)
    params = core.init(jax.random.key(0))
    assert {name: value.shape for name, value in params.items()} == core.param_shapes()
    assert "bias" not in params
    assert params["a_shift"].tolist() == np.repeat([0.0, 2.0, 0.0, 0.0], H).tolist()
    assert not params["d_shift"].any()
    assert (params["a_gain"] == 1).all()
    assert (params["d_gain"] == 1).all()
    close(params["kernel"], mr.LSTM(H).init(jax.random.key(0))["kernel"], 0)


def test_the_scale_of_the_kernel_and_of_the_drive_does_not_matter(float64):
    core = mr.LayerNorm(mr.GRU(H), eps=1e-20)
    params = normal(core.init(jax.random.key(0)), 0)
    state, d = mr.HiddenState(normal(jnp.zeros(H), 1)), normal(jnp.zeros(3 * H), 2)
    scaled = {**params, "kernel": 7 * params["kernel"]}
    close(core.step(scaled, state, 5 * d + 3), core.step(params, state, d))


def test_what_a_wrapper_does_not_change_is_the_cores():
    inner = mr.Orthogonal(H)
    core = mr.LayerNorm(inner)
    assert core.untrained == ("base",)
    assert not core.input_bias
    assert core.input_shapes(3) == inner.input_shapes(3)
    close(core.init_input(jax.random.key(0), 3), inner.init_input(jax.random.key(0), 3), 0)
    assert core.hidden_features == core.output_features == core.drive_features == H
    assert not core.additive
    projected = mr.LayerNorm(mr.LSTM(H, projection_features=2))
    assert (projected.output_features, projected.num_gates, projected.drive_features) == (2, 4, 4 * H)


class Own(mr.Elman):
    def step(self, prepared, state, d, noise=None):
        return state, state.h


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.LayerNorm(mr.MinGRU(8)), TypeError, "core must be an instance of KernelCore"),
        (lambda: mr.LayerNorm(mr.GRU(8), eps=0.0), ValueError, r"eps must be in \(0, inf\), got 0.0"),
        (
            lambda: mr.LayerNorm(mr.GRU(8), jnp.ones(8), per_gate=True),
            ValueError,
            r"eps must be one number for all units, got float32 of shape \(8,\)",
        ),
        (lambda: mr.LayerNormLSTM(8, eps=np.ones(8)), ValueError, "eps must be one number for all units, got float.* of shape"),
        (lambda: mr.LayerNorm(mr.GRU(8), per_gate=1), TypeError, "per_gate must be True or False, got 1"),
        (lambda: mr.LayerNormLSTM(8, per_gate="all"), TypeError, "per_gate must be True or False, got 'all'"),
        (
            lambda: mr.LayerNorm(mr.LayerNorm(mr.GRU(8))),
            ValueError,
            r"core must not be normalised already: LayerNorm has the parameters \['a_gain'",
        ),
        (
            lambda: mr.ReleasedNesterovLSTM(mr.LayerNormLSTM(8)),
            TypeError,
            "core must take the sum of a and d, which LayerNormLSTM",
        ),
        (lambda: mr.LayerNorm(Own(8)), TypeError, "core must not have a `step` of its own, as Own has"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
