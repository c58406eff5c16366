"""A cell's run over one sequence: the checked arguments, the states, and the map of each step on chosen coordinates."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial, wraps
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.analysis._coordinates import WRT, Layout, cut, start_like
from momentum_rnn_jax.analysis._scaled import Blocks, Scaled, total
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import Core
from momentum_rnn_jax.drives import Drive

Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision() -> AbstractContextManager[Any]:
    """Full-precision matrix products on accelerators too: in long products the errors of faster ones would add up."""
    return jax.default_matmul_precision("highest")


def compiled(*static_argnames: str) -> Callable[[Function], Function]:
    """`jax.jit`, in full precision."""

    def decorate(function: Function) -> Function:
        @partial(jax.jit, static_argnames=static_argnames)
        @wraps(function)
        def run(*args: Any) -> Any:
            with full_precision():
                return function(*args)

        return run  # type: ignore[return-value]

    return decorate


class Run(NamedTuple):
    """A cell's run over xs, (T, F).

    `before`: the states s_0 … s_{T-1} before each step, stacked; `last`: s_T; `outputs`: (T, H).
    """

    cell: Any
    prepared: Params
    layout: Layout
    xs: Array
    before: CellState
    last: CellState
    outputs: Array

    @classmethod
    def over(cls, cell: RecurrentCell, params: Params, xs: Array, state: CellState | None) -> "Run":
        """Run the cell over arguments from `checked`."""
        prepared = cell.prepare(params)

        def step(state: CellState, x: Array) -> tuple[CellState, tuple[CellState, Array]]:
            new, y = cell.advance(prepared, state, x)
            return new, (state, y)

        last, (before, outputs) = jax.lax.scan(step, cell.start(prepared, ()) if state is None else state, xs)
        return cls(cell, prepared, Layout.of(cell, params, xs), xs, before, last, outputs)

    @property
    def steps(self) -> tuple[CellState, Array]:
        """What a scan over the steps reads: (s_{t-1}, x_t)."""
        return self.before, self.xs

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the computation."""
        return self.xs.dtype

    def part(self, start: int, stop: int) -> tuple[CellState, Array]:
        """`steps` of the part from s_start to s_stop."""
        return jax.tree.map(lambda leaf: leaf[start:stop], self.steps)

    def step(self, wrt: str, before: CellState) -> tuple[Array, Callable[[Array, Array], tuple[Array, Array]]]:
        """`(z, F)`: the coordinates z of s_{t-1}, and `F(z, x_t)`, those of s_t and the output, the rest of s_{t-1} held."""
        z, put = self.layout.coordinates(before, wrt)

        def advance(z: Array, x: Array) -> tuple[Array, Array]:
            new, y = self.cell.advance(self.prepared, put(z), x)
            return self.layout.coordinates(new, wrt)[0], y

        return z, advance

    def jacobian(self, wrt: str, step: tuple[CellState, Array]) -> Array:
        """`∂s_t/∂s_{t-1}`, (n, n), of a step from s_{t-1} with x_t."""
        before, x = step
        z, advance = self.step(wrt, before)
        return jax.jacfwd(lambda z: advance(z, x)[0])(z)

    def pull_back(self, wrt: str, rows: Blocks, step: tuple[CellState, Array]) -> tuple[Blocks, Scaled]:
        """`(P ∂s_t/∂s_{t-1}, P ∂s_t/∂x_t)` for a matrix P, whose rows go back through step t by reverse mode.

        The Jacobian itself is never formed. P's columns are in two blocks, those of the core's coordinates and of the drive's.
        """
        before, x = step
        z, advance = self.step(wrt, before)
        sizes = self.layout.blocks(wrt)
        to_states: list[list[Scaled]] = [[] for _ in sizes]
        to_input = []
        for i, (P, exponent) in enumerate(rows):
            _, back = jax.vjp(lambda z, x, i=i: cut(advance(z, x)[0], sizes)[i], z, x)
            to_z, to_x = jax.vmap(back)(P)
            for j, columns in enumerate(cut(to_z, sizes)):
                if j >= i or type(self.cell) is not Cell:  # a `Cell`'s drive never sees the core
                    to_states[j].append(Scaled(columns, exponent))
            to_input.append(Scaled(to_x, exponent))
        return [total(terms) for terms in to_states], total(to_input)


def checked(
    cell: Any, params: Any, xs: Any, state: Any, wrt: str = "full", *, constant: bool = False
) -> tuple[RecurrentCell, Params, Array, CellState | None]:
    """The arguments that every analysis takes, checked, in at least float32.

    With `constant` they are `x` and `starts`: one input, (F,), which is returned as a sequence of one step, and states with any
    batch axes.
    """
    if params is None and not isinstance(cell, RecurrentCell) and _is_nnx_cell(cell):
        cell, params = cell.functional()
    if not isinstance(cell, RecurrentCell):
        raise TypeError(
            f"cell must be a Cell with its params, or an NNX cell of this library with params=None, got {type(cell).__name__}; "
            "for a Linen cell, pass the cell and params that its method `functional` returns."
        )
    if cell.core.feature_axes != 1:
        raise TypeError(f"cell must have a core whose states are vectors, got {type(cell.core).__name__}, whose are images.")
    of_inputs, of_states = ("x", "starts") if constant else ("xs", "state")
    xs = cell.check_inputs(params, xs, of_inputs, time=not constant)
    if constant and xs.ndim != 1:
        raise ValueError(f"x must be one input of shape (features,), got shape {xs.shape}.")
    if not constant and (xs.ndim != 2 or not xs.shape[0]):
        raise ValueError(
            f"xs must be one sequence of shape (time, features) with at least one step, got shape {xs.shape}; "
            "use jax.vmap for a batch."
        )
    batch_shape = _batch_shape(of_states, state, start_like(cell, params)) if constant else ()
    if state is not None:
        _checks.same_structure(of_states, state, start_like(cell, params, batch_shape))
    for path, leaf in jax.tree_util.tree_leaves_with_path(cell):
        if isinstance(leaf, Drive | Core | RecurrentCell):
            raise TypeError(
                f"cell{jax.tree_util.keystr(path)} must be a pytree, got {type(leaf).__name__}: "
                "decorate the class with momentum_rnn_jax.pytree_dataclass."
            )
    for name, tree in {"cell": cell, "params": params, of_inputs: xs, of_states: state}.items():
        check_finite(name, tree)

    wide = at_least_float32(xs.dtype)
    params, xs = jax.tree.map(lambda leaf: leaf.astype(wide), (params, xs))
    like = start_like(cell, params)
    if not hasattr(getattr(like.core, "h", None), "dtype"):
        raise TypeError(f"cell must have a core whose state has the array h, got {_checks.outline(like.core)}.")
    _checks.choice("wrt", wrt, WRT)
    layout = Layout.of(cell, params, xs[jnp.newaxis] if constant else xs)
    if not layout.size(wrt):
        allowed = ", ".join(repr(name) for name in WRT if layout.size(name))
        raise ValueError(f"wrt must be one of {allowed} for this cell, whose {wrt} has no state, got {wrt!r}.")
    if state is not None:
        state = jax.tree.map(lambda leaf, like: leaf if leaf.dtype == like.dtype else leaf.astype(like.dtype), state, like)
    return cell, params, xs[jnp.newaxis] if constant else xs, state


def _batch_shape(name: str, states: Any, like: CellState) -> tuple[int, ...]:
    """The batch axes of states, which are those of their first array; the others are compared with it."""
    _checks.same_tree(name, states, like)
    _checks.array_leaves(name, states)
    first, one = jax.tree.leaves(states)[0], jax.tree.leaves(like)[0]
    axes = first.ndim - one.ndim
    if axes < 0 or first.shape[axes:] != one.shape or not first.size:
        raise ValueError(
            f"{name} must be one state or more, whose first array has a shape that ends in {one.shape}, got {first.shape}."
        )
    return first.shape[:axes]


def check_span(start: Any, stop: Any, steps: int) -> tuple[int, int]:
    """`0 <= start <= stop <= steps`, where None for `stop` is the end."""
    start = _checks.integer("start", start, low=0, high=steps)
    stop = steps if stop is None else _checks.integer("stop", stop, low=0, high=steps)
    if not start <= stop <= steps:
        raise ValueError(f"start and stop must satisfy 0 <= start <= stop <= {steps}, the steps of xs; got {start} and {stop}.")
    return start, stop


def _is_nnx_cell(cell: Any) -> bool:
    functional = getattr(cell, "functional", None)
    return callable(functional) and not inspect.signature(functional).parameters


def check_finite(name: str, tree: Any) -> None:
    """Refuse NaN and infinity in arrays whose values are known."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            continue
        bad = np.argwhere(~np.isfinite(np.asarray(leaf, dtype=np.float64)))
        if len(bad):
            where = f"; the first is at {tuple(bad[0].tolist())}" if jnp.ndim(leaf) else ""
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} must be finite, but NaN or infinity is in {len(bad)} of its entries{where}."
            )
