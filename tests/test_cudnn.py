"""cuDNN's LSTM without a GPU: its two calls are replaced by JAX's reference of what they compute, in their own layout."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import rnn

import momentum_rnn_jax as mr
from momentum_rnn_jax import chunked, cudnn
from tests.registry import CELLS, assert_close, problem

CELL_NAMES = ["identity-lstm", "momentum-lstm", "adam-lstm"]


@pytest.fixture
def imitated(monkeypatch):
    """The calls that were made, by name."""
    calls = []

    def reference(x, h, c, flat, lengths, *sizes):
        weights = rnn.unpack_lstm_weights(flat, *sizes[:3], sizes[4])
        return rnn.lstm_ref(x, h, c, *weights, lengths, *sizes[:5])

    def lstm_fwd(x, h, c, flat, lengths, *sizes):
        calls.append("forward")
        ys, *last = reference(x, h, c, flat, lengths, *sizes)
        return (ys, *last), (x, h, c, flat, lengths, ys, jnp.ones(7))

    def lstm_bwd(*args):
        *sizes, residuals, cotangents = args
        calls.append("backward")
        x, h, c, flat, lengths, ys, reserve = residuals
        assert reserve.shape == (7,)
        outputs, pull = jax.vjp(lambda x, h, c, flat: reference(x, h, c, flat, lengths, *sizes), x, h, c, flat)
        assert ys.shape == outputs[0].shape
        return *pull(cotangents), jnp.zeros_like(lengths)

    monkeypatch.setattr(rnn, "lstm_fwd", lstm_fwd)
    monkeypatch.setattr(rnn, "lstm_bwd", lstm_bwd)
    monkeypatch.setattr(cudnn, "on_cuda", lambda: True)
    monkeypatch.setattr(cudnn, "_by_platform", lambda *args, cuda, default: cuda(*args))
    return calls


def small(name, **sizes):
    cell = CELLS[name]
    return cell, *problem(cell, jnp.float32, **sizes)[:2]


def loss(cell, params, xs, state=None, **how):
    final, hs = mr.unroll(cell, params, xs, state, **how)
    weights = jnp.cos(jnp.arange(hs.size, dtype=hs.dtype)).reshape(hs.shape)
    return (hs * weights).sum() + (final.core.c**2).sum() + sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(final.drive))


@pytest.mark.parametrize("name", CELL_NAMES)
@pytest.mark.parametrize("given", [False, True])
def test_it_computes_what_stepwise_does(imitated, name, given):
    cell, params, xs = small(name, batch=(2, 3))
    state = mr.unroll(cell, params, 2 * xs, method="stepwise")[0] if given else None
    gradients = jax.grad(loss, argnums=(0, 1, 2, 3) if given else (0, 1, 2))
    results = mr.unroll(cell, params, xs, state)
    assert imitated
    assert_close(results, mr.unroll(cell, params, xs, state, "stepwise"), 1e-5)
    assert_close(gradients(cell, params, xs, state), gradients(cell, params, xs, state, method="stepwise"), 1e-4)
    assert "backward" in imitated


@pytest.mark.parametrize("name", CELL_NAMES[1:])
def test_forward_mode_and_second_derivatives(imitated, name):
    cell, params, xs = small(name, time=3, batch=(1,))
    xs = xs[..., :1]
    params["input"]["kernel"] = params["input"]["kernel"][:1]

    def f(bias, method):
        return loss(cell, {**params, "core": {**params["core"], "bias": bias}}, xs, method=method)

    @functools.partial(jax.jit, static_argnames="method")
    def derivatives(bias, method):
        g = functools.partial(f, method=method)
        return jax.jacfwd(g)(bias), jax.hessian(g)(bias), jax.jacrev(jax.jacrev(g))(bias)

    bias = params["core"]["bias"]
    assert_close(derivatives(bias, "auto"), derivatives(bias, "stepwise"), 1e-4)


def test_vmap_over_weights_runs_the_chunks(imitated, monkeypatch):
    cell, params, xs = small("momentum-lstm")
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    together = jax.vmap(jax.grad(loss, 1), (None, 0, None))(cell, many, xs)
    for i in range(2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), jax.grad(loss, 1)(cell, one, xs, method="stepwise"), 1e-4)
    over_inputs = jax.vmap(lambda xs: mr.unroll(cell, params, xs)[1], 1, 1)(xs)
    assert_close(over_inputs, mr.unroll(cell, params, xs, method="stepwise")[1], 1e-5)


def test_auto_takes_it_where_it_can(imitated):
    cell, params, xs = small("momentum-lstm")
    explained = mr.explain(cell, params, xs)
    assert explained.startswith("cudnn: " if jax.device_count() == 1 else "chunked: ")
    assert mr.explain(cell, params, xs, "cudnn").startswith("cudnn: ")
    assert mr.explain(cell, params, xs, "chunked").startswith("chunked: ")
    mr.unroll(cell, params, xs, seq_lengths=jnp.array([2, 3, 1]))
    mr.unroll(cell, params, xs, remat=2)
    mr.unroll(mr.momentum_gru(5), mr.momentum_gru(5).init(jax.random.key(0), xs.shape[-1]), xs)
    assert not imitated


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (mr.momentum_gru(4), {}, "its core is GRU, cuDNN has the LSTM"),
        (mr.lstm(4), {"dtype": jnp.bfloat16}, "it computes in bfloat16, cuDNN's LSTM in float32"),
        (mr.lstm(4), {"seq_lengths": jnp.array([1, 2])}, "cuDNN knows neither resets nor how to stand still in padding"),
        (mr.lstm(4), {"remat": 2}, "remat must be 'auto'"),
        (mr.ReleasedNesterovLSTM(mr.LSTM(4)), {}, "contains the hidden state"),
    ],
)
def test_refusals(imitated, cell, options, message):
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=message):
        mr.unroll(cell, params, jnp.ones((5, 2, 3)), method="cudnn", **options)


def test_other_reasons(imitated):
    params, xs = mr.lstm(4).init(jax.random.key(0), 3), jnp.ones((5, 0, 3))
    with pytest.raises(ValueError, match="nobody is in the batch"):
        mr.unroll(mr.lstm(4), params, xs, method="cudnn")
    with jax.default_matmul_precision("bfloat16"), pytest.raises(ValueError, match="jax_default_matmul_precision is 'bfloat16'"):
        mr.unroll(mr.lstm(4), params, jnp.ones((5, 2, 3)), method="cudnn")


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="says what is refused without a GPU")
def test_without_cuda_it_is_refused():
    params = mr.lstm(4).init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="method must not be 'cudnn' here: JAX runs on cpu, not on CUDA"):
        mr.unroll(mr.lstm(4), params, jnp.ones((5, 2, 3)), method="cudnn")


def test_elsewhere_than_on_cuda_a_program_runs_the_chunks(imitated, monkeypatch):
    """A program may be compiled for the CPU on a machine with a GPU."""
    monkeypatch.setattr(cudnn, "_by_platform", jax.lax.platform_dependent)
    cell, params, xs = small("momentum-lstm")
    monkeypatch.setattr(chunked, "ROWS", 2)
    assert_close(jax.jit(jax.grad(loss, 1))(cell, params, xs), jax.grad(loss, 1)(cell, params, xs, method="stepwise"), 1e-4)
