"""Frozen dataclasses that are JAX pytrees: array fields are leaves, `static()` fields are structure."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, dataclass_transform

import jax
import jax.export
import numpy as np

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe

T = TypeVar("T")


class Range(NamedTuple):
    """The values a hyper-parameter may take: [low, high), or (low, high) when `low_open`."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False


def static(**field_options: Any) -> Any:
    """A field that is part of the tree's structure: it is hashed and never traced, and changing it recompiles.

    >>> import jax, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Shifted(mr.Identity):
    ...     steps: int = mr.static(default=1)
    >>> jax.tree.leaves(Shifted(steps=2))
    []
    """
    return dataclasses.field(metadata={"static": True}, **field_options)


def hyperparameter(
    *,
    default: Any = dataclasses.MISSING,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    by_name: bool = False,
) -> Any:
    """A field that is a leaf and holds a real number, or an array of them, in [low, high), or (low, high) when `low_open`.

    Drives and cores check such fields when they are constructed, and the Flax modules keep a learned one in its range. Where the
    default is None, None is allowed too; with `by_name`, so is a dict of such values.

    Raises:
      TypeError, ValueError: `low` is not less than `high`, or an argument is of the wrong kind.

    >>> import momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Scaled(mr.Identity):
    ...     scale: float = mr.hyperparameter(default=1.0, low=0.0, low_open=True)
    ...     def update(self, state, u):
    ...         return state, self.scale * u
    >>> Scaled(scale=-1.0)
    Traceback (most recent call last):
    ValueError: scale must be in (0, inf), got -1.0.
    """
    limits = Range(_checks.bound("low", low), _checks.bound("high", high), _checks.boolean("low_open", low_open))
    if not limits.low < limits.high:
        raise ValueError(f"low must be less than high, got {limits.low} and {limits.high}.")
    return dataclasses.field(default=default, metadata={"range": limits, "by_name": _checks.boolean("by_name", by_name)})


def ranges(part: Any) -> dict[str, Range]:
    """The range of each of a dataclass's fields that were declared with `hyperparameter`, by name."""
    return {f.name: f.metadata["range"] for f in dataclasses.fields(part) if "range" in f.metadata}


def check_hyperparameters(part: Any) -> None:
    """In a frozen dataclass's `__post_init__`, check and convert every field that was declared with `hyperparameter`."""
    for field in dataclasses.fields(part) if dataclasses.is_dataclass(part) else ():
        value = getattr(part, field.name)
        if "range" not in field.metadata or (value is None and field.default is None):
            continue
        limits = field.metadata["range"]._asdict()
        if field.metadata["by_name"] and isinstance(value, Mapping):
            value = {name: _checks.number(f"{field.name}[{name!r}]", one, **limits) for name, one in value.items()}
        else:
            value = _checks.number(field.name, value, **limits)
        object.__setattr__(part, field.name, value)


@dataclass_transform(frozen_default=True, field_specifiers=(static, hyperparameter, dataclasses.field))
def pytree_dataclass(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it as a pytree.

    `jax.tree_util.register_dataclass` calls the constructor when it unflattens, so checks in `__post_init__` would reject a
    gradient, which has the same structure but need not lie in the allowed range. Here unflattening bypasses the constructor:
    values are checked when a user writes them, not when JAX rebuilds the tree.

    Raises:
      TypeError: `cls` is not a class.

    >>> import jax, momentum_rnn_jax as mr
    >>> jax.tree.map(lambda leaf: 2 * leaf, mr.Nesterov(step_size=0.5, restart=3))
    Nesterov(step_size=1.0, restart=3)
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls must be a class, got {describe(cls)}.")
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    data = tuple(f.name for f in fields if not f.metadata.get("static"))
    meta = tuple(f.name for f in fields if f.metadata.get("static"))

    def flatten(tree: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(tree, name) for name in data), tuple(getattr(tree, name) for name in meta)

    def flatten_with_keys(tree: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children, aux = flatten(tree)
        return tuple(zip(map(jax.tree_util.GetAttrKey, data), children, strict=True)), aux

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        tree = object.__new__(cls)
        for name, value in zip(data + meta, (*children, *aux), strict=True):
            object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def state_type(cls: type[T]) -> type[T]:
    """Register a named tuple for the serialisation of `jax.export`, so that exported functions may take and return it."""
    jax.export.register_namedtuple_serialization(cls, serialized_name=f"momentum_rnn_jax.{cls.__name__}")
    return cls


def is_pytree(part: Any) -> bool:
    """Whether a part can be an argument of a compiled program: its leaves are numbers and arrays, and its structure hashes."""
    leaves, structure = jax.tree.flatten(part)
    if not all(isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float) for leaf in leaves):
        return False
    try:
        hash(structure)
    except TypeError:
        return False
    return True


def set_fields(instance: Any, convert: Callable[[str, Any], Any], *names: str) -> None:
    """Replace each named field by `convert(name, value)`, in the `__post_init__` of a frozen dataclass."""
    for name in names:
        object.__setattr__(instance, name, convert(name, getattr(instance, name)))
