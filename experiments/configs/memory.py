"""Adding, copying and denoising: synthetic tasks of memory, in no table of the paper; the settings are ours, not tuned."""

from typing import Any

from experiments.configs.base import Config, Entry

RECIPE: dict[str, Any] = {
    "length": 200,
    "held_out": 1000,
    "hidden_features": 128,
    "optimizer": "rmsprop",
    "learning_rate": 1e-3,
    "clip_norm": 1.0,
    "batch_size": 128,
    "steps_per_epoch": 100,
    "epochs": 50,
}
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "momentum_lstm": {"mu": 0.6, "step_size": 0.6},
    "adam_lstm": {"mu": 0.6, "step_size": 0.6, "beta": 0.9, "eps": 1e-4},  # most inputs are exactly zero
    "rmsprop_lstm": {"step_size": 0.6, "beta": 0.9, "eps": 1e-4},
    "scheduled_restart_lstm": {"step_size": 0.9, "restart": 40},
    "dtriv": {"skew_init": "henaff"},
    "momentum_dtriv": {"mu": 0.6, "step_size": 0.6, "skew_init": "henaff"},
}


def entries() -> dict[str, Entry]:
    """`adding_…`, `copying_…` and `denoise_…`, by name."""
    return {
        f"{task}_{cell}": Entry(Config(task=task, cell=cell, **options, **RECIPE), f"no table: {task}, T = {RECIPE['length']}")
        for task in ("adding", "copying", "denoise")
        for cell, options in CELLS.items()
    }
