"""The fast path: in every mode of differentiation, with any chunk, and explained."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.registry import CELLS, DRIVES, assert_close, problem

CELL_NAMES = ["momentum-lstm", "adam-gru", "scheduled_restart-orthogonal"]


def small(name):
    c = CELLS[name]
    params, xs, state, weights = problem(c, time=4, batch=(1,))
    return c, params, xs, state, weights


@pytest.mark.parametrize("name", CELL_NAMES)
def test_forward_mode_and_second_derivatives_equal_those_of_stepwise(float64, name):
    c, params, xs, state, weights = small(name)

    def loss(kernel, method):
        changed = {**params, "input": {**params["input"], "kernel": kernel}}
        return jnp.sum(mr.unroll(c, changed, xs, state, method)[1] * weights)

    @functools.partial(jax.jit, static_argnames="method")
    def derivatives(kernel, method):
        f = functools.partial(loss, method=method)
        column = kernel.at[:, 0]
        one = lambda values: f(column.set(values))  # noqa: E731
        at = kernel[:, 0]
        return jax.jacfwd(f)(kernel), jax.hessian(one)(at), jax.jacrev(jax.jacrev(one))(at)

    kernel = params["input"]["kernel"]
    assert_close(derivatives(kernel, "chunked"), derivatives(kernel, "stepwise"), 1e-10)


@pytest.mark.parametrize("name", CELL_NAMES)
def test_vmap_over_parameters_and_over_inputs_equals_a_loop(float64, name):
    c, params, xs, state, weights = small(name)
    scales = jnp.array([0.5, 1.0, 1.5])

    def gradient(params, xs):
        return jax.grad(lambda params: jnp.sum(mr.unroll(c, params, xs, state)[1] * weights))(params)

    for axes in ((0, None), (None, 0)):
        many = [jax.tree.map(lambda leaf: jnp.stack([s * leaf for s in scales]), tree) for tree in (params, xs)]
        given = [tree if axis is None else mapped for tree, mapped, axis in zip((params, xs), many, axes, strict=True)]
        together = jax.jit(jax.vmap(gradient, axes))(*given)
        for i in range(len(scales)):
            alone = [
                tree if axis is None else jax.tree.map(lambda leaf, i=i: leaf[i], tree)
                for tree, axis in zip(given, axes, strict=True)
            ]
            assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), gradient(*alone), 1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_a_sequence_that_the_chunk_does_not_divide(float64, chunk):
    c = CELLS["momentum-lstm"]
    params, xs, state, _ = problem(c, time=7)
    assert_close(mr.unroll(c, params, xs, state, remat=chunk), mr.unroll(c, params, xs, state, "stepwise"), 1e-12)


def test_without_a_state_it_begins_with_zeros(float64):
    for name in ("momentum-lstm", "scheduled_restart-gru"):
        c = CELLS[name]
        params, xs, _, _ = problem(c)
        assert_close(mr.unroll(c, params, xs), mr.unroll(c, params, xs, c.initial_state(params, (3,)), "stepwise"), 1e-12)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
@pytest.mark.parametrize("time", [1, 32, 71])
def test_drives_in_blocks_equal_their_steps(float64, name, time):
    drive = DRIVES[name]
    us = jax.random.normal(jax.random.key(0), (time, 2, 3))
    state = jax.tree.map(lambda leaf: leaf + 0.3, drive.init(us[0]))
    assert_close(drive.unroll(state, us), jax.lax.scan(drive.step, state, us), 1e-12)


def test_a_decay_of_zero_has_finite_gradients(float64):
    us = jax.random.normal(jax.random.key(0), (5, 2, 3))

    def loss(mu, beta, unroll):
        drive = mr.Adam(mu, 0.7, beta, 0.1)
        return jnp.sum(unroll(drive, drive.init(us[0]))[1] ** 2)

    blocks = jax.grad(lambda mu, beta: loss(mu, beta, lambda drive, state: drive.unroll(state, us)), (0, 1))(0.0, 0.0)
    steps = jax.grad(lambda mu, beta: loss(mu, beta, lambda drive, state: jax.lax.scan(drive.step, state, us)), (0, 1))(0.0, 0.0)
    assert_close(blocks, steps, 1e-12)
    assert all(np.isfinite(g) for g in blocks)


def test_memory_grows_with_what_is_kept():
    c = mr.lstm(8)
    params, xs = c.init(jax.random.key(0), 3), jnp.ones((512, 2, 3))

    def bytes_needed(remat):
        gradient = jax.grad(lambda params: mr.unroll(c, params, xs, remat=remat)[0].core.h.sum())
        return jax.jit(gradient).lower(params).compile().memory_analysis().temp_size_in_bytes

    pre_activations, state = 512 * 2 * 32 * 4, 512 * 2 * 8 * 4
    few, all_of_them = bytes_needed(16), bytes_needed("none")
    assert all_of_them > pre_activations + state > few


def test_explain_says_what_is_done():
    def says(cell, time=784, batch=128, features=1, **options):
        params = cell.init(jax.random.key(0), features)
        return mr.explain(cell, params, jax.ShapeDtypeStruct((time, batch, features), jnp.float32), **options)

    assert says(mr.momentum_lstm(128)).startswith(
        "chunked: 49 chunks of 16 steps; the drive acts on the 1 input features, in front of the projection, which is part of"
    )
    assert "the drive acts on the gates, behind the projection; the backward pass gets the states of every step and" in says(
        mr.adam_lstm(128)
    )
    assert "gets the states and pre-activations of every step" in says(mr.lstm(128), time=10)
    assert "7 chunks of 100 steps and one of 84" in says(mr.lstm(128), remat=100)
    assert says(mr.lstm(128), method="stepwise") == "stepwise: a scan of the cell's step, as asked."
    assert "contains the hidden state" in says(mr.ReleasedNesterovLSTM(mr.LSTM(4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remat": 0}, "remat must be an integer of at least 1, got 0"),
        ({"remat": "all"}, "remat must be one of 'auto', 'none', got 'all'"),
        ({"remat": 4, "method": "stepwise"}, "remat must be 'auto' where the cell runs stepwise, got 4"),
    ],
)
def test_refusals(options, message):
    c = mr.lstm(4)
    params = c.init(jax.random.key(0), 3)
    for function in (mr.unroll, mr.explain):
        with pytest.raises(ValueError, match=message):
            function(c, params, jnp.ones((7, 2, 3)), **options)


def test_a_core_of_another_kind_runs_stepwise():
    class Echo(mr.Core):
        num_gates, hidden_features = 1, 3

        def param_shapes(self):
            return {}

        def init(self, key, dtype=float):
            return {}

        def initial_state(self, ready, batch_shape, dtype):
            return mr.HiddenState(jnp.zeros((*batch_shape, 3), dtype))

        def step(self, ready, state, d):
            return mr.HiddenState(d), d

    c = mr.Cell(Echo(), mr.Momentum())
    params, xs = c.init(jax.random.key(0), 2), jnp.ones((4, 1, 2))
    assert mr.explain(c, params, xs) == "stepwise: a scan of the cell's step."
    assert mr.unroll(c, params, xs)[1].shape == (4, 1, 3)
    with pytest.raises(ValueError, match=r"method must be 'stepwise' or 'auto' for this cell: Cell's core is no KernelCore"):
        mr.unroll(c, params, xs, method="chunked")
