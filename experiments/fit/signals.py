"""Ctrl-C and SIGTERM: at once while nothing is at stake, and between two optimiser steps during training."""

import signal
from types import FrameType, TracebackType
from typing import Any

from experiments.fit.errors import StoppedError


class Signals:
    """A context in which the two signals raise a `StoppedError`; with `wait` set, they leave their number in `received` instead.

    A second signal ends the process as if nobody were listening: files are whole at any moment.
    """

    def __init__(self) -> None:
        self.wait = False
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.received = number
        if not self.wait:
            raise StoppedError("stopped before the first step; the same command starts again", number)
