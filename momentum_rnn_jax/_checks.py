"""Arguments are checked where they enter; every message says which argument, what was got and what is allowed.

Shapes, dtypes and structure are known even while JAX traces, so they are always checked. Values are checked when they
are concrete: the value of a traced argument does not exist yet.
"""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def number(name: str, value: Any, *, low: float, high: float = np.inf, low_open: bool = False) -> Any:
    """A real number, or an array of them, inside [low, high) or (low, high); returned as a float or a float array."""
    if isinstance(value, jax.core.Tracer):
        return value
    is_array = isinstance(value, int | float | np.generic | np.ndarray | jax.Array)
    dtype = np.asarray(value).dtype if is_array else np.dtype(object)
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}.")
    # In the default precision, where a number just below an excluded bound may be the bound itself.
    values = np.asarray(value).astype(jnp.result_type(float))
    above = values > low if low_open else values >= low
    if not np.all(above & (values < high)):
        interval = f"{'(' if low_open else '['}{low:g}, {high:g})"
        raise ValueError(f"{name} must be in {interval}, got {value!r}.")
    if values.ndim == 0 and not isinstance(value, jax.Array):
        return float(value)
    return jnp.asarray(value, dtype=jnp.result_type(float) if jnp.issubdtype(dtype, jnp.integer) else None)


def integer(name: str, value: Any, *, low: int) -> int:
    """An int of at least `low`."""
    try:
        as_int = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        as_int = None
    if as_int is None:
        raise TypeError(f"{name} must be an integer of at least {low}, got {value!r}.")
    if as_int < low:
        raise ValueError(f"{name} must be an integer of at least {low}, got {as_int}.")
    return as_int


def sizes(name: str, value: Any, min_ndim: int = 0) -> tuple[int, ...]:
    """A tuple of axis sizes, at least `min_ndim` of them."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} must be a tuple of sizes, such as (32, 3), got {value!r}.")
    if len(value) < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} sizes, got {value!r}.")
    return tuple(integer(name, size, low=0) for size in value)


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """One of the allowed strings."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    return value


def instance(name: str, value: Any, cls: type) -> Any:
    """An instance of `cls`."""
    if not isinstance(value, cls):
        got = f"{type(value).__module__}.{type(value).__qualname__}" if hasattr(value, "__module__") else repr(value)
        raise TypeError(f"{name} must be an instance of {cls.__name__}, got {got}.")
    return value


def key(value: Any) -> jax.Array:
    """One JAX random key, new style or legacy."""
    is_array = isinstance(value, jax.Array)
    typed = is_array and jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0
    legacy = is_array and value.dtype == jnp.uint32 and value.shape == jax.eval_shape(jax.random.PRNGKey, 0).shape
    if not (typed or legacy):
        raise TypeError(f"key must be one random key, such as jax.random.key(0), got {describe(value)}.")
    return value


def float_dtype(name: str, value: Any) -> None:
    """A floating-point dtype, or something that names one."""
    try:
        is_float = jnp.issubdtype(jnp.dtype(value), jnp.floating)
    except TypeError:
        is_float = False
    if not is_float:
        raise TypeError(f"{name} must be a floating-point dtype, such as jnp.float32, got {value!r}.")


def one_dtype(name: str, tree: Any) -> None:
    """A tree of arrays of one dtype."""
    dtypes = {jax.tree_util.keystr(path): leaf.dtype for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    if len(set(dtypes.values())) > 1:
        raise TypeError(f"{name} must be of one dtype, got {', '.join(f'{dtypes[p]} at {name}{p}' for p in dtypes)}.")


def floating(name: str, value: Any, *, min_ndim: int, layout: str) -> jax.Array:
    """An array of real floating-point numbers with at least `min_ndim` axes."""
    if not isinstance(value, np.ndarray | jax.Array):
        raise TypeError(f"{name} must be an array of shape {layout}, got {value!r}.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"{name} must have a floating-point dtype, got {value.dtype}; convert it first.")
    if value.ndim < min_ndim:
        raise ValueError(f"{name} must have shape {layout}, so at least {min_ndim} axes, got shape {value.shape}.")
    return jnp.asarray(value)


def mask(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """A boolean array of exactly this shape."""
    if not isinstance(value, np.ndarray | jax.Array) or value.dtype != jnp.bool_ or value.shape != shape:
        raise ValueError(f"{name} must be a boolean array of shape {shape}, got {describe(value)}.")


def lengths(name: str, value: Any, shape: tuple[int, ...], longest: int) -> None:
    """An integer array of exactly this shape, with values from 0 to `longest`."""
    is_array = isinstance(value, np.ndarray | np.generic | jax.Array)
    if not is_array or not jnp.issubdtype(value.dtype, jnp.integer) or value.shape != shape:
        raise ValueError(f"{name} must be an integer array of shape {shape}, got {describe(value)}.")
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if np.any((values < 0) | (values > longest)):
        raise ValueError(f"{name} must be from 0 to the sequence's {longest} steps, got {values.tolist()}.")


def names(name: str, value: Any, expected: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, Any]:
    """A mapping with exactly the expected names, and possibly the optional ones."""
    expected, optional = set(expected), set(optional)
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict with the entries {sorted(expected)}, got {type(value).__name__}.")
    missing, unknown = expected - set(value), set(value) - expected - optional
    if missing or unknown:
        wrong = [f"lacks {sorted(missing)}"] * bool(missing) + [f"has unknown entries {sorted(unknown)}"] * bool(unknown)
        raise ValueError(f"{name} must have the entries {sorted(expected)}; it {' and '.join(wrong)}.")
    return value


def arrays(name: str, value: Any, expected: Mapping[str, tuple[int | None, ...]]) -> None:
    """A mapping from names to floating-point arrays of the expected shapes, where None stands for any size."""
    for entry, array in names(name, value, expected).items():
        shape = expected[entry]
        array = floating(f"{name}[{entry!r}]", array, min_ndim=0, layout=str(shape))
        if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
            wanted = str(shape).replace("None", "any")
            raise ValueError(f"{name}[{entry!r}] must have shape {wanted}, got {array.shape}.")


def same_tree(name: str, value: Any, expected: Any) -> None:
    """A pytree with the structure of `expected`."""
    got_tree: Any = jax.tree.structure(value)
    if got_tree != jax.tree.structure(expected):
        raise ValueError(f"{name} must be {outline(expected)}, got {outline(value)}.")


def same_structure(name: str, value: Any, expected: Any) -> None:
    """A pytree with the structure, shapes and dtypes of `expected` (arrays or `jax.ShapeDtypeStruct`s)."""
    same_tree(name, value, expected)
    leaves = zip(jax.tree_util.tree_leaves_with_path(value), jax.tree.leaves(expected), strict=True)
    for (path, got), want in leaves:
        if jnp.shape(got) != want.shape or jnp.result_type(got) != want.dtype:
            where = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(f"{where} must be {describe(want)}, got {describe(got)}.")


def outline(tree: Any) -> str:
    """A tree's structure as a reader sees it: `LSTMState(c, h)`, `(LionState(count, mu), EmptyState())`, `None`, `array`."""
    if hasattr(tree, "dtype"):
        return "array"
    if hasattr(tree, "_fields"):
        parts = (f if hasattr(x, "dtype") else f"{f}={outline(x)}" for f, x in zip(tree._fields, tree, strict=True))
        return f"{type(tree).__name__}({', '.join(parts)})"
    if isinstance(tree, tuple | list):
        return f"({', '.join(map(outline, tree))})"
    return "None" if tree is None else type(tree).__name__


def describe(value: Any) -> str:
    """`float32 of shape (2, 3)` for an array, its repr for anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return repr(value)
