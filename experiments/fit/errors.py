"""How a run ends early."""

from experiments.errors import CommandError


class RunError(CommandError, Exception):
    """The run cannot start or go on."""


class DivergedError(RunError):
    """The loss, a gradient or a parameter is NaN or infinite."""

    status = 1


class StoppedError(CommandError, KeyboardInterrupt):
    """A signal asked for the end; the status is that of a process which the signal ended.

    No `Exception`, so that no library takes it for one of its own errors.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.status = 128 + signal_number
