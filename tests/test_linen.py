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

    nnx.update(nnx_rnn.cell, variables["params"]["cell"])
    assert_close(*both(nnx_rnn, variables), TOLERANCE)


def test_a_learnable_cell_starts_where_the_drive_is_and_learns():
    rnn, xs = mlinen.RNN(make_linen("MomentumLSTMCell", mu=0.37, learnable="per_unit")), inputs(2, T, F)
    variables = jax.jit(rnn.init)(jax.random.key(0), xs)
    assert jax.tree.map(jnp.shape, variables["params"]["cell"]["learnt"]) == {"drive": {"mu": (4 * H,), "step_size": (4 * H,)}}
    fixed = mlinen.RNN(make_linen("MomentumLSTMCell", mu=0.37))
    start = {"params": {"cell": {k: v for k, v in variables["params"]["cell"].items() if k != "learnt"}}}
    # The same method for both: fast paths differ in rounding between one μ and one for each unit.
    stepwise = rnn.clone(method="stepwise"), fixed.clone(method="stepwise")
    assert_close(stepwise[0].apply(variables, xs), stepwise[1].apply(start, xs), 0)
    grads = jax.jit(jax.grad(lambda v: rnn.apply(v, xs).sum()))(variables)["params"]["cell"]["learnt"]["drive"]
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
    with pytest.raises(TypeError, match=r"cell must be an instance of CellModule, got flax\.linen\.recurrent\.GRUCell"):
        mlinen.RNN(flax.linen.GRUCell(H)).init(jax.random.key(0), inputs(2, T, F))
    with pytest.raises(TypeError, match=r"inputs must be an array of shape \(\.\.\., features\), got \[1\.0\]"):
        mlinen.RNN(make_linen("LSTMCell")).init(jax.random.key(0), [1.0])
    with pytest.raises(ValueError, match="so at least 1 axis"):
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


def names(layer):
    """The parameters of a layer that holds layers in a list, under the names that Linen has for them."""
    params = params_of(layer)
    return params | {f"layers_{number}": one for number, one in params.pop("layers").items()} if "layers" in params else params


def test_layers_of_layers_compute_the_same_in_both():
    def layers(rnn, bidirectional, make):
        below = bidirectional(rnn(make(F, "MomentumLSTMCell")), rnn(make(F, "GRUCell")))
        return [below, rnn(make(2 * H, "AdamLSTMCell"), reverse=True)]

    def make_nnx(in_features, name):
        return getattr(mnnx, name)(in_features, H, rngs=nnx.Rngs(0))

    ours = mnnx.Stack(layers(mnnx.RNN, mnnx.Bidirectional, make_nnx), return_carry=True)
    in_linen = mlinen.Stack(layers(mlinen.RNN, mlinen.Bidirectional, lambda _, name: make_linen(name)), return_carry=True)
    params, xs, lengths = names(ours), inputs(2, T, F), jnp.array([T, 2])
    shapes = jax.eval_shape(in_linen.init, jax.random.key(0), xs)["params"]
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(jnp.shape, params)
    one, other = nnx.jit(
        lambda ours, params: (ours(xs, seq_lengths=lengths), in_linen.apply({"params": params}, xs, seq_lengths=lengths))
    )(ours, params)
    assert_close(other, one, TOLERANCE)


def test_weight_drop_masks_the_recurrent_kernel_once_per_sequence():
    cell, xs, key = mlinen.WeightDrop(make_linen("MomentumLSTMCell"), 0.5), inputs(2, T, F), {"dropout": jax.random.key(1)}
    variables = cell.init(jax.random.key(0), cell.initialize_carry(None, (2, F)), xs[:, 0], deterministic=True)
    kernel = variables["params"]["cell"]["core"]["kernel"]
    dropped = cell.bind(variables, rngs=key).functional(F, False)[1]["core"]["kernel"]
    assert 0.2 < (dropped == 0).mean() < 0.8
    assert_close(dropped[dropped != 0], 2 * kernel[dropped != 0], 1e-6)
    rnn, plain, of_rnn = mlinen.RNN(cell), mlinen.RNN(cell.cell), {"params": {"cell": variables["params"]}}
    assert_close(rnn.apply(of_rnn, xs, deterministic=True), plain.apply(variables, xs), 0)
    gradients = jax.jit(jax.grad(lambda v: rnn.apply(v, xs, deterministic=False, rngs=key).sum()))(of_rnn)
    kernel_gradient = gradients["params"]["cell"]["cell"]["core"]["kernel"]
    assert 0.2 < (kernel_gradient == 0).mean() < 0.8  # one mask for the whole sequence
    assert cell.bind(variables).effective.drive.mu == 0.6
    with pytest.raises(TypeError, match="an orthogonal core has none"):
        mlinen.RNN(mlinen.WeightDrop(make_linen("OrthogonalCell"), 0.5)).init(jax.random.key(0), xs)
    with pytest.raises(TypeError, match="cell must be an instance of RecurrentCell"):
        mlinen.WeightDrop(cell, 0.5)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got 1.5"):
        mlinen.WeightDrop(make_linen("LSTMCell"), 1.5)


def test_locked_dropout_keeps_its_mask_over_time():
    for time_major, axis in ((False, -2), (True, 0)):
        dropout = mlinen.LockedDropout(0.5, time_major=time_major, deterministic=False)
        y = dropout.apply({}, jnp.ones((8, 5, 32)), rngs={"dropout": jax.random.key(0)})
        assert_close(y, jnp.broadcast_to(jnp.take(y, jnp.array([0]), axis), y.shape), 0)
        assert set(y.ravel().tolist()) == {0.0, 2.0}
    stack = mlinen.Stack([mlinen.RNN(make_linen("LSTMCell"))], dropout=dropout)
    with pytest.raises(ValueError, match=r"dropout\.time_major must be that of the call, False, got True"):
        stack.init(jax.random.key(0), inputs(2, T, F))


def test_layers_of_layers_refuse():
    rnn, first = mlinen.RNN(make_linen("LSTMCell")), mlinen.RNN(make_linen("LSTMCell"), time_major=True)
    with pytest.raises(TypeError, match=r"layers must be a sequence of at least one RNN or Bidirectional, got .."):
        mlinen.Stack([])
    with pytest.raises(ValueError, match="time_major must be the same"):
        mlinen.Stack([rnn, first])
    with pytest.raises(ValueError, match="time_major must be the same"):
        mlinen.Bidirectional(rnn, first)
    with pytest.raises(TypeError, match="dropout must be a module"):
        mlinen.Stack([rnn], dropout=0.5)
    with pytest.raises(TypeError, match="merge_fn must be a function of the two outputs, got 3"):
        mlinen.Bidirectional(rnn, rnn, merge_fn=3)
    with pytest.raises(TypeError, match="reverse must be None for layers of layers"):
        mlinen.Bidirectional(rnn, mlinen.RNN(make_linen("GRUCell"))).init(jax.random.key(0), inputs(2, T, F), reverse=True)
