"""A cell's state as a vector: which of its entries vary, in which order, and which are held."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax.cell import CellState

HIDDEN, REST_OF_CORE, DRIVE = range(3)
WRT = {"hidden": {HIDDEN}, "core": {HIDDEN, REST_OF_CORE}, "drive": {DRIVE}, "full": {HIDDEN, REST_OF_CORE, DRIVE}}


class Part(NamedTuple):
    """A leaf of a state that has coordinates: its group, which leaf it is, its name ("h", "c", "velocity", …), its size.

    A drive's entry with a name that the core has too is called "drive.NAME".
    """

    group: int
    leaf: int
    name: str
    size: int


def parts(state: CellState, wrt: str) -> list[Part]:
    """What the coordinates are, in their order: h, the rest of the core's state, the drive's; integers are none.

    The state may be one of `jax.ShapeDtypeStruct`s.
    """
    leaves = [
        (path[0].name, jax.tree_util.keystr(path[1:]).removeprefix("."), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]
    of_core = {name for owner, name, _ in leaves if owner == "core"}
    found = []
    for i, (owner, name, leaf) in enumerate(leaves):
        group = DRIVE if owner == "drive" else HIDDEN if name == "h" else REST_OF_CORE
        if group in WRT[wrt] and jnp.issubdtype(leaf.dtype, jnp.floating):
            found.append(Part(group, i, f"drive.{name}" if group == DRIVE and name in of_core else name, leaf.size))
    return sorted(found)


def size(state: CellState, wrt: str) -> int:
    """How many coordinates there are."""
    return sum(part.size for part in parts(state, wrt))


def split(vector: Array, parts: list[Part]) -> list[Array]:
    """A vector of these parts' coordinates, part by part."""
    return cut(vector, [part.size for part in parts])


def blocks(state: CellState, wrt: str) -> list[int]:
    """How many coordinates are the core's, and how many the drive's, which come after them; without those that have none."""
    sizes = [sum(part.size for part in parts(state, wrt) if (part.group == DRIVE) == of_drive) for of_drive in (False, True)]
    return [size for size in sizes if size]


def cut(array: Array, sizes: list[int]) -> list[Array]:
    """An array in pieces of these sizes along its last axis."""
    return jnp.split(array, np.cumsum(sizes)[:-1], axis=-1)


def coordinates(state: CellState, wrt: str) -> tuple[Array, Callable[[Array], CellState]]:
    """`(z, put)`: the chosen entries of an unbatched state as one vector, and the state with a vector in their place."""
    leaves, structure = jax.tree.leaves(state), jax.tree.structure(state)
    chosen = parts(state, wrt)

    def put(z: Array) -> CellState:
        new = list(leaves)
        for part, values in zip(chosen, split(z, chosen), strict=True):
            new[part.leaf] = values.reshape(leaves[part.leaf].shape).astype(leaves[part.leaf].dtype)
        return jax.tree.unflatten(structure, new)

    return jnp.concatenate([leaves[part.leaf].ravel().astype(state.core.h.dtype) for part in chosen]), put
