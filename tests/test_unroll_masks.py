"""`seq_lengths` and `resets`: by every method, equal to running the pieces by themselves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.registry import CELLS, assert_close, params_of, problem, split_floats

# The masks act on drives and cores apart, so every drive once and every core once will do.
NAMES = [name for name in CELLS if name.endswith("-lstm") or name.startswith("momentum-")] + ["released_nesterov"]
every_cell = pytest.mark.parametrize("name", params_of(NAMES))
LENGTHS = jnp.array([0, 4, 7], jnp.int32)


def methods(cell):
    return ("stepwise",) if cell.why_stepwise else ("stepwise", "chunked")


@every_cell
def test_lengths_equal_each_example_cut_to_its_length(float64, name):
    c = CELLS[name]
    params, xs, state, _ = problem(c)
    run = jax.jit(functools.partial(mr.unroll, c), static_argnames="method")
    for method in methods(c):
        final, hs = run(params, xs, state, method=method, seq_lengths=LENGTHS)
        for i, length in enumerate(LENGTHS.tolist()):
            alone, outputs = mr.unroll(c, params, xs[:length, i : i + 1], jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], state))
            assert_close(hs[:length, i : i + 1], outputs, 1e-12)
            assert not hs[length:, i].any()
            assert_close(jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], final), alone, 1e-12)


from_a_state = pytest.mark.parametrize("from_a_state", [True, False])


@every_cell
@from_a_state
def test_packed_episodes_equal_themselves_run_alone(float64, name, from_a_state):
    c = CELLS[name]
    params, xs, state, _ = problem(c)
    if not from_a_state:
        state = c.initial_state(params, xs.shape[1:2])
    resets = jnp.zeros(xs.shape[:2], bool).at[3, 0].set(True).at[0, 1].set(True).at[5, 1].set(True)
    episodes = [(0, 0, 3, True), (0, 3, 7, False), (1, 0, 5, False), (1, 5, 7, False), (2, 0, 7, True)]
    run = jax.jit(functools.partial(mr.unroll, c), static_argnames="method")
    for method in methods(c):
        final, hs = run(params, xs, state if from_a_state else None, method=method, resets=resets)
        for example, start, stop, carries_on in episodes:
            row = jax.tree.map(lambda leaf, i=example: leaf[i : i + 1], state)
            piece = xs[start:stop, example : example + 1]
            alone, outputs = mr.unroll(c, params, piece, row if carries_on else None)
            assert_close(hs[start:stop, example : example + 1], outputs, 1e-12)
            if stop == len(xs):
                assert_close(jax.tree.map(lambda leaf, i=example: leaf[i : i + 1], final), alone, 1e-12)


@pytest.mark.parametrize("name", params_of([name for name in NAMES if not CELLS[name].why_stepwise]))
@from_a_state
def test_chunked_equals_stepwise_with_both_in_all_gradients(float64, name, from_a_state):
    c = CELLS[name]
    params, xs, state, weights = problem(c)
    state = state if from_a_state else None
    resets = jnp.zeros(xs.shape[:2], bool).at[3, 1].set(True).at[2, 2].set(True)
    floats, combine = split_floats((c, params, xs, state))

    @functools.partial(jax.jit, static_argnames="method")
    def gradients(floats, method):
        def loss(floats):
            cell, params, xs, state = combine(floats)
            final, hs = mr.unroll(cell, params, xs, state, method, seq_lengths=LENGTHS, resets=resets)
            return jnp.sum(hs * weights) + sum(jnp.sum(leaf) for leaf in split_floats(final)[0])

        return jax.value_and_grad(loss)(floats)

    assert_close(gradients(floats, "chunked"), gradients(floats, "stepwise"), 1e-10)


@pytest.mark.parametrize("method", ["stepwise", "chunked"])
def test_a_reset_in_the_padding_changes_nothing(method):
    c = mr.momentum_gru(4)
    params = c.init(jax.random.key(0), 3)
    xs, state = jax.random.normal(jax.random.key(1), (7, 3, 3)), c.initial_state(params, (3,))
    state = jax.tree.map(lambda leaf: leaf + 0.5, state)
    resets = jnp.arange(7)[:, None] >= LENGTHS[None]
    padded = mr.unroll(c, params, xs, state, method, seq_lengths=LENGTHS, resets=resets)
    assert_close(padded, mr.unroll(c, params, xs, state, method, seq_lengths=LENGTHS), 1e-6)


@pytest.mark.parametrize("method", ["stepwise", "chunked"])
def test_values_in_the_padding_have_no_effect(method):
    c = mr.adam_lstm(4)
    params = c.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (7, 3, 3))
    padded = jnp.where((jnp.arange(7)[:, None] < LENGTHS[None])[..., None], xs, jnp.nan)

    def loss(params, xs):
        state, hs = mr.unroll(c, params, xs, method=method, seq_lengths=LENGTHS)
        return jnp.sum(hs**2) + jnp.sum(state.core.c)

    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    assert_close(run(params, padded), run(params, xs), 0)


def test_wrong_lengths_and_resets_are_refused():
    c = mr.lstm(4)
    params, xs = c.init(jax.random.key(0), 3), jnp.ones((7, 2, 3))
    for lengths, message in [
        (jnp.array([1, 2, 3]), r"seq_lengths must be an integer array of shape \(2,\), got int32 of shape \(3,\)"),
        (jnp.array([1.0, 2.0]), r"seq_lengths must be an integer array of shape \(2,\), got float32"),
        ([1, 2], r"seq_lengths must be an integer array of shape \(2,\), got \[1, 2\]"),
        (np.array([1, 8]), r"seq_lengths must be from 0 to the sequence's 7 steps, got values from 1 to 8"),
        (np.array([-1, 2]), r"seq_lengths must be from 0 to the sequence's 7 steps, got values from -1 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            mr.unroll(c, params, xs, seq_lengths=lengths)
    for resets in (jnp.zeros((2, 7), bool), jnp.zeros((7, 2)), True):
        with pytest.raises(ValueError, match=r"resets must be a boolean array of shape \(7, 2\), got"):
            mr.unroll(c, params, xs, resets=resets)


@pytest.mark.parametrize("from_a_state", [False, True])
def test_a_reset_discards_values_that_are_not_finite_in_an_associative_scan(float64, from_a_state):
    c = mr.Cell(mr.MinGRU(3), mr.Momentum(mu=0.5), trainable_initial_state=True)
    params, xs, state, weights = problem(c, time=6)
    resets = jnp.zeros(xs.shape[:2], bool).at[3, :].set(True).at[5, 1].set(True)
    if from_a_state:
        state = jax.tree.map(lambda leaf: leaf + jnp.nan, state)
        resets = resets.at[0].set(True)
        first = 0
    else:
        xs = xs.at[:3].set(jnp.nan)
        first = 3

    def after(xs, initial, method):
        final, hs = mr.unroll(c, {**params, "initial": initial}, xs, state, method, resets=resets)
        return jnp.vdot(hs[first:], weights[first:]) + jnp.sum(final.core.h), (final, hs[first:])

    def results(method):
        run = jax.value_and_grad(functools.partial(after, method=method), (0, 1), has_aux=True)
        values, (to_xs, to_initial) = jax.jit(run)(xs, params["initial"])
        return values, to_xs[first:], to_initial

    found = results("associative")
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert_close(found, results("stepwise"), 1e-12)

    def twice(method):
        def slope(xs):
            return jnp.sum(jax.grad(lambda xs: after(xs, params["initial"], method)[0] ** 2)(xs)[first:])

        along = jnp.zeros_like(xs).at[first:].set(1.0)
        return jax.jit(jax.grad(slope))(xs)[first:], jax.jit(lambda xs: jax.jvp(slope, (xs,), (along,)))(xs)

    second = twice("associative")
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(second))
    assert_close(second, twice("stepwise"), 1e-10)


def test_a_reset_ends_a_product_that_overflows():
    class Growing(mr.MinGRU):
        def coefficients(self, prepared, d):
            return jnp.full_like(d[..., :3], 1e30), d[..., :3]

    c = mr.Cell(mr.pytree_dataclass(Growing)(3))
    params = c.init(jax.random.key(0), 2)
    xs, resets = jnp.ones((6, 2)), jnp.arange(6) >= 1
    run = jax.value_and_grad(lambda xs, method: jnp.sum(mr.unroll(c, params, xs, method=method, resets=resets)[1]))
    assert_close(run(xs, "associative"), run(xs, "stepwise"), 1e-6)
