"""What ends a command early."""


class CommandError(BaseException):
    """The message is one line for the user, and `status` the exit status; each kind is also an `Exception` or an interrupt."""

    status = 2
