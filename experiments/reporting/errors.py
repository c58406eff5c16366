"""How a report ends early."""

from experiments.errors import CommandError


class ReportError(CommandError, Exception):
    """What was given cannot be reported."""
