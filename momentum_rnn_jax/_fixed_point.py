"""Fixed points of a map, by Newton's method: of a vector, and of a state with arrays in it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

HALVINGS = 12
WARMUP = 32  # steps of the map before the search: away from a start where its derivative may not exist, such as the root of zero


class Point(NamedTuple):
    """`z`, (n,), and `residual`, the largest entry of |F(z) - z|; NaN where the search left the numbers.

    `error` estimates how far z is from the fixed point, relative to entries above 1: a further step of Newton's method. Where F
    hardly moves anything, as behind a saturated gate, the residual alone says nothing.
    """

    z: Array
    residual: Array
    error: Array


def newton(F: Callable[[Array], Array], start: Array, max_steps: int) -> Point:
    """A fixed point of F near a vector: damped Newton steps on the gap `G(z) = F(z) - z`, for as long as they reduce it.

    A step goes along `(I - F')⁻¹ G`, the whole way or a half, a quarter, …: the largest of these that reduces ‖G‖. Newton's
    method finds unstable points as well as stable ones, and with few unknowns its linear solve costs less than the many steps
    that a gradient method would take.
    """
    if not start.size:
        return Point(start, jnp.zeros((), start.dtype), jnp.zeros((), start.dtype))
    shares = jnp.ldexp(jnp.ones((), start.dtype), -jnp.arange(HALVINGS))
    eps = jnp.finfo(start.dtype).eps

    def gap(z: Array) -> Array:
        return F(z) - z

    def unfinished(carry: tuple[Array, Array, Array, Array]) -> Array:
        z, g, improved, steps = carry
        return improved & (jnp.abs(g).max() > 2 * eps * jnp.abs(z).max()) & (steps < max_steps)

    def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        z, g, _, steps = carry
        direction = -jnp.linalg.solve(jax.jacfwd(gap)(z), g)
        candidates = z[jnp.newaxis] + jnp.outer(shares, direction)
        found = jax.vmap(gap)(candidates)
        enough = jnp.linalg.norm(found, axis=1) <= (1 - shares / 1024) * jnp.linalg.norm(g)  # False for NaN
        best, improved = jnp.argmax(enough), enough.any()
        z, g = jnp.where(improved, candidates[best], z), jnp.where(improved, found[best], g)
        return z, g, improved, steps + 1

    carry = (start, gap(start), jnp.array(True), jnp.zeros((), jnp.int32))
    z, g, _, _ = jax.lax.while_loop(unfinished, step, carry)
    # Of least squares, because along a line of fixed points the system is singular.
    further = jnp.linalg.lstsq(jax.jacfwd(gap)(z), g)[0]
    return Point(z, jnp.abs(g).max(), (jnp.abs(further) / jnp.maximum(1, jnp.abs(z))).max())


def fixed_state(advance: Callable[[Any], Any], start: Any, guess: Any = None, max_steps: int = 50) -> Any:
    """A fixed point of a map of states: from `guess`, or from where a few steps lead; integers stay what they are there."""
    if guess is None:
        guess = jax.lax.fori_loop(0, WARMUP, lambda _, state: advance(state), start)
    z, put = _coordinates(guess)
    return put(newton(lambda z: _coordinates(advance(put(z)))[0], z, max_steps).z)


def changed_count(before: Any, after: Any) -> str:
    """The name of an entry without fractions, such as a count of steps, that differs between two states; "" if none does."""
    return next((name for name, old, new in _pairs(before, after) if not _is_float(new) and bool((old != new).any())), "")


def moving_entry(before: Any, after: Any, tolerance: float) -> str:
    """The name of an entry that differs between two states, a float by more than `tolerance` of its largest; "" if none does."""
    for name, old, new in _pairs(before, after):
        if _is_float(new) and new.size and not bool(jnp.abs(new - old).max() <= tolerance * jnp.maximum(1, jnp.abs(new).max())):
            return changed_count(before, after) or name
    return changed_count(before, after)


def _pairs(before: Any, after: Any) -> list[tuple[str, Array, Array]]:
    paths = jax.tree_util.tree_leaves_with_path(before)
    leaves = zip(paths, jax.tree.leaves(after), strict=True)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), old, new) for (path, old), new in leaves]


def _coordinates(state: Any) -> tuple[Array, Callable[[Array], Any]]:
    """`(z, put)`: the floating-point entries of a state as one vector, and the state with a vector in their place."""
    leaves, structure = jax.tree.flatten(state)
    floats = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
    sizes = [leaves[i].size for i in floats]

    def put(z: Array) -> Any:
        new, at = list(leaves), 0
        for i, size in zip(floats, sizes, strict=True):
            new[i] = z[at : at + size].reshape(leaves[i].shape).astype(leaves[i].dtype)
            at += size
        return jax.tree.unflatten(structure, new)

    if not floats:
        return jnp.zeros(0), put
    dtype = jnp.result_type(*(leaves[i].dtype for i in floats))
    return jnp.concatenate([leaves[i].ravel().astype(dtype) for i in floats]), put


def _is_float(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)
