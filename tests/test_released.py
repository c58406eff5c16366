"""Every config is pinned: to what the authors' scripts run, or to a table of its own; no number of one can change unseen.

`released.csv` has the authors' commands with the defaults of their scripts and of their framework filled in, under their names.
`ours.json` has the configs of our own, as they are meant to be.
"""

import csv
import dataclasses
import json
import pathlib

import pytest

from experiments.configs import CONFIGS
from experiments.configs.base import Config, Language

FOLDER = pathlib.Path(__file__).parent
with (FOLDER / "released.csv").open() as file:
    RELEASED = {row.pop("name"): {key: value for key, value in row.items() if value} for row in csv.DictReader(file)}
OURS = json.loads((FOLDER / "ours.json").read_text())

MODES = {
    "lstm": "lstm",
    "mlstm": "momentum_lstm",
    "nlstm": "released_nesterov_lstm",
    "dtriv": "dtriv",
    "mdtriv": "momentum_dtriv",
}
MODES |= {"ndtriv": "scheduled_restart_dtriv", "LSTM": "lstm", "MLSTM": "momentum_lstm", "NLSTM": "scheduled_restart_lstm"}
ADAPTIVE = {"alstm": ("adam_lstm", "rmsprop_lstm"), "adtriv": ("adam_dtriv", "rmsprop_dtriv")}

# Their names for the fields that are called differently; a value of theirs is read as our field's type.
FIELDS = {
    **{"hidden": "hidden_features", "epsilon": "step_size", "mu": "mu", "mus": "beta", "cell_eps": "eps", "restart": "restart"},
    **{
        "forget_bias": "forget_bias",
        "init": "skew_init",
        "optimizer": "optimizer",
        "lr": "learning_rate",
        "alpha": "rmsprop_decay",
    },
    **{"b1": "adam_b1", "b2": "adam_b2", "eps": "optimizer_eps", "lr_orth": "skew_learning_rate", "clip": "clip_norm"},
    **{"wdecay": "weight_decay", "batch": "batch_size", "eval_batch": "evaluation_batch_size", "epochs": "epochs"},
    **{"nlayers": "layers", "emsize": "embedding_features", "bptt": "bptt", "dropoute": "embedding_dropout"},
    **{"dropouti": "input_dropout", "dropouth": "hidden_dropout", "dropout": "output_dropout", "wdrop": "weight_dropout"},
    **{"alpha_l2": "activation_regularization", "beta_l2": "temporal_regularization", "nonmono": "nonmonotone"},
}
# Deliberate differences: what our configs have in a field that is not theirs, and why.
EXCEPTIONS = {
    "validation_size": (5000, "the epoch is chosen on images held out of the training split; theirs is chosen on the test split"),
}


def expected(name: str) -> dict:
    """The config that a released command stands for, field by field."""
    theirs = RELEASED[name]
    kind = type(CONFIGS[name].config)
    found = {field.name: field.default for field in dataclasses.fields(kind)}
    # What is not in a command is off, and not merely at our default.
    found |= {"clip_norm": None, "weight_decay": None, "skew_learning_rate": None, "rebase_every": None}
    for column, field in FIELDS.items():
        if column in theirs:
            text = theirs[column]
            found[field] = (
                text if field in ("skew_init", "optimizer") else float(text) if "." in text or "e" in text else int(text)
            )
    if theirs["mode"] in ADAPTIVE:  # their cell without momentum is our RMSProp
        adam, rmsprop = ADAPTIVE[theirs["mode"]]
        found["cell"] = rmsprop if found["mu"] == 0 else adam
        found["mu"] = found["mu"] or None
    else:
        found["cell"] = MODES[theirs["mode"]]
    found["init_scheme"] = {"orthogonal/eye": "released", None: None}[theirs.get("weights")]
    found["rebase_every"] = int(theirs["K"]) if theirs.get("K", "infty") != "infty" else None
    if not issubclass(kind, Language):
        found["readout_init"] = {"linear": "released"}[theirs["readout"]]
    task = {("mnist", "none"): "mnist", ("mnist", "seed"): "permuted_mnist"}.get(
        (theirs["data"], theirs.get("permutation")), theirs["data"]
    )
    if "permutation_seed" in found:
        found["permutation_seed"] = None  # "seed": that of the run
    found |= {field: value for field, (value, _) in EXCEPTIONS.items() if field in found}
    return {"task": task, **found}


def pinned(name: str) -> dict:
    return expected(name) if name in RELEASED else OURS[name]


def test_every_config_is_pinned_once():
    assert set(RELEASED) | set(OURS) == set(CONFIGS)
    assert not set(RELEASED) & set(OURS)
    with_command = {name for name, row in CONFIGS.items() if row.released is not None}
    from_curves = {name for name, row in CONFIGS.items() if any("no command of this row" in text for text in row.unlike)}
    assert with_command | from_curves == set(RELEASED)
    assert not with_command & from_curves


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_what_it_is_pinned_to(name):
    assert CONFIGS[name].config.to_dict() == pinned(name)


def mutants(config: Config):
    """The config with one of its numbers changed, as far as it lets that happen."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            for other in (value + 1, value * 0.5) if isinstance(value, int) else (value * 10, value * 0.9, value + 1e-3):
                other = max(1, int(other)) if isinstance(value, int) else other
                try:
                    changed = dataclasses.replace(config, **{field.name: other})
                except ValueError:
                    continue
                if changed != config:
                    yield field.name, changed


@pytest.mark.parametrize("name", CONFIGS)
def test_no_number_of_a_config_can_change_unseen(name):
    found = list(mutants(CONFIGS[name].config))
    assert len({field for field, _ in found}) >= 8
    assert all(changed.to_dict() != pinned(name) for _, changed in found)


def test_no_two_rows_can_be_swapped_unseen():
    for name in RELEASED:
        others = [other for other in RELEASED if type(CONFIGS[other].config) is type(CONFIGS[name].config) and other != name]
        assert all(CONFIGS[other].config.to_dict() != pinned(name) for other in others)


@pytest.mark.parametrize("name", [name for name, row in CONFIGS.items() if row.released is not None])
def test_the_options_of_a_released_command_are_in_the_table(name):
    """The command beside a config, read word by word, says the same as the table."""
    script, *words = CONFIGS[name].released.split()
    assert script == RELEASED[name]["script"]
    names = {"-m": "mode", "--model": "mode", "--hidden_size": "hidden", "--batch_size": "batch"}
    options = {}
    while words:
        word = words.pop(0)
        options[names.get(word, word.lstrip("-"))] = "seed" if word == "--permute" else words.pop(0)
    assert options.pop("permute", "none") == RELEASED[name].get("permutation", "none")
    for key, value in options.items():
        theirs = RELEASED[name].get(key)
        if theirs is None:  # an option that the cell does not read
            assert (key, value) == ("mu", "0.0")
        elif key in ("mode", "K"):
            assert value == theirs
        else:
            assert float(value) == float(theirs), key
    assert {"mode", "epochs"} <= options.keys()


def test_spoken_digits_and_controls_are_timits_but_for_what_they_say():
    for name, row in CONFIGS.items():
        values = {key: value for key, value in row.config.to_dict().items() if key != "task"}
        if name.startswith("fsdd_") or name.startswith("ablation_controls_fsdd"):
            twin = CONFIGS[name.replace("fsdd", "timit")].config.to_dict()
        elif name.startswith("ablation_controls_timit"):
            twin = {**CONFIGS["timit_lstm_158"].config.to_dict(), **CONTROLS[name.removeprefix("ablation_controls_timit_")]}
        else:
            continue
        assert values == {key: value for key, value in twin.items() if key != "task"}


GAIN = 0.1 / (1 - 0.3)
BIAS = -4.0 * (GAIN + 1) / 2
CONTROLS = {
    "step_size_158": {"input_scale": 0.1},
    "gain_158": {"input_scale": GAIN},
    "forget_bias_158": {"forget_bias": BIAS},
    "gain_and_forget_bias_158": {"input_scale": GAIN, "forget_bias": BIAS},
    "no_momentum_158": {"cell": "momentum_lstm", "mu": 0.0, "step_size": 0.1},
}
