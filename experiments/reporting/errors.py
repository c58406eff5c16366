"""How a report ends early."""


class ReportError(Exception):
    """What was given cannot be reported; the message is one line that says why."""
