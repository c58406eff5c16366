"""Outside of `jax.jit`, a call that was made before compiles nothing and leaves nothing behind."""

import gc

import jax
import jax.numpy as jnp
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import make

COMPILATION = "/jax/core/compile/backend_compile_duration"  # recorded once per program, found in the persistent cache or not


@pytest.fixture
def compilations():
    """The programs compiled so far."""
    seen = []

    def listener(event, duration, **_):
        if event == COMPILATION:
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listener)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listener)


def unrolled(cell, **options):
    params, xs = cell.init(jax.random.key(0), 3), jnp.ones((6, 2, 3))
    return lambda: mr.unroll(cell, params, xs, **options)


def gradient(cell, **options):
    params, xs = cell.init(jax.random.key(0), 3), jnp.ones((6, 2, 3))
    return lambda: jax.grad(lambda params: jnp.sum(mr.unroll(cell, params, xs, **options)[1]))(params)


def layer():
    rnn, xs = mnnx.RNN(make("MomentumLSTMCell")), jnp.ones((2, 6, 3))
    return lambda: rnn(xs)


def drive():
    momentum, us = mr.Momentum(), jnp.ones((6, 2, 3))
    return lambda: momentum.unroll(momentum.init(us[0]), us)


CALLS = {
    "unroll of momentum_lstm": lambda: unrolled(mr.momentum_lstm(4)),
    "unroll of adam_gru": lambda: unrolled(mr.adam_gru(4)),
    "unroll with lengths": lambda: unrolled(mr.momentum_lstm(4), seq_lengths=jnp.array([6, 2])),
    "unroll of a cell with its own step": lambda: unrolled(mr.ReleasedNesterovLSTM(mr.LSTM(4))),
    "unroll stepwise": lambda: unrolled(mr.momentum_lstm(4), method="stepwise"),
    "gradient of momentum_lstm": lambda: gradient(mr.momentum_lstm(4)),
    "gradient of lstm": lambda: gradient(mr.lstm(4)),
    "gradient of nesterov_rnn": lambda: gradient(mr.nesterov_rnn(4)),
    "gradient with remat": lambda: gradient(mr.lstm(4), remat=2),
    "layer of NNX": layer,
    "drive": drive,
}


@pytest.mark.parametrize("name", CALLS)
def test_an_identical_call_compiles_nothing_and_leaves_nothing(compilations, name):
    call = CALLS[name]()
    jax.block_until_ready(call())
    jax.block_until_ready(call())
    compilations.clear()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(4):
        jax.block_until_ready(call())
    gc.collect()
    assert len(compilations) == 0
    assert len(gc.get_objects()) - before < 20  # a program, or a trace, that is kept has hundreds
    jax.jit(lambda x: x + 1)(0.0)
    assert len(compilations) == 1  # they are counted
