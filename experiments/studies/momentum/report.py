"""The report of the study: verdicts, tables and figures, from the records alone."""

from pathlib import Path


def write(results: Path) -> str:
    """Write the report beside the results' folder; its text."""
    raise NotImplementedError(results)
