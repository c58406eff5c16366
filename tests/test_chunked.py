"""The fast path: in every mode of differentiation, with any chunk, and explained."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax.execution import cudnn_support
from momentum_rnn_jax.execution import resolve as plan
from tests.registry import CELLS, assert_close, problem

CELL_NAMES = ["momentum-lstm", "adam-gru", "scheduled_restart-orthogonal"]


def small(name):
    c = CELLS[name]
    params, xs, state, weights = problem(c, time=4, batch=(1,))
    return c, params, xs, state, weights


@pytest.mark.parametrize(("name", "remat"), list(zip(CELL_NAMES, ("auto", 2, "none"), strict=True)))
def test_forward_mode_and_second_derivatives_equal_those_of_stepwise(float64, monkeypatch, name, remat):
    c, params, xs, state, weights = small(name)
    monkeypatch.setattr(plan, "ROWS", 2)  # two chunks
    monkeypatch.setattr(plan, "DRIVE_ROWS", 2)
    monkeypatch.setattr(plan, "STORED_BYTES", 0)
    lengths, resets = jnp.array([3]), jnp.zeros((4, 1), bool).at[1].set(True)

    def loss(kernel, method):
        changed = {**params, "input": {**params["input"], "kernel": kernel}}
        options = {"remat": remat if method == "chunked" else "auto", "seq_lengths": lengths, "resets": resets}
        return jnp.sum(mr.unroll(c, changed, xs, state, method, **options)[1] * weights)

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
    params, xs, state, weights = problem(c, time=7)

    def results(params, xs, state, **how):
        final, hs = mr.unroll(c, params, xs, state, **how)
        return jnp.vdot(hs, weights) + sum(map(jnp.sum, jax.tree.leaves(final))), (final, hs)

    with_gradients = jax.value_and_grad(results, (0, 1, 2), has_aux=True)
    chunks = with_gradients(params, xs, state, remat=chunk)
    assert_close(chunks, with_gradients(params, xs, state, method="stepwise"), 1e-12)


def test_in_checkpoint_and_with_donated_buffers(float64):
    c, params, xs, state, weights = small("adam-gru")

    def loss(params, state):
        return jnp.vdot(mr.unroll(c, params, xs, state)[1], weights)

    expected = jax.grad(loss, (0, 1))(params, state)
    assert_close(jax.jit(jax.grad(jax.checkpoint(loss), (0, 1)))(params, state), expected, 1e-12)
    donated = jax.jit(lambda state: mr.unroll(c, params, xs, state), donate_argnums=0)
    assert_close(donated(jax.tree.map(jnp.copy, state)), mr.unroll(c, params, xs, state), 1e-12)


def test_vmap_over_states_and_masks(float64):
    c, params, xs, state, weights = small("momentum-lstm")
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), state)
    resets = jnp.zeros((2, 4, 1), bool).at[1, 2].set(True)
    lengths = jnp.array([[4], [3]])

    def gradient(state, resets, lengths):
        def loss(params, state):
            return jnp.vdot(mr.unroll(c, params, xs, state, resets=resets, seq_lengths=lengths)[1], weights)

        return jax.grad(loss, (0, 1))(params, state)

    for axes in ((0, None, None), (None, 0, 0)):
        arguments = [
            tree if axis == 0 else jax.tree.map(lambda leaf: leaf[0], tree)
            for tree, axis in zip((states, resets, lengths), axes, strict=True)
        ]
        together = jax.jit(jax.vmap(gradient, axes))(*arguments)
        for i in range(2):
            one = [
                jax.tree.map(lambda leaf, i=i: leaf[i], tree) if axis == 0 else tree
                for tree, axis in zip(arguments, axes, strict=True)
            ]
            assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), gradient(*one), 1e-12)


def test_without_a_state_it_begins_with_zeros(float64):
    for name in ("momentum-lstm", "scheduled_restart-gru"):
        c = CELLS[name]
        params, xs, _, _ = problem(c)
        assert_close(mr.unroll(c, params, xs), mr.unroll(c, params, xs, c.initial_state(params, (3,)), "stepwise"), 1e-12)


def test_an_empty_batch(float64):
    for name in ("momentum-lstm", "adam-gru"):
        c = CELLS[name]
        params = c.init(jax.random.key(0), 4, float)
        xs = jnp.zeros((6, 2, 0, 4))
        gradient = jax.grad(lambda params, c=c, xs=xs: mr.unroll(c, params, xs)[1].sum())(params)
        assert mr.unroll(c, params, xs)[1].shape == (6, 2, 0, 5)
        assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", ["momentum-lstm", "adam-gru", "identity-elman", "momentum-min_gru"])
def test_inputs_without_features(float64, name):
    core = mr.MinGRU(5) if name.endswith("min_gru") else CELLS[name].core
    c = mr.Cell(core, mr.Momentum()) if name.endswith("min_gru") else CELLS[name]
    random, method = np.random.default_rng(3), "chunked" if core.recurrence == "kernel" else "associative"
    shapes, is_shape = c.param_shapes(0), lambda entry: isinstance(entry, tuple)
    params = jax.tree.map(lambda shape: jnp.asarray(random.normal(size=shape)), shapes, is_leaf=is_shape)
    run = jax.value_and_grad(lambda params, method: jnp.sum(mr.unroll(c, params, jnp.zeros((4, 2, 0)), method=method)[1]))
    assert_close(run(params, method), run(params, "stepwise"), 1e-12)


def test_resets_may_be_numpys_and_parameters_another_mapping():
    c = mr.momentum_lstm(4)
    params, xs, resets = c.init(jax.random.key(0), 3), jnp.ones((5, 2, 3)), np.arange(10).reshape(5, 2) == 4
    assert_close(mr.unroll(c, params, xs, resets=resets), mr.unroll(c, params, xs, resets=jnp.asarray(resets)), 0)

    def gradient(params):
        return jax.grad(lambda params: jnp.sum(mr.unroll(c, params, xs, method="chunked")[1]))(params)

    assert_close(flax.core.unfreeze(gradient(flax.core.freeze(params))), gradient(params), 0)


def test_a_reset_forgets_a_velocity_that_is_not_finite():
    c = mr.momentum_lstm(4)
    params, xs = c.init(jax.random.key(0), 3), jnp.ones((5, 2, 3))
    state = jax.tree.map(lambda leaf: leaf + jnp.nan, c.initial_state(params, (2,)))
    resets = jnp.zeros((5, 2), bool).at[0].set(True)
    assert_close(mr.unroll(c, params, xs, state, resets=resets), mr.unroll(c, params, xs), 1e-6)


def subclasses():
    @mr.pytree_dataclass
    class Clipped(mr.Momentum):
        def update(self, state, u):
            state, d = super().update(state, u)
            return mr.MomentumState(jnp.clip(state.velocity, -0.1, 0.1)), d

    @mr.pytree_dataclass
    class Largest(mr.Adam):
        def update(self, state, u):
            new, d = super().update(state, u)
            return new._replace(second_moment=jnp.maximum(new.second_moment, state.second_moment)), d

    @mr.pytree_dataclass
    class Halved(mr.Identity):
        def update(self, state, u):
            return state, u / 2

    @mr.pytree_dataclass
    class Zoneout(mr.LSTM):
        def step(self, prepared, state, d, noise=None):
            new, h = super().step(prepared, state, d, noise)
            return new._replace(h=0.5 * (state.h + h)), 0.5 * (state.h + h)

    @mr.pytree_dataclass
    class Leaky(mr.Elman):
        slope: float = 0.1

        def update(self, params, state, *pre):
            return mr.HiddenState(jnp.where(pre[0] > 0, pre[0], self.slope * pre[0]))

    @mr.pytree_dataclass
    class Started(mr.Cell):
        def start(self, ready, batch_shape):
            return jax.tree.map(lambda leaf: leaf + 1, super().start(ready, batch_shape))

    @mr.pytree_dataclass
    class Doubled(mr.Cell):
        def project(self, ready, x):
            return 2 * super().project(ready, x)

    return {
        "drive": (mr.Cell(mr.LSTM(4), Clipped()), "chunked: "),
        "nonlinear drive": (mr.Cell(mr.LSTM(4), Largest(eps=0.1)), "chunked: "),
        "stateless drive": (mr.Cell(mr.LSTM(4), Halved()), "chunked: 1 x 6 steps; the drive acts on the gates"),
        "core": (mr.Cell(Zoneout(4), mr.Momentum()), "stepwise: Zoneout has its own `step`."),
        "core with a leaf": (mr.Cell(Leaky(4), mr.Momentum()), "chunked: 1 x 6 steps; the drive acts on the gates"),
        "start": (Started(mr.LSTM(4), mr.Momentum()), "stepwise: Started has its own `start`."),
        "cell": (Doubled(mr.LSTM(4), mr.Momentum()), "stepwise: Doubled has its own `project`."),
    }


@pytest.mark.parametrize("what", ["drive", "nonlinear drive", "stateless drive", "core", "core with a leaf", "start", "cell"])
def test_a_subclass_is_not_taken_for_its_base(float64, without_native, what):
    c, explanation = subclasses()[what]
    params, xs = c.init(jax.random.key(0), 3), 3 * jax.random.normal(jax.random.key(1), (6, 2, 3))
    assert mr.explain(c, params, xs).startswith(explanation)
    assert_close(mr.unroll(c, params, xs), mr.unroll(c, params, xs, method="stepwise"), 1e-12)


def test_memory_grows_with_what_is_kept(without_native):
    c = mr.lstm(8)
    params, xs = c.init(jax.random.key(0), 3), jnp.ones((512, 2, 3))

    def bytes_needed(remat):
        gradient = jax.grad(lambda params: mr.unroll(c, params, xs, remat=remat)[0].core.h.sum())
        return jax.jit(gradient).lower(params).compile().memory_analysis().temp_size_in_bytes

    pre_activations, state = 512 * 2 * 32 * 4, 512 * 2 * 8 * 4
    few, all_of_them = bytes_needed(16), bytes_needed("none")
    assert all_of_them > pre_activations + state > few


def test_explain_says_what_is_done(without_native, monkeypatch):
    monkeypatch.setattr(cudnn_support, "on_cuda", lambda: False)

    def says(cell, time=784, batch=128, features=1, **options):
        params = jax.eval_shape(lambda: cell.init(jax.random.key(0), features))
        return mr.explain(cell, params, jax.ShapeDtypeStruct((time, batch, features), jnp.float32), **options)

    assert says(mr.momentum_lstm(128)).startswith(
        "chunked: 49 x 16 steps; the drive filters the input features (1) of a plain cell, in front of the projection, merged"
    )
    assert "the drive acts on the gates, after the projection; the backward pass stores the states of every step and" in says(
        mr.adam_lstm(128)
    )
    assert "stores the states and pre-activations of every step" in says(mr.lstm(128), time=10)
    assert "7 x 100 steps and 84" in says(mr.lstm(128), remat=100) == says(mr.lstm(128), remat=np.int64(100))
    assert says(mr.lstm(128), method="stepwise") == "stepwise: the method asked for."
    assert says(mr.lstm(128), time=0) == "stepwise: there are no steps."
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
    assert mr.explain(c, params, xs) == "stepwise: its core, Echo, must be a registered pytree (see pytree_dataclass)."
    assert mr.unroll(c, params, xs)[1].shape == (4, 1, 3)
    with pytest.raises(ValueError, match="method must not be 'chunked' here: its core, Echo, must be a registered pytree"):
        mr.unroll(c, params, xs, method="chunked")
