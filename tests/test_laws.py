"""Laws that hold for every drive in front of every core."""

import functools
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import named
from tests.registry import CORES, DRIVES, HIDDEN, PAIRS, assert_close, cell, problem, split_floats

every_pair = pytest.mark.parametrize(("drive", "core"), PAIRS)


def public(base):
    return {
        value
        for value in vars(mr).values()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
    }


def test_every_public_drive_and_core_is_in_the_registry():
    assert {type(drive) for drive in DRIVES.values()} == public(mr.Drive)
    assert {type(core) for core in CORES.values()} == public(mr.Core)


def test_every_pair_of_a_drive_and_a_core_has_a_name():
    cells = [
        function(HIDDEN)
        for name, function in vars(named).items()
        if inspect.isfunction(function) and not name.startswith("_") and getattr(mr, name, None) is function
    ]
    pairs = {(type(c.core), type(c.drive)) for c in cells}
    assert pairs == {(core, drive) for core in public(mr.Core) for drive in public(mr.Drive) - {mr.OptaxDrive}}
    assert len(cells) == len(pairs) + len(public(mr.Core))  # scheduled restarts are Nesterov's second name


@functools.partial(jax.jit, static_argnames=("combine", "method"))
def weighted_output(floats, combine, weights, method):
    cell, params, xs, state = combine(floats)
    state, hs = mr.unroll(cell, params, xs, state, method=method)
    return jnp.sum(hs * weights) + sum(jnp.sum(leaf) for leaf in split_floats(state)[0]), (state, hs)


@every_pair
def test_hoisted_equals_stepwise_in_values_and_all_gradients(float64, drive, core):
    c = cell(drive, core)
    params, xs, state, weights = problem(c)
    floats, combine = split_floats((c, params, xs, state))
    run = jax.value_and_grad(weighted_output, has_aux=True)
    reference = run(floats, combine, weights, "stepwise")
    assert_close(run(floats, combine, weights, "hoisted"), reference, rtol=1e-10)


@every_pair
def test_stepwise_is_a_python_loop_of_step(float64, drive, core):
    c = cell(drive, core)
    params, xs, state, _ = problem(c, time=3)
    final, hs = mr.unroll(c, params, xs, state, method="stepwise")
    step = jax.jit(c.step)
    for x, h in zip(xs, hs, strict=True):
        state, expected = step(params, state, x)
        assert_close(h, expected, rtol=1e-12)
    assert_close(final, state, rtol=1e-12)


@every_pair
def test_chunks_with_the_state_handed_on_equal_the_whole(float64, drive, core):
    c = cell(drive, core)
    params, xs, state, _ = problem(c)
    run = jax.jit(functools.partial(mr.unroll, c))
    whole = run(params, xs, state)
    pieces = []
    for chunk in (xs[:1], xs[1:5], xs[5:5], xs[5:]):
        state, hs = run(params, chunk, state)
        pieces.append(hs)
    assert_close((state, jnp.concatenate(pieces)), whole, rtol=1e-12)


@every_pair
def test_batch_of_one_no_batch_and_two_batch_axes_equal_rows_of_a_batch(float64, drive, core):
    c = cell(drive, core)
    params, xs, state, _ = problem(c, time=3)
    run = jax.jit(functools.partial(mr.unroll, c))
    final, hs = run(params, xs, state)
    row = jax.tree.map(lambda leaf: leaf[1], (state, final))
    assert_close(run(params, xs[:, 1], row[0]), (row[1], hs[:, 1]), rtol=1e-12)
    one = jax.tree.map(lambda leaf: leaf[1:2], (state, final))
    assert_close(run(params, xs[:, 1:2], one[0]), (one[1], hs[:, 1:2]), rtol=1e-12)
    two = jax.tree.map(lambda leaf: leaf[None], (state, final))
    assert_close(run(params, xs[:, None], two[0]), (two[1], hs[:, None]), rtol=1e-12)


@every_pair
def test_without_a_state_the_initial_state_is_used(float64, drive, core):
    c = cell(drive, core)
    params, xs, _, _ = problem(c, time=3)
    run = jax.jit(functools.partial(mr.unroll, c))
    assert_close(run(params, xs), run(params, xs, c.initial_state(params, (xs.shape[1],))), rtol=1e-14)


@every_pair
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("method", ["stepwise", "hoisted"])
def test_dtype_is_kept(drive, core, dtype, method):
    c = cell(drive, core)
    params, xs, state, _ = problem(c, dtype)
    final, hs = jax.eval_shape(functools.partial(mr.unroll, c, method=method), params, xs, state)
    assert hs.dtype == dtype
    assert jax.tree.map(lambda leaf: leaf.dtype, final) == jax.tree.map(lambda leaf: leaf.dtype, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


@every_pair
def test_bfloat16_is_float32_to_its_own_precision(drive, core):
    c = cell(drive, core)
    params, xs, state, _ = problem(c, jnp.bfloat16)
    run = jax.jit(functools.partial(mr.unroll, c))
    wide = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x, (params, xs, state))
    expected = run(*wide)[1]
    error = jnp.abs(run(params, xs, state)[1].astype(jnp.float32) - expected).max()
    assert error <= 0.05 * jnp.abs(expected).max()  # 8 bits: 0.4 % at each of a dozen roundings


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("drive", [name for name in DRIVES if jax.tree.leaves(DRIVES[name])])
class TestHyperparametersAreLeaves:
    def test_gradients_agree_with_finite_differences(self, float64, drive, core):
        c = cell(drive, core)
        params, xs, state, weights = problem(c)
        leaves, structure = jax.tree.flatten(c)

        @jax.jit
        def loss(vector):
            cell = structure.unflatten(list(vector))
            return jnp.sum(mr.unroll(cell, params, xs, state)[1] * weights)

        at = jnp.array(leaves)
        gradient = jax.grad(loss)(at)
        for i, leaf in enumerate(leaves):
            eps = 1e-5 * leaf
            difference = (loss(at.at[i].add(eps)) - loss(at.at[i].add(-eps))) / (2 * eps)
            assert abs(gradient[i] - difference) <= 1e-6 * max(1.0, abs(difference)), structure

    def test_vmap_over_them_equals_a_loop(self, float64, drive, core):
        c = cell(drive, core)
        params, xs, _, _ = problem(c)
        cells = [jax.tree.map(lambda leaf, scale=scale: scale * leaf, c) for scale in (0.2, 0.7, 1.0)]
        stacked = jax.tree.map(lambda *leaves: jnp.array(leaves), *cells)
        run = jax.jit(lambda cell: mr.unroll(cell, params, xs)[1])
        assert_close(jax.vmap(run)(stacked), jnp.stack([run(cell) for cell in cells]), rtol=1e-12)

    def test_changing_them_does_not_retrace(self, drive, core):
        c = cell(drive, core)
        params, xs, _, _ = problem(c)
        chex.clear_trace_counter()
        run = jax.jit(chex.assert_max_traces(lambda cell: mr.unroll(cell, params, xs)[1], n=1))
        first = run(c)
        assert not np.array_equal(first, run(jax.tree.map(lambda leaf: 0.5 * leaf, c)))

    def test_one_value_per_unit_equals_the_scalar_when_all_are_the_same(self, float64, drive, core):
        c = cell(drive, core)
        params, xs, state, _ = problem(c)
        per_unit = jax.tree.map(lambda leaf: jnp.full(c.core.drive_features, leaf), c)
        for method in ("stepwise", "hoisted"):
            assert_close(mr.unroll(per_unit, params, xs, state, method), mr.unroll(c, params, xs, state, method), rtol=1e-12)
