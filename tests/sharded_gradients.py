"""Run by `test_sharded_gradients.py`: gradients taken inside `jax.shard_map`, of cells whose drive counts its steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import momentum_rnn_jax as mr
from tests import user_cores, user_drives
from tests.registry import HIDDEN

BATCH, TIME, F = 8, 5, 3
CELLS = {
    "nesterov_rnn": (mr.nesterov_rnn(4), jnp.float32),
    "nesterov_lstm in bfloat16": (mr.nesterov_lstm(4), jnp.bfloat16),
    "nesterov_lstm per gate": (mr.nesterov_lstm(4, step_size=np.linspace(0.5, 1.0, 16)), jnp.float32),
    "optax": (mr.Cell(mr.GRU(4), mr.OptaxDrive(optax.scale_by_adam(b1=0.5, b2=0.9, eps=0.1))), jnp.float32),
    "clock alone": (mr.Cell(user_cores.Gated(HIDDEN), user_drives.WarmUp()), jnp.float32),
}


def check(name, devices):
    """The gradients of a loss over the whole batch, with the batch over `devices`, equal those of one device by the reference."""
    cell, dtype = CELLS[name]
    params = cell.init(jax.random.key(0), F, dtype)
    xs = jax.random.normal(jax.random.key(1), (TIME, BATCH, F), dtype)
    lengths = 1 + jnp.arange(BATCH, dtype=jnp.int32) % TIME

    def gradients(params, xs, lengths, method="auto"):
        def loss(params, xs):
            state, ys = mr.unroll(cell, params, xs, method=method, seq_lengths=lengths)
            return jnp.sum(ys.astype(jnp.float32) ** 2), state

        return jax.grad(loss, (0, 1), has_aux=True)(params, xs)

    over_batch = P(None, "data")
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    # What all devices share gets the sum of their gradients.
    specs = {"in_specs": (P(), over_batch, P("data")), "out_specs": ((P(), over_batch), P("data"))}
    actual = jax.jit(jax.shard_map(gradients, mesh=mesh, **specs))(params, xs, lengths)
    expected = jax.jit(gradients, static_argnames="method")(params, xs, lengths, method="stepwise")
    tolerance = 1e-5 if dtype == jnp.float32 else 0.03  # 8 bits, summed in another order
    for (path, e), a in zip(jax.tree.leaves_with_path(expected), jax.tree.leaves(actual), strict=True):
        e, a = (np.asarray(leaf, np.float64) for leaf in (e, a))
        assert np.abs(a - e).max() <= tolerance * np.abs(e).max(), f"{name}{jax.tree_util.keystr(path)}"


def main():
    for name in CELLS:
        check(name, jax.devices())
        print(name, "on", len(jax.devices()))


if __name__ == "__main__":
    main()
