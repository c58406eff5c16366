"""Does flossing help an RNN to learn a delayed XOR? `python -m experiments.flossing` writes `report.md` and `flossing.png`.

RNNs with momentum, without, and with their input scaled by momentum's step size alone start with a Gaussian kernel, with the same
kernel after flossing, and with an orthogonal kernel.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import command
from experiments.command import OneLineParser, Signals, a_path, add_number, as_typed

MODULE = "experiments.flossing"
DELAY, STEPS, BATCH, HIDDEN, LEADING, WINDOW = 16, 48, 16, 32, 16, 50
FOLDER = Path(__file__).parent / "results" / "flossing"
REPORT = """# Delayed XOR with and without flossing

    {command}

Commit {commit}; jax {jax}, {device}, {seconds:.0f} s in all.

| network | λ_1 | λ_16 | solved | test accuracy, % | of the seeds |
|---|---:|---:|---:|---:|---:|
{rows}

Each step's input is a random bit, ±1; the target is the XOR of the bits 8 and 16 steps ago; chance is 50 %. 32 units, sequences
of 48 steps, 16 a batch; Adam with step size 1e-3, gradients clipped at 1. {options.seeds} seeds of parameters and data, trained
in one program. Flossed: {options.floss} updates on the squares of the core's 16 leading Lyapunov exponents, then
{options.updates} of training. The other rows train for as many updates in all; an update of flossing takes longer than one of
training. "Solved" is a test accuracy above 95 %. λ: means over the seeds before training, natural logarithms per step. Gaussian
kernels have the variance 1/32.

The delay was chosen, on three or four seeds, as one at which flossing makes a difference: at 10 steps RNNs with a Gaussian
kernel learned the task with and without it; at 20, none without it and half of them with it.

![Accuracy in training, mean and range of the seeds](flossing.png)
"""


class Arm(NamedTuple):
    """A cell's momentum and step size, the kernel at the start, and whether it is flossed before training."""

    mu: float
    step_size: float
    kernel: str
    flossed: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """Of the cell, and of its start."""
        kinds = {(0.0, 1.0): "RNN", (0.0, 0.5): "RNN, input × 0.5", (0.5, 0.5): "momentum RNN, μ = s = 0.5"}
        return kinds[self.mu, self.step_size], self.kernel + ", flossed" * self.flossed


STARTS = (("Gaussian",), ("Gaussian", True), ("orthogonal",))
ARMS = [Arm(*cell, *start) for cell in ((0.0, 1.0), (0.0, 0.5), (0.5, 0.5)) for start in STARTS]


def run(arm: Arm, seeds: int, updates: int, floss: int) -> tuple[Any, Any, Any]:
    """Of each seed: accuracies in training, a window of updates each; the test accuracy; the exponents before training."""
    import jax
    import jax.numpy as jnp
    import optax

    import momentum_rnn_jax as mr
    from momentum_rnn_jax import analysis

    cell = mr.momentum_rnn(HIDDEN, mu=arm.mu, step_size=arm.step_size)  # with μ = 0 and s = 1, the plain RNN
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))

    def task(params: Any, key: Any, batch: int = BATCH) -> tuple[Any, Any]:
        xs = jax.random.rademacher(key, (STEPS, batch, 1), jnp.float32)
        targets = xs[DELAY // 2 : -DELAY // 2] != xs[:-DELAY]
        logits = mr.unroll(cell, params["cell"], xs)[1][DELAY:] @ params["kernel"] + params["bias"]
        return optax.sigmoid_binary_cross_entropy(logits, 1.0 * targets).mean(), jnp.mean((logits > 0) == targets)

    def penalty(params: Any, key: Any) -> tuple[Any, Any]:
        of_one = jax.vmap(lambda xs: analysis.flossing(cell, params["cell"], xs, leading=LEADING, warmup=10))
        value = of_one(jax.random.rademacher(key, (2, STEPS, 1), jnp.float32)).mean()
        return value, value

    def learn(loss: Any, params: Any, key: Any, number: int) -> tuple[Any, Any]:
        def update(carry: Any, key: Any) -> tuple[Any, Any]:
            params, state = carry
            gradient, measured = jax.grad(loss, has_aux=True)(params, key)
            changes, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, changes), state), measured

        (params, _), measured = jax.lax.scan(update, (params, optimizer.init(params)), jax.random.split(key, number))
        return params, measured

    def of_seed(key: Any) -> tuple[Any, Any, Any]:
        keys = jax.random.split(key, 7)
        start = cell.init(keys[0], in_features=1)
        if arm.kernel == "Gaussian":
            start["core"]["kernel"] = jax.random.normal(keys[2], (HIDDEN, HIDDEN)) / HIDDEN**0.5
        readout = jax.random.normal(keys[1], (HIDDEN, 1)) / HIDDEN**0.5
        params: Any = {"cell": start, "kernel": readout, "bias": jnp.zeros(1)}
        if arm.flossed:
            params, _ = learn(penalty, params, keys[3], floss)
        probe = jax.random.rademacher(keys[4], (250, 1), jnp.float32)
        exponents = analysis.lyapunov_spectrum(cell, params["cell"], probe, wrt="core", leading=LEADING, warmup=50)
        params, curve = learn(task, params, keys[5], updates if arm.flossed else updates + floss)
        windows = curve[: updates // WINDOW * WINDOW].reshape(-1, WINDOW).mean(1)
        return windows, task(params, keys[6], 256)[1], exponents

    return jax.jit(jax.vmap(of_seed))(jax.random.split(jax.random.key(0), seeds))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the rows, write the report and the figure; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = OneLineParser(MODULE, __doc__)
    parser.add_argument("--out", type=a_path, default=FOLDER, help="the folder that is written (default: %(default)s)")
    add_number(parser, "seeds", 10, 1000, "how many seeds")
    add_number(parser, "updates", 2000, 10**6, f"of training, in windows of {WINDOW}")
    add_number(parser, "floss", 300, 10**6, "updates of flossing")
    options = parser.parse_args(arguments)

    def work(signals: Signals) -> None:
        import jax
        import numpy as np
        from matplotlib.figure import Figure

        from experiments import plots, record

        signals.raise_at_once()
        begin, commit, rows = time.perf_counter(), record.git_commit(), []
        figure = Figure(figsize=(12, 3.6), layout="constrained")
        cells = list(dict.fromkeys(arm.names[0] for arm in ARMS))
        panels = dict(zip(cells, figure.subplots(1, len(cells), sharey=True, squeeze=False)[0], strict=True))
        for arm, colour in zip(ARMS, 3 * plots.COLOURS[:3], strict=False):
            curve, test, exponents = (np.asarray(found) for found in run(arm, options.seeds, options.updates, options.floss))
            (cell, start), (first, *_, last) = arm.names, exponents.mean(0)
            row = (
                f"| {cell}, {start} | {first:.2f} | {last:.2f} | {(test > 0.95).sum()} of {len(test)} | {100 * test.mean():.1f} "
            )
            rows.append(f"{row}| {100 * test.min():.1f} … {100 * test.max():.1f} |")
            print(rows[-1], flush=True)
            ends = WINDOW * np.arange(1, curve.shape[1] + 1)
            plots.mean_and_range(panels[cell], ends, 100 * curve.T, color=colour, label=start)
        for cell, panel in panels.items():
            panel.set(title=cell, xlabel="updates of training")
            plots.tidy(panel)
        panels[cells[0]].set(ylabel="accuracy in training (%)")
        panels[cells[0]].legend(loc="center right")
        device, seconds = jax.devices()[0].platform, time.perf_counter() - begin
        made = {"command": as_typed(MODULE, arguments), "commit": commit, "jax": jax.__version__, "rows": "\n".join(rows)}
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "report.md").write_text(REPORT.format(options=options, device=device, seconds=seconds, **made))
        (options.out / "flossing.png").write_bytes(plots.png(figure))
        print(f"Wrote {options.out}")

    return command.run(work)


if __name__ == "__main__":
    sys.exit(main())
