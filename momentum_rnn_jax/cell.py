"""A cell is a drive followed by a core: `x → W → drive → core → h`, one pure step at a time."""

import abc
import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax import _checks, _masked
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores import Core, state_shapes
from momentum_rnn_jax.drives import Drive, Identity

Params = dict[str, dict[str, Array]]


@state_type
class CellState(NamedTuple):
    """`drive`: the drive's state, `core`: the core's state; named tuples of arrays with the batch shape in front."""

    drive: Any
    core: Any


class RecurrentCell(abc.ABC):
    """What `unroll` and the Flax modules need of a cell: a core, a state in front of it, and `advance`, one step.

    A cell of your own, such as one whose drive sees the hidden state, is a `pytree_dataclass` that extends this class, has the
    field `core` and defines `advance` and `initial_drive_state`. `unroll` runs it step by step; only a `Cell`, whose drive cannot
    see the hidden state, has fast paths. `why_stepwise` may give the reason in the cell's own words.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Feedback(mr.RecurrentCell):
    ...     core: mr.Core
    ...     gain: float = 0.1
    ...     def initial_drive_state(self, u):
    ...         return mr.IdentityState()
    ...     def advance(self, prepared, state, x, noise=None):
    ...         d = self.project(prepared, x) + self.gain * state.core.h
    ...         core_state, h = self.core.step(prepared["core"], state.core, d)
    ...         return mr.CellState(state.drive, core_state), h
    >>> cell = Feedback(mr.Elman(4))
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=3), jnp.ones((5, 2, 3)))[1].shape
    (5, 2, 4)
    """

    core: Core
    trainable_initial_state: bool = False
    why_stepwise: ClassVar[str] = ""
    why_not_reversed: ClassVar[str] = ""  # why a sequence cannot be run backwards, such as one with times

    def init(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters: `{"input": {"kernel": W, "bias": b_x}, "core": {…}}`, and `"initial"` where the start is trained.

        Args:
          key: a JAX random key.
          in_features: F, at least 1; W has the shape (F, G·H).
          dtype: of every parameter, and so of the computation; JAX's default float unless given.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        input_key, core_key = jax.random.split(_checks.key(key))
        in_features = _checks.size("in_features", in_features)
        _checks.elements("in_features", in_features, self.core.input_shapes(in_features))
        _checks.float_dtype("dtype", dtype)
        core = self.core.init_for_inputs(core_key, in_features, dtype)
        params = {"input": self.core.init_input(input_key, in_features, dtype), "core": core}
        if self.trainable_initial_state:
            state = self.core.initial_state(self.core.prepare(params["core"]), (), dtype)
            params["initial"] = _named_leaves(self.core.start_of(state))
        return params

    def param_shapes(self, in_features: int | None) -> dict[str, dict[str, tuple[int | None, ...]]]:
        """The shape of each parameter that `init` makes; None marks an unknown number of input features."""
        shapes: dict[str, Any] = {"input": self.core.input_shapes(in_features), "core": self.core.param_shapes()}
        if self.trainable_initial_state:
            start = self.core.start_of(state_shapes(self.core))
            shapes["initial"] = {name: leaf.shape for name, leaf in _named_leaves(start).items()}
        return shapes

    def initial_state(self, params: Params, batch_shape: tuple[int, ...] = ()) -> CellState:
        """The state before the first step, mostly zeros; every leaf begins with `batch_shape`.

        The core's part has the parameters' dtype, the drive's at least float32, counts of steps are int32.

        Raises:
          TypeError, ValueError: `params` do not belong to this cell, or `batch_shape` is not a tuple of sizes.
        """
        self.check_params(params)
        batch_shape = _checks.sizes("batch_shape", batch_shape)
        _checks.elements("batch_shape", batch_shape, {"the drive's state": self._drive_shape(batch_shape)})
        return self.start(self.prepare(params), batch_shape)

    def reset_state(self, params: Params, state: CellState, mask: Array) -> CellState:
        """The initial state where `mask`, a boolean array of the batch's shape, is True, and `state` elsewhere.

        For a loop of your own, before the first step of a new episode; `unroll` takes `resets`.

        Raises:
          TypeError, ValueError: an argument does not fit the cell or another argument; the message names it.
        """
        _checks.mask("mask", mask, mask.shape if isinstance(mask, np.ndarray | Array) else ())
        self.check_params(params)
        prepared = self.prepare(params)
        self.check_state(prepared, state, mask.shape)
        return _masked.select(mask, self.start(prepared, mask.shape), state)

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Any:
        """The random numbers for steps of `shape` (time, batch…), for `unroll`'s `noise`; None where the core samples none.

        The first axis is always time, also for `unroll(…, time_major=False)`: for a `step`, take `shape` (1, batch…), and of it
        `[0]`. Steps may share numbers, as those of variational dropout do: then use it again at each step of the sequence.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        _checks.float_dtype("dtype", dtype)
        shape = _checks.sizes("shape", shape)
        _checks.elements("shape", shape, {"the noise": (*shape, *self.core.features_shape(self.core.hidden_features))})
        return self.core.sample_noise(_checks.key(key), shape, dtype)

    def step(self, params: Params, state: CellState, x: Array, noise: Any = None) -> tuple[CellState, Array]:
        """One time step, pure: `(params, state, x_t)` -> `(new state, h_t)`; use it in a `jax.lax.scan` of your own.

        Whatever depends on the parameters alone is computed at every call. In a loop over an orthogonal core, call
        `prepared = cell.prepare(params)` before it and `cell.advance(prepared, state, x)` inside.

        Args:
          params: from `init`.
          state: from `initial_state`, or an earlier step's.
          x: (..., F), floating point; it is cast to the parameters' dtype.
          noise: from `sample_noise`, for one step; None for no randomness.

        Returns:
          The new state, and h_t, (..., H).

        Raises:
          TypeError, ValueError: an argument does not fit the cell or another argument; the message names it.
        """
        x = self.check_inputs(params, x, "x", time=False)
        prepared, batch_shape = self.prepare(params), self.core.batch_shape(x.shape)
        self.check_state(prepared, state, batch_shape)
        self.check_noise(noise, batch_shape, x.dtype)
        return self.advance(prepared, state, x, noise)

    def prepare(self, params: Params, dtype: Any = None) -> Params:
        """What `advance` needs: the parameters, the core's after `core.prepare`, in `dtype` if that is given."""
        prepared = {part: dict(values) for part, values in params.items()}
        prepared["core"] = dict(self.core.prepare(prepared["core"]))
        return prepared if dtype is None else jax.tree.map(lambda leaf: leaf.astype(dtype), prepared)

    @abc.abstractmethod
    def advance(self, prepared: Params, state: CellState, x: Array, noise: Any = None) -> tuple[CellState, Array]:
        """`step` on prepared parameters, for a loop whose arguments are known to fit."""

    def project(self, prepared: Params, x: Array) -> Array:
        """`u = W x + b_x`: (..., F) -> (..., G·H)."""
        return self.core.project(prepared["input"], x)

    def replace(self, **changes: Any) -> Self:
        """This cell with other values of the named fields, its own, its drive's or its core's: `cell.replace(mu=0.3)`.

        Where a part is replaced too, the names are those of the new one: `cell.replace(drive=RMSProp(), beta=0.3)`.

        Raises:
          TypeError: no field has the name, or both the drive and the core have it: replace the part, `cell.replace(drive=…)`.
          TypeError, ValueError: a value is not allowed.
        """
        own = {f.name for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        values = {name: value for name, value in changes.items() if name in own}
        parts: dict[str, Any] = {part: changes.get(part, getattr(self, part)) for part in ("drive", "core") if part in own}
        fields = {
            name: {f.name for f in dataclasses.fields(part)}
            for name, part in parts.items()
            if dataclasses.is_dataclass(part) and not isinstance(part, type)
        }
        nested: dict[str, dict[str, Any]] = {}
        for name in (name for name in changes if name not in own):
            owners = [part for part in fields if name in fields[part]]
            if len(owners) != 1:
                dataclasses.replace(self, **values)  # type: ignore[type-var]  # refuses a wrong part first
                allowed = sorted(own.union(*fields.values()))
                why = "both the drive and the core have it" if owners else f"it must be one of {', '.join(allowed)}"
                raise TypeError(f"replace cannot change {name!r}: {why}.")
            nested.setdefault(owners[0], {})[name] = changes[name]
        values |= {part: dataclasses.replace(parts[part], **new) for part, new in nested.items()}
        return dataclasses.replace(self, **values)  # type: ignore[type-var]

    def check_params(self, params: Params, name: str = "params", in_features: int | None = None) -> None:
        """Refuse parameters whose names or shapes are not this cell's, or whose dtypes differ."""
        shapes = self.param_shapes(in_features)
        _checks.names(name, params, shapes)
        for part in ("core", "input", *(set(shapes) - {"core", "input"})):  # the core tells the number of hidden features
            _checks.arrays(f"{name}[{part!r}]", params[part], shapes[part])
        _checks.one_dtype(name, params)

    def check_inputs(self, params: Params, x: Array, name: str, *, time: bool) -> Array:
        """Refuse inputs or parameters that do not fit; return the inputs in the parameters' dtype. `time`: one axis is time."""
        self.check_params(params)
        core, features = self.core, self.features_of(params)
        shape = core.features_shape(features)
        layout = ", ".join(["time"] * time + ["..."] + [str(size) for size in shape[:-1]] + ["features"])
        x = _checks.floating(name, x, min_ndim=core.feature_axes + time, layout=f"({layout})")
        if x.shape[len(core.batch_shape(x.shape)) : -1] != shape[:-1]:
            raise ValueError(f"{name} must have shape ({layout}) for {type(core).__name__}, got shape {x.shape}.")
        if x.shape[-1] != features:
            raise ValueError(f"{name} has {x.shape[-1]} features (shape {x.shape}), the parameters were made for {features}.")
        return x.astype(params["input"]["kernel"].dtype)

    def fill_padding(self, xs: Array, valid: Array, state: CellState | None) -> Array:
        """Inputs (time, batch…, F) with harmless ones at padded steps, where `valid` is False: what they give is discarded.

        Ones, because drives that divide by a root may have no derivative at zero, and zero times that is not zero.
        """
        return _masked.select(valid, xs, jnp.ones_like(xs))

    def features_of(self, params: Params) -> int:
        """F, the number of input features that parameters were made for."""
        return self.core.in_features(params["input"])

    def check_state(self, prepared: Params, state: CellState, batch_shape: tuple[int, ...], name: str = "state") -> None:
        """Refuse a state whose structure, shapes or dtypes are not those of this cell's states."""
        _checks.same_structure(name, state, jax.eval_shape(lambda prepared: self.start(prepared, batch_shape), prepared))

    def check_noise(self, noise: Any, shape: tuple[int, ...], dtype: Any) -> None:
        """Refuse noise that is not like what `sample_noise` returns for steps of this shape."""
        if noise is not None:
            expected = jax.eval_shape(lambda: self.core.sample_noise(jax.random.key(0), shape, dtype))
            if expected is None:
                name = type(self.core).__name__
                raise ValueError(f"noise must be None for {name}, which samples none, got {_checks.describe(noise)}.")
            _checks.same_structure("noise", noise, expected)

    def start(self, prepared: Params, batch_shape: tuple[int, ...]) -> CellState:
        """`initial_state` on prepared parameters, for arguments that are known to fit."""
        dtype = prepared["input"]["kernel"].dtype
        u = jnp.zeros(self._drive_shape(batch_shape), dtype)
        core = self.core.initial_state(prepared["core"], batch_shape, dtype)
        if self.trainable_initial_state:
            trained = prepared["initial"]

            def leaf(path: Any, default: Array) -> Array:
                name = _name(path)
                return jnp.broadcast_to(trained[name], default.shape) if name in trained else default

            core = self.core.state_from(prepared["core"], jax.tree_util.tree_map_with_path(leaf, self.core.start_of(core)))
        return CellState(self.initial_drive_state(u), core)

    def _drive_shape(self, batch_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*batch_shape, *self.core.features_shape(self.core.drive_features))

    @abc.abstractmethod
    def initial_drive_state(self, u: Array) -> Any:
        """The state in front of the core before the first step, for projected inputs like `u`, (..., G·H)."""


def _named_leaves(state: Any) -> dict[str, Array]:
    """The floating-point arrays of a core's state by name, such as "h"; nested ones as "inner.h"."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {_name(path): leaf for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


@pytree_dataclass
class Cell(RecurrentCell):
    """A recurrent cell: `u_t = W x_t + b_x`, `d_t = drive(u_t)`, `h_t = core(h_{t-1}, d_t)`.

    A cell is itself a pytree whose leaves are the drive's hyper-parameters: pass it through `jax.jit`, `jax.vmap` and
    `jax.grad` as an argument, or make one from traced values inside. It holds no parameters; `init` makes them.

    Args:
      core: what recurs, any `Core`.
      drive: what happens to the projected input before, any `Drive`.
      trainable_initial_state: whether the core's state before the first step is a parameter, `params["initial"]`, which starts
        where the core starts. A reset goes back to it. Entries of the state that follow from others, such as the firing rates of
        `Leaky`, are computed from these and are not parameters.

    Raises:
      TypeError: an argument is of the wrong kind.

    Source: MomentumRNN, arXiv 2006.06919.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.LSTM(8), mr.Momentum(mu=0.6, step_size=0.6))
    >>> params = cell.init(jax.random.key(0), in_features=3)
    >>> state, h = cell.step(params, cell.initial_state(params, (2,)), jnp.ones((2, 3)))
    >>> h.shape, state.drive.velocity.shape, state.core.c.shape
    ((2, 8), (2, 32), (2, 8))
    """

    core: Core
    drive: Drive = Identity()
    trainable_initial_state: bool = static(default=False)

    def __post_init__(self) -> None:
        _checks.instance("core", self.core, Core)
        _checks.instance("drive", self.drive, Drive)
        set_fields(self, _checks.boolean, "trainable_initial_state")

    def advance(self, prepared: Params, state: CellState, x: Array, noise: Any = None) -> tuple[CellState, Array]:
        drive_state, d = self.drive.advance(state.drive, self.project(prepared, x))
        step = self.core.step if noise is None else functools.partial(self.core.step, noise=noise)
        core_state, y = step(prepared["core"], state.core, d)
        return CellState(drive_state, core_state), y

    def initial_drive_state(self, u: Array) -> Any:
        return self.drive.init(u)
