"""A run that is killed again and again ends as one that nothing disturbed, bit for bit."""

import random
import signal
import time

from tests.train_command import NAME, TINY_SYNTHETIC, arrays, process

COMMAND = ("--config", NAME, "--set", *TINY_SYNTHETIC, "epochs=150", "steps_per_epoch=3")


def end(running):
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    return out


def kill(running, folder, delay):
    """At a moment after its first new epoch is saved."""
    path = folder / "checkpoint.npz"
    before = path.stat().st_mtime_ns if path.exists() else None
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(delay)
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL


def killed_run(out, cache, times, seed):
    """The folder of a run that was killed so many times, and then left alone."""
    delays = random.Random(seed)
    for _ in range(times):
        kill(process(out, cache, *COMMAND), out / f"{NAME}-seed0", delays.uniform(0, 0.15))
    end(process(out, cache, *COMMAND))
    return out / f"{NAME}-seed0"


def test_killed_and_started_again_a_run_loses_and_doubles_nothing(tmp_path):
    end(process(tmp_path / "whole", tmp_path / "cache", *COMMAND))
    whole = tmp_path / "whole" / f"{NAME}-seed0"
    killed = killed_run(tmp_path / "killed", tmp_path / "cache", times=3, seed=0)
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert len((whole / "metrics.jsonl").read_text().splitlines()) == 151
    assert arrays(killed) == arrays(whole)
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}
