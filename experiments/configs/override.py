"""`field=value` on the command line: a named config with some of its values replaced, each by the type of its field."""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from experiments.configs.base import Config
from experiments.errors import CommandError

KINDS = {int: "a whole number", float: "a number", str: "a word"}


class ConfigError(CommandError, Exception):
    """A config is unknown, or a value is none of it."""


def override(config: Config, assignments: Sequence[str]) -> Config:
    """The config with every `field=value` in its place; `none` is a value of fields that may have none.

    Raises:
      ConfigError: no such field, a value of another type, or one that is not allowed.
    """
    types_by_name = typing.get_type_hints(Config)
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set takes field=value, got {assignment!r}")
        if name not in types_by_name:
            raise ConfigError(f"--set {assignment}: no field {name!r}; the fields are {', '.join(types_by_name)}")
        values[name] = _parse(assignment, text, types_by_name[name])
    try:
        return dataclasses.replace(config, **values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--set {' '.join(assignments)}: {error}") from error


def _parse(assignment: str, text: str, field_type: Any) -> Any:
    optional = isinstance(field_type, types.UnionType)
    kind = next(arg for arg in field_type.__args__ if arg is not types.NoneType) if optional else field_type
    if optional and text.lower() == "none":
        return None
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {assignment}: must be {KINDS[kind]}{' or none' if optional else ''}")
    return value
