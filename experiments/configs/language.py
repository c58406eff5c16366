"""Text, the next token: the paper's Table 3, on the Penn Treebank by word; and a small model of the characters of any text.

The Penn Treebank's settings are those of the authors' code, which is the AWD-LSTM's with their cells, and of the loss curves that
they released with it: their MomentumLSTM has no momentum there, and is an LSTM whose projected input is scaled by 0.6. In their
code the count of a scheduled restart begins anew in each window; here it goes on.
"""

from typing import Any

from experiments.configs.base import Config, Entry

PTB: dict[str, Any] = {
    "task": "ptb",
    "hidden_features": 1150,
    "init_scheme": "released",
    "forget_bias": 1.0,
    "layers": 3,
    "embedding_features": 400,
    "bptt": 70,
    "embedding_dropout": 0.1,
    "input_dropout": 0.4,
    "hidden_dropout": 0.25,
    "output_dropout": 0.4,
    "weight_dropout": 0.5,
    "activation_regularization": 2.0,
    "temporal_regularization": 1.0,
    "optimizer": "sgd",
    "learning_rate": 30.0,
    "clip_norm": 0.25,
    "weight_decay": 1.2e-6,
    "nonmonotone": 5,
    "batch_size": 20,
    "evaluation_batch_size": 10,
    "epochs": 500,
}
STEP_SIZE = 0.6
PTB_CELLS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "momentum_lstm": {"mu": 0.0, "step_size": STEP_SIZE},
    "scheduled_restart_lstm": {"step_size": STEP_SIZE, "restart": 2},
}
NOTES = {"momentum_lstm": " (as published: mu = 0, which only scales the projected input)"}

# Ours, not tuned.
TEXT: dict[str, Any] = {
    "task": "text",
    "unit": "character",
    "hidden_features": 128,
    "layers": 1,
    "embedding_features": 128,
    "bptt": 64,
    "input_dropout": 0.05,
    "output_dropout": 0.1,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "clip_norm": 1.0,
    "batch_size": 32,
    "evaluation_batch_size": 10,
    "epochs": 10,
}
TEXT_CELLS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "momentum_lstm": {"mu": 0.6, "step_size": 0.6},
    "adam_lstm": {"mu": 0.6, "step_size": 0.6, "beta": 0.9},
}


def entries() -> dict[str, Entry]:
    """`ptb_…` and `text_…`, by name."""
    table = {
        f"ptb_{cell}": Entry(Config(cell=cell, **options, **PTB), f"Table 3, Penn Treebank, {cell}{NOTES.get(cell, '')}")
        for cell, options in PTB_CELLS.items()
    }
    table["ablation_controls_ptb_momentum"] = Entry(
        Config(cell="momentum_lstm", mu=0.1, step_size=STEP_SIZE, **PTB),
        "control for Table 3: MomentumLSTM with momentum, mu = 0.1, and the published step size",
    )
    for cell, options in TEXT_CELLS.items():
        table[f"text_{cell}"] = Entry(Config(cell=cell, **options, **TEXT), "no table: the characters of any text, --source FILE")
    return table
