"""What a checkpoint can hold."""

import jax
import numpy as np
import pytest

from experiments import checkpoint
from tests.train_command import arrays, changed, main, quick, quick_runs, sizes, stop, tiny  # noqa: F401

pytestmark = pytest.mark.usefixtures("quick")

# The states that a text's windows hand on are in 16 bits.
NAME = "text_momentum_lstm"
COMMAND = ("--config", NAME, "--set", *changed(sizes(NAME), "precision=bfloat16"))


def test_a_run_with_a_state_in_16_bits_goes_on_to_the_same_end(tmp_path, monkeypatch):
    assert main(tmp_path / "whole", *COMMAND) == 0
    state = quick_runs(tiny(NAME, precision="bfloat16")).start()
    assert state.runs.carry[0].core.h.dtype == jax.numpy.bfloat16
    with monkeypatch.context() as during:
        stop(during, 3)
        assert main(tmp_path / "stopped", *COMMAND) == 143
    _, saved = checkpoint.read(tmp_path / "stopped" / f"{NAME}-seed0")
    assert (saved["0/step"], np.abs(saved["0/runs/carry/0/core/h"]).max() > 0) == (3, True)
    assert main(tmp_path / "stopped", *COMMAND) == 0
    whole, stopped = (tmp_path / part / f"{NAME}-seed0" for part in ("whole", "stopped"))
    assert (stopped / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert arrays(stopped) == arrays(whole)
