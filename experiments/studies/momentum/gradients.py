"""Gradient norms before and after training, of one sequence: how much of the last frame's error reaches the steps before."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import checkpoint, tasks, training
from experiments.configs.base import Config, Sequences
from experiments.networks import Network, Params
from momentum_rnn_jax import analysis

RECORDED_ARMS, SEEDS, BACK = ("L", "S", "M"), (0, 1, 2), (1, 10, 50)
STEPS = 60


def wants(arm: str, seed: int) -> bool:
    """Whether the norms of this run are recorded."""
    return arm in RECORDED_ARMS and seed in SEEDS


def norms(config: Config, best: Path, data: tasks.Data) -> dict[str, dict[str, Any]]:
    """`‖∂L/∂h_{T-k}‖` for k in `BACK`, at the start and at the best epoch; L is the squared error of frame T alone.

    The sequence is the first one for validation that has `STEPS` frames; T is the last of these.
    """
    assert isinstance(config, Sequences)
    split = data.validation
    row = int(np.argmax(np.asarray(split.lengths) >= STEPS))
    xs, target = jnp.asarray(split.inputs[row, :STEPS]), jnp.asarray(split.targets[row, STEPS - 1])
    cell = config.make_cell()
    network = Network(cell, xs.shape[-1], target.shape[-1], True, config.input_scale, config.readout_init)
    found = {
        "start": training.initial_params(network, jax.random.key(config.seed)),
        "best": checkpoint.load_params(best),
    }

    def of(params: Params) -> list[float]:
        def loss(hs: jax.Array) -> jax.Array:
            return jnp.square(network.read(params, hs[-1]) - target).mean()

        h = analysis.gradient_norms(loss, cell, params["cell"], config.input_scale * xs)["h"]
        return [float(f"{float(h[STEPS - back]):.4g}") for back in BACK]

    return {when: {"back": list(BACK), "norm": of(params)} for when, params in found.items()}
