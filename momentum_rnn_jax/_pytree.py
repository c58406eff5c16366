"""Frozen dataclasses that are JAX pytrees: array fields are leaves, `static()` fields are structure."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**field_options: Any) -> Any:
    """A field that belongs to the tree's structure: it is hashed, never traced, and changing it recompiles."""
    return dataclasses.field(metadata={"static": True}, **field_options)


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree_dataclass(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it as a pytree.

    `jax.tree_util.register_dataclass` would call the constructor on unflattening, and so the checks in `__post_init__`
    would refuse a gradient, which has the same tree but not the same allowed range. Here unflattening bypasses them:
    values are checked when a person writes them, not when JAX carries them.

    >>> import jax, momentum_rnn_jax as mr
    >>> jax.tree.map(lambda leaf: 2 * leaf, mr.Nesterov(step_size=0.5, restart=3))
    Nesterov(step_size=1.0, restart=3)
    """
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


def set_fields(instance: Any, convert: Callable[[str, Any], Any], *names: str) -> None:
    """In a frozen dataclass's `__post_init__`, replace each named field by `convert(name, value)`."""
    for name in names:
        object.__setattr__(instance, name, convert(name, getattr(instance, name)))
