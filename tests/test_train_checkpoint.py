"""What a checkpoint can hold, and which config it goes on with."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments import configs
from experiments.fit import RunError, checkpoint, loop
from experiments.fit.checkpoint import Progress, Saved
from tests.train_command import NAME, arrays, main, quick, quick_trainer, sizes, stop  # noqa: F401

pytestmark = pytest.mark.usefixtures("quick")

# The states that a text's windows hand on are in 16 bits.
COMMAND = ("--config", "text_momentum_lstm", "--set", *sizes("text_momentum_lstm"), "precision=bfloat16")


def test_a_run_with_a_state_in_16_bits_goes_on_to_the_same_end(tmp_path, monkeypatch):
    assert main(tmp_path / "whole", *COMMAND) == 0
    run = quick_trainer(configs.override(configs.get("text_momentum_lstm"), COMMAND[3:]))
    assert run.template().carry[0].core.h.dtype == jax.numpy.bfloat16
    with monkeypatch.context() as during:
        during.setattr(loop, "CALL_SECONDS", 0.0)  # one step at a time
        stop(during, run, 3)
        assert main(tmp_path / "stopped", *COMMAND) == 143
    saved = checkpoint.read(tmp_path / "stopped" / "text_momentum_lstm-seed0")
    assert (saved.arrays["state/step"], np.abs(saved.arrays["state/carry/0/core/h"]).max() > 0) == (3, True)
    assert main(tmp_path / "stopped", *COMMAND) == 0
    whole, stopped = (tmp_path / part / "text_momentum_lstm-seed0" for part in ("whole", "stopped"))
    assert (stopped / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert arrays(stopped) == arrays(whole)


def test_a_field_that_is_younger_than_the_checkpoint_counts_as_its_default(tmp_path):
    config = json.loads(json.dumps(dataclasses.asdict(configs.get(NAME))))
    older = {name: value for name, value in config.items() if name != "precision"}
    saved = Saved(tmp_path / "run" / "checkpoint.npz", Progress(older, {}), {})
    checkpoint.check_same(saved, "config", older, config)
    with pytest.raises(RunError, match="precision is 'float32' there and 'bfloat16' here"):
        checkpoint.check_same(saved, "config", older, {**config, "precision": "bfloat16"})
    of_a_sweep = {f"lstm.{name}": value for name, value in config.items()}
    checkpoint.check_same(saved, "config", {k: v for k, v in of_a_sweep.items() if k != "lstm.precision"}, of_a_sweep)
    with pytest.raises(RunError, match="task is None there and 'adding' here"):
        checkpoint.check_same(saved, "config", {name: value for name, value in config.items() if name != "task"}, config)
