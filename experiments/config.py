"""What is trained, and how: plain named values, all of them written to a run's `config.json`."""

import dataclasses
from collections.abc import Callable
from functools import partial

import momentum_rnn_jax as mr

# Read as f(hidden_features=…, init_scheme=…). The drives' settings are those of the authors' code for permuted MNIST.
CELLS: dict[str, Callable[..., mr.Cell]] = {
    "LSTM": mr.lstm,
    "MomentumLSTM": partial(mr.momentum_lstm, mu=0.6, step_size=1.0),
    "AdamLSTM": partial(mr.adam_lstm, mu=0.6, step_size=1.0, beta=0.01),
    "RMSPropLSTM": partial(mr.rmsprop_lstm, step_size=1.0, beta=0.01),
    "SRLSTM": partial(mr.scheduled_restart_lstm, step_size=0.9, restart=40),
}
BASELINE = "LSTM"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training recipe, the same for every cell and every seed.

    The optimiser is RMSprop with the decay and the clipping of the authors' code for permuted MNIST. There are forty times fewer
    images here, so batches are smaller, and the learning rate starts higher and falls to zero along a cosine. 0.02 was
    taken over 0.01 after pilot runs scored on validation: LSTM and AdamLSTM, two seeds, 20 epochs, forget bias 3.
    """

    hidden_features: int = 32
    init_scheme: str = "default"
    seeds: int = 3
    epochs: int = 25
    batch_size: int = 16
    learning_rate: float = 2e-2
    cosine_final_learning_rate: float = 0.0
    rmsprop_decay: float = 0.9
    rmsprop_eps: float = 1e-8
    clip_norm: float = 1.0


def make_cell(name: str, training: Training) -> mr.Cell:
    """The cell of that name in `CELLS`, of the recipe's size and initialisation."""
    return CELLS[name](hidden_features=training.hidden_features, init_scheme=training.init_scheme)
