"""MNIST pixel by pixel, in order and permuted: the paper's Tables 1 (LSTMs) and 4 (DTRIV).

The settings are those of the authors' code and of the loss curves that they released with it.
"""

from typing import Any

from experiments.configs.base import TASKS, Config, Entry

SHORT = {"mnist": "mnist", "permuted_mnist": "pmnist"}
LSTM: dict[str, Any] = {
    "init_scheme": "released",
    "forget_bias": 1.0,
    "optimizer": "rmsprop",
    "learning_rate": 1e-3,
    "clip_norm": 1.0,
    "batch_size": 128,
    "epochs": 150,
}
LSTM_CELLS: dict[str, dict[str, dict[str, Any]]] = {
    "mnist": {
        "lstm": {},
        "momentum_lstm": {"mu": 0.6, "step_size": 0.6},
        "adam_lstm": {"mu": 0.6, "step_size": 0.6, "beta": 0.1},
        "rmsprop_lstm": {"step_size": 0.6, "beta": 0.9},
        "scheduled_restart_lstm": {"step_size": 1.0, "restart": 2},
    },
    "permuted_mnist": {
        "lstm": {},
        "momentum_lstm": {"mu": 0.6, "step_size": 1.0},
        "adam_lstm": {"mu": 0.6, "step_size": 1.0, "beta": 0.01},
        "rmsprop_lstm": {"step_size": 1.0, "beta": 0.01},
        "scheduled_restart_lstm": {"step_size": 0.9, "restart": 40},
    },
}
BOTH_SIZES = ("lstm", "momentum_lstm")  # the others are in the table with 256 units alone

# The initial angles are our reading of DTRIV's own code for this task; the authors' settings do not name them.
DTRIV: dict[str, Any] = {
    "task": "permuted_mnist",
    "skew_init": "cayley",
    "optimizer": "rmsprop",
    "skew_optimizer": "rmsprop",
    "clip_norm": 1.0,
    "batch_size": 128,
    "epochs": 150,
}
DTRIV_SIZES: dict[int, dict[str, Any]] = {
    170: {"learning_rate": 7e-4, "skew_learning_rate": 2e-4, "rebase_every": 1},
    360: {"learning_rate": 7e-4, "skew_learning_rate": 5e-5},
    512: {"learning_rate": 3e-4, "skew_learning_rate": 7e-5},
}
DTRIV_CELLS: list[tuple[str, int, dict[str, Any]]] = [
    *(("dtriv", size, {}) for size in DTRIV_SIZES),
    ("momentum_dtriv", 170, {"mu": 0.6, "step_size": 0.9}),
    ("momentum_dtriv", 360, {"mu": 0.3, "step_size": 0.3}),
    ("momentum_dtriv", 512, {"mu": 0.3, "step_size": 0.3}),
    ("adam_dtriv", 512, {"mu": 0.3, "step_size": 0.3, "beta": 0.8}),
    ("rmsprop_dtriv", 512, {"step_size": 0.3, "beta": 0.9}),
    ("scheduled_restart_dtriv", 512, {"step_size": 0.3, "restart": 2}),
]


def entries() -> dict[str, Entry]:
    """`mnist_…` and `pmnist_…`, by name."""
    table = {}
    for task, cells in LSTM_CELLS.items():
        for cell, options in cells.items():
            for size in (128, 256) if cell in BOTH_SIZES else (256,):
                config = Config(task=task, cell=cell, hidden_features=size, **options, **LSTM)
                table[f"{SHORT[task]}_{cell}_{size}"] = Entry(config, f"Table 1, {TASKS[task].title}, {cell}, N = {size}")
    for cell, size, options in DTRIV_CELLS:
        config = Config(cell=cell, hidden_features=size, **options, **DTRIV, **DTRIV_SIZES[size])
        table[f"pmnist_{cell}_{size}"] = Entry(config, f"Table 4, {TASKS[config.task].title}, {cell}, N = {size}")
    return table
