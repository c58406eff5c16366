"""Time a training step of each drive, by each method of `unroll`: `python -m benchmarks.run`.

A step is the loss on the last hidden state with all parameter gradients. The contestants take turns, so that a machine that
slows down slows them all; the table gives the median and the quartiles, and the compile time apart.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

import momentum_rnn_jax as mr

CELLS = {"LSTM": mr.lstm, "MomentumLSTM": mr.momentum_lstm, "AdamLSTM": mr.adam_lstm}


def training_step(cell: mr.Cell, method: str) -> Callable[..., jax.Array]:
    """`(params, xs) -> gradients` of the squared last hidden state."""

    def loss(params: dict, xs: jax.Array) -> jax.Array:
        return jnp.sum(mr.unroll(cell, params, xs, method=method)[1][-1] ** 2)

    return jax.jit(jax.grad(loss))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("batch", 32), ("time", 200), ("features", 129), ("hidden", 158), ("repeats", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()

    xs = jax.random.normal(jax.random.key(0), (options.time, options.batch, options.features))
    steps, compile_seconds, seconds = {}, {}, {}
    for name, make in CELLS.items():
        cell = make(options.hidden)
        params = cell.init(jax.random.key(1), options.features)
        for method in ("stepwise", "hoisted"):
            start = time.perf_counter()
            compiled = training_step(cell, method).lower(params, xs).compile()
            compile_seconds[name, method] = time.perf_counter() - start
            steps[name, method] = lambda compiled=compiled, params=params: jax.block_until_ready(compiled(params, xs))
            seconds[name, method] = []
            steps[name, method]()
    for _ in range(options.repeats):
        for contestant, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[contestant].append(time.perf_counter() - start)

    print(f"{vars(options)} on {jax.devices()[0].device_kind}, jax {jax.__version__}\n")
    print("| cell | method | median ms (quartiles) | compile s |\n|---|---|---:|---:|")
    for (name, method), times in seconds.items():
        low, median, high = (1e3 * q for q in statistics.quantiles(times, n=4))
        print(f"| {name} | {method} | {median:.0f} ({low:.0f}–{high:.0f}) | {compile_seconds[name, method]:.1f} |")


if __name__ == "__main__":
    main()
