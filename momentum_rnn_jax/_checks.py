"""Arguments are checked where they enter; every message names the argument, what was passed and what is allowed, in one line.

Shapes, dtypes and structure are known even while JAX traces, so they are always checked. Values are checked where they are
concrete: a traced argument has no value yet. Messages give types and shapes, never the contents of arrays or modules.
"""

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from momentum_rnn_jax._describe import describe, describe_values, ending, listed, outline

Choice = TypeVar("Choice", bound=str)

INT32_MAX = 2**31 - 1
FLOATS = "float64, float32, float16 or bfloat16"  # 8 bits are too few: initialisers, for example, give NaN
_FLOAT_DTYPES = [jnp.dtype(name) for name in ("float64", "float32", "float16", "bfloat16")]


def real(name: str, value: Any) -> Any:
    """A real number as a float; an array of them as a float array; a traced one as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if not _is_array(value) or not (is_float(value.dtype) or _is_integer(value.dtype)):
        raise TypeError(f"{name} must be a real number or an array of them, got {describe(value)}.")
    if value.size == 0:
        raise ValueError(f"{name} must have at least one entry, got {describe(value)}.")
    if isinstance(value, jax.core.Tracer):
        return value
    if value.ndim == 0 and not isinstance(value, jax.Array):
        return float(value)
    return jnp.asarray(value, dtype=jnp.result_type(float) if _is_integer(value.dtype) else None)


def number(name: str, value: Any, *, low: float, high: float = np.inf, low_open: bool = False) -> Any:
    """`real`, inside [low, high) or (low, high)."""
    checked = real(name, value)
    if isinstance(value, jax.core.Tracer):
        return checked
    with np.errstate(over="ignore"):
        # In the default precision, where a number just below an excluded bound may be the bound itself. While JAX traces, an
        # array that was concrete is traced once JAX has converted it, so it is the argument itself that is looked at.
        values = np.asarray(value if _is_array(value) else checked).astype(jnp.result_type(float))
    above = values > low if low_open or low == -np.inf else values >= low
    if not np.all(above & (values < high)):
        raise ValueError(f"{name} must be in {_interval(low, high, low_open)}, got {describe_values(value)}.")
    return checked


def scalar(name: str, value: Any, *, low: float = -np.inf, high: float = np.inf, low_open: bool = False) -> float:
    """One number inside the interval, known before tracing."""
    checked = number(name, value, low=low, high=high, low_open=low_open)
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} must be one number that is known before tracing, got {describe(value)}.")
    if np.ndim(value):
        raise ValueError(f"{name} must be one number in {_interval(low, high, low_open)}, got {describe(value)}.")
    return checked if isinstance(checked, float) else float(np.asarray(value))


def one_number(name: str, value: Any) -> Any:
    """A hyper-parameter that is the same for all units, traced or not."""
    if np.ndim(value):
        raise ValueError(f"{name} must be one number for all units, got {describe(value)}.")
    return value


def bound(name: str, value: Any) -> float:
    """A limit of an interval: one number, or infinity."""
    checked = real(name, value)
    if not isinstance(checked, float) or math.isnan(checked):
        raise ValueError(f"{name} must be one number, or infinity, got {describe_values(value)}.")
    return checked


def size(name: str, value: Any) -> int:
    """An int from 1 to the largest that an axis may have."""
    return integer(name, value, low=1, high=INT32_MAX)


def integer(name: str, value: Any, *, low: int, high: int | None = None) -> int:
    """An int from `low` to `high`, known before tracing."""
    try:
        as_int = None if isinstance(value, bool | np.ma.MaskedArray) else operator.index(value)
    except TypeError:
        as_int = None
    if as_int is None:
        raise TypeError(f"{name} must be an integer of at least {low}, got {describe(value)}.")
    if as_int < low:
        raise ValueError(f"{name} must be an integer of at least {low}, got {describe(as_int)}.")
    if high is not None and as_int > high:
        raise ValueError(f"{name} must be an integer of at most {high}, got {describe(as_int)}.")
    return as_int


def boolean(name: str, value: Any) -> bool:
    """True or False, known before tracing; nothing else that Python takes for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {describe(value)}.")
    return bool(value)


def sizes(name: str, value: Any, min_ndim: int = 0) -> tuple[int, ...]:
    """A tuple of axis sizes, at least `min_ndim` of them."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} must be a tuple of sizes, such as (32, 3), got {describe(value)}.")
    if len(value) < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} sizes, got {describe(value)}.")
    symbolic = jax.export.is_symbolic_dim
    axes: Any = (size if symbolic(size) else integer(name, size, low=0, high=INT32_MAX) for size in value)
    return tuple(axes)


def elements(name: str, value: Any, shapes: Mapping[str, tuple[Any, ...]]) -> None:
    """A size, already known to be an integer or a tuple of them, whose arrays have at most 2**31 - 1 elements each."""
    for array, shape in shapes.items():
        count = math.prod(shape)
        if not jax.export.is_symbolic_dim(count) and count > INT32_MAX:
            raise ValueError(
                f"{name} must be small enough for arrays of at most {INT32_MAX} elements, got {describe(value)}, with which "
                f"{array} has shape {shape}, {4 * count:.3g} bytes in float32."
            )


def choice(name: str, value: Any, allowed: Iterable[Choice]) -> Choice:
    """One of the allowed strings, as the plain string that `allowed` has."""
    allowed = tuple(allowed)
    if isinstance(value, str):
        for one in allowed:
            if value == one:
                return one
    raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {describe(value)}{ending(value, allowed)}")


def bind(function: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
    """The arguments of a call; those that do not fit the signature are refused with the names that do."""
    unknown = next((name for name in kwargs if name not in signature.parameters), None)
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        wrong = str(error) if unknown is None else f"got an unexpected keyword argument {describe(unknown)}"
    names = [parameter.name for parameter in signature.parameters.values()]
    positional = sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in signature.parameters.values())
    if positional < len(names):
        names.insert(positional, "*")
    raise TypeError(f"{function}: {wrong}; the signature is {function}({', '.join(names)}){ending(unknown, names)}")


def instance(name: str, value: Any, cls: type) -> Any:
    """An instance of `cls`."""
    if not isinstance(value, cls):
        raise TypeError(f"{name} must be an instance of {cls.__name__}, got {describe(value)}.")
    return value


def function(name: str, value: Any, of: str) -> Callable[..., Any]:
    """A function; `of` says of what."""
    if not callable(value):
        raise TypeError(f"{name} must be a function of {of}, got {describe(value)}.")
    return value


def key(value: Any) -> jax.Array:
    """One JAX random key, new style or legacy."""
    is_array = isinstance(value, jax.Array)
    typed = is_array and jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0
    legacy = is_array and value.dtype == jnp.uint32 and value.shape == jax.eval_shape(jax.random.PRNGKey, 0).shape
    if not (typed or legacy):
        raise TypeError(f"key must be one random key, such as jax.random.key(0), got {describe(value)}.")
    return value


def float_dtype(name: str, value: Any) -> np.dtype:
    """A floating-point dtype of 16, 32 or 64 bits, or a name or type that stands for one."""
    try:
        # Nothing else is a dtype, though NumPy takes None for float64, and arrays for their dtype.
        dtype = jnp.dtype(value) if isinstance(value, str | type | np.dtype) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or not is_float(dtype):
        raise TypeError(f"{name} must be a floating-point dtype, {FLOATS}, got {describe(value)}.")
    return dtype


def one_dtype(name: str, tree: Any) -> None:
    """A tree of arrays of one dtype."""
    first: dict[Any, str] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        first.setdefault(leaf.dtype, jax.tree_util.keystr(path))
    if len(first) > 1:
        raise TypeError(f"{name} must be of one dtype, got {', '.join(f'{dtype} at {name}{p}' for dtype, p in first.items())}.")


def floating(name: str, value: Any, *, min_ndim: int, layout: str) -> jax.Array:
    """An array of real floating-point numbers with at least `min_ndim` axes."""
    if not _is_array(value) or isinstance(value, np.generic):
        raise TypeError(f"{name} must be an array of shape {layout}, got {describe(value)}.")
    if not is_float(value.dtype):
        raise TypeError(f"{name} must have a floating-point dtype, got {value.dtype}; convert it to {FLOATS}.")
    if value.ndim < min_ndim:
        axes = "axis" if min_ndim == 1 else "axes"
        raise ValueError(f"{name} must have shape {layout}, so at least {min_ndim} {axes}, got shape {value.shape}.")
    return jnp.asarray(value)


def square(name: str, value: Any) -> jax.Array:
    """One square matrix of floating-point numbers."""
    array = floating(name, value, min_ndim=2, layout="(H, H)")
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must have shape (H, H), got {array.shape}; use jax.vmap for a stack of matrices.")
    return array


def mask(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """A boolean array of exactly this shape."""
    if not _is_array(value) or value.dtype != jnp.bool_ or value.shape != shape:
        raise ValueError(f"{name} must be a boolean array of shape {shape}, got {describe(value)}.")


def lengths(name: str, value: Any, shape: tuple[int, ...], longest: int) -> None:
    """An integer array of exactly this shape, with values from 0 to `longest`."""
    if not _is_array(value) or not _is_integer(value.dtype) or value.shape != shape:
        raise ValueError(f"{name} must be an integer array of shape {shape}, got {describe(value)}.")
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if np.any((values < 0) | (values > longest)):
        raise ValueError(f"{name} must be from 0 to the sequence's {longest} steps, got {describe_values(value)}.")


def clamped_lengths(value: Any, time: int) -> jax.Array:
    """Lengths that passed `lengths`, as int32 from 0 to `time`: traced ones below 0 count as 0, those beyond `time` as `time`.

    They are clamped in their own dtype, because a conversion to int32 first would wrap around.
    """
    if not isinstance(time, int):  # a symbolic dimension, which no length is compared with before
        return jnp.clip(value, 0, INT32_MAX if value.dtype.itemsize > 4 else None).astype(jnp.int32)
    numpy: Any = jnp if isinstance(value, jax.Array) else np
    return jnp.asarray(numpy.clip(value, 0, min(time, int(jnp.iinfo(value.dtype).max)))).astype(jnp.int32)


def names(name: str, value: Any, expected: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, Any]:
    """A mapping with exactly the expected names, and possibly the optional ones."""
    expected, optional = set(expected), set(optional)
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict with the entries {listed(expected)}, got {describe(value)}.")
    missing, unknown = expected - set(value), set(value) - expected - optional
    if missing or unknown:
        wrong = [f"lacks {listed(missing)}"] * bool(missing) + [f"has unknown entries {listed(unknown)}"] * bool(unknown)
        ends = (ending(one, missing | optional) for one in sorted(map(str, unknown)))
        end = next((end for end in ends if end != "."), ".")
        raise ValueError(f"{name} must have the entries {listed(expected)}; it {' and '.join(wrong)}{end}")
    return value


def arrays(name: str, value: Any, expected: Mapping[str, tuple[int | None, ...]]) -> None:
    """A mapping from names to floating-point arrays of the expected shapes, where None stands for any size."""
    for entry, array in names(name, value, expected).items():
        shape = expected[entry]
        array = floating(f"{name}[{entry!r}]", array, min_ndim=0, layout=str(shape))
        if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
            wanted = str(shape).replace("None", "any")
            raise ValueError(f"{name}[{entry!r}] must have shape {wanted}, got {array.shape}.")


def array_leaves(name: str, tree: Any, *, structs: bool = False) -> None:
    """A pytree of arrays that JAX can take, or else, with `structs`, of `jax.ShapeDtypeStruct`s."""
    try:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
    except (TypeError, ValueError):  # not a pytree at all, such as a dict whose keys cannot be sorted
        raise TypeError(f"{name} must be a pytree of arrays, got {describe(tree)}.") from None
    for path, leaf in leaves:
        if not (structs and isinstance(leaf, jax.ShapeDtypeStruct)) and not (_is_array(leaf) and _is_known(leaf.dtype)):
            raise TypeError(f"{name}{jax.tree_util.keystr(path)} must be an array, got {describe(leaf)}.")


def same_tree(name: str, value: Any, expected: Any) -> None:
    """A pytree with the structure of `expected`."""
    wanted: Any = jax.tree.structure(expected)
    try:
        got = jax.tree.structure(value)
    except (TypeError, ValueError):  # not a pytree at all, such as a dict whose keys cannot be sorted
        got = None
    if got is None or wanted != got:
        raise ValueError(f"{name} must be {outline(expected)}, got {outline(value)}.")


def same_structure(name: str, value: Any, expected: Any) -> None:
    """A pytree with the structure, shapes and dtypes of `expected` (arrays or `jax.ShapeDtypeStruct`s)."""
    same_tree(name, value, expected)
    leaves = zip(jax.tree_util.tree_leaves_with_path(value), jax.tree.leaves(expected), strict=True)
    for (path, got), want in leaves:
        if not _is_array(got) or got.shape != want.shape or _dtype_in_jax(got) != want.dtype:
            where = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(f"{where} must be {want.dtype} of shape {want.shape}, got {describe(got)}.")


def _is_array(value: Any) -> bool:
    """One of NumPy's or JAX's arrays, traced or not; a masked one hides numbers that JAX would bring back."""
    return isinstance(value, np.ndarray | np.generic | jax.Array) and not isinstance(value, np.ma.MaskedArray)


def _dtype_in_jax(array: Any) -> Any:
    """Its dtype, or where NumPy's has more bits than JAX is set to use, the one that JAX makes of it."""
    if isinstance(array, jax.Array) or array.dtype.kind not in "iuf":
        return array.dtype
    return jax.dtypes.canonicalize_dtype(array.dtype)


def is_float(dtype: Any) -> bool:
    """Whether it is one of the floating-point dtypes that the library computes in."""
    return dtype in _FLOAT_DTYPES


def _is_known(dtype: Any) -> bool:
    """Whether JAX has arrays of this dtype, which may be that of random keys."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return True
    is_number = jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_
    return is_number and dtype.isnative and dtype not in (np.longdouble, np.clongdouble)


def _is_integer(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.integer) and dtype.isnative


def _interval(low: float, high: float, low_open: bool) -> str:
    return f"{'(' if low_open or low == -np.inf else '['}{low:g}, {high:g})"
