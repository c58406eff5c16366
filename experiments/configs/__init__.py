"""Named configs: the rows of the paper's tables, a file each; free speech, controls, synthetic tasks, texts, the demo's."""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from experiments.command import CommandError
from experiments.configs import controls, demo, memory, neighbours, spoken_digits, table1, table2, table3, table4, table5, text
from experiments.configs.base import Config
from experiments.configs.row import Row

__all__ = ["CONFIGS", "Config", "ConfigError", "Row", "get", "override"]

CONFIGS: dict[str, Row] = {}
for _module in (table1, table2, table3, table4, table5, spoken_digits, controls, memory, text, demo, neighbours):
    CONFIGS |= _module.ROWS

KINDS = {int: "a whole number", float: "a number", str: "a word"}


class ConfigError(CommandError, Exception):
    """A config is unknown, or a value is wrong."""


def get(name: str) -> Config:
    """The config of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in CONFIGS:
        raise ConfigError(f"no config is called {name!r}; --list prints them all")
    return CONFIGS[name].config


def override(config: Config, assignments: Sequence[str]) -> Config:
    """The config with every `field=value` replaced; `none` is allowed for optional fields.

    Raises:
      ConfigError: no such field, a value of another type or one that is not allowed, or a field that is given twice.
    """
    # Not tyro or the like, which would print a page where an error here is one line.
    kinds = {field.name: typing.get_type_hints(type(config))[field.name] for field in dataclasses.fields(config)}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set takes field=value, got {assignment!r}")
        if name not in kinds:
            raise ConfigError(f"--set {assignment}: the task {config.task!r} has no field {name!r}; it has {', '.join(kinds)}")
        if name in values:
            raise ConfigError(f"--set {assignment}: {name} is given twice; give one value")
        values[name] = _parse(assignment, text, kinds[name])
    try:
        return dataclasses.replace(config, **values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--set {' '.join(assignments)}: {error}") from error


def _parse(assignment: str, text: str, kind: Any) -> Any:
    optional = isinstance(kind, types.UnionType)
    kind = next(one for one in kind.__args__ if one is not types.NoneType) if optional else kind
    if optional and text.lower() == "none":
        return None
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {assignment}: must be {KINDS[kind]}{' or none' if optional else ''}")
    return value
