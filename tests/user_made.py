"""Drives and cores as users write them, beside the library's own in `registry`."""

from tests.user_cores import CORES
from tests.user_drives import DRIVES

__all__ = ["CORES", "DRIVES"]
