"""How a sequence is run: decided once, from structure, shapes and dtypes alone, as data that both `unroll` and `explain` use."""

import dataclasses
import math
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._pytree import is_pytree
from momentum_rnn_jax.cell import Cell, Params, RecurrentCell
from momentum_rnn_jax.cores import Core, KernelCore, LinearCore
from momentum_rnn_jax.drives import Drive, HiPPO, Identity, LinearDrive, Momentum, Nesterov
from momentum_rnn_jax.execution import cudnn_support, native_support

Strategy = Literal["stepwise", "chunked", "associative", "cudnn", "native", "hoisted"]
Method = Literal["auto", "stepwise", "chunked", "associative", "cudnn", "native", "hoisted"]
METHODS = get_args(Method)

ROWS = 2048  # of a chunk's products: time steps times batch
DRIVE_ROWS, DRIVE_STEPS = 512, 16  # the same, at most, with a drive on the gates: it then runs as straight code, which XLA fuses
STORED_BYTES = 1 << 26  # up to here, pre-activations are kept for the backward pass rather than computed again
FEW_FEATURES = 8  # up to here, the projection is part of every step's product
# Of native calls: the same with at least so many examples, which then share what a step loads of the input kernel; rows of a
# chunk with a drive after the projection; the bytes of gates up to which they are kept rather than computed again.
NATIVE_FEATURES, NATIVE_BATCH, NATIVE_DRIVE_ROWS, NATIVE_STORED_BYTES = 160, 8, 512, 1 << 28
TYPICAL_BATCH = 32  # what a symbolic batch counts as


class Sequence(NamedTuple):
    """What the decision depends on, besides the cell."""

    shape: tuple[Any, ...]  # (time, batch…, F); sizes may be symbolic
    dtype: Any  # of computation
    fresh: bool = True  # no state is given
    resets: bool = False
    lengths: bool = False
    return_states: bool = False
    feature_axes: int = 1  # how many of the last axes are those of one example

    @property
    def batch(self) -> Any:
        """The number of examples."""
        return math.prod(self.shape[1 : -self.feature_axes])

    @property
    def is_empty(self) -> bool:
        """Whether there are no steps; a symbolic number of them is at least one."""
        return isinstance(self.shape[0], int) and self.shape[0] == 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a strategy works through a sequence.

    Args:
      chunk: time steps at once; None for all of them.
      filter_inputs: the drive acts on the inputs, in front of the projection.
      initial_velocity: the filter accounts for a velocity that is not known to start at zero.
      merged: inputs are projected at every step, in one product with the state, `[h, x] @ [kernel; input kernel]`.
      residuals: what the forward pass stores for the backward pass: "pre_activations" (and the states), "states" (of every
        step), or "checkpoints" (the states between chunks).
      return_states: the states of every step are returned.
      native_drive: the kernels run the drive too, after the projection.
    """

    chunk: int | None = None
    filter_inputs: bool = False
    initial_velocity: bool = False
    merged: bool = False
    residuals: Literal["pre_activations", "states", "checkpoints"] = "pre_activations"
    return_states: bool = False
    native_drive: bool = False


@dataclasses.dataclass(frozen=True)
class Execution:
    """How `unroll` runs a sequence.

    Args:
      strategy: which part of the library runs it: "stepwise", "chunked", "associative", "cudnn", "native" or "hoisted".
      plan: how that part works through the sequence.
      refused: the strategies that would have been preferred, each with the reason why it cannot run.
      compiled: whether it runs as one compiled program even outside of `jax.jit`; a cell that is not a pytree does not.
      sequence: the sequence that it was decided for.
      drive: where the drive acts, in words.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.ReleasedNesterovLSTM(mr.LSTM(8))
    >>> execution = mr.resolve(cell, cell.init(jax.random.key(0), 3), jnp.ones((5, 2, 3)))
    >>> execution.strategy, [strategy for strategy, reason in execution.refused]
    ('stepwise', ['native', 'cudnn', 'chunked', 'associative', 'hoisted'])
    """

    strategy: Strategy
    plan: Plan
    refused: tuple[tuple[str, str], ...]
    compiled: bool
    sequence: Sequence
    drive: str

    def __str__(self) -> str:
        if self.strategy == "stepwise":
            return f"stepwise: {self.refused[-1][1] if self.refused else 'the method asked for'}."
        if self.strategy == "associative":
            return f"associative: coefficients for all steps at once, then an associative scan; {self.drive}."
        if self.strategy == "hoisted":
            return f"hoisted: projection and drive for all steps at once, then a scan of the core's step; {self.drive}."
        if self.strategy == "cudnn":
            return f"cudnn: NVIDIA's LSTM after the projection and the drive; {self.drive}."
        merged = ", merged with every step's product" if self.plan.merged else ""
        merged = ", with the projection" if merged and self.plan.native_drive else merged
        gates = "gates" if self.strategy == "native" else "pre-activations"
        backward = {
            "pre_activations": f"stores the states and {gates} of every step",
            "states": f"stores the states of every step and recomputes the {gates}",
            "checkpoints": "stores the states between chunks and recomputes everything else",
        }[self.plan.residuals]
        of_what = "compiled kernels for this CPU, " if self.strategy == "native" else ""
        return f"{self.strategy}: {of_what}{self._chunks()}; {self.drive}{merged}; the backward pass {backward}."

    def _chunks(self) -> str:
        chunk, time = self.plan.chunk, self.sequence.shape[0]
        if chunk is None:
            return "all steps in one chunk"
        return f"{time // chunk} x {chunk} steps" + (f" and {time % chunk}" if time % chunk else "")


def decide(cell: RecurrentCell, prepared: Params, sequence: Sequence, method: str, remat: str | int) -> Execution:
    """The execution of a sequence.

    Args:
      cell: any cell.
      prepared: its prepared parameters, arrays or shapes.
      sequence: what is run.
      method, remat: as in `unroll`, already checked.

    Raises:
      ValueError: a strategy was asked for that cannot run, or `remat` where it has no effect. Without steps, all methods
        agree, and none is refused.
    """
    reasons = _why_not(cell, prepared, sequence, method, remat)
    refused: list[tuple[str, str]] = []
    strategy: Strategy = "stepwise"
    if method == "auto":
        for candidate in _PREFERENCE:
            if not reasons[candidate]:
                strategy = candidate
                break
            refused.append((candidate, reasons[candidate]))
        # The last reason is the one that is printed: that of the strategy made for this kind of core.
        if isinstance(cell, Cell):
            refused = [one for one in refused if one[0] not in _FOR_OTHERS[cell.core.recurrence]]
    elif method != "stepwise":
        if reasons[method] and not sequence.is_empty:
            raise ValueError(f"method must not be {method!r} here: {reasons[method]}.")
        strategy = "stepwise" if reasons[method] else method  # type: ignore[assignment]
        refused = [(method, reasons[method])] if reasons[method] else []
    if remat != "auto" and strategy not in ("chunked", "native") and not sequence.is_empty:
        raise ValueError(f"remat must be 'auto' where the cell runs {strategy}, got {remat!r}.")
    plan = Plan(return_states=sequence.return_states)
    if strategy == "hoisted":
        assert isinstance(cell, Cell)
        filter_inputs = isinstance(cell.drive, LinearDrive) and _filters_inputs(cell, sequence, on_cudnn=False)
        initial_velocity = filter_inputs and not _from_zero(cell.drive, sequence)
        plan = dataclasses.replace(plan, filter_inputs=filter_inputs, initial_velocity=initial_velocity)
    elif strategy in ("chunked", "cudnn", "native"):
        assert isinstance(cell, Cell)
        plan = _plan(cell, sequence, remat, strategy)
    return Execution(strategy, plan, tuple(refused), is_pytree(cell), sequence, _drive_in_words(cell, sequence, plan))


def _plan(cell: Cell, sequence: Sequence, remat: str | int, strategy: str) -> Plan:
    core, drive = cell.core, cell.drive
    assert isinstance(core, KernelCore)
    time, features, gates = sequence.shape[0], sequence.shape[-1], core.drive_features
    batch = sequence.batch if isinstance(sequence.batch, int) else TYPICAL_BATCH
    filter_inputs = _filters_inputs(cell, sequence, on_cudnn=strategy == "cudnn")
    in_front = filter_inputs or type(drive) is Identity
    # What is left of an initial velocity is added to the projected inputs, ahead of the steps.
    initial_velocity = filter_inputs and not _from_zero(drive, sequence)
    native = strategy == "native"
    native_drive = native and not in_front and native_support.runs_drive(drive, sequence, gates)
    few = features <= (NATIVE_FEATURES if native and batch >= NATIVE_BATCH else FEW_FEATURES)
    merged = in_front and few and not initial_velocity and (native or core.additive)
    # In front of a drive of the kernels, each of its vectors takes the product with a few features alone.
    merged = merged or (native_drive and features <= FEW_FEATURES)
    plan = Plan(None, filter_inputs, initial_velocity, merged, "states", sequence.return_states, native_drive)
    if not isinstance(time, int):
        return dataclasses.replace(plan, residuals="pre_activations" if remat == "none" else "states")
    if isinstance(remat, int):
        return dataclasses.replace(plan, chunk=min(remat, time), residuals="checkpoints")
    pre_activations = time * batch * gates * jnp.dtype(sequence.dtype).itemsize
    small = pre_activations <= (NATIVE_STORED_BYTES if native else STORED_BYTES)
    plan = dataclasses.replace(plan, residuals="pre_activations" if small or remat == "none" else "states")
    if native and (in_front or native_drive):
        return plan
    rows, steps = (ROWS, time) if in_front else (NATIVE_DRIVE_ROWS, time) if native else (DRIVE_ROWS, DRIVE_STEPS)
    wanted = max(1, min(time, steps, rows // max(1, batch)))
    chunk = next((n for n in range(wanted, wanted // 2, -1) if time % n == 0), wanted)
    return dataclasses.replace(plan, chunk=chunk)


def _filters_inputs(cell: Cell, sequence: Sequence, *, on_cudnn: bool) -> bool:
    """Whether the drive acts on the inputs: it may, and there are fewer of them, with two of the filter's own, than gates."""
    core, gates = cell.core, cell.core.drive_features
    owner = next(base for base in type(core).__mro__ if "project" in vars(base))
    if owner is not Core and not vars(owner).get("affine_projection"):  # an inherited promise is of another projection
        return False
    return _may_filter(cell.drive, gates, sequence, on_cudnn) and sequence.shape[-1] + 2 < gates


def _may_filter(drive: Drive, gates: int, sequence: Sequence, on_cudnn: bool) -> bool:
    """Whether the drive commutes with the projection and its initial velocity can be accounted for.

    A reset must discard an initial velocity even where it is not finite, which `p v_0` with p = 0 does not; and cuDNN's LSTM
    cannot add `p v_0`. The velocity of a drive that is not one of the library's may start anywhere.
    """
    if at_least_float32(sequence.dtype) != sequence.dtype:
        return False
    if type(drive) is HiPPO:  # a memory given is as large as the gates', and what it adds no multiple of one response
        return drive.commutes and sequence.fresh
    if not isinstance(drive, LinearDrive) or type(drive).update is not LinearDrive.update:
        return False
    if not _from_zero(drive, sequence) and (sequence.resets or on_cudnn):
        return False
    # In a state that was given, the pixels of an image may have taken different numbers of steps.
    pixels = (1 if _from_zero(drive, sequence) else 2,) * (sequence.feature_axes - 1)
    u = jax.ShapeDtypeStruct((1, *pixels, gates), sequence.dtype)
    clock = jax.eval_shape(drive.start, u)._replace(velocity=None)
    coefficients = jax.eval_shape(lambda drive, clock: drive.coefficients(clock, u), drive, clock)
    return all(size == 1 for leaf in jax.tree.leaves(coefficients) for size in leaf.shape[-sequence.feature_axes :])


def _from_zero(drive: Drive, sequence: Sequence) -> bool:
    return sequence.fresh and type(drive) in (Momentum, Nesterov, HiPPO)


def _drive_in_words(cell: RecurrentCell, sequence: Sequence, plan: Plan) -> str:
    if not isinstance(cell, Cell) or type(cell.drive) is Identity:
        return "no drive"
    if plan.filter_inputs:
        features = sequence.shape[-1]
        return f"the drive filters the input features ({features}) of a plain cell, in front of the projection"
    where = ", in the kernels" if plan.native_drive else ""
    return f"the drive acts on the gates, after the projection{where}"


def _why_not(cell: RecurrentCell, prepared: Params, sequence: Sequence, method: str, remat: str | int) -> dict[str, str]:
    """Why each strategy cannot run the cell; empty where it can."""
    why = _why_not_a_cell(cell)
    if why or not isinstance(cell, Cell):
        return {strategy: why for strategy in _PREFERENCE}
    associative = _why_not_fast(cell, prepared, sequence, "linear")
    if method == "auto" and jax.default_backend() == "cpu":
        associative = associative or "on a CPU a scan of the steps was measured to be faster"
    drive_ahead = type(cell.drive) is Identity or _filters_inputs(cell, sequence, on_cudnn=False)
    drive_ahead = drive_ahead or native_support.runs_drive(cell.drive, sequence, cell.core.drive_features)
    return {
        "native": native_support.why_not(cell.core, sequence, drive_ahead, asked=method == "native"),
        "cudnn": _why_not_cudnn(cell, sequence, remat, asked=method == "cudnn"),
        "associative": associative,
        "chunked": _why_not_fast(cell, prepared, sequence, "kernel"),
        "hoisted": _why_not_hoisted(cell, sequence),
    }


def _why_not_hoisted(cell: Cell, sequence: Sequence) -> str:
    if cell.core.recurrence != "general":
        return f"its core, {type(cell.core).__name__}, recurs by a product or linearly, which other strategies are made for"
    return "there are no steps" if sequence.is_empty else ""


def _why_not_cudnn(cell: Cell, sequence: Sequence, remat: str | int, *, asked: bool) -> str:
    if sequence.resets or sequence.lengths:
        return "cuDNN supports neither resets nor masked steps"
    if sequence.return_states:
        return "cuDNN does not return the states of every step"
    if isinstance(sequence.batch, int) and sequence.batch == 0:
        return "the batch is empty"
    if remat != "auto":
        return "cuDNN decides what it stores for the backward pass, and remat must be 'auto'"
    if sequence.is_empty:
        return "there are no steps"
    return cudnn_support.why_not(cell.core, sequence.dtype, asked=asked)


def _why_not_fast(cell: Cell, prepared: Params, sequence: Sequence, recurrence: str) -> str:
    """Why a strategy for cores that recur in this way cannot run the cell; empty where it can."""
    core, name = cell.core, type(cell.core).__name__
    base, methods = _OVERRIDES[recurrence]
    if core.recurrence != recurrence or not isinstance(core, base):
        return f"its core, {name}, is not a {base.__name__}" if core.recurrence != "general" else _GENERAL.format(name)
    for method in methods:
        if getattr(type(core), method) is not getattr(base, method):
            return f"{name} has its own `{method}`"
    if sequence.is_empty:
        return "there are no steps"
    if recurrence == "linear" and not isinstance(sequence.shape[0], int):
        return "the number of steps is symbolic, and it decides the rounds of an associative scan"
    state = jax.eval_shape(lambda params: core.initial_state(params, (), sequence.dtype), prepared["core"])
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return f"the state of {name} holds {leaf.dtype} at {jax.tree_util.keystr(path)}, and must be floating-point"
    return ""


_PREFERENCE: tuple[Strategy, ...] = ("native", "cudnn", "chunked", "associative", "hoisted")
_FOR_OTHERS = {"kernel": ("associative", "hoisted"), "linear": ("hoisted",), "general": ()}
_GENERAL = "its core, {}, is neither a KernelCore nor a LinearCore"
_OVERRIDES: dict[str, tuple[type, tuple[str, ...]]] = {  # the base, and the methods that a fast path does not call
    "kernel": (KernelCore, ("step", "pre_activations", "advance", "project")),
    "linear": (LinearCore, ("step", "project")),
}


def _why_not_a_cell(cell: RecurrentCell) -> str:
    """Why a cell has no fast path, empty where it may have one: it must be a pytree, and step as a `Cell` does."""
    if cell.why_stepwise or not isinstance(cell, Cell):
        return cell.why_stepwise or f"{type(cell).__name__} is not a Cell, whose drive cannot see the hidden state"
    for part, base, names in ((cell, Cell, ("advance", "project", "start")), (cell.drive, Drive, ("step", "advance"))):
        for name in names:
            if getattr(type(part), name) is not getattr(base, name):
                return f"{type(part).__name__} has its own `{name}`"
    parts: dict[str, Any] = {"drive": cell.drive, "core": cell.core}
    for role, part in parts.items():
        if not is_pytree(part):
            return f"its {role}, {type(part).__name__}, must be a registered pytree (see pytree_dataclass)"
    return ""


def check_options(method: Any, remat: Any) -> str | int:
    """Refuse options that are not among the allowed ones; `remat` as it was given, an integer of any kind as an int."""
    _checks.choice("method", method, METHODS)
    return _checks.choice("remat", remat, ("auto", "none")) if isinstance(remat, str) else _checks.integer("remat", remat, low=1)
