"""Hyper-parameters that a Flax cell learns: which ones, and how an unconstrained offset moves each inside its range."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax._describe import describe, ending, listed
from momentum_rnn_jax._pytree import Range, ranges
from momentum_rnn_jax.cell import RecurrentCell
from momentum_rnn_jax.cores import Core

Kind = Literal["scalar", "per_unit", "each"]
Learnable = Kind | Mapping[str, Kind] | tuple[str, ...] | list[str] | None
"""What a Flax cell learns.

None: nothing. "scalar", "per_unit" or "each": μ and the step size of the drive, one of each, one for every unit of every gate, or
one for every element of the hyper-parameter's array.
Otherwise hyper-parameters by name, of the drive, the core or the cell: `("mu", "beta")` for one number each, or a mapping such as
`{"mu": "per_unit", "beta": "scalar"}`. A name may be dotted, "core.tau" or "drives.0.mu", and stands for every hyper-parameter
whose path ends with it; where two names stand for the same one, the longer name counts.
"""

Path = tuple[str, ...]
"""Where a leaf is in a cell: ("drive", "mu"), or ("drive", "drives", "0", "mu")."""

_BY_DEFAULT = ("mu", "step_size")


def path_of(keys: tuple[Any, ...]) -> Path:
    """A path of JAX's as names and indices.

    >>> import jax, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import learnable
    >>> cell = mr.Cell(mr.LSTM(3), mr.Momentum())
    >>> [learnable.path_of(keys) for keys, leaf in jax.tree_util.tree_leaves_with_path(cell)]
    [('drive', 'mu'), ('drive', 'step_size')]
    """
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)


def hyperparameters(cell: RecurrentCell) -> dict[Path, Any]:
    """The leaves of a cell, by path.

    Raises:
      TypeError: a leaf is neither a number nor an array, so that a part of the cell is not a registered pytree.
    """
    leaves = {path_of(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(cell)}
    for path, leaf in leaves.items():
        if not isinstance(leaf, int | float | np.generic | np.ndarray | Array):
            raise TypeError(
                f"{'.'.join(('cell', *path))} must be a number, an array or a registered pytree (see pytree_dataclass), "
                f"got {type(leaf).__name__}."
            )
    return leaves


def init_offsets(cell: RecurrentCell, learnable: Learnable, dtype: Any) -> dict[Path, Array]:
    """Zeros for each hyper-parameter that is to be learnt, by path: the offsets that `moved` takes.

    Args:
      cell: whose hyper-parameters they are.
      learnable: which, and whether one for all units; one for each, (G·H,), in a core what its `units_of` says, mostly (H,); or
        one for every element of the hyper-parameter's array.
      dtype: of the offsets.

    Raises:
      TypeError, ValueError: `learnable` is something else, names what the cell does not have, or asks for a number for each unit
        where there cannot be one; the message names it.
    """
    leaves = hyperparameters(cell)

    def shape(path: Path, kind: Kind) -> tuple[int, ...]:
        if kind == "scalar":
            return ()
        if kind == "each":
            return np.shape(leaves[path])
        units = cell.core.units_of(*path[1:]) if path[0] == "core" else cell.core.drive_features
        if units is None:
            raise ValueError(
                f"learnable must be 'scalar' for {'.'.join(path)}, which cannot differ by unit in {_owner(cell, path)}, "
                "got 'per_unit'."
            )
        got = np.shape(leaves[path])
        if got and got[-1] not in (1, units):
            raise ValueError(
                f"learnable must be 'scalar' for {'.'.join(path)}, whose shape {got} is not that of the units, ({units},), "
                "got 'per_unit'."
            )
        return (units,)

    return {path: jnp.zeros(shape(path, kind), dtype) for path, kind in _kinds(cell, learnable).items()}


def moved(cell: Any, offsets: Mapping[Path, Array]) -> Any:
    """The cell with its hyper-parameters moved from where they start, each inside the range that its field declares.

    A part whose hyper-parameters bound each other has the method `bounded()`, which is called afterwards and returns the part
    with values that the constructor would accept.
    """
    if not offsets:
        return cell

    def value(keys: tuple[Any, ...], start: Any) -> Any:
        path = path_of(keys)
        return move(_range(cell, keys), start, offsets[path]) if path in offsets else start

    def bounded(part: Any) -> Any:
        return part.bounded() if hasattr(part, "bounded") else part

    return jax.tree.map(bounded, jax.tree_util.tree_map_with_path(value, cell), is_leaf=lambda part: hasattr(part, "bounded"))


def move(limits: Range, start: Any, offset: Array) -> Array:
    """The value in a range at an unconstrained offset θ, for a hyper-parameter that starts at m; in the dtype of the offset.

    - In [low, high): `low + (high - low) |z|` with `z = (r + tanh θ) / (1 + r tanh θ)` and `r = (m - low) / (high - low)`, the
      addition of velocities. The derivative at θ = 0 is `(high - low) (1 - r²)`.
    - In (low, high): `low + (high - low) r / (r + (1 - r) e^-θ)`, a logistic function of θ; the derivative at θ = 0 is
      `(high - low) r (1 - r)`.
    - In (low, ∞): `low + (m - low) e^θ`; the derivative at θ = 0 is `m - low`.
    - In (-∞, high): `high - (high - m) e^-θ`; the derivative at θ = 0 is `high - m`.
    - In [low, ∞) with `low > 0`: `m e^θ`, or `low² / (m e^θ)` where that is below `low`; the derivative is `m`.
    - In [low, ∞) with `low <= 0`: `low + |m - low + θ|`; the derivative is 1.
    - Unbounded: `m + θ`; the derivative is 1.

    An offset of zero gives m exactly (to rounding where an excluded `low` is not 0), and the derivative there is not zero, even
    at `m = low`, such as a momentum of 0. A function that is differentiable everywhere cannot have both properties and stay in
    the range, since m would be its minimum: where these reach an included `low` they are reflected, and the derivative at that
    point is the one from above.

    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import learnable
    >>> unit = learnable.Range(0.0, 1.0)
    >>> [round(learnable.move(unit, start, jnp.float32(0.5)).item(), 4) for start in (0.0, 0.6)]
    [0.4621, 0.8316]
    >>> jax.grad(lambda offset: learnable.move(unit, 0.0, offset))(0.0).item()
    1.0
    """
    start = jnp.asarray(start).astype(offset.dtype)
    low, high = limits.low, limits.high
    if math.isfinite(high) and math.isinf(low):
        return -move(Range(-high, low_open=True), -start, -offset)
    if math.isfinite(high):
        width = high - low
        r = (start - low) / width
        # As a sum with the start, which an offset of zero then gives exactly.
        if limits.low_open:
            growth = _growth(offset) - 1
            value = start + width * r * (1 - r) * growth / (1 + r * growth)
            return jnp.clip(value, _next_to(low, high, offset.dtype), _next_to(high, low, offset.dtype))
        t = jnp.tanh(offset)
        value = start + width * t * (1 - r * r) / (1 + r * t)
        return jnp.minimum(_reflected(value, low, 2 * low - value), _next_to(high, low, offset.dtype))
    if math.isinf(low):
        return start + offset
    if not limits.low_open and low <= 0:
        return _reflected(start + offset, low, 2 * low - (start + offset))
    if limits.low_open:
        return jnp.maximum(low + (start - low) * _growth(offset), _next_to(low, high, offset.dtype))
    lowest = jnp.log(jnp.asarray(low, offset.dtype)) - jnp.log(start)  # the offset at `low`
    return _reflected(start * _growth(_reflected(offset, lowest, 2 * lowest - offset)), low, jnp.asarray(low, offset.dtype))


def nested(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """A dict of dicts, of what is given by path.

    >>> from momentum_rnn_jax import learnable
    >>> learnable.nested({("drive", "mu"): 1, ("core", "tau"): 2})
    {'drive': {'mu': 1}, 'core': {'tau': 2}}
    """
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = value
    return tree


def by_path(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """What a dict of dicts holds, by path: the inverse of `nested`."""
    return {path_of(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(dict(tree))}


def _growth(offset: Array) -> Array:
    """An exponential that is finite in float32, as its gradients are."""
    return jnp.exp(jnp.clip(offset, -60, 60))


def _next_to(end: float, other: float, dtype: Any) -> Any:
    """The number of this dtype that is next to one end of a range, towards the other; near 0 the least one of full precision."""
    rounded, tiny = np.asarray(end, dtype), np.asarray(jnp.finfo(dtype).tiny, dtype)
    step = abs(np.nextafter(rounded, np.asarray(other, dtype)) - rounded)
    return np.asarray(rounded + np.copysign(np.maximum(step, tiny), other - end), dtype)


def _reflected(value: Array, low: Any, reflection: Array) -> Array:
    """`value`, or where it is below `low` the other. Not `jnp.abs` or `jnp.maximum`, whose derivative at `low` is 0 or a half."""
    return jnp.where(value >= low, value, reflection)


def _kinds(cell: RecurrentCell, learnable: Learnable) -> dict[Path, Kind]:
    """The hyper-parameters to learn, and how many numbers each has."""
    leaves = {path: leaf for path, leaf in hyperparameters(cell).items() if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)}
    if learnable is None:
        return {}
    if isinstance(learnable, str) and learnable in get_args(Kind):
        found = [path for path in leaves if path[0] != "core" and path[-1] in _BY_DEFAULT]
        if not found:
            drive = type(getattr(cell, "drive", cell)).__name__
            raise ValueError(
                f"learnable must be None or names for {drive}, which has neither mu nor step_size{_instead('', leaves)}"
            )
        return dict.fromkeys(found, learnable)
    if not isinstance(learnable, tuple | list | Mapping):
        raise ValueError(
            "learnable must be None, 'scalar', 'per_unit', 'each', a tuple of names, or a mapping from names to one of these, "
            f"got {describe(learnable)}."
        )
    asked: dict[Any, Any] = dict(learnable) if isinstance(learnable, Mapping) else dict.fromkeys(learnable, "scalar")
    kinds: dict[Path, Kind] = {}
    for name, kind in sorted(asked.items(), key=lambda item: str(item[0]).count(".")):
        if kind not in get_args(Kind):
            raise ValueError(f"learnable[{describe(name)}] must be 'scalar', 'per_unit' or 'each', got {describe(kind)}.")
        parts = tuple(str(name).split("."))
        found = [path for path in leaves if path[-len(parts) :] == parts]
        if not found:
            raise ValueError(f"learnable must name hyper-parameters of the cell, got {describe(name)}{_instead(name, leaves)}")
        kinds |= dict.fromkeys(found, kind)
    return kinds


def _instead(name: Any, leaves: Mapping[Path, Any]) -> str:
    dotted = [".".join(path) for path in leaves]
    known = f"; it has {listed(dotted)}" if dotted else "; it has none"
    return known + ending(name, [*dotted, *(path[-1] for path in leaves)])


def _owner(cell: Any, path: Path) -> str:
    """The type of the innermost core that a path leads through."""
    owner = cell
    for name in path:
        if not isinstance(getattr(owner, name, None), Core):
            break
        owner = getattr(owner, name)
    return type(owner).__name__


def _range(cell: Any, keys: tuple[Any, ...]) -> Range:
    """The range that the innermost dataclass on the way to a leaf declares for its field."""
    limits, owner = Range(), cell
    for key in keys:
        if isinstance(key, jax.tree_util.GetAttrKey):
            declared = ranges(owner) if dataclasses.is_dataclass(owner) else {}
            limits, owner = declared.get(key.name, Range()), getattr(owner, key.name)
        else:
            owner = owner[key.idx if isinstance(key, jax.tree_util.SequenceKey) else key.key]
    return limits
