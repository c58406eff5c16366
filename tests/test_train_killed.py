"""A run that is killed while it works, saves or renames ends as one that nothing disturbed, bit for bit."""

import random
import signal
import time

import pytest

from tests.train_command import NAME, TINY_SYNTHETIC, arrays, changed, process, visible

COMMAND = ("--config", NAME, "--set", *changed(TINY_SYNTHETIC, "epochs=90", "steps_per_epoch=3"))


def end(running):
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    return out


def wait(running, condition):
    """Until it is so, looking as often as can be."""
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline and not condition():
        time.sleep(2e-4)


def saved(folder):
    """A condition: there is a newer checkpoint."""
    path = folder / "checkpoint.npz"
    before = path.stat().st_mtime_ns if path.exists() else None
    return lambda: path.exists() and path.stat().st_mtime_ns != before


# What it is doing when it is killed: the new file is there before it has its name.
MOMENTS = {
    "between two steps": lambda folder: None,
    "writing a checkpoint": lambda folder: (folder / "checkpoint.npz.new").exists,
    "writing metrics": lambda folder: (folder / "metrics.jsonl.new").exists,
    "behind a rename": saved,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    end(process(out, out / "cache", *COMMAND))
    return out


def test_killed_again_and_again_a_run_loses_and_doubles_nothing(whole, tmp_path):
    folder, expected, delays = tmp_path / f"{NAME}-seed0", whole / f"{NAME}-seed0", random.Random(0)
    for moment in MOMENTS.values():
        running = process(tmp_path, whole / "cache", *COMMAND)
        wait(running, saved(folder))  # so that each gets on
        condition = moment(folder)
        time.sleep(delays.uniform(0, 0.05))
        if condition is not None:
            wait(running, condition)
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL
    end(process(tmp_path, whole / "cache", *COMMAND))
    assert (folder / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()
    assert len((expected / "metrics.jsonl").read_text().splitlines()) == 91
    assert arrays(folder) == arrays(expected)
    assert visible(folder) == visible(expected)
