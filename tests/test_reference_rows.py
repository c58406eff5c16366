"""The command that trains the most telling rows within a budget."""

import os
import signal

import pytest

from experiments import configs, loop, reference, training
from tests.train_command import assert_refused, quick, status_of, tiny  # noqa: F401

ROWS = ("pmnist_lstm_256", "fsdd_momentum_lstm_158")


@pytest.fixture
def small(quick, monkeypatch):  # noqa: F811
    made = {name: tiny(name) for name in ROWS}
    monkeypatch.setattr(configs, "get", made.get)


def command(folder, *more):
    return status_of(reference.main, "--minutes", "1", "--rows", *ROWS, "--data-dir", folder, "--out", folder / "runs", *more)


def reports(folder):
    return [path.read_text() for path in sorted((folder / "runs").glob("report-*/report.md"))]


def test_rows_are_timed_trained_and_reported(small, tmp_path, capsys):
    assert command(tmp_path) == 0
    printed = capsys.readouterr().out
    for name in ROWS:
        assert f"{name}: " in printed
        assert f"| {name} " in printed
        assert f"{name} finished: " in printed
    assert "finished runs: 2, unfinished: 0" in printed
    assert "permuted mnist" in reports(tmp_path)[0].lower()
    assert command(tmp_path) == 0
    assert capsys.readouterr().out.count("was already finished") == 2


def test_when_the_minutes_are_over_it_reports_and_the_next_time_goes_on(small, tmp_path, capsys, monkeypatch):
    timers = []

    class Timer:
        def __init__(self, seconds, stop):
            assert seconds == 60
            timers.append(stop)

        def start(self):
            pass

        def cancel(self):
            pass

    advance = training.advance

    ends = ["lstm", "momentum_lstm"]

    def over(program, state, *rest):
        if int(state.step) == 2 and program.config.cell == ends[0]:
            timers[-1]()
        return advance(program, state, *rest)

    with monkeypatch.context() as during:
        during.setattr(reference.threading, "Timer", Timer)
        during.setattr(loop, "CALL_SECONDS", 0.0)
        during.setattr(training, "advance", over)
        assert command(tmp_path) == 0
    assert "There is no report yet: no run is finished" in capsys.readouterr().out
    del ends[0]
    with monkeypatch.context() as during:
        during.setattr(reference.threading, "Timer", Timer)
        during.setattr(loop, "CALL_SECONDS", 0.0)
        during.setattr(training, "advance", over)
        assert command(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "The 1 minutes are over: SIGTERM after step 3" in printed
    assert "finished runs: 1, unfinished: 1" in printed
    assert command(tmp_path) == 0
    assert "finished runs: 2, unfinished: 0" in capsys.readouterr().out


def test_a_signal_of_the_users_still_ends_it(small, tmp_path, capsys, monkeypatch):
    advance = training.advance

    def stopped(program, state, *rest):
        if int(state.step) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(program, state, *rest)

    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(training, "advance", stopped)
    assert command(tmp_path) == 128 + signal.SIGTERM
    assert "the same command continues" in capsys.readouterr().err
    assert not reports(tmp_path)


def test_rows_without_data_are_left_out_and_named(tmp_path, capsys):
    options = ("--minutes", "1", "--rows", "ptb_lstm", "--data-dir", tmp_path, "--out", tmp_path / "runs")
    assert status_of(reference.main, *options) == 2
    printed = capsys.readouterr()
    assert "ptb_lstm is left out: Nothing is prepared in" in printed.out
    assert printed.err == "error: there is no data for any row; --help lists the flags\n"


def test_every_row_is_a_config():
    assert set(reference.ROWS) <= set(configs.CONFIGS)
    assert {configs.CONFIGS[name].config.task for name in reference.ROWS} == {"permuted_mnist", "fsdd", "ptb"}
