"""The recurrent products of a training step and hardly anything else, as XLA runs them here: `python -m benchmarks.floor`.

An LSTM's training step has a product at every step of time forwards, one backwards, and the weights' gradient, for which whole
chunks of steps are multiplied; the products of the projection, which do not go step by step, are left out. Each is timed alone,
in a `jax.lax.scan` that hands its result on, so that XLA can neither move it out of the loop nor run two at once.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

import momentum_rnn_jax
from benchmarks.jax_contestant import compile_timed
from benchmarks.problem import Shape
from benchmarks.settings import Settings
from benchmarks.suites import SHAPES
from benchmarks.timing import interleaved

GATES = 4
XLA_OPTIONS: dict[str, dict[str, str | bool]] = {"XLA's choice": {}, "Eigen": {"xla_cpu_experimental_ynn_fusion_type": ""}}


def products(shape: Shape) -> dict[str, tuple[Callable[[jax.Array, jax.Array], jax.Array], jax.Array, jax.Array]]:
    """What is timed: a function of two matrices, and the two."""
    B, T, F, H = shape
    cell, xs = momentum_rnn_jax.lstm(H), jax.ShapeDtypeStruct((T, B, F), jnp.float32)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), F))
    chunk = momentum_rnn_jax.resolve(cell, params, xs, method="chunked").plan.chunk or T
    random = jax.random.split(jax.random.key(0), 4)
    U = jax.random.normal(random[0], (H, GATES * H)) / H
    h, dz = jax.random.normal(random[1], (B, H)), jax.random.normal(random[2], (B, GATES * H))
    hs, dzs = jax.random.normal(random[3], (chunk * B, H)), jnp.tile(dz, (chunk, 1))

    def forwards(h: jax.Array, U: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda h, _: ((h @ U)[:, :H], None), h, length=T)[0]

    def backwards(dz: jax.Array, UT: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda dz, _: (jnp.tile(dz @ UT, (1, GATES)), None), dz, length=T)[0]

    def gradient(hs: jax.Array, dzs: jax.Array) -> jax.Array:
        def add(total: jax.Array, _: None) -> tuple[jax.Array, None]:
            return total + jax.lax.dot_general(hs + total[0, 0], dzs, (((0,), (0,)), ((), ()))), None

        return jax.lax.scan(add, jnp.zeros((H, GATES * H)), length=T // chunk)[0]

    return {"forwards": (forwards, h, U), "backwards": (backwards, dz, U.T), "weights": (gradient, hs, dzs)}


def main(shapes: Sequence[Shape] = SHAPES, rounds: int = 5) -> None:
    """Print a Markdown table."""
    print(f"float32, {jax.devices()[0].device_kind}, jax {jax.__version__}; medians of {rounds} rounds, ms (GFLOP/s)\n")
    print("| (batch, time, features, hidden) | products | forwards | backwards | weights | together |")
    print("|---|---|---:|---:|---:|---:|")
    for shape in shapes:
        B, T, _, H = shape
        calls = {}
        for how, options in XLA_OPTIONS.items():
            for name, (function, a, b) in products(shape).items():
                compiled, _ = compile_timed(function, Settings(options), a, b)
                calls[f"{how}/{name}"] = lambda compiled=compiled, a=a, b=b: jax.block_until_ready(compiled(a, b))
        seconds = {name: sorted(samples)[rounds // 2] for name, samples in interleaved(calls, rounds).items()}
        operations = 2 * B * T * H * GATES * H
        for how in XLA_OPTIONS:
            found = [seconds[f"{how}/{name}"] for name in ("forwards", "backwards", "weights")]
            cells = [f"{1e3 * s:.1f} ({operations / s / 1e9:.0f})" for s in found]
            print(f"| {shape} | {how} | {' | '.join(cells)} | {1e3 * sum(found):.1f} |", flush=True)


if __name__ == "__main__":
    main()
