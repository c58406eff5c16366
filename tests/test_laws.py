"""Laws that hold for every drive in front of every core."""

import dataclasses
import functools
import inspect

import chex
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import named
from momentum_rnn_jax.execution import resolve as plan
from tests.registry import CELLS, COMMON_CORES, CORES, DRIVES, HIDDEN, assert_close, params_of, problem, split_floats

every_cell = pytest.mark.parametrize("name", params_of(CELLS))
WITH_HYPERPARAMETERS = [name for name, cell in CELLS.items() if jax.tree.leaves(cell)]


def public(base):
    return {
        value
        for value in vars(mr).values()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
    }


def test_every_public_drive_core_and_cell_is_in_the_registry():
    assert {type(cell) for cell in CELLS.values()} == public(mr.RecurrentCell)
    assert {type(drive) for drive in DRIVES.values()} == public(mr.Drive)
    assert {type(core) for core in CORES.values()} == public(mr.Core)


NAMED = {
    name: function
    for name, function in vars(named).items()
    if inspect.isfunction(function) and not name.startswith("_") and getattr(mr, name, None) is function
}


def test_every_pair_of_a_drive_and_a_common_core_has_a_name():
    common = {type(core) for core in COMMON_CORES.values()}
    pairs = {(type(c.core), type(c.drive)) for c in (function(HIDDEN) for function in NAMED.values())}
    without_names = {mr.OptaxDrive, mr.Chain, mr.HiPPO, mr.AssortedTimeNorm}
    assert pairs == {(core, drive) for core in common for drive in public(mr.Drive) - without_names}
    restarting = {name for name in NAMED if name.startswith("scheduled_restart_")}
    assert len(NAMED) == len(pairs) + len(restarting)
    assert len(restarting) == len(common)
    assert all(NAMED[name](HIDDEN).drive.restart == 2 for name in restarting)


@pytest.mark.parametrize("name", NAMED)
def test_a_named_cell_hands_every_argument_on(name):
    other = {"mu": 0.11, "step_size": 0.22, "beta": 0.33, "eps": 0.44, "restart": 5}
    other |= {"activation": "relu", "mapping": "cayley", "skew_init": "cayley", "forget_bias": 2.5, "peepholes": True}
    other |= {"gate_activation": "tanh"}
    parameters = [p for p in inspect.signature(NAMED[name]).parameters if p != "hidden_features"]
    for more in ({"init_scheme": "released", "projection_features": None}, {"init_scheme": "default", "projection_features": 3}):
        given = {p: (other | more)[p] for p in parameters}
        made = NAMED[name](7, **given)
        assert made.core.hidden_features == 7
        assert {p: getattr(made.drive if hasattr(made.drive, p) else made.core, p) for p in parameters} == given
    assert set(parameters) == {f.name for part in (made.core, made.drive) for f in dataclasses.fields(part)} - {"hidden_features"}


@functools.partial(jax.jit, static_argnames=("combine", "method", "remat"))
def weighted_output(floats, combine, weights, method, remat):
    cell, params, xs, state = combine(floats)
    state, hs = mr.unroll(cell, params, xs, state, method=method, remat=remat)
    return jnp.sum(hs * weights) + sum(jnp.sum(leaf) for leaf in split_floats(state)[0]), (state, hs)


CHUNKED = [name for name, cell in CELLS.items() if not cell.why_stepwise and cell.core.recurrence == "kernel"]
# What the backward pass gets, and whether inputs are projected at every step; each drive and core meets them all.
WAYS = [("auto", True), (3, True), ("none", False), (3, False)]


WAY_OF = {name: WAYS[(i + i // len(CORES)) % len(WAYS)] for i, name in enumerate(CHUNKED)}


@pytest.mark.parametrize("name", params_of(CHUNKED))
def test_chunked_equals_stepwise_in_values_and_all_gradients(float64, monkeypatch, name):
    remat, in_step = WAY_OF[name]
    c = CELLS[name]
    params, xs, state, weights = problem(c, time=6)
    monkeypatch.setattr(plan, "ROWS", 3 * xs.shape[1])
    monkeypatch.setattr(plan, "DRIVE_ROWS", 3 * xs.shape[1])
    monkeypatch.setattr(plan, "STORED_BYTES", 0)
    monkeypatch.setattr(plan, "FEW_FEATURES", 8 if in_step else 0)
    chosen = mr.resolve(c, params, xs, state, "chunked", remat=remat).plan
    assert (chosen.chunk, chosen.residuals) == (3, {"auto": "states", "none": "pre_activations", 3: "checkpoints"}[remat])
    floats, combine = split_floats((c, params, xs, state))
    run = jax.value_and_grad(weighted_output, has_aux=True)
    reference = run(floats, combine, weights, "stepwise", "auto")
    assert_close(run(floats, combine, weights, "chunked", remat), reference, rtol=1e-10)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.core.recurrence == "linear"])
def test_associative_equals_stepwise_in_values_and_all_gradients(float64, name):
    params, xs, state, weights = problem(CELLS[name], time=6)
    floats, combine = split_floats((CELLS[name], params, xs, state))
    run = jax.value_and_grad(weighted_output, has_aux=True)
    reference = run(floats, combine, weights, "stepwise", "auto")
    assert_close(run(floats, combine, weights, "associative", "auto"), reference, rtol=1e-10)


@every_cell
def test_states_and_batches(float64, name):
    """Several laws in one test, because they share what takes the time: compiling the cell for a shape."""
    c = CELLS[name]
    params, xs, state, _ = problem(c, time=6)
    run = jax.jit(functools.partial(mr.unroll, c))
    first, second = xs[:3], xs[3:]

    # Two chunks with the state handed on equal the whole.
    middle, head = run(params, first, state)
    final, tail = run(params, second, middle)
    assert_close((final, jnp.concatenate([head, tail])), run(params, xs, state), rtol=1e-12)

    # `unroll` is a loop of `step`, and the state of a step may be donated.
    step = jax.jit(c.step, donate_argnums=1)
    now = jax.tree.map(jnp.copy, state)
    for x, h in zip(first, head, strict=True):
        now, expected = step(params, now, x)
        assert_close(h, expected, rtol=1e-12)
    assert_close(now, middle, rtol=1e-12)

    # Without a state, the initial state is used; it may be donated too.
    zeros = c.initial_state(params, (first.shape[1],))
    assert_close(run(params, first), run(params, first, zeros), rtol=1e-14)
    step(params, zeros, first[0])

    # No batch, and a batch of one, equal a row of the batch.
    row = jax.tree.map(lambda leaf: leaf[1], (state, middle))
    assert_close(run(params, first[:, 1], row[0]), (row[1], head[:, 1]), rtol=1e-12)
    one = jax.tree.map(lambda leaf: leaf[1:2], (state, middle))
    assert_close(run(params, first[:, 1:2], one[0]), (one[1], head[:, 1:2]), rtol=1e-12)


@every_cell
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("method", ["stepwise", "auto"])
def test_dtype_is_kept(name, dtype, method):
    c = CELLS[name]
    params, xs, state, _ = problem(c, dtype)
    final, hs = jax.eval_shape(functools.partial(mr.unroll, c, method=method), params, xs, state)
    assert hs.dtype == dtype
    narrow = final.core._replace(memory=None, steps=None) if isinstance(final.core, mr.HiPPORNNState) else final.core
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {jnp.dtype(dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(final.drive)} <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}
    assert jax.tree.map(lambda leaf: leaf.dtype, final) == jax.tree.map(lambda leaf: leaf.dtype, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


@every_cell
def test_bfloat16_is_float32_to_its_own_precision(name):
    c = CELLS[name]
    params, xs, state, _ = problem(c, jnp.bfloat16)
    run = jax.jit(functools.partial(mr.unroll, c))
    wide = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x, (params, xs, state))
    expected = run(*wide)[1]
    error = np.abs(np.asarray(run(params, xs, state)[1], np.float32) - expected).max()
    assert error <= 0.05 * np.abs(expected).max()  # 8 bits: 0.4 % at each of a dozen roundings


@pytest.mark.parametrize("name", params_of(WITH_HYPERPARAMETERS))
class TestHyperparametersAreLeaves:
    def test_gradients_agree_with_finite_differences(self, float64, name):
        c = CELLS[name]
        params, xs, state, weights = problem(c)
        at, cell_of = jax.flatten_util.ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), c))

        @jax.jit
        @jax.value_and_grad
        def loss(vector):
            return jnp.sum(mr.unroll(cell_of(vector), params, xs, state)[1] * weights)

        at = np.asarray(at)
        gradient = loss(at)[1]
        for i, eps in enumerate(1e-5 * at):
            move = eps * (np.arange(len(at)) == i)
            difference = (float(loss(at + move)[0]) - float(loss(at - move)[0])) / (2 * eps)
            assert abs(gradient[i] - difference) <= 1e-6 * max(1.0, abs(difference)), c

    def test_vmap_over_them_equals_a_loop_and_changing_them_does_not_retrace(self, float64, name):
        c = CELLS[name]
        params, xs, _, _ = problem(c)
        cells = [jax.tree.map(lambda leaf, scale=scale: scale * leaf, c) for scale in (0.2, 0.7, 1.0)]
        stacked = jax.tree.map(lambda *leaves: np.array(leaves), *cells)

        def outputs(cell):
            return mr.unroll(cell, params, xs)[1]

        chex.clear_trace_counter()
        run = jax.jit(chex.assert_max_traces(outputs, n=1))
        alone = [run(cell) for cell in cells]
        assert not np.array_equal(alone[0], alone[1])
        assert_close(jax.jit(jax.vmap(outputs))(stacked), np.stack(alone), rtol=1e-12)

    def test_one_value_per_unit_equals_the_scalar_when_all_are_the_same(self, float64, name):
        c = CELLS[name]
        params, xs, state, _ = problem(c)
        units = c.core.drive_features
        per_unit = jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf)[..., None], (*np.shape(leaf), units)), c)
        per_unit = dataclasses.replace(per_unit, core=c.core)  # what a core allows is its own affair
        run = jax.jit(lambda cell: [mr.unroll(cell, params, xs, state, method) for method in ("stepwise", "auto")])
        assert_close(run(per_unit), run(c), rtol=1e-12)
