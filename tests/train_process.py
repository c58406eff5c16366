"""Run by `test_train_devices.py`: `python -m experiments.train` on tiny data, in a process of its own.

python -m tests.train_process ARGUMENTS...
python -m tests.train_process --signal-at=STEP ARGUMENTS...   gets a SIGTERM during that step
python -m tests.train_process --watch JSON                    of several commands, prints which part of a batch each device has
"""

import json
import sys

import jax
import pytest

from experiments import loop, networks, tasks, train
from tests.train_command import stand_in, stop


def watched(hidden_states):
    def wrapped(network, params, inputs, lengths=None):
        hs = hidden_states(network, params, inputs, lengths)
        jax.debug.inspect_array_sharding(
            hs, callback=lambda sharding: print(f"of {hs.shape[1]} examples {sharding.shard_shape(hs.shape)[1]}")
        )
        return hs

    return wrapped


def main(first, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.datasets, "load", stand_in)
        patch.setattr(loop, "CALL_SECONDS", 0.0)  # one step at a time
        if first == "--watch":
            patch.setattr(networks.Network, "hidden_states", watched(networks.Network.hidden_states))
            return max(train.main(command) for command in json.loads(arguments[0]))
        if first.startswith("--signal-at="):
            stop(patch, int(first.partition("=")[2]))
        else:
            arguments = (first, *arguments)
        return train.main(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
