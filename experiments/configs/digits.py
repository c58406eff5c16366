"""The digits of `experiments.demo`, 64 pixels one by one in a shuffled order; in no table of the paper.

The drives have the settings of the authors' code for permuted MNIST, and so have the optimiser's decay and the clipping. There
are forty times fewer images here, so batches are smaller, and the learning rate starts higher and falls to zero along a cosine.
0.02 was taken over 0.01 after pilot runs scored on validation: LSTM and AdamLSTM, two seeds, 20 epochs, forget bias 3.
"""

from typing import Any

from experiments.configs.base import Config, Entry
from experiments.configs.images import LSTM_CELLS

CELLS = LSTM_CELLS["permuted_mnist"]
RECIPE: dict[str, Any] = {
    "hidden_features": 32,
    "init_scheme": "default",
    "optimizer": "rmsprop",
    "learning_rate": 2e-2,
    "final_learning_rate": 0.0,
    "rmsprop_decay": 0.9,
    "clip_norm": 1.0,
    "batch_size": 16,
    "epochs": 25,
}


def entries() -> dict[str, Entry]:
    """`digits_…`, by name."""
    return {
        f"digits_{cell}": Entry(
            Config(task="digits", cell=cell, **options, **RECIPE), "no table: small permuted digits, as in experiments.demo"
        )
        for cell, options in CELLS.items()
    }
