"""The Linen modules: weights shared with NNX, learnable hyper-parameters, Flax's transformations, refusals."""

import flax.linen
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import TOLERANCE, F, H, T, inputs, make, make_linen, params_of, random_like
from tests.registry import assert_close


@pytest.mark.parametrize(
    ("name", "learnable"),
    [("MomentumLSTMCell", "per_unit"), ("AdamGRUCell", "scalar"), ("NesterovRNNCell", "per_unit"), ("OrthogonalCell", None)],
)
def test_weights_move_both_ways_and_compute_the_same(name, learnable):
    options = {} if learnable is None else {"learnable": learnable}
    nnx_rnn, linen_rnn, xs = mnnx.RNN(make(name, **options)), mlinen.RNN(make_linen(name, **options)), inputs(2, T, F)
    variables = jax.jit(linen_rnn.init)(jax.random.key(3), xs)
    both = nnx.jit(lambda rnn, variables: (rnn(xs), linen_rnn.apply(variables, xs)))

    held = random_like(params_of(nnx_rnn.cell))
    nnx.update(nnx_rnn.cell, held)
    assert_close(*both(nnx_rnn, {"params": {"cell": held}}), TOLERANCE)

    for part, values in variables["params"]["cell"].items():
        for key, value in values.items():
            getattr(getattr(nnx_rnn.cell, part), key)[...] = value
    assert_close(*both(nnx_rnn, variables), TOLERANCE)


def test_a_learnable_cell_starts_where_the_drive_is_and_learns():
    rnn, xs = mlinen.RNN(make_linen("MomentumLSTMCell", mu=0.37, learnable="per_unit")), inputs(2, T, F)
    variables = jax.jit(rnn.init)(jax.random.key(0), xs)
    assert jax.tree.map(jnp.shape, variables["params"]["cell"]["learnt"]) == {"mu": (4 * H,), "step_size": (4 * H,)}
    fixed = mlinen.RNN(make_linen("MomentumLSTMCell", mu=0.37))
    start = {"params": {"cell": {k: v for k, v in variables["params"]["cell"].items() if k != "learnt"}}}
    # The same method for both: fast paths differ in rounding between one μ and one for each unit.
    stepwise = rnn.clone(method="stepwise"), fixed.clone(method="stepwise")
    assert_close(stepwise[0].apply(variables, xs), stepwise[1].apply(start, xs), 0)
    grads = jax.jit(jax.grad(lambda v: rnn.apply(v, xs).sum()))(variables)["params"]["cell"]["learnt"]
    assert all(jnp.abs(g).min() > 0 for g in grads.values())


PER_UNIT = jnp.linspace(0.1, 0.9, 4 * H)
RNN_IN_JIT = flax.linen.jit(mlinen.RNN)


@pytest.mark.parametrize("options", [{"learnable": "per_unit"}, {"mu": PER_UNIT}, {"mu": jnp.float32(0.3), "step_size": 2}])
def test_flax_jit_and_remat(options):
    xs, rnns = inputs(2, T, F), (mlinen.RNN, RNN_IN_JIT, flax.linen.remat(mlinen.RNN))
    plain, in_jit, in_remat = (rnn(make_linen("MomentumLSTMCell", **options)) for rnn in rnns)
    variables = jax.jit(plain.init)(jax.random.key(0), xs)
    expected = jax.jit(plain.apply)(variables, xs)
    assert_close(in_jit.apply(variables, xs), expected, TOLERANCE)
    assert_close(jax.jit(in_remat.apply)(variables, xs), expected, TOLERANCE)


def test_flax_jit_compiles_again_for_other_hyperparameters():
    xs = inputs(2, T, F)
    low, high = (RNN_IN_JIT(make_linen("MomentumLSTMCell", mu=mu)) for mu in (PER_UNIT, PER_UNIT[::-1]))
    variables = jax.jit(low.init)(jax.random.key(0), xs)
    assert not jnp.allclose(low.apply(variables, xs), high.apply(variables, xs), atol=1e-3)


def test_refusals():
    with pytest.raises(TypeError, match="MomentumLSTMCell: got an unexpected keyword argument 'beta'"):
        mlinen.MomentumLSTMCell(H, beta=0.5)
    with pytest.raises(ValueError, match=r"mu must be in \[0, 1\)"):
        mlinen.MomentumLSTMCell(H, mu=1.5)
    with pytest.raises(TypeError, match=r"cell must be an instance of RecurrentCell, got flax\.linen\.recurrent\.GRUCell"):
        mlinen.RNN(flax.linen.GRUCell(H)).init(jax.random.key(0), inputs(2, T, F))
    with pytest.raises(TypeError, match=r"inputs must be an array of shape \(\.\.\., features\), got \[1\.0\]"):
        mlinen.RNN(make_linen("LSTMCell")).init(jax.random.key(0), [1.0])
    with pytest.raises(ValueError, match="so at least 1 axes"):
        make_linen("LSTMCell").init(jax.random.key(0), None, jnp.ones(()))
    with pytest.raises(ValueError, match="features must be an integer of at least 1, got 0"):
        mlinen.LSTMCell(0)
    with pytest.raises(TypeError, match="input_shape must be a tuple of sizes"):
        make_linen("LSTMCell").initialize_carry(None, 3)
    with pytest.raises(TypeError, match="kernel_init must be a function of a key, a shape and a dtype, or None, got 3"):
        mlinen.RNN(make_linen("LSTMCell", kernel_init=3)).init(jax.random.key(0), inputs(2, T, F))


def test_initialisers_and_dtypes_are_used():
    ones, orthogonal = jax.nn.initializers.ones, jax.nn.initializers.orthogonal()
    cell = make_linen("LSTMCell", kernel_init=ones, recurrent_kernel_init=orthogonal, bias_init=ones, dtype=jnp.bfloat16)
    (carry, ys), variables = mlinen.RNN(cell, return_carry=True).init_with_output(jax.random.key(0), inputs(2, T, F))
    params = variables["params"]["cell"]
    for U in jnp.split(params["core"]["kernel"], 4, axis=1):
        assert_close(U @ U.T, jnp.eye(H), 1e-5)
    for leaf in (*params["input"].values(), params["core"]["bias"]):
        assert_close(leaf, jnp.ones_like(leaf), 0)
    assert ys.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((params, carry))} == {jnp.dtype(jnp.float32)}
