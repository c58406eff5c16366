"""Cores of one family each, for the registry; and how a core is compared with a definition of its own."""

import jax
import jax.numpy as jnp
import numpy as np

import momentum_rnn_jax as mr

HIDDEN = 5

NEW_CORES = {
    "lstmp": mr.LSTM(HIDDEN, projection_features=3, peepholes=True),
    "relu_gru": mr.GRU(HIDDEN, activation="relu"),
    "layer_norm_gru": mr.LayerNorm(mr.GRU(HIDDEN), eps=0.1),
    "layer_norm_orthogonal": mr.LayerNorm(mr.Orthogonal(HIDDEN, mapping="cayley"), eps=0.1),
    "layer_norm_lstm": mr.LayerNormLSTM(HIDDEN, eps=0.1, per_gate=True),
    "assorted_time_lstm": mr.Normalized(mr.LSTM(HIDDEN), mr.AssortedTime(3, eps=0.1)),
    "assorted_time_gru": mr.Normalized(mr.GRU(HIDDEN), mr.AssortedTime(2, eps=0.1, per_gate=True), inner_bias=True),
    "leaky": mr.Leaky(HIDDEN, activation="sigmoid", tau=100.0, dt=30.0, noise=0.1),
    "min_gru": mr.MinGRU(HIDDEN),
    "min_lstm": mr.MinLSTM(HIDDEN, activation="positive"),
    "hippo_rnn": mr.HiPPORNN(
        **{"hidden_features": HIDDEN, "memory_size": 2, "memory_order": 3, "memory_feedback": True, "hidden_feedback": True},
        **{"discretization": "backward", "init_t": 1},  # every step's Jacobian is regular, as the analysis needs
    ),
    "zoneout": mr.Zoneout(mr.LSTM(HIDDEN), rate={"c": 0.4, "h": 0.1}),
    "recurrent_dropout": mr.RecurrentDropout(mr.Zoneout(mr.GRU(HIDDEN), rate=0.2), rate=0.3),
}

IMAGE, CHANNELS = (3, 2), 2  # of the convolutional cores, in which F is 4 as elsewhere
CONV_CORES = {
    "conv_elman": mr.ConvElman(CHANNELS, IMAGE, (2, 3), layer_norm=True, eps=0.1),
    "conv_gru": mr.ConvGRU(CHANNELS, IMAGE, (2, 2)),
    "conv_lstm": mr.ConvLSTM(CHANNELS, IMAGE, (3, 2), peepholes=True),
    "conv_ugrnn": mr.ConvUGRNN(CHANNELS, IMAGE, padding="CIRCULAR"),
    "conv_intersection": mr.ConvIntersection(4, IMAGE, (2, 2)),
    "reciprocal": mr.ReciprocalGated(CHANNELS, IMAGE, (2, 2), cell_features=3, residual_features=2),
    "separable_reciprocal": mr.SeparableReciprocalGated(
        CHANNELS,
        IMAGE,
        cell_features=3,
        output_kernel_size=(2, 1),
        tau_kernel_size=(2, 2),
        gate_kernel_size=(1, 2),
        feedback_kernel_size=(2, 2),
        residual=True,
        feedback_features=1,
    ),
}
NEW_CORES |= CONV_CORES

TIME, BATCH = 2, 2


def sigmoid(xp, x):
    return 1 / (1 + xp.exp(-x))


def normal(tree, seed, scale=1.0):
    """Random arrays in the place of the leaves, float64."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(scale * random.normal(size=leaf.shape)), tree)


def assert_follows(core, step, noise=None):
    """`core` is what `step` says, one example and step at a time: values in NumPy, gradients by `jax.grad` of the same loop.

    `step(xp, core, params, state, d, noise) -> (state, y)` is given NumPy or `jax.numpy`, and the core for its hyper-parameters.
    """
    core = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), core)
    params = normal({name: jax.ShapeDtypeStruct(shape, float) for name, shape in core.param_shapes().items()}, 0)
    state = normal(jax.eval_shape(lambda p: core.initial_state(core.prepare(p), (BATCH,), float), params), 1)
    ds, weights = normal(
        [jax.ShapeDtypeStruct((TIME, BATCH, size), float) for size in (core.drive_features, core.output_features)], 2
    )

    def of_core(core, params, state, ds):
        prepared = core.prepare(params)
        final, ys = jax.lax.scan(lambda state, inputs: core.step(prepared, state, *inputs), state, (ds, noise))
        return jnp.sum(ys * weights) + sum(jnp.sum(leaf) for leaf in jax.tree.leaves(final)), (final, ys)

    def of_loop(xp, core, params, state, ds):
        examples = []
        for b in range(BATCH):
            now, ys = jax.tree.map(lambda leaf, b=b: leaf[b], state), []
            for t in range(TIME):
                now, y = step(xp, core, params, now, ds[t, b], jax.tree.map(lambda leaf, t=t, b=b: leaf[t, b], noise))
                ys.append(y)
            examples.append((now, xp.stack(ys)))
        final, ys = jax.tree.map(lambda *leaves: xp.stack(leaves), *examples)
        ys = xp.swapaxes(ys, 0, 1)
        return xp.sum(ys * xp.asarray(weights)) + sum(xp.sum(leaf) for leaf in jax.tree.leaves(final)), (final, ys)

    given = (core, params, state, ds)
    (_, values), gradients = jax.jit(jax.value_and_grad(of_core, argnums=(0, 1, 2, 3), has_aux=True))(*given)
    _, expected = of_loop(np, *jax.tree.map(np.asarray, given))
    close(values, expected)
    (expected, _) = jax.jit(jax.grad(lambda *given: of_loop(jnp, *given), argnums=(0, 1, 2, 3), has_aux=True))(*given)
    close(gradients, expected)


def close(actual, expected, rtol=1e-12):
    """Equal to `rtol`, relative to the largest entry of each leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(e)
        assert np.abs(np.asarray(a) - np.asarray(e)).max() <= rtol * np.abs(np.asarray(e)).max()
