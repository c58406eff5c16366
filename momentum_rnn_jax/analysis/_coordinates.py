"""A cell's state as a vector: which of its entries vary, in which order, and which are held."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax.cell import CellState, Params, RecurrentCell

HIDDEN, REST_OF_CORE, DRIVE = range(3)
WRT = {"hidden": {HIDDEN}, "core": {HIDDEN, REST_OF_CORE}, "drive": {DRIVE}, "full": {HIDDEN, REST_OF_CORE, DRIVE}}
CALLS = ("jit", "remat2")  # what JAX calls the primitives of `jax.jit` and `jax.checkpoint`


class Part(NamedTuple):
    """A leaf of a state that has coordinates: its group, which leaf it is, its name ("h", "c", "velocity", …), its size.

    A drive's entry with a name that the core has too is called "drive.NAME". `copy` is another leaf, which moves with this one.
    """

    group: int
    leaf: int
    name: str
    size: int
    copy: int | None


class Layout(NamedTuple):
    """Where the coordinates of a cell's state are.

    `parts`: every entry with coordinates, in their order: h, the rest of the core's state, the drive's; integers have none.
    `output`: where the cell's output is among the coordinates of "full"; None where it is not an entry of the core's state.
    """

    parts: list[Part]
    output: slice | None

    @classmethod
    def of(cls, cell: RecurrentCell, params: Params, xs: Array) -> Self:
        """That of a cell's unbatched state; nothing is computed.

        An output that is an entry of its own and that every step makes equal to h, as `RecurrentDropout` without noise does, is
        no vector of its own: it moves with h.
        """
        like = start_like(cell, params)
        leaves = [
            (path[0].name, jax.tree_util.keystr(path[1:]).removeprefix("."), leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(like)
        ]
        core = {name: i for i, (owner, name, _) in enumerate(leaves) if owner == "core"}
        output = _output(cell, params, xs, like, core)
        copy = output[0] if core["h"] in output[1:] else None
        parts = []
        for i, (owner, name, leaf) in enumerate(leaves):
            if i == copy or not jnp.issubdtype(leaf.dtype, jnp.floating):
                continue
            group = DRIVE if owner == "drive" else HIDDEN if name == "h" else REST_OF_CORE
            called = f"drive.{name}" if group == DRIVE and name in core else name
            parts.append(Part(group, i, called, leaf.size, copy if group == HIDDEN else None))
        parts.sort()
        ends = np.cumsum([part.size for part in parts]).tolist()
        places = {
            leaf: slice(end - part.size, end) for part, end in zip(parts, ends, strict=True) for leaf in (part.leaf, part.copy)
        }
        return cls(parts, places.get(output[0]) if output else None)

    def chosen(self, wrt: str) -> list[Part]:
        """The parts that vary."""
        return [part for part in self.parts if part.group in WRT[wrt]]

    def size(self, wrt: str) -> int:
        """How many coordinates there are."""
        return sum(self.blocks(wrt))

    def blocks(self, wrt: str) -> list[int]:
        """How many coordinates are the core's, and how many the drive's, which come after; without those that have none."""
        chosen = self.chosen(wrt)
        sizes = [sum(part.size for part in chosen if (part.group == DRIVE) == of_drive) for of_drive in (False, True)]
        return [size for size in sizes if size]

    def coordinates(self, state: CellState, wrt: str) -> tuple[Array, Callable[[Array], CellState]]:
        """`(z, put)`: the chosen entries of an unbatched state as one vector, and the state with a vector in their place."""
        leaves, structure = jax.tree.leaves(state), jax.tree.structure(state)
        chosen = self.chosen(wrt)

        def put(z: Array) -> CellState:
            new = list(leaves)
            for part, values in zip(chosen, split(z, chosen), strict=True):
                new[part.leaf] = values.reshape(leaves[part.leaf].shape).astype(leaves[part.leaf].dtype)
                if part.copy is not None:  # by as much: in a state given, or a start that is trained, the two may differ
                    new[part.copy] = leaves[part.copy] + (new[part.leaf] - leaves[part.leaf])
            return jax.tree.unflatten(structure, new)

        return jnp.concatenate([leaves[part.leaf].ravel().astype(state.core.h.dtype) for part in chosen]), put


def _output(cell: RecurrentCell, params: Params, xs: Array, like: CellState, core: dict[str, int]) -> list[int]:
    """Which of the core's leaves after a step are the step's output itself, the one that the core declares first."""
    x = jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype)
    step = jax.make_jaxpr(lambda params, state, x: cell.advance(cell.prepare(params), state, x))(params, like, x)
    *leaves, y = [_origin(step.jaxpr, var) for var in step.jaxpr.outvars]
    declared = core.get(getattr(cell.core, "output", "h"))
    return sorted((i for i in core.values() if leaves[i] == y), key=lambda i: i != declared)


def _origin(jaxpr: Any, var: Any) -> tuple[int, ...]:
    """What identifies a value: the variable that it is, inside the compiled or rematerialised function that returns it."""
    for eqn in jaxpr.eqns:
        for i, out in enumerate(eqn.outvars):
            if out is var and eqn.primitive.name in CALLS:
                inner = getattr(eqn.params["jaxpr"], "jaxpr", eqn.params["jaxpr"])
                return id(eqn), *_origin(inner, inner.outvars[i])  # one function may be called twice
    return (id(var),)


def start_like(cell: RecurrentCell, params: Params, batch_shape: tuple[int, ...] = ()) -> CellState:
    """The shapes and dtypes of the cell's states."""
    return jax.eval_shape(lambda params: cell.start(cell.prepare(params), batch_shape), params)


def split(vector: Array, parts: list[Part]) -> list[Array]:
    """A vector of these parts' coordinates, part by part."""
    return cut(vector, [part.size for part in parts])


def cut(array: Array, sizes: list[int]) -> list[Array]:
    """An array in pieces of these sizes along its last axis."""
    return jnp.split(array, np.cumsum(sizes)[:-1], axis=-1)
