"""A cell over a whole sequence: by the reference scan of `step`, or by the exact fast path."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, _masked, cudnn, fast, plan
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.drives import Drive

METHODS = ("auto", "stepwise", "chunked", "cudnn")


def unroll(
    cell: RecurrentCell,
    params: Params,
    xs: Array,
    state: CellState | None = None,
    method: str = "auto",
    *,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    dtype: Any = None,
    remat: str | int = "auto",
) -> tuple[CellState, Array]:
    """Run a cell over a sequence: `(state_T, (h_1, …, h_T))`.

    Any split of a sequence into chunks, with the state handed on, gives the result of the whole.

    Args:
      cell: a `Cell`, or a `ReleasedNesterovLSTM`.
      params: from `cell.init`.
      xs: (time, ..., F), floating point, cast to the parameters' dtype; any number of batch axes, and none is fine.
      state: where to go on from; zeros, `cell.initial_state`, unless given. Its core's part is in the dtype of computation.
      method: how, never what: every method gives the same outputs, states and gradients to rounding. Under `jax.jit`, make it
        static: `static_argnames="method"`.
        "stepwise": a `jax.lax.scan` of the cell's step, the reference.
        "chunked": the projection and the drive for many time steps at once, the core's product and element-wise part step by
        step, and a backward pass written by hand. Forward mode, second derivatives and `vmap` work all the same.
        "cudnn": NVIDIA's LSTM behind the drive, in float32, without lengths, resets and `shard_map`. Forward mode, second
        derivatives and `vmap` run the chunks; ask for "chunked" where these matter, which keeps more for its backward pass. It
        is one call to the library, which several devices cannot share.
        "auto": "cudnn" where it can run and there is one device, else "chunked" where it exists, else "stepwise".
      seq_lengths: (...), integers from 0 to time: how many steps of each example count. Outputs after them are zero, the final
        state is the one after them, and what the inputs hold there, NaN included, changes nothing, gradients neither.
      resets: (time, ...), booleans: where True, a new episode begins with that step, from the zero state. A packed sequence
        equals its episodes run one by one.
      dtype: of computation; the parameters' unless given. An orthogonal matrix is built in the parameters' dtype all the same.
      remat: what "chunked" keeps for the backward pass. "none": the states and pre-activations of every step. "auto": the
        pre-activations only where they are small, else they are computed again. An integer: the state every so many steps, and
        everything else is computed again, for sequences that would not fit the memory. "stepwise" takes "auto" alone, and
        "cudnn" too: it keeps every step of the drive, and what it likes itself.

    Returns:
      The final state, and hs, (time, ..., H), in the dtype of computation.

    Raises:
      TypeError, ValueError: an argument does not fit the cell or another argument; the message names it. "chunked" is refused,
        with the reason, for a cell whose drive sees the hidden state, and "cudnn" where there are steps and it cannot run them.
        Traced lengths are not checked; those beyond the sequence count as its end.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(8, mu=0.6, step_size=0.6)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> xs = jnp.ones((20, 2, 3))
    >>> state, hs = jax.jit(mr.unroll)(cell, params, xs)
    >>> hs.shape
    (20, 2, 8)
    >>> _, rest = mr.unroll(cell, params, xs[15:], mr.unroll(cell, params, xs[:15])[0])
    >>> bool(jnp.allclose(hs[15:], rest, atol=1e-6))
    True
    """
    remat = _check_how(cell, method, dtype, remat)
    xs = cell.check_inputs(params, xs, "xs", min_ndim=2)
    batch_shape = xs.shape[1:-1]
    ready = cell.prepare(params, dtype)
    xs = xs.astype(ready["input"]["kernel"].dtype)
    if resets is not None:
        _checks.mask("resets", resets, xs.shape[:-1])
    valid = None
    if seq_lengths is not None:
        _checks.lengths("seq_lengths", seq_lengths, batch_shape, xs.shape[0])
        valid = jax.lax.broadcasted_iota(jnp.int32, xs.shape[:-1], 0) < jnp.asarray(seq_lengths).astype(jnp.int32)[jnp.newaxis]
        xs = jnp.where(valid[..., jnp.newaxis], xs, jnp.zeros_like(xs))
        resets = None if resets is None else jnp.asarray(resets) & valid

    start = cell.start(ready, batch_shape)
    if state is not None:
        cell.check_state(ready, state, batch_shape)
        state = jax.tree.map(jnp.asarray, state)
    if xs.shape[0]:
        # Zeros made from a product are spread over the devices as xs and the weights together.
        like = [cell.project(ready, xs[0])[..., 0], *(mask[0] for mask in (resets, valid) if mask is not None)]
        start, state = _spread_like(like, start), _spread_like(like, state)
    masks = Masks(resets, valid)
    if isinstance(cell, Cell) and not _why_not_fast(cell, method, xs.shape[0]):
        on_cudnn = _on_cudnn(cell, method, xs, remat, masked=resets is not None or valid is not None)
        return fast.run(cell, ready, xs, state, start, masks, remat, on_cudnn)
    return _masked.scan(lambda state, x: cell.advance(ready, state, x), start if state is None else state, xs, start, masks)


def explain(
    cell: RecurrentCell, params: Params, xs: Array, method: str = "auto", *, dtype: Any = None, remat: str | int = "auto"
) -> str:
    """How `unroll` runs this cell over inputs of this shape, from the start, in a sentence.

    With a state to go on from and `resets`, a drive that would act on the inputs stays behind the projection.

    Args:
      As in `unroll`; `xs` may be a `jax.ShapeDtypeStruct`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(128)
    >>> mr.explain(cell, cell.init(jax.random.key(0), 1), jnp.ones((784, 128, 1)), "chunked").split(", ")[0]
    'chunked: 49 x 16 steps; the drive acts on the input features (1)'
    """
    remat = _check_how(cell, method, dtype, remat)
    xs = jax.eval_shape(lambda params, xs: cell.check_inputs(params, xs, "xs", min_ndim=2), params, xs)
    why = _why_not_fast(cell, method, xs.shape[0])
    if why or not isinstance(cell, Cell):
        return f"stepwise: {why}."
    computed = jax.ShapeDtypeStruct(xs.shape, xs.dtype if dtype is None else jnp.dtype(dtype))
    if _on_cudnn(cell, method, computed, remat, masked=False):
        otherwise = "; with seq_lengths or resets, chunked" if method == "auto" else ""
        return f"cudnn: NVIDIA's LSTM behind the projection and the drive{otherwise}."
    return f"chunked: {plan.describe(cell, computed.shape, computed.dtype, remat)}."


def _check_how(cell: RecurrentCell, method: str, dtype: Any, remat: str | int) -> str | int:
    """Refuse what the cell cannot do; `remat` as it was given, an integer of any kind as an int."""
    if not isinstance(cell, RecurrentCell) and hasattr(cell, "functional"):
        raise TypeError(
            f"cell must not be a Flax cell, got {type(cell).__name__}; its method `functional` gives a cell and params."
        )
    _checks.instance("cell", cell, RecurrentCell)
    if dtype is not None:
        _checks.float_dtype("dtype", dtype)
    _checks.choice("method", method, METHODS)
    why = _why_stepwise(cell)
    if method in ("chunked", "cudnn") and why:
        raise ValueError(f"method must be 'stepwise' or 'auto' for this cell: {why}.")
    remat = _checks.choice("remat", remat, ("auto", "none")) if isinstance(remat, str) else _checks.integer("remat", remat, low=1)
    if remat != "auto" and (why or method == "stepwise"):
        raise ValueError(f"remat must be 'auto' where the cell runs stepwise, got {remat!r}.")
    return remat


def _on_cudnn(cell: Cell, method: str, xs: Any, remat: str | int, *, masked: bool) -> bool:
    """Whether cuDNN runs the core; refused where it is asked for and cannot."""
    if method not in ("auto", "cudnn"):
        return False
    why = cudnn.why_not(cell.core, xs.dtype, math.prod(xs.shape[1:-1]), masked)
    if remat != "auto":
        why = why or "it keeps what it likes for its backward pass, and remat must be 'auto'"
    if method == "cudnn" and why:
        raise ValueError(f"method must not be 'cudnn' here: {why}.")
    return not why and (method == "cudnn" or jax.device_count() == 1)


def _why_not_fast(cell: RecurrentCell, method: str, time: int) -> str:
    """Why a sequence is run stepwise, or nothing."""
    if method == "stepwise":
        return "that is the method asked for"
    return _why_stepwise(cell) or ("" if time else "there are no steps")


def _why_stepwise(cell: RecurrentCell) -> str:
    """Why a cell has no fast path, or nothing: it must be made of what the fast path knows, and not change how that steps."""
    if cell.why_stepwise or not isinstance(cell, Cell):
        return cell.why_stepwise or f"{type(cell).__name__} is no Cell"
    if not isinstance(cell.core, KernelCore):
        return f"its core, {type(cell.core).__name__}, is no KernelCore"
    for part, base, names in (
        (cell, Cell, ("advance", "project", "start")),
        (cell.core, KernelCore, ("step", "pre_activations")),
        (cell.drive, Drive, ("step",)),
    ):
        for name in names:
            if getattr(type(part), name) is not getattr(base, name):
                return f"{type(part).__name__} has a `{name}` of its own"
    if any(leaf is cell.drive for leaf in jax.tree.leaves(cell.drive)):
        return f"its drive, {type(cell.drive).__name__}, is no pytree (see pytree_dataclass)"
    if jax.tree.leaves(cell.core):
        return f"its core, {type(cell.core).__name__}, is no pytree without leaves (see pytree_dataclass)"
    return ""


def _spread_like(arrays: list[Array], state: Any) -> Any:
    """A state that is spread over devices as the arrays, of the batch's shape, are; a scan under sharding demands it."""

    def spread(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # an optax state may hold one
            return leaf
        for array in arrays:
            zeros = jnp.zeros_like(array, dtype=leaf.dtype)
            leaf = leaf + zeros.reshape(zeros.shape + (1,) * (leaf.ndim - zeros.ndim))
        return leaf

    return jax.tree.map(spread, state)
