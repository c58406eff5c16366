"""`Cell` and `unroll`: what is refused, and how they behave under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax.execution import cudnn_support
from tests.registry import assert_close

CELL = mr.momentum_lstm(4)


@pytest.fixture(scope="module")
def params():
    return CELL.init(jax.random.key(0), 3)


XS = jnp.ones((6, 2, 3))


def wrong(params, part, entry, value):
    return {**params, part: {**params[part], entry: value}}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: mr.unroll(CELL, p, jnp.ones((6, 2, 5))), ValueError, r"xs has 5 features \(shape \(6, 2, 5\)\).* made for 3"),
        (lambda p: mr.unroll(CELL, p, jnp.ones(3)), ValueError, r"xs must have shape \(time, ..., features\).*got shape \(3,\)"),
        (lambda p: mr.unroll(CELL, p, jnp.ones((6, 2, 3), int)), TypeError, "xs must have a floating-point dtype, got int"),
        (lambda p: mr.unroll(CELL, p, [[1.0, 2.0, 3.0]]), TypeError, r"xs must be an array of shape \(time"),
        (
            lambda p: mr.unroll(CELL, p, XS, method="fast"),
            ValueError,
            "method must be one of 'auto', 'stepwise', 'chunked', 'associative', 'cudnn', 'native', 'hoisted', got 'fast'",
        ),
        (lambda p: mr.unroll("lstm", p, XS), TypeError, "cell must be an instance of RecurrentCell, got 'lstm'"),
        (
            lambda p: mr.unroll(mlinen.LSTMCell(4), p, XS),
            TypeError,
            "cell must not be a Flax cell, got LSTMCell",
        ),
        (lambda p: mr.unroll(CELL, p, XS, dtype=jnp.int32), TypeError, "dtype must be a floating-point dtype"),
        (lambda p: mr.explain(CELL, p, XS, dtype="bf16"), TypeError, "dtype must be a floating-point dtype, .*'bf16'"),
        (lambda p: mr.unroll(CELL, p["core"], XS), ValueError, r"params must have the entries \['core', 'input'\]"),
        (lambda p: mr.unroll(CELL, None, XS), TypeError, "params must be a dict"),
        (lambda p: mr.unroll(CELL, {**p, "input": 1}, XS), TypeError, r"params\['input'\] must be a dict"),
        (
            lambda p: mr.unroll(mr.lstm(5), p, XS),
            ValueError,
            r"params\['core'\]\['kernel'\] must have shape \(5, 20\), got \(4, 16\)",
        ),
        (
            lambda p: mr.unroll(CELL, wrong(p, "input", "kernel", jnp.ones((3, 12))), XS),
            ValueError,
            r"params\['input'\]\['kernel'\] must have shape \(any, 16\), got \(3, 12\)",
        ),
        (
            lambda p: mr.unroll(CELL, wrong(p, "input", "kernel", jnp.ones(16)), XS),
            ValueError,
            r"params\['input'\]\['kernel'\] must have shape \(any, 16\), got \(16,\)",
        ),
        (
            lambda p: mr.unroll(CELL, wrong(p, "input", "kernel", jnp.ones((3, 16), int)), XS),
            TypeError,
            r"params\['input'\]\['kernel'\] must have a floating-point dtype, got int32",
        ),
        (
            lambda p: mr.unroll(CELL, wrong(p, "input", "kernel", [[1.0] * 16] * 3), XS),
            TypeError,
            r"params\['input'\]\['kernel'\] must be an array of shape \(None, 16\)",
        ),
        (
            lambda p: mr.unroll(CELL, wrong(p, "core", "bias", jnp.ones(16, jnp.bfloat16)), XS),
            TypeError,
            r"params must be of one dtype, got .*bfloat16 at params\['core'\]\['bias'\]",
        ),
        (
            lambda p: mr.unroll(CELL, p, XS, CELL.initial_state(p, (5,))),
            ValueError,
            r"state.drive.velocity must be float32 of shape \(2, 16\), got float32 of shape \(5, 16\)",
        ),
        (
            lambda p: mr.unroll(CELL, p, XS, mr.lstm(4).initial_state(p, (2,))),
            ValueError,
            r"state must be CellState\(drive=MomentumState\(velocity\), core=LSTMState\(c, h\)\), got CellState\(drive=Identity",
        ),
        (
            lambda p: mr.unroll(CELL, p, XS, jax.tree.map(lambda z: z.astype(jnp.bfloat16), CELL.initial_state(p, (2,)))),
            ValueError,
            "state.drive.velocity must be float32 .* got bfloat16",
        ),
        (
            lambda p: mr.unroll(CELL, p, XS, (jnp.zeros((2, 4)),) * 2),
            ValueError,
            r"state must be CellState\(.*got \(array, array\)",
        ),
        (lambda p: mr.unroll(CELL, p, XS, mr.CellState(None, None)), ValueError, r"got CellState\(drive=None, core=None\)"),
        (lambda p: CELL.step(p, CELL.initial_state(p), jnp.ones(4)), ValueError, "x has 4 features"),
        (lambda p: CELL.step(p, CELL.initial_state(p), 1.0), TypeError, "x must be an array"),
        (lambda p: CELL.step(p, CELL.initial_state(p, (1,)), jnp.ones(3)), ValueError, "state.drive.velocity must be"),
        (lambda p: CELL.initial_state(p, 2), TypeError, r"batch_shape must be a tuple of sizes"),
        (lambda p: CELL.initial_state(p, (-1,)), ValueError, "batch_shape must be an integer of at least 0, got -1"),
        (lambda p: CELL.init(0, 3), TypeError, r"key must be one random key, such as jax.random.key\(0\), got 0"),
        (lambda p: CELL.init(jax.random.split(jax.random.key(0), 3), 3), TypeError, "key must be one random key"),
        (lambda p: CELL.init(jnp.zeros(3, jnp.uint32), 3), TypeError, "key must be one random key"),
        (lambda p: CELL.init(jax.random.key(0), 3, "float23"), TypeError, "dtype must be a floating-point dtype.* got 'float23'"),
        (lambda p: CELL.step(p, CELL.initial_state(p), jnp.ones(3, int)), TypeError, "x must have a floating-point dtype"),
        (lambda p: CELL.init(jax.random.key(0), 0), ValueError, "in_features must be an integer of at least 1, got 0"),
        (lambda p: CELL.init(jax.random.key(0), 3, jnp.int32), TypeError, "dtype must be a floating-point dtype"),
        (lambda p: mr.Cell("lstm"), TypeError, "core must be an instance of Core, got 'lstm'"),
        (lambda p: mr.Cell(mr.LSTM(4), "momentum"), TypeError, "drive must be an instance of Drive, got 'momentum'"),
        (lambda p: mr.Cell(mr.Momentum(), mr.LSTM(4)), TypeError, "core must be an instance of Core"),
        (lambda p: mr.ReleasedNesterovLSTM(mr.GRU(4)), TypeError, "core must be an instance of LSTM"),
        (lambda p: mr.ReleasedNesterovLSTM(mr.LSTM(4), 1.0, restart=0), ValueError, "restart must be an integer of at least 1"),
        (
            lambda p: mr.momentum_lstm(4, beta=0.5),
            TypeError,
            "momentum_lstm: got an unexpected keyword argument 'beta'; the signature",
        ),
        (lambda p: mr.momentum_lstm(4, mu=2), ValueError, r"mu must be in \[0, 1\), got 2"),
        (
            lambda p: mr.unroll(mr.momentum_lstm(4, mu=np.full(4, 0.5)), p, XS),
            ValueError,
            r"mu must be a scalar or broadcast against the gates",
        ),
    ],
)
def test_bad_input_is_refused_where_it_enters(params, call, error, message):
    with pytest.raises(error, match=message):
        call(params)


def test_refusals_hold_under_jit(params):
    with pytest.raises(ValueError, match="xs has 5 features"):
        jax.jit(mr.unroll)(CELL, params, jnp.ones((6, 2, 5)))


def test_released_nesterov_has_no_fast_path(params):
    cell = mr.ReleasedNesterovLSTM(mr.LSTM(4), 0.9, restart=2)
    with pytest.raises(ValueError, match=r"method must not be 'chunked' here: the velocity .* contains the hidden"):
        mr.unroll(cell, params, XS, method="chunked")
    assert_close(mr.unroll(cell, params, XS), mr.unroll(cell, params, XS, method="stepwise"), 0)


def test_without_cuda_and_kernels_auto_takes_the_chunked_path(without_native, params, monkeypatch):
    """Seen in the program: only the chunked path projects all time steps in one product."""
    monkeypatch.setattr(cudnn_support, "on_cuda", lambda: False)

    def text(method):
        return str(jax.make_jaxpr(lambda xs: mr.unroll(CELL, params, xs, method=method))(XS))

    assert text("auto") == text("chunked") != text("stepwise")


def test_an_empty_sequence_returns_the_state_as_it_is(params):
    state = jax.tree.map(lambda z: z + 0.5, CELL.initial_state(params, (2,)))
    for method in ("stepwise", "chunked"):
        final, hs = mr.unroll(CELL, params, XS[:0], state, method)
        assert hs.shape == (0, 2, 4)
        assert_close(final, state, 0)
    for remat in (4, "none"):
        assert_close(mr.unroll(CELL, params, XS[:0], state, "chunked", remat=remat), (state, hs), 0)


def test_two_batch_axes_equal_one(params):
    xs = jax.random.normal(jax.random.key(1), (6, 2, 3, 3))
    state, hs = mr.unroll(CELL, params, xs)
    flat_state, flat = mr.unroll(CELL, params, xs.reshape(6, 6, 3))
    assert_close(hs.reshape(6, 6, 4), flat, 1e-6)
    assert_close(jax.tree.map(lambda leaf: leaf.reshape(6, -1), state), flat_state, 1e-6)


def test_inputs_are_cast_to_the_parameters_dtype(params):
    assert mr.unroll(CELL, params, np.ones((6, 2, 3), np.float64))[1].dtype == jnp.float32
    assert mr.unroll(CELL, params, XS.astype(jnp.bfloat16))[1].dtype == jnp.float32


def test_seeds_train_together_under_vmap():
    keys = jax.random.split(jax.random.key(0), 2)
    stacked = jax.vmap(lambda key: CELL.init(key, 3))(keys)

    def loss(params):
        return jnp.sum(mr.unroll(CELL, params, XS)[1] ** 2)

    together = jax.vmap(jax.grad(loss))(stacked)
    for i, key in enumerate(keys):
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), jax.grad(loss)(CELL.init(key, 3)), 1e-5)


def test_forward_mode_agrees_with_reverse_mode(params):
    def last(x):
        return mr.unroll(CELL, params, XS + x.reshape(1, 1, 3))[1][-1].sum(0)

    assert_close(jax.jacfwd(last)(jnp.zeros(3)), jax.jacrev(last)(jnp.zeros(3)), 1e-5)


def test_replace_resolves_names_against_the_new_parts():
    assert CELL.replace(mu=0.3) == mr.momentum_lstm(4, mu=0.3)
    assert CELL.replace(drive=mr.RMSProp(), beta=0.3) == mr.rmsprop_lstm(4, beta=0.3)
    assert mr.lstm(4).replace(drive=mr.Momentum(), mu=0.3) == CELL.replace(mu=0.3)
    assert CELL.replace(core=mr.Leaky(4), tau=50.0, mu=0.1) == mr.Cell(mr.Leaky(4, tau=50.0), mr.Momentum(mu=0.1))
    assert CELL.replace(core=mr.GRU(3), hidden_features=5) == mr.momentum_gru(5)
    for changes, message in [
        ({"drive": mr.RMSProp(), "mu": 0.3}, "replace cannot change 'mu': it must be one of activation, beta, core"),
        ({"drive": mr.Momentum, "mu": 0.3}, "drive must be an instance of Drive, got"),
        ({"core": "lstm", "hidden_features": 3}, "core must be an instance of Core, got 'lstm'"),
    ]:
        with pytest.raises(TypeError, match=message):
            CELL.replace(**changes)


def test_the_leaves_of_a_cell_are_its_hyperparameters():
    assert jax.tree.leaves(CELL) == [0.6, 0.6]
    assert jax.tree.leaves(mr.lstm(4)) == []
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(CELL)] == [
        ".drive.mu",
        ".drive.step_size",
    ]
