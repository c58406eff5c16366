"""A cell over a whole sequence."""

import functools
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell
from momentum_rnn_jax.execution import associative, chunked, cudnn, hoisted, native
from momentum_rnn_jax.execution.resolve import METHODS, Execution, Method, Sequence, check_options, decide
from momentum_rnn_jax.execution.scan import Problem, Result, scan
from momentum_rnn_jax.stack import Stack, unroll_layers

__all__ = ["METHODS", "Method", "Remat", "explain", "resolve", "unroll"]

Remat = Literal["auto", "none"] | int


@overload
def unroll(
    cell: RecurrentCell | Stack,
    params: Any,
    xs: Array,
    state: Any = None,
    method: Method = "auto",
    *,
    time_major: bool = True,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    noise: Any = None,
    dtype: Any = None,
    remat: Remat = "auto",
    return_states: Literal[False] = False,
) -> tuple[CellState, Array]: ...
@overload
def unroll(
    cell: RecurrentCell | Stack,
    params: Any,
    xs: Array,
    state: Any = None,
    method: Method = "auto",
    *,
    time_major: bool = True,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    noise: Any = None,
    dtype: Any = None,
    remat: Remat = "auto",
    return_states: Literal[True],
) -> tuple[CellState, Array, CellState]: ...
@overload
def unroll(
    cell: RecurrentCell | Stack,
    params: Any,
    xs: Array,
    state: Any = None,
    method: Method = "auto",
    *,
    time_major: bool = True,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    noise: Any = None,
    dtype: Any = None,
    remat: Remat = "auto",
    return_states: bool,
) -> tuple[CellState, Array] | tuple[CellState, Array, CellState]: ...
def unroll(
    cell: RecurrentCell | Stack,
    params: Any,
    xs: Array,
    state: Any = None,
    method: Method = "auto",
    *,
    time_major: bool = True,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
    noise: Any = None,
    dtype: Any = None,
    remat: Remat = "auto",
    return_states: bool = False,
) -> Any:
    """Run a cell over a sequence: `(state_T, (h_1, …, h_T))`.

    Any split of a sequence into chunks, with the state handed on, gives the result of the whole.

    Args:
      cell: a `Cell`, or any other `RecurrentCell`; or a `Stack` of them, whose states and noise are tuples.
      params: from `cell.init`.
      xs: (time, batch…, F), and (time, batch…, height, width, F) for convolutional cores; time first unless `time_major=False`;
        floating point, cast to the parameters' dtype; any number of batch axes, also none.
      state: the state before the first step; `cell.initial_state` unless given.
      method: execution strategy; results agree up to rounding. Under `jax.jit`, make it static: `static_argnames="method"`.
        "stepwise": a `jax.lax.scan` of the cell's step, the reference.
        "chunked": for a `Cell` with a `KernelCore`. The projection and the drive for many time steps at once, the core's product
        and update step by step, and a hand-written backward pass. Forward mode, second derivatives and `vmap` work as well.
        "associative": for a `Cell` with a `LinearCore`. The coefficients for all steps at once, then an associative scan.
        "cudnn": NVIDIA's LSTM after the drive, in float32, without lengths, resets and `shard_map`. Forward mode, second
        derivatives and `vmap` run the chunks. It is one call to the library, which several devices cannot share.
        "native": the core's recurrence in one call of compiled kernels for the CPU, which `pip install` builds where it finds a
        C++ compiler; for `LSTM`, `GRU`, `Elman` and `Orthogonal` with their common activations, in float32 or float64. Projection
        and drive are as in "chunked". Forward mode and second derivatives run a scan; `vmap` works. Several devices cannot share
        a call; in `shard_map` each makes its own.
        "hoisted": for a `Cell` whose core is neither a `KernelCore` nor a `LinearCore`. The projection (of convolutional cores,
        one convolution of all images) and the drive for the whole sequence ahead, then a `jax.lax.scan` of the core's step.
        "auto": "native" or "cudnn" where it can run and there is one device, else "chunked", "associative" except on a CPU,
        or "hoisted", whichever the core allows, else "stepwise".
      time_major: whether time is the first axis of `xs`, `resets` and what is returned; otherwise it is the last axis before the
        features, `(batch…, time, F)`, as in Flax.
      seq_lengths: (batch…), integers from 0 to time: how many steps of each example count. Outputs after them are zero, the final
        state is the one after them, and the inputs there, NaN included, affect neither results nor gradients.
      resets: (time, batch…), booleans: where True, a new episode begins with that step, from the initial state. A packed sequence
        equals its episodes run separately.
      noise: from `cell.sample_noise(key, (time, batch…))`, for cores with dropout or other per-step randomness; None for none.
        Its first axis is time, as `sample_noise` returns it, also where `time_major=False`.
      dtype: of computation; the parameters' unless given. An orthogonal matrix is still built in the parameters' dtype.
      remat: what "chunked" and "native" store for the backward pass. "none": the states and pre-activations (or gates) of every
        step. "auto": the latter only where they are small, else they are recomputed. An integer: the state every so many steps,
        and everything else is recomputed, for sequences that would not fit the memory. Other strategies take "auto" alone:
        "cudnn" stores the drive's outputs plus cuDNN's reserve space.
      return_states: also return the states after every step, a `CellState` whose leaves are (time, batch…, …). In padding they
        stay what they were. Gradients flow through them.

    Returns:
      The final state, and hs, (time, batch…, H), in the dtype of computation; with `return_states` the states too.

    Raises:
      TypeError, ValueError: an argument does not fit the cell or another argument; the message names it. A method is refused,
        with the reason, where it cannot run. Traced lengths are not checked; those beyond the sequence count as its end.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(8, mu=0.6, step_size=0.6)
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> xs = jnp.ones((20, 2, 3))  # (time, batch, features)
    >>> state, hs = jax.jit(mr.unroll)(cell, params, xs)
    >>> hs.shape
    (20, 2, 8)
    >>> _, rest = mr.unroll(cell, params, xs[15:], mr.unroll(cell, params, xs[:15])[0])
    >>> bool(jnp.allclose(hs[15:], rest, atol=1e-6))
    True
    >>> state, hs, states = mr.unroll(cell, params, xs, return_states=True)
    >>> states.drive.velocity.shape, states.core.c.shape
    ((20, 2, 32), (20, 2, 8))
    """
    if isinstance(cell, Stack):
        options: dict[str, Any] = {"seq_lengths": seq_lengths, "resets": resets, "dtype": dtype, "remat": remat}
        options |= {"method": method, "time_major": time_major, "return_states": return_states}
        return unroll_layers(unroll, cell, params, xs, state, noise=noise, **options)
    axis, xs, resets = _time_first(cell, params, xs, resets, noise, seq_lengths, time_major, dtype)
    execution = _resolve(cell, params, xs, state, method, seq_lengths, resets, dtype, remat, return_states)
    run = _run_compiled if execution.compiled else _run
    final, outputs, states = run(execution, cell, params, xs, state, seq_lengths, resets, noise)
    if axis:
        outputs, states = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, axis), (outputs, states))
    return (final, outputs, states) if return_states else (final, outputs)


def resolve(
    cell: RecurrentCell,
    params: Params,
    xs: Array | jax.ShapeDtypeStruct,
    state: CellState | None = None,
    method: Method = "auto",
    *,
    time_major: bool = True,
    seq_lengths: Any = None,
    resets: Any = None,
    noise: Any = None,
    dtype: Any = None,
    remat: Remat = "auto",
    return_states: bool = False,
) -> Execution:
    """How `unroll` runs these arguments, as data: the strategy, its plan, and why others were refused. Nothing is run.

    Args:
      As in `unroll`; any array may be a `jax.ShapeDtypeStruct`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(128)
    >>> execution = mr.resolve(cell, cell.init(jax.random.key(0), 1), jnp.ones((784, 128, 1)), method="chunked")
    >>> execution.strategy, execution.plan.chunk, execution.plan.filter_inputs
    ('chunked', 16, True)
    """
    arguments = {"params": params, "xs": xs, "state": state, "seq_lengths": seq_lengths, "resets": resets, "noise": noise}
    for name, tree in arguments.items():
        _checks.array_leaves(name, tree, structs=True)
    leaves: list[Any]
    structure: Any
    leaves, structure = jax.tree.flatten(arguments)
    executions = []

    def trace(structs: list[Array]) -> None:
        """With traced arrays for the structs; the others are concrete, and their values are checked."""
        given = iter(structs)
        every = structure.unflatten([next(given) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf for leaf in leaves])
        params, state, seq_lengths = every["params"], every["state"], every["seq_lengths"]
        _, xs, resets = _time_first(cell, params, every["xs"], every["resets"], every["noise"], seq_lengths, time_major, dtype)
        executions.append(_resolve(cell, params, xs, state, method, seq_lengths, resets, dtype, remat, return_states))

    jax.eval_shape(trace, [leaf for leaf in leaves if isinstance(leaf, jax.ShapeDtypeStruct)])
    return executions[0]


def explain(
    cell: RecurrentCell,
    params: Params,
    xs: Array | jax.ShapeDtypeStruct,
    state: CellState | None = None,
    method: Method = "auto",
    **options: Any,
) -> str:
    """How `unroll` runs these arguments, in a sentence: `str(resolve(…))`.

    Args:
      As in `unroll`; any array may be a `jax.ShapeDtypeStruct`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.momentum_lstm(128)
    >>> mr.explain(cell, cell.init(jax.random.key(0), 1), jnp.ones((784, 128, 1)), method="chunked").split(", ")[0]
    'chunked: 49 x 16 steps; the drive filters the input features (1) of a plain cell'
    """
    return str(resolve(cell, params, xs, state, method, **options))


def _time_first(
    cell: Any, params: Any, xs: Any, resets: Any, noise: Any, seq_lengths: Any, time_major: Any, dtype: Any
) -> tuple[int, Array, Any]:
    """Where time is in `xs`, and the inputs and the resets with time first; both are checked, and so is the noise."""
    if not isinstance(cell, RecurrentCell) and hasattr(cell, "functional"):
        raise TypeError(
            f"cell must not be a Flax cell, got {type(cell).__name__}; its method `functional` gives a cell and params."
        )
    _checks.instance("cell", cell, RecurrentCell)
    time_major = _checks.boolean("time_major", time_major)
    if dtype is not None:
        _checks.float_dtype("dtype", dtype)
    xs = cell.check_inputs(params, xs, "xs", time=True)
    leading = cell.core.batch_shape(xs.shape)
    axis = 0 if time_major else len(leading) - 1
    if resets is not None:
        _checks.mask("resets", resets, leading)
    if seq_lengths is not None:
        batch_shape = (*leading[:axis], *leading[axis + 1 :])
        _checks.lengths("seq_lengths", seq_lengths, batch_shape, xs.shape[axis])
    if axis:
        xs, resets = jnp.moveaxis(xs, axis, 0), None if resets is None else jnp.moveaxis(resets, axis, 0)
    cell.check_noise(noise, cell.core.batch_shape(xs.shape), xs.dtype if dtype is None else dtype)
    return axis, xs, resets


def _resolve(
    cell: RecurrentCell,
    params: Params,
    xs: Any,
    state: Any,
    method: Any,
    seq_lengths: Any,
    resets: Any,
    dtype: Any,
    remat: Any,
    return_states: Any,
) -> Execution:
    """The execution of arguments that `_time_first` has checked; the other options and the state are checked here."""
    remat = check_options(method, remat)
    _checks.boolean("return_states", return_states)
    computed = jnp.dtype(xs.dtype if dtype is None else dtype)
    prepared = jax.eval_shape(lambda params: cell.prepare(params, computed), params)
    if state is not None:
        cell.check_state(prepared, state, cell.core.batch_shape(xs.shape)[1:])
    masks = (resets is not None, seq_lengths is not None)
    sequence = Sequence(xs.shape, computed, state is None, *masks, return_states, cell.core.feature_axes)
    return decide(cell, prepared, sequence, method, remat)


def _run(
    execution: Execution,
    cell: RecurrentCell,
    params: Params,
    xs: Array,
    state: CellState | None,
    seq_lengths: Array | None,
    resets: Array | None,
    noise: Any,
) -> Result:
    prepared = cell.prepare(params, execution.sequence.dtype)
    xs = xs.astype(execution.sequence.dtype)
    valid, leading = None, cell.core.batch_shape(xs.shape)
    if seq_lengths is not None:
        lengths = _checks.clamped_lengths(seq_lengths, xs.shape[0])
        valid = jax.lax.broadcasted_iota(jnp.int32, leading, 0) < lengths[jnp.newaxis]
        xs = cell.fill_padding(xs, valid, state)
        resets = None if resets is None else jnp.asarray(resets) & valid
    start = cell.start(prepared, leading[1:])
    state = None if state is None else jax.tree.map(jnp.asarray, state)
    if not execution.sequence.is_empty:
        # Zeros made from a product are spread over the devices as xs and the weights together.
        one_of_each = (..., *(0,) * cell.core.feature_axes)
        like = [cell.project(prepared, xs[0])[one_of_each], *(mask[0] for mask in (resets, valid) if mask is not None)]
        start, state = _spread_like(like, start), _spread_like(like, state)
    problem = Problem(cell, prepared, xs, state, start, noise, Masks(resets, valid))
    if execution.strategy == "stepwise":
        step, states = functools.partial(cell.advance, prepared), execution.plan.return_states
        return Result(*scan(step, problem.first, (xs, noise), start, problem.masks, return_states=states))
    return _STRATEGIES[execution.strategy](execution.plan, problem)


# Outside of a user's jit, compiled once for a structure and shapes; not inlined, so that an eager gradient is compiled once too.
_run_compiled = jax.jit(_run, static_argnums=0)
_STRATEGIES = {
    "chunked": chunked.run,
    "associative": associative.run,
    "cudnn": cudnn.run,
    "native": native.run,
    "hoisted": hoisted.run,
}


def _spread_like(arrays: list[Array], state: Any) -> Any:
    """The state with the sharding of the arrays, of the batch's shape: `scan` requires carries and inputs to agree."""

    def spread(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # an optax state may hold one
            return leaf
        for array in arrays:
            zeros = jnp.zeros_like(array, dtype=leaf.dtype)
            leaf = leaf + zeros.reshape(zeros.shape + (1,) * (leaf.ndim - zeros.ndim))
        return leaf

    return jax.tree.map(spread, state)
