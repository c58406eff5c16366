"""How error messages name values: types and shapes in a few words of one line, never the contents of arrays or modules."""

import difflib
import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import jax
import numpy as np


def describe(value: Any) -> str:
    """Numbers and strings as they are written, arrays by dtype and shape, the rest by type.

    >>> describe("tanh"), describe(np.zeros((2, 3))), describe([1, None]), describe(list("abc" * 9))
    ("'tanh'", 'float64 of shape (2, 3)', '[1, None]', 'list of length 27')
    """
    if isinstance(value, int) and abs(value) >= 10**60:  # Python refuses to write very long ones
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.dtype):
        return cut(repr(value))
    if isinstance(value, np.ndarray | jax.Array | jax.ShapeDtypeStruct):
        return f"{_kind_of_array(value)}{value.dtype} of shape {value.shape}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields") and len(value) <= 8:
        entries = ", ".join(map(describe, value)) + "," * (isinstance(value, tuple) and len(value) == 1)
        return cut(f"({entries})" if isinstance(value, tuple) else f"[{entries}]")
    size = f" of length {len(value)}" if isinstance(value, list | dict | set | frozenset) else ""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.") + size


def _kind_of_array(value: Any) -> str:
    if isinstance(value, jax.core.Tracer):
        return "traced "
    if isinstance(value, jax.ShapeDtypeStruct):
        return "a ShapeDtypeStruct, "
    return "masked " if isinstance(value, np.ma.MaskedArray) else ""


def describe_values(value: Any) -> str:
    """`describe`, with the range of an array's values: for messages about values."""
    if not isinstance(value, np.ndarray | jax.Array) or isinstance(value, jax.core.Tracer):
        return describe(value)
    values = np.asarray(value).astype(float)
    if np.isnan(values).any():
        return f"NaN in {describe(value)}"
    return f"values from {values.min():g} to {values.max():g} in {describe(value)}"


def outline(tree: Any) -> str:
    """A tree's structure as a reader sees it: `LSTMState(c, h)`, `(LionState(count, mu), EmptyState())`, `None`, `array`."""
    return cut(_outline(tree), 160)


def _outline(tree: Any) -> str:
    if hasattr(tree, "dtype"):
        return "array"
    if hasattr(tree, "_fields"):
        parts = (f if hasattr(x, "dtype") else f"{f}={_outline(x)}" for f, x in zip(tree._fields, tree, strict=True))
        return f"{type(tree).__name__}({', '.join(parts)})"
    if isinstance(tree, tuple | list):
        return f"({', '.join(map(_outline, tree[:20]))}{', …' if len(tree) > 20 else ''})"
    return "None" if tree is None else type(tree).__name__


def listed(names: Iterable[Any], most: int = 6) -> str:
    """Names in order, only some of many.

    >>> listed(["mu", "beta"]), listed(range(9), most=2)
    ("['beta', 'mu']", '[0, 1, … 7 more]')
    """
    written = sorted(map(describe, names))
    return f"[{', '.join(written[:most])}{f', … {len(written) - most} more' if len(written) > most else ''}]"


def ending(wrong: Any, allowed: Iterable[str]) -> str:
    """How a message ends: with the allowed string that a misspelt one is closest to, or with a full stop.

    >>> ending("tahn", ("tanh", "relu")), ending("softmax", ("tanh", "relu"))
    ("; did you mean 'tanh'?", '.')
    """
    if not isinstance(wrong, str) or len(wrong) > 100:  # the search takes time quadratic in the length
        return "."
    by_lower_case = {one.lower(): one for one in allowed}
    close = difflib.get_close_matches(wrong.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]!r}?" if close else "."


def cut(text: str, longest: int = 80) -> str:
    """A text of at most `longest` characters, and its last ones."""
    return text if len(text) <= longest else f"{text[: longest - 9]} … {text[-6:]}"
