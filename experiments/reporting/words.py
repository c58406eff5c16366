"""How numbers are printed: four digits of a value, two of its spread."""

from experiments.reporting.intervals import Interval, Sample


def number(value: float) -> str:
    """Four digits.

    >>> number(98.9312), number(1089.16), number(0.0375)
    ('98.93', '1089', '0.03750')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.4g}"


def signed(value: float) -> str:
    """Three digits, with the sign.

    >>> signed(-1.2345), signed(0.5), signed(12345.0)
    ('-1.23', '+0.5', '+12345')
    """
    return f"{value:+.0f}" if abs(value) >= 1000 else f"{value:+.3g}"


def spread(value: float) -> str:
    """Two digits.

    >>> spread(0.04321), spread(123.4)
    ('0.043', '123')
    """
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:#.2g}"


def mean_and_std(values: Sample) -> str:
    """The mean, and the standard deviation if there is one."""
    return number(values.mean) if values.std is None else f"{number(values.mean)} ± {spread(values.std)}"


def interval(found: Interval | None) -> str:
    """Both ends, or a dash if there is none."""
    return "–" if found is None else f"{number(found.low)} to {number(found.high)}"


def signed_interval(found: Interval) -> str:
    """Both ends, with their signs."""
    return f"{signed(found.low)} to {signed(found.high)}"


def value(setting: object) -> str:
    """A setting of a config.

    >>> value(None), value(0.6), value(128)
    ('none', '0.6', '128')
    """
    return "none" if setting is None else f"{setting:g}" if isinstance(setting, float) else str(setting)
