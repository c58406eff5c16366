"""Time and memory of the analyses of one sequence through a MomentumLSTM: `python -m benchmarks.analysis`.

Each measurement is a process of its own: seconds of the first call, with compilation, and of the second; and by how much the
process's peak of memory, over both calls and the compilation, rose above what was there before.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence

import jax

import momentum_rnn_jax as mr
from benchmarks import results
from experiments.command import OneLineParser, as_typed, whole_number
from experiments.record import git_commit
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


def without_cache() -> None:
    """A program that is read from a cache has no compile time."""
    jax.config.update("jax_enable_compilation_cache", False)


def measure(name: str, steps: int, hidden: int) -> tuple[float, float, float]:
    """Seconds of the first and of the second call, and MB by which the process's peak rose."""
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
    """The most host memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a Markdown table; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = OneLineParser("benchmarks.analysis", __doc__)
    for name, high, default, other in (
        ("steps", 1_000_000, [196, 784, 3136], "hidden size"),
        ("hidden", 4096, [32, 128, 256], "length"),
    ):
        text = f"values, each with the middle {other} (default: {' '.join(map(str, default))})"
        parser.add_argument(f"--{name}", type=whole_number(high), nargs="+", default=default, metavar="N", help=text)
    options = parser.parse_args(arguments)
    if jax.default_backend() != "cpu":
        parser.error(
            f"memory is that of the process, so JAX must run on the CPU (JAX_PLATFORMS=cpu), not on {jax.default_backend()}"
        )
    steps, hidden = (sorted(sizes)[len(sizes) // 2] for sizes in (options.steps, options.hidden))
    sizes = sorted({*((s, hidden) for s in options.steps), *((steps, h) for h in options.hidden)}, key=lambda size: size[::-1])

    versions = ", ".join(f"{name} {version}" for name, version in results.versions().items())
    device = results.device()["name"]
    print(f"`{as_typed('benchmarks.analysis', arguments)}`, float32, {device}; commit {git_commit()}; {versions}\n")
    print("| steps | hidden | full state | analysis | first call s | second call s | peak of the process, with compilation, MB |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    with multiprocessing.get_context("spawn").Pool(1, initializer=without_cache, maxtasksperchild=1) as pool:
        for s, h in sizes:
            for name in ANALYSES:
                first, second, memory = pool.apply(measure, (name, s, h))
                print(f"| {s} | {h} | {6 * h} | {name} | {first:.1f} | {second:.2f} | {memory:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
