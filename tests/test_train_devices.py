"""Several devices and several processes train as one device does; 16 bits; event files; one process for each folder."""

import dataclasses
import json
import socket
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from experiments import configs
from experiments.configs import CONFIGS
from experiments.fit import files, hosts, loop, problem, steps
from tests.train_command import (
    COMMAND,
    FILES,
    NAME,
    TINY,
    TINY_SYNTHETIC,
    assert_refused,
    lines,
    main,
    process,
    quick,  # noqa: F401
    quick_trainer,
    stop,
    tiny,
)

pytestmark = pytest.mark.usefixtures("quick")

SECONDS = 300  # after which a process hangs
SYNTHETIC = ("--config", NAME, "--set", *TINY_SYNTHETIC, "batch_size=8")
# Sequences of several lengths: the mean over all frames is not the mean of the devices' means.
FRAMES = ("--config", "fsdd_lstm_84", "--set", *TINY, "batch_size=8", "steps_per_epoch=1")
WATCHED = "tests.train_process"


def assert_close(out, expected):
    """The only run in each of two folders has the same metrics, to float32's rounding."""
    (folder,), (other,) = out.iterdir(), expected.iterdir()
    assert {path.name for path in folder.iterdir()} == FILES
    assert len(lines(folder)) == 3
    for line, like in zip(lines(folder), lines(other), strict=True):
        assert line == {key: pytest.approx(value, rel=1e-5) if "loss" in key else value for key, value in like.items()}


def communicate(*together):
    """Of each process: its status, what it prints, and its last line of errors."""
    try:
        printed = [running.communicate(timeout=SECONDS) for running in together]
    finally:
        for running in together:
            running.kill()
    return [
        (running.returncode, [line for line in out.splitlines() if not line.startswith("[Gloo]")], err.rpartition("error: ")[2])
        for running, (out, err) in zip(together, printed, strict=True)
    ]


def test_eight_devices_train_as_one(tmp_path):
    commands = {"synthetic": SYNTHETIC, "frames": FRAMES}
    arguments = [[*command, "--devices=all", f"--out={tmp_path / name}"] for name, command in commands.items()]
    ((status, printed, error),) = communicate(
        process(tmp_path, tmp_path / "cache", "--watch", json.dumps(arguments), module=WATCHED, devices=8)
    )
    assert status == 0, error
    # In training and, of 5 examples filled up to 8, in evaluation.
    assert printed.count("of 8 examples 1") >= 4
    assert all(line == "of 8 examples 1" or "ended after" in line for line in printed)
    for name, command in commands.items():
        assert main(tmp_path / "one" / name, *command) == 0
        assert_close(tmp_path / name, tmp_path / "one" / name)
        folder = next(path.parent for path in (tmp_path / name).glob("*/config.json"))
        assert json.loads((folder / "config.json").read_text())["device"]["devices"] == 8


def test_devices_that_are_not_there_or_cannot_share_a_minibatch_are_refused(tmp_path, capsys, monkeypatch):
    assert_refused(main(tmp_path, *COMMAND, "--devices=2"), capsys, "--devices 2: there is only 1")
    monkeypatch.setattr(jax, "local_devices", lambda process: [None] * 8)
    message = "batch_size must be a multiple of the 8 devices that share a minibatch, got 4"
    assert_refused(main(tmp_path, *COMMAND, "--devices=all"), capsys, message)
    assert not list(tmp_path.iterdir())


def pair(outs, cache, *commands, module="experiments.train"):
    """A command in two processes that know of each other: their statuses and last lines of errors."""
    with socket.socket(socket.AF_INET6) as port:  # bound, it is nobody else's; the coordinator shares it
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port.bind(("::", 0))
        coordinator = f"localhost:{port.getsockname()[1]}"
        both = [
            process(out, cache, *command, f"--coordinator={coordinator}", "--num-processes=2", f"--process-id={i}", module=module)
            for i, (out, command) in enumerate(zip(outs, commands, strict=True))
        ]
        return zip(*communicate(*both), strict=True)


def test_two_processes_train_as_one_and_a_signal_to_either_stops_both(tmp_path):
    outs = [tmp_path / "first" / "out", tmp_path / "second" / "out"]
    folder = outs[0] / f"{NAME}-seed0"
    statuses, _, errors = pair(outs, tmp_path / "cache", SYNTHETIC, ("--signal-at=3", *SYNTHETIC), module=WATCHED)
    assert statuses == (143, 143), errors
    assert errors == tuple(f"SIGTERM after step 3; the same command goes on from {out / folder.name}\n" for out in outs)
    assert len(lines(folder)) == 1
    # The second process has no folder, and goes on with the first one's.
    statuses, printed, errors = pair(outs, tmp_path / "cache", SYNTHETIC, SYNTHETIC, module=WATCHED)
    assert statuses == (0, 0), errors
    assert [len(text) for text in printed] == [1, 0]
    assert errors[1] == ""
    assert not outs[1].parent.exists()
    assert main(tmp_path / "one", *SYNTHETIC) == 0
    assert_close(outs[0], tmp_path / "one")


def test_what_fails_for_one_process_ends_both(tmp_path):
    (tmp_path / "file").touch()
    outs = [tmp_path / "file", tmp_path / "second"]
    statuses, printed, errors = pair(outs, tmp_path / "cache", SYNTHETIC, SYNTHETIC)
    reason = f"--out {outs[0]}: nothing can be written there: File exists\n"
    assert (statuses, errors, printed) == ((2, 2), (reason, f"process 0: {reason}"), ([], []))


def test_processes_with_other_commands_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hosts, "from_each", lambda mine: [mine, {**mine, "seed": 1}])
    message = "process 1 has another command: seed is 1 there and 0 in process 0"
    assert_refused(main(tmp_path, *COMMAND), capsys, message)
    assert not list(tmp_path.iterdir())


PROCESSES = {
    "no place": (["--coordinator=here", "--num-processes=2", "--process-id=0"], "--coordinator: must be HOST:PORT, got 'here'"),
    "alone": (["--coordinator=here:1"], "--coordinator, --num-processes and --process-id go together"),
    "one too many": (["--coordinator=here:1", "--num-processes=2", "--process-id=2"], "--process-id: must be from 0 to 1, got 2"),
    "said twice": (["--distributed", "--process-id=0"], "--distributed asks the cluster for what --coordinator, --num-"),
    "no cluster": (["--distributed"], "the processes do not come together: "),
    "no device": (["--devices=0"], "argument --devices: must be a whole number from 1 to 10000, got '0'"),
}


def no_cluster(*arguments):
    """What JAX says in a new process."""
    raise ValueError("coordinator_address should be defined.")


@pytest.mark.parametrize(("arguments", "message"), PROCESSES.values(), ids=PROCESSES)
def test_wrong_options_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", no_cluster)
    assert_refused(main(tmp_path, *COMMAND, *arguments), capsys, message)
    assert not list(tmp_path.iterdir())


def test_a_second_process_in_the_folder_is_refused(tmp_path, capsys, monkeypatch):
    folder = tmp_path / f"{NAME}-seed0"
    with files.lock(folder):
        message = f"another process is training in {folder}; wait for its end, or give another --out"
        assert_refused(main(tmp_path, *COMMAND), capsys, message)
        assert main(tmp_path, *COMMAND, "seed=1") == 0
        monkeypatch.setattr(files, "fcntl", None)  # where there are no locks
        with files.lock(folder):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}-seed1"]


def events(folder):
    """What an event file holds: (tag, step, value), after the mark of a beginning."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        length, check = struct.unpack("<QI", content[:12])
        assert check == masked_crc32c(content[:8])
        record, (check,) = content[12 : 12 + length], struct.unpack("<I", content[12 + length : 16 + length])
        assert check == masked_crc32c(record)
        found.append(Event.FromString(record))
        content = content[16 + length :]
    assert found[0].file_version == "brain.Event:2"
    assert found[1].session_log.status == SessionLog.START
    return [(value.tag, event.step, value.simple_value) for event in found[2:] for value in event.summary.value]


def test_event_files_hold_the_metrics_however_often_a_run_is_interrupted(tmp_path, monkeypatch):
    folder = tmp_path / f"{NAME}-seed0"
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)

    def expected():
        metrics = lines(folder)
        return [
            (key, metrics[line["epoch"] - 1]["step"], np.float32(value))
            for line in metrics
            for key, value in line.items()
            if key not in ("kind", "epoch", "step")
        ]

    trainer = quick_trainer(configs.override(configs.get(NAME), COMMAND[3:]))
    for step in (3, 6, 7):
        with monkeypatch.context() as during:
            stop(during, trainer, step)
            assert main(tmp_path, *COMMAND, "--tensorboard") == 143
        assert events(folder) == expected()
    for _ in range(2):  # the second time, it has ended before
        assert main(tmp_path, *COMMAND, "--tensorboard") == 0
        assert events(folder) == expected()
    assert len(events(folder)) == 3 * 4 + 2


def test_without_what_writes_event_files_nothing_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    message = "--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'"
    assert_refused(main(tmp_path / "out", *COMMAND, "--tensorboard"), capsys, message)
    assert not (tmp_path / "out").exists()


def test_16_bits_are_for_the_network_alone(tmp_path):
    arguments = (*COMMAND, "precision=bfloat16", "learning_rate=0.01", "epochs=30")
    narrow, wide = (quick_trainer(configs.override(configs.get(NAME), command[3:])) for command in (arguments, COMMAND))
    params, split = wide.start().params, wide.problem.validation
    hs, outputs = (jax.eval_shape(f, params, split.inputs) for f in (narrow.network.hidden_states, narrow.network.apply))
    assert (hs.dtype, outputs.dtype) == (jnp.bfloat16, jnp.float32)
    losses = [run.evaluate(params, split)["loss"] for run in (narrow, wide)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert main(tmp_path, *arguments) == 0
    folder = tmp_path / f"{NAME}-seed0"
    with np.load(folder / "checkpoint.npz") as arrays:
        assert {array.dtype for name, array in arrays.items() if name != "progress"} == {np.dtype(t) for t in ("f4", "i4", "?")}
    losses = [line["validation_loss"] for line in lines(folder)[:-1]]
    assert min(losses) < losses[0] / 2


@pytest.mark.parametrize("cell", sorted({entry.config.cell for entry in CONFIGS.values()}))
def test_every_cell_runs_in_16_bits(cell):
    name = next(name for name, entry in CONFIGS.items() if entry.config.cell == cell)
    config = dataclasses.replace(tiny(name), precision="bfloat16")
    run = steps.Steps(config, problem.load(config, None, None))
    params = jax.eval_shape(run.initial, jax.random.key(0)).params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert jax.eval_shape(run.network.hidden_states, params, run.problem.validation.inputs).dtype == jnp.bfloat16
