"""Several devices and several processes train as one device does; 16 bits; event files; one process for each folder."""

import json
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments import checkpoint, configs, hosts, tensorboard
from experiments.configs import CONFIGS
from tests.train_command import (
    COMMAND,
    FILES,
    NAME,
    SET,
    TINY,
    TINY_SYNTHETIC,
    assert_refused,
    changed,
    first,
    lines,
    main,
    process,
    quick,  # noqa: F401
    quick_runs,
    stop,
    tiny,
    visible,
)

pytestmark = pytest.mark.usefixtures("quick")

SECONDS = 300  # after which a process hangs
SYNTHETIC = ("--config", NAME, "--set", *changed(TINY_SYNTHETIC, "batch_size=8"))
# Sequences of several lengths: the mean over all frames is not the mean of the devices' means.
FRAMES = ("--config", "fsdd_lstm_84", "--set", *changed(TINY, "batch_size=8", "steps_per_epoch=1"))
WATCHED = "tests.train_process"


def assert_close(out, expected):
    """The only run in each of two folders has the same metrics, to float32's rounding."""
    (folder,), (other,) = [out / name for name in visible(out)], [expected / name for name in visible(expected)]
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
    assert all(line == "of 8 examples 1" or "finished after" in line for line in printed)
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
    assert not visible(tmp_path)


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
    assert errors == tuple(f"SIGTERM after step 3; the same command continues from {out / folder.name}\n" for out in outs)
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
    monkeypatch.setattr(hosts, "from_each", lambda mine: [mine, {**mine, "seed": 1}] if isinstance(mine, dict) else [mine])
    message = "process 1 has another command: seed is 1 there and 0 here"
    assert_refused(main(tmp_path, *COMMAND), capsys, message)
    assert not list(tmp_path.iterdir())


PROCESSES = {
    "no place": (["--coordinator=here", "--num-processes=2", "--process-id=0"], "--coordinator: must be HOST:PORT, got 'here'"),
    "alone": (["--coordinator=here:1"], "--coordinator, --num-processes and --process-id must be given together"),
    "one too many": (["--coordinator=here:1", "--num-processes=2", "--process-id=2"], "--process-id: must be from 0 to 1, got 2"),
    "said twice": (["--distributed", "--process-id=0"], "--distributed excludes --coordinator, --num-"),
    "no cluster": (["--distributed"], "the processes cannot connect: "),
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


def test_a_second_process_in_the_folder_is_refused(tmp_path, capsys):
    folder = tmp_path / f"{NAME}-seed0"
    with checkpoint.lock(folder):
        message = f"another process is training in {folder}; wait for its end, or give another --out"
        assert_refused(main(tmp_path, *COMMAND), capsys, message)
        assert main(tmp_path, *COMMAND[:3], *changed(SET, "seed=1")) == 0
    assert visible(tmp_path) == [f"{NAME}-seed1"]
    assert main(tmp_path, *COMMAND) == 0


def events(folder):
    """What an event file holds: (tag, step, value)."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:  # length and its checksum, the record and its checksum
        length = int.from_bytes(content[:8], "little")
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return sorted((value.tag, event.step, value.simple_value) for event in found for value in event.summary.value)


def test_event_files_hold_the_metrics_however_often_a_run_is_interrupted(tmp_path, monkeypatch):
    folder = tmp_path / f"{NAME}-seed0"

    def expected():
        metrics = lines(folder)
        return sorted(
            (key, metrics[line["epoch"] - 1]["step"], np.float32(value))
            for line in metrics
            for key, value in line.items()
            if key not in ("kind", "epoch", "step")
        )

    for step in (3, 6, 7):
        with monkeypatch.context() as during:
            stop(during, step)
            assert main(tmp_path, *COMMAND, "--tensorboard") == 143
        assert events(folder) == expected()
    for _ in range(2):  # the second time, it has ended before
        assert main(tmp_path, *COMMAND, "--tensorboard") == 0
        assert events(folder) == expected()
    assert len(events(folder)) == 3 * 4 + 2


def test_without_what_writes_event_files_nothing_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    message = "--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'"
    assert_refused(main(tmp_path / "out", *COMMAND, "--tensorboard"), capsys, message)
    assert not (tmp_path / "out").exists()


def test_16_bits_are_for_the_network_alone(tmp_path):
    values = changed(SET, "precision=bfloat16", "learning_rate=0.01", "epochs=30")
    narrow, wide = (quick_runs(configs.override(configs.get(NAME), of)) for of in (values, SET))
    params, inputs = wide.start().runs.params, wide.validation.inputs
    hs, outputs = (jax.eval_shape(f, first(params), inputs) for f in (narrow.model.hidden_states, narrow.model.apply))
    assert (hs.dtype, outputs.dtype) == (jnp.bfloat16, jnp.float32)
    (one,), (other,) = (run.evaluate(params, run.validation)["loss"] for run in (narrow, wide))
    assert one != other
    assert one == pytest.approx(other, rel=0.02)
    assert main(tmp_path, "--config", NAME, "--set", *values) == 0
    folder = tmp_path / f"{NAME}-seed0"
    with np.load(folder / "checkpoint.npz") as arrays:
        found = {array.dtype for name, array in arrays.items() if name not in ("progress", "checksum")}
        assert found == {np.dtype(t) for t in ("f4", "i4", "?")}
    losses = [line["validation_loss"] for line in lines(folder)[:-1]]
    assert min(losses) < losses[0] / 2


@pytest.mark.parametrize("cell", sorted({row.config.cell for row in CONFIGS.values()}))
def test_every_cell_runs_in_16_bits(cell):
    name = next(name for name, row in CONFIGS.items() if row.config.cell == cell)
    run = quick_runs(tiny(name, precision="bfloat16"))
    params = jax.eval_shape(run.start).runs.params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), params)
    assert jax.eval_shape(run.model.hidden_states, one, run.validation.inputs).dtype == jnp.bfloat16
