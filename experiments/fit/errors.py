"""How a run ends early: each error is one line for the user, and an exit status."""


class RunError(Exception):
    """The run cannot start or go on; the message is one line that says why."""

    status = 2


class DivergedError(RunError):
    """The loss, a gradient or a parameter is NaN or infinite."""

    status = 1


class StoppedError(KeyboardInterrupt):
    """A signal asked for the end; the status is that of a process which the signal ended.

    No `Exception`, so that no library takes it for one of its own errors.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.status = 128 + signal_number
