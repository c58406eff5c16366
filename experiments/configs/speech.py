"""Speech, the next frame of the spectrum: the paper's Tables 2 (LSTMs) and 5 (DTRIV), on TIMIT and on the Free Spoken Digits.

The settings are those of the authors' code and of the loss curves that they released with it.

On TIMIT their step size of 0.1 alone, without momentum, gives most of what the table shows for momentum, and momentum also
amplifies the forget gate's bias in the input's projection. The controls tell these apart: each is a plain LSTM with one of the
things that the MomentumLSTM changes besides remembering.
"""

from typing import Any

from experiments.configs.base import Config, Entry

MU, STEP_SIZE, FORGET_BIAS = 0.3, 0.1, -4.0
GAIN = STEP_SIZE / (1 - MU)  # by which momentum amplifies a constant input

LSTM: dict[str, Any] = {
    "init_scheme": "released",
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "clip_norm": None,
    "batch_size": 32,
    "epochs": 700,
}
LSTM_CELLS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "momentum_lstm": {"mu": MU, "step_size": STEP_SIZE},
    "adam_lstm": {"mu": MU, "step_size": STEP_SIZE, "beta": 0.999},
    "rmsprop_lstm": {"step_size": STEP_SIZE, "beta": 0.999},
    "scheduled_restart_lstm": {"step_size": STEP_SIZE, "restart": 2},
}
LSTM_SIZES = {"lstm": (84, 120, 158), "momentum_lstm": (84, 120, 158)}  # the others are in the table with 158 units alone

DTRIV: dict[str, Any] = {
    "skew_init": "henaff",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "skew_optimizer": "rmsprop",
    "skew_learning_rate": 2e-4,
    "clip_norm": 1.0,
    "batch_size": 128,
    "epochs": 700,
}
DTRIV_CELLS: dict[str, dict[str, Any]] = {"dtriv": {}, "momentum_dtriv": {"mu": MU, "step_size": STEP_SIZE}}
DTRIV_SIZES = (224, 322)

# The forget gate's whole bias is the input projection's, amplified by the gain, and the core's; a plain LSTM has it twice.
MATCHED_FORGET_BIAS = FORGET_BIAS * (GAIN + 1) / 2
CONTROL_SIZE = 158
CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "step_size": ("LSTM that reads its input times the step size", {"cell": "lstm", "input_scale": STEP_SIZE}),
    "gain": ("LSTM that reads its input times the steady-state gain s / (1 - mu)", {"cell": "lstm", "input_scale": GAIN}),
    "forget_bias": ("LSTM with the forget bias that momentum makes", {"cell": "lstm", "forget_bias": MATCHED_FORGET_BIAS}),
    "gain_and_forget_bias": (
        "LSTM with both the gain and the forget bias that momentum makes",
        {"cell": "lstm", "input_scale": GAIN, "forget_bias": MATCHED_FORGET_BIAS},
    ),
    "no_momentum": (
        "MomentumLSTM with mu = 0, which scales its input and the input's bias",
        {"cell": "momentum_lstm", "mu": 0.0, "step_size": STEP_SIZE},
    ),
}


def entries() -> dict[str, Entry]:
    """`timit_…`, `fsdd_…`, and `ablation_controls_…` of both, by name."""
    table = {}
    for task, of in (("timit", "TIMIT"), ("fsdd", "as on TIMIT, on the Free Spoken Digits")):
        for cell, options in LSTM_CELLS.items():
            for size in LSTM_SIZES.get(cell, (158,)):
                config = Config(task=task, cell=cell, hidden_features=size, forget_bias=FORGET_BIAS, **options, **LSTM)
                table[f"{task}_{cell}_{size}"] = Entry(config, f"Table 2, {of}, {cell}, N = {size}")
        for cell, options in DTRIV_CELLS.items():
            for size in DTRIV_SIZES:
                config = Config(task=task, cell=cell, hidden_features=size, **options, **DTRIV)
                table[f"{task}_{cell}_{size}"] = Entry(config, f"Table 5, {of}, {cell}, N = {size}")
        for name, (what, options) in CONTROLS.items():
            control = {"forget_bias": FORGET_BIAS, **options, **LSTM}
            config = Config(task=task, hidden_features=CONTROL_SIZE, **control)
            table[f"ablation_controls_{task}_{name}_{CONTROL_SIZE}"] = Entry(config, f"control for Table 2: {what}")
    return table
