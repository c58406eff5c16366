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
    """A leaf of a state that has coordinates: its group, which leaf it is, its name ("h", "c", "velocity", …), its size."""

    group: int
    leaf: int
    name: str
    size: int


def parts(state: CellState, wrt: str) -> list[Part]:
    """What the coordinates are, in their order: h, the rest of the core's state, the drive's; integers are none.

    The state may be one of `jax.ShapeDtypeStruct`s.
    """
    found = []
    for i, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(state)):
        name = jax.tree_util.keystr(path[1:]).removeprefix(".")
        group = DRIVE if path[0].name == "drive" else HIDDEN if name == "h" else REST_OF_CORE
        if group in WRT[wrt] and jnp.issubdtype(leaf.dtype, jnp.floating):
            found.append(Part(group, i, name, leaf.size))
    return sorted(found)


def size(state: CellState, wrt: str) -> int:
    """How many coordinates there are."""
    return sum(part.size for part in parts(state, wrt))


def split(vector: Array, parts: list[Part]) -> list[Array]:
    """A vector of these parts' coordinates, part by part."""
    return jnp.split(vector, np.cumsum([part.size for part in parts])[:-1])


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
