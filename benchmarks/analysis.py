"""Time and memory of the analyses of one sequence through a MomentumLSTM: `python -m benchmarks.analysis`.

Each measurement is a process of its own: seconds of the first call, with compilation, and of the second; and by how much the
peak of memory rose above what was there before.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import jax

import momentum_rnn_jax as mr
from momentum_rnn_jax import analysis

ANALYSES: dict[str, Callable[..., object]] = {
    "log-norms, hidden": analysis.jacobian_log_norms,
    "log-norms, core": lambda *run: analysis.jacobian_log_norms(*run, wrt="core"),
    "log-norms, full, Frobenius": lambda *run: analysis.jacobian_log_norms(*run, wrt="full", norm="frobenius"),
    "Lyapunov, full": analysis.lyapunov_spectrum,
    "input sensitivity": analysis.input_sensitivity,
    "gradient norms": lambda *run: analysis.gradient_norms(lambda hs: hs[-1].sum(), *run),
    "step Jacobians, core": lambda *run: analysis.step_jacobians(*run, wrt="core"),
    "gradient flow": lambda *run: analysis.gradient_flow(*run, loss_fn=lambda hs: hs[-1].sum()),
}


def measure(name: str, steps: int, hidden: int) -> tuple[float, float, float]:
    """Seconds of the first and of the second call, and MB of memory."""
    cell = mr.momentum_lstm(hidden)
    params = cell.init(jax.random.key(0), in_features=1)
    xs = jax.random.uniform(jax.random.key(1), (steps, 1))
    before = peak()
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        jax.block_until_ready(ANALYSES[name](cell, params, xs))
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1], peak() - before


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[196, 784, 3136], help="lengths, with the middle hidden size")
    parser.add_argument("--hidden", type=int, nargs="+", default=[32, 128, 256], help="hidden sizes, with the middle length")
    options = parser.parse_args()
    steps, hidden = (sorted(sizes)[len(sizes) // 2] for sizes in (options.steps, options.hidden))
    sizes = sorted({*((s, hidden) for s in options.steps), *((steps, h) for h in options.hidden)}, key=lambda size: size[::-1])

    print(f"float32, {jax.devices()[0].device_kind}, {multiprocessing.cpu_count()} cores, jax {jax.__version__}\n")
    print("| steps | hidden | full state | analysis | first call s | second call s | memory MB |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for s, h in sizes:
            for name in ANALYSES:
                first, second, memory = pool.apply(measure, (name, s, h))
                print(f"| {s} | {h} | {6 * h} | {name} | {first:.1f} | {second:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
