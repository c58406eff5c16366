"""What memories remember of a signal: `python -m experiments.memory_figure [FILE]`.

A slow signal of 2000 steps with a burst in it goes through three memories: LegS with 32 coefficients, which weighs the whole past
alike; LegT with 32 coefficients over the last 400 steps; and momentum, one number. The figure shows what each says of the past
after the last step, with its root mean square error.
"""

import pathlib
import sys
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

import momentum_rnn_jax as mr
from momentum_rnn_jax import hippo

STEPS, WINDOW, ORDER, MU = 2000, 400, 32, 0.99
FILE = pathlib.Path(__file__).parent / "results" / "neighbours" / "hippo_memory.png"


def signal() -> np.ndarray:
    """Three slow waves, and a burst in the window; (time,)."""
    s = np.arange(STEPS) / STEPS
    burst = 0.8 * np.exp(-(((s - 0.9) / 0.02) ** 2)) * np.sin(2 * np.pi * 30 * s)
    return np.sin(2 * np.pi * 2.3 * s) + 0.5 * np.sin(2 * np.pi * 5.1 * s + 1) + 0.25 * np.cos(2 * np.pi * 9.7 * s) + burst


def remembered() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each memory the steps that it speaks of, and what it says that the signal was there."""
    us = jnp.asarray(signal(), jnp.float32)[:, None]
    legs, legt = mr.HiPPO(ORDER), mr.HiPPO(ORDER, measure="legt", discretization="zoh", dt=1 / WINDOW)
    momentum = mr.Momentum(MU, 1 - MU)
    past, window = np.linspace(0, 1, STEPS), np.linspace(0, 1, WINDOW)
    whole = hippo.reconstruct(legs.unroll_coefficients(legs.init(us[0]), us)[1][-1, 0], past)
    recent = hippo.reconstruct(legt.unroll_coefficients(legt.init(us[0]), us)[1][-1, 0], window, measure="legt")
    average = float(momentum.unroll(momentum.init(us[0]), us)[1][-1, 0])
    span = np.arange(STEPS - round(1 / (1 - MU)), STEPS)
    return {
        f"LegS, {ORDER} numbers": (np.arange(STEPS), np.asarray(whole)),
        f"LegT over {WINDOW} steps, {ORDER} numbers": (np.arange(STEPS - WINDOW, STEPS), np.asarray(recent)),
        f"momentum, μ = {MU}, 1 number": (span, np.full(len(span), average)),
    }


def draw(file: pathlib.Path) -> str:
    """The figure, and a line for each memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.plots import COLOURS, tidy

    f, memories, lines = signal(), remembered(), []
    figure, panels = plt.subplots(3, 1, figsize=(9, 6.6), sharex=True, sharey=True, layout="constrained")
    for axes, colour, (name, (steps, values)) in zip(panels, COLOURS[1:], memories.items(), strict=False):
        axes.plot(f, color="0.65", linewidth=1.2)
        axes.plot(steps, values, color=colour, linewidth=1.8)
        error = np.sqrt(np.mean((values - f[steps]) ** 2))
        axes.set_title(f"{name}: error {error:.2f} over {len(steps)} steps", loc="left", color=colour, fontsize=11)
        axes.axvspan(steps[0], steps[-1], color=colour, alpha=0.07, linewidth=0)
        axes.set(ylabel="f", xlim=(0, STEPS))
        tidy(axes)
        lines.append(f"{name}: root mean square error {error:.3f} over {len(steps)} steps")
    panels[0].set(ylim=(-1.7, 1.7))
    panels[-1].set(xlabel="step (grey: the signal; coloured: what is remembered of it after the last step)")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    return "\n".join([*lines, f"Wrote {file}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, print the errors; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    print(draw(pathlib.Path(arguments[0]) if arguments else FILE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
