"""How long each named config takes, where `python -m experiments.timing` measured that."""

import json
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).parent / "durations.json"


class Duration(NamedTuple):
    """A whole run's time, extrapolated from a few optimiser steps.

    `minutes` is compilation, all steps of all epochs and all looks at the validation split; `steps_timed` is how many steps were
    timed, of `step_seconds` each; `load` is the machine's load average then, with what else was running.
    """

    minutes: float
    step_seconds: float
    steps_timed: int
    compile_seconds: float
    commit: str | None
    date: str
    load: float

    def text(self, device: str) -> str:
        """In words.

        >>> Duration(250.0, 0.2, 50, 9.0, None, "2026-01-31", 0.0).text("2 CPU cores")
        'about 4.2 hours on 2 CPU cores, from 50 steps timed'
        """
        return f"{about(self.minutes)} on {device}, from {self.steps_timed} steps timed"


def about(minutes: float) -> str:
    """Two digits, in minutes or hours.

    >>> about(0.4), about(1.04), about(52.7), about(150), about(60_000)
    ('about 0.4 minutes', 'about 1 minute', 'about 53 minutes', 'about 2.5 hours', 'about 1000 hours')
    """
    value, unit = (minutes, "minute") if minutes < 100 else (minutes / 60, "hour")
    shown = f"{float(f'{value:.2g}'):g}"
    return f"about {shown} {unit}{'' if shown == '1' else 's'}"


def read(path: Path) -> dict[str, dict[str, Duration]]:
    """By device and by name of the config; nothing where there is no such file."""
    if not path.exists():
        return {}
    by_device = json.loads(path.read_text(encoding="utf-8"))
    return {device: {name: Duration(**values) for name, values in found.items()} for device, found in by_device.items()}


def content(durations: dict[str, dict[str, Duration]]) -> str:
    """The file's text: a line for each config."""
    devices = []
    for device, found in sorted(durations.items()):
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(duration._asdict())}" for name, duration in found.items())
        devices.append(f" {json.dumps(device)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(devices) + "\n}\n"


def texts() -> dict[str, list[str]]:
    """What was measured of each config, on each device."""
    found: dict[str, list[str]] = {}
    for device, durations in read(PATH).items():
        for name, duration in durations.items():
            found.setdefault(name, []).append(duration.text(device))
    return found
