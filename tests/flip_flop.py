"""The 3-bit flip-flop: each of three outputs is the sign of the last pulse on its input."""

import jax
import jax.numpy as jnp
import optax

import momentum_rnn_jax as mr
from tests.flax_cells import standard_promotion

TIME, BATCH, BITS = 40, 64, 3


def sequences(key):
    """Inputs and targets, each (TIME, BATCH, BITS); every bit is set at the first step, and by one step in ten after it."""
    when, which = jax.random.split(key)
    pulses = jax.random.bernoulli(when, 0.1, (TIME, BATCH, BITS)).at[0].set(True)
    xs = jnp.where(pulses, jax.random.rademacher(which, pulses.shape, jnp.float32), 0)

    def hold(bits, x):
        bits = jnp.where(x == 0, bits, x)
        return bits, bits

    return xs, jax.lax.scan(hold, xs[0], xs)[1]


def trained(core, steps):
    """A momentum cell with this core, its parameters, and a readout, (H, BITS), after so many steps of Adam on squared errors."""
    cell = mr.Cell(core, mr.Momentum(mu=0.5, step_size=0.5))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(5e-3))

    def loss(params, key):
        xs, ys = sequences(key)
        return jnp.mean((mr.unroll(cell, params["cell"], xs)[1] @ params["readout"] - ys) ** 2)

    def step(carry, key):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(keys):
        readout = 0.1 * jax.random.normal(keys[0], (core.hidden_features, BITS))
        params = {"cell": cell.init(keys[1], BITS), "readout": readout}
        return jax.lax.scan(step, (params, optimizer.init(params)), keys[2:])[0][0]

    with standard_promotion():
        params = train(jax.random.split(jax.random.key(0), steps + 2))
    return cell, params["cell"], params["readout"]
