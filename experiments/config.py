"""What the demo and the analysis train, and how: plain named values, all of them written to a run's `config.json`."""

import dataclasses
from collections.abc import Callable
from functools import partial

import momentum_rnn_jax as mr
from experiments.configs import digits

BASELINE = "LSTM"
NAMES = {
    "lstm": BASELINE,
    "momentum_lstm": "MomentumLSTM",
    "adam_lstm": "AdamLSTM",
    "rmsprop_lstm": "RMSPropLSTM",
    "scheduled_restart_lstm": "SRLSTM",
}
# Read as f(hidden_features=…, init_scheme=…).
CELLS: dict[str, Callable[..., mr.Cell]] = {
    NAMES[cell]: partial(getattr(mr, cell), **options) for cell, options in digits.CELLS.items()
}


@dataclasses.dataclass(frozen=True)
class Training:
    """One training recipe, that of the configs `digits_…`, the same for every cell and every seed."""

    hidden_features: int = digits.RECIPE["hidden_features"]
    init_scheme: str = digits.RECIPE["init_scheme"]
    seeds: int = 3
    epochs: int = digits.RECIPE["epochs"]
    batch_size: int = digits.RECIPE["batch_size"]
    learning_rate: float = digits.RECIPE["learning_rate"]
    cosine_final_learning_rate: float = digits.RECIPE["final_learning_rate"]
    rmsprop_decay: float = digits.RECIPE["rmsprop_decay"]
    clip_norm: float = digits.RECIPE["clip_norm"]


def make_cell(name: str, training: Training) -> mr.Cell:
    """The cell of that name in `CELLS`, of the recipe's size and initialisation."""
    return CELLS[name](hidden_features=training.hidden_features, init_scheme=training.init_scheme)
