"""Run by `test_sharding.py` on eight host devices: data-parallel outputs and gradients equal those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import momentum_rnn_jax as mr
from momentum_rnn_jax import nnx as mnnx

BATCH, TIME, F, H = 16, 5, 3, 4
LENGTHS = np.arange(BATCH, dtype=np.int32) % (TIME + 1)
RESETS = np.broadcast_to(np.arange(TIME) == 2, (BATCH, TIME))


def close(name, actual, expected):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(e), rtol=1e-4, atol=1e-5, err_msg=name)
    print(name, "ok")


def meshes(*kinds):
    for kind in kinds:
        mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
        with jax.set_mesh(mesh):
            yield kind, lambda array, *axes, mesh=mesh: jax.device_put(array, NamedSharding(mesh, P(*axes)))


def check_axes(name, cell, *kinds):
    """Outputs, states and gradients with each kind of axes."""

    @jax.jit
    def run(params, xs, lengths):
        def loss(params, xs):
            return jnp.sum(mr.unroll(cell, params, xs, seq_lengths=lengths)[1] ** 2)

        return jax.value_and_grad(loss, (0, 1))(params, xs), mr.unroll(cell, params, xs)

    params, xs = cell.init(jax.random.key(0), F), jax.random.normal(jax.random.key(1), (TIME, BATCH, F))
    expected = run(params, xs, LENGTHS)
    for kind, put in meshes(*kinds):
        split = put(xs, None, "data")
        actual = run(put(params), split, put(LENGTHS, "data"))
        close(f"{name} {kind}", actual, expected)
        hs = actual[1][1]
        assert hs.sharding.is_equivalent_to(split.sharding, hs.ndim), hs.sharding


def check_shard_map_over_the_batch(name, cell):
    @jax.jit
    def run(params, xs):
        return mr.unroll(cell, params, xs)

    params, xs = cell.init(jax.random.key(0), F), jax.random.normal(jax.random.key(1), (TIME, BATCH, F))
    expected = run(params, xs)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = jax.shard_map(run, mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=(P("data"), P(None, "data")))
    close(f"{name} shard_map over the batch", jax.jit(split)(params, xs), expected)


def check_shard_map_over_seeds(name, cell):
    @jax.jit
    def run(params, xs):
        return jax.vmap(lambda params: mr.unroll(cell, params, xs)[1])(params)

    params = jax.jit(jax.vmap(lambda key: cell.init(key, F)))(jax.random.split(jax.random.key(2), 8))
    xs = jax.random.normal(jax.random.key(1), (TIME, BATCH, F))
    mesh = jax.make_mesh((8,), ("seeds",), axis_types=(AxisType.Auto,))
    split = jax.shard_map(run, mesh=mesh, in_specs=(P("seeds"), P()), out_specs=P("seeds"))
    close(f"{name} shard_map over seeds", jax.jit(split)(params, xs), run(params, xs))


def check_gradients_of_seeds(name, cell):
    """Each device has a seed of its own, and the inputs are on all."""

    @jax.jit
    def run(params, xs):
        return jax.vmap(jax.grad(lambda params: jnp.sum(mr.unroll(cell, params, xs)[1] ** 2)))(params)

    params = jax.jit(jax.vmap(lambda key: cell.init(key, F)))(jax.random.split(jax.random.key(2), 8))
    xs = jax.random.normal(jax.random.key(1), (TIME, BATCH, F))
    expected = run(params, xs)
    for kind, put in meshes(AxisType.Auto, AxisType.Explicit):
        split = jax.tree.map(lambda leaf, put=put: put(leaf, "data"), params)
        close(f"{name} gradients of seeds {kind}", run(split, xs), expected)


def check_nnx():
    """The layer's gradients and outputs with lengths, resets, backwards, from a given carry."""

    @nnx.jit
    def run(rnn, xs, lengths, resets):
        carry = rnn.cell.initialize_carry((BATCH, F))

        def loss(rnn):
            return jnp.sum(rnn(xs, initial_carry=carry, seq_lengths=lengths, resets=resets, reverse=True) ** 2)

        return nnx.value_and_grad(loss)(rnn)

    def create():
        return mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(0)))

    arrays = jax.random.normal(jax.random.key(1), (BATCH, TIME, F)), LENGTHS, RESETS
    expected = run(create(), *arrays)
    for kind, put in meshes(AxisType.Auto, AxisType.Explicit):
        close(f"nnx {kind}", run(create(), *(put(array, "data") for array in arrays)), expected)


def main():
    assert len(jax.devices()) == 8
    lstm, dtriv = mr.scheduled_restart_lstm(H), mr.momentum_dtriv(H)
    check_axes("scheduled_restart_lstm", lstm, AxisType.Auto, AxisType.Explicit)
    check_axes("momentum_dtriv", dtriv, AxisType.Explicit)
    check_shard_map_over_the_batch("scheduled_restart_lstm", lstm)
    check_shard_map_over_seeds("momentum_dtriv", dtriv)
    check_gradients_of_seeds("momentum_lstm", mr.momentum_lstm(H))
    check_nnx()


if __name__ == "__main__":
    main()
