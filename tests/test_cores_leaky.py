"""Leaky rate units against a loop written from their paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import learnable
from tests.new_cores import BATCH, TIME, assert_follows, close, normal, sigmoid

H = 4


def euler(xp, core, params, state, d, noise):
    alpha = core.dt / core.tau
    rates = sigmoid(xp, state.v) if noise is None else state.h
    v = (1 - alpha) * state.v + alpha * (rates @ params["kernel"] + params["bias"] + d)
    if noise is not None:
        v = v + xp.sqrt(2 * alpha * core.noise**2) * noise
    return mr.LeakyState(v, sigmoid(xp, v)), sigmoid(xp, v)


def test_equation_with_a_time_constant_for_each_unit_and_noise(float64):
    core = mr.Leaky(H, "sigmoid", tau=jnp.array([50.0, 100.0, 30.0, 70.0]), dt=30.0, noise=0.2)
    assert_follows(core, euler, core.sample_noise(jax.random.key(0), (TIME, BATCH)))


def test_the_start_is_at_rest_and_fires_at_the_rate_of_rest(float64):
    core = mr.Leaky(H, "sigmoid", tau=100.0, dt=30.0)
    params = normal(core.init(jax.random.key(0)), 0)
    start = core.initial_state(params, (2,), float)
    close(start, mr.LeakyState(np.zeros((2, H)), np.full((2, H), 0.5)))
    d = normal(jnp.zeros((2, H)), 1)
    # In the paper the rates are a function of the currents, and no state of their own.
    alone = [
        euler(np, core, jax.tree.map(np.asarray, params), mr.LeakyState(np.zeros(H), None), np.asarray(d[i]), None)
        for i in (0, 1)
    ]
    close(core.step(params, start, d)[1], np.stack([h for _, h in alone]))


def test_a_time_step_of_the_time_constant_leaves_no_memory_of_the_current(float64):
    core = mr.Leaky(H, tau=7.0, dt=7.0)
    params = normal(core.init(jax.random.key(0)), 0)
    state, d = normal(core.initial_state(params, (), float), 1), normal(jnp.zeros(H), 2)
    close(core.step(params, state, d)[1], mr.Elman(H).step(params, mr.HiddenState(state.h), d)[1])


def test_noise_alone_has_the_variance_it_is_said_to_have(float64):
    core = mr.Leaky(1, "identity", tau=100.0, dt=1.0, noise=0.5)
    params = {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    noise = core.sample_noise(jax.random.key(0), (1000, 2000))
    start = core.initial_state(params, (2000,), float)
    final, _ = jax.lax.scan(lambda state, noise: core.step(params, state, jnp.zeros((2000, 1)), noise), start, noise)
    assert np.std(final.v) == pytest.approx(0.5, rel=0.05)


def test_there_is_noise_where_there_is_a_number_for_it():
    assert mr.Leaky(H).sample_noise(jax.random.key(0), (3,)) is None
    assert mr.Leaky(H, noise=0.0).sample_noise(jax.random.key(0), (3, 2), jnp.bfloat16).dtype == jnp.bfloat16


def test_a_learned_time_constant_below_the_time_step_is_reflected(float64):
    cell = mr.Cell(mr.Leaky(H, tau=40.0, dt=20.0))
    for offset in (-0.2, np.log(0.5), -1.0):
        value, slope = jax.value_and_grad(lambda o: learnable.moved(cell, {("core", "tau"): o}).core.tau)(jnp.float64(offset))
        wanted = 40 * np.exp(offset)
        assert value == pytest.approx(wanted if wanted >= 20 else 400 / wanted, rel=1e-12)
        assert slope == pytest.approx(wanted if wanted >= 20 else -400 / wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mr.Leaky(8, tau=0.0), r"tau must be in \(0, inf\), got 0.0"),
        (lambda: mr.Leaky(8, dt=-1.0), r"dt must be in \(0, inf\), got -1.0"),
        (lambda: mr.Leaky(8, noise=-1.0), r"noise must be in \[0, inf\), got -1.0"),
        (lambda: mr.Leaky(8, tau=1.0, dt=2.0), "dt must be at most tau, 1.0, got 2.0"),
        (lambda: mr.Leaky(2, tau=jnp.array([1.0, 9.0]), dt=2.0), r"dt must be at most tau, float32 of shape \(2,\), got 2.0"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
