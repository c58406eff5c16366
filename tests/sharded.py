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
CELLS = {"scheduled_restart_lstm": mr.scheduled_restart_lstm(H), "momentum_dtriv": mr.momentum_dtriv(H)}


def close(name, actual, expected):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(e), rtol=1e-4, atol=1e-5, err_msg=name)
    print(name, "ok")


def main():
    assert len(jax.devices()) == 8
    for name, cell in CELLS.items():
        params = cell.init(jax.random.key(0), F)
        xs = jax.random.normal(jax.random.key(1), (TIME, BATCH, F))
        lengths = jnp.arange(BATCH, dtype=jnp.int32) % (TIME + 1)

        def loss(params, xs, lengths, cell=cell):
            return jnp.sum(mr.unroll(cell, params, xs, seq_lengths=lengths)[1] ** 2)

        def states_and_outputs(params, xs, cell=cell):
            return mr.unroll(cell, params, xs)

        expected = jax.value_and_grad(loss)(params, xs, lengths)
        outputs = states_and_outputs(params, xs)
        for kind in (AxisType.Auto, AxisType.Explicit):
            mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
            with jax.set_mesh(mesh):
                split = jax.device_put(xs, NamedSharding(mesh, P(None, "data")))
                split_lengths = jax.device_put(lengths, NamedSharding(mesh, P("data")))
                whole = jax.device_put(params, NamedSharding(mesh, P()))
                close(f"{name} {kind}", jax.jit(jax.value_and_grad(loss))(whole, split, split_lengths), expected)
                state, hs = jax.jit(states_and_outputs)(whole, split)
                close(f"{name} {kind} outputs", (state, hs), outputs)
                assert hs.sharding.is_equivalent_to(split.sharding, hs.ndim), hs.sharding

        mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

        @jax.jit
        @jax.shard_map(mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P(None, "data"))
        def shard(params, xs, cell=cell):
            return mr.unroll(cell, params, xs)[1]

        close(f"{name} shard_map", shard(params, xs), outputs[1])

        @jax.jit
        @jax.shard_map(mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))
        def shard_over_seeds(params, xs, cell=cell):
            return jax.vmap(lambda params: mr.unroll(cell, params, xs)[1])(params)

        keys = jax.random.split(jax.random.key(2), 8)
        seeds = jax.vmap(lambda key, cell=cell: cell.init(key, F))(keys)
        alone = jax.vmap(lambda params, cell=cell, xs=xs: mr.unroll(cell, params, xs)[1])(seeds)
        close(f"{name} shard_map over seeds", shard_over_seeds(seeds, xs), alone)

    def create():
        return mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(0)))

    xs = jax.random.normal(jax.random.key(1), (BATCH, TIME, F))
    lengths = jnp.arange(BATCH, dtype=jnp.int32) % (TIME + 1)
    resets = jnp.zeros((BATCH, TIME), bool).at[:, 2].set(True)

    def run(rnn, xs, lengths, resets):
        carry = rnn.cell.initialize_carry((BATCH, F))
        return nnx.value_and_grad(
            lambda rnn: jnp.sum(rnn(xs, initial_carry=carry, seq_lengths=lengths, resets=resets, reverse=True) ** 2)
        )(rnn)

    expected = run(create(), xs, lengths, resets)
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
        with jax.set_mesh(mesh):
            split = [jax.device_put(array, NamedSharding(mesh, P("data"))) for array in (xs, lengths, resets)]
            close(f"nnx {kind}", nnx.jit(run)(create(), *split), expected)


if __name__ == "__main__":
    main()
