"""A cell is a drive followed by a core: `x → W → drive → core → h`, one pure step at a time."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.cores import Core, affine
from momentum_rnn_jax.drives import Drive, Identity

Params = dict[str, dict[str, Array]]


class CellState(NamedTuple):
    """`drive`: the drive's state, `core`: the core's state; a named tuple of arrays each, with the batch shape in front."""

    drive: Any
    core: Any


class RecurrentCell(abc.ABC):
    """What `unroll` needs of a cell: a core, a state in front of it, and `advance`, one step on prepared parameters.

    Only a `Cell`, whose drive cannot see the hidden state, has fast paths; `why_stepwise` says why any other has none.
    """

    core: Core
    why_stepwise: ClassVar[str] = ""

    def init(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        """New parameters: `{"input": {"kernel": W, "bias": b_x}, "core": {…}}`.

        Args:
          key: a JAX random key.
          in_features: F, at least 1; W has the shape (F, G·H).
          dtype: of every parameter, and so of the computation; JAX's default float unless given.

        Raises:
          TypeError, ValueError: an argument is of the wrong kind or not allowed.
        """
        input_key, core_key = jax.random.split(_checks.key(key))
        in_features = _checks.integer("in_features", in_features, low=1)
        _checks.float_dtype("dtype", dtype)
        return {
            "input": self.core.init_input(input_key, in_features, dtype),
            "core": self.core.init(core_key, dtype),
        }

    def initial_state(self, params: Params, batch_shape: tuple[int, ...] = ()) -> CellState:
        """The state before the first step, all zeros; every leaf begins with `batch_shape`.

        The core's part has the parameters' dtype, the drive's at least float32, counts of steps are int32.

        Raises:
          TypeError, ValueError: `params` do not belong to this cell, or `batch_shape` is no tuple of sizes.
        """
        self.check_params(params)
        return self.start(self.prepare(params), _checks.sizes("batch_shape", batch_shape))

    def step(self, params: Params, state: CellState, x: Array) -> tuple[CellState, Array]:
        """One time step, pure: `(params, state, x_t)` -> `(new state, h_t)`; use it in a `jax.lax.scan` of your own.

        Whatever depends on the parameters alone is computed at every call. In a loop over an orthogonal core, call
        `ready = cell.prepare(params)` before it and `cell.advance(ready, state, x)` inside.

        Args:
          params: from `init`.
          state: from `initial_state`, or an earlier step's.
          x: (..., F), floating point; it is cast to the parameters' dtype.

        Returns:
          The new state, and h_t, (..., H).

        Raises:
          TypeError, ValueError: an argument does not fit the cell or another argument; the message names it.
        """
        x = self.check_inputs(params, x, "x", min_ndim=1)
        ready = self.prepare(params)
        self.check_state(ready, state, x.shape[:-1])
        return self.advance(ready, state, x)

    def prepare(self, params: Params, dtype: Any = None) -> Params:
        """What `advance` needs: the input's parameters, and the core's after `core.prepare`, in `dtype` if that is given."""
        ready = {"input": params["input"], "core": self.core.prepare(params["core"])}
        return ready if dtype is None else jax.tree.map(lambda leaf: leaf.astype(dtype), ready)

    @abc.abstractmethod
    def advance(self, ready: Params, state: CellState, x: Array) -> tuple[CellState, Array]:
        """`step` on prepared parameters, for a loop whose arguments are known to fit."""

    def project(self, ready: Params, x: Array) -> Array:
        """`u = W x + b_x`: (..., F) -> (..., G·H)."""
        return affine(ready["input"], x)

    def check_params(self, params: Params) -> None:
        """Refuse parameters whose names or shapes are not this cell's, or whose dtypes differ."""
        _checks.names("params", params, ("input", "core"))
        _checks.arrays("params['core']", params["core"], self.core.param_shapes())
        # Any number of input features is allowed here; `check_inputs` compares it with the inputs.
        _checks.arrays("params['input']", params["input"], self.core.input_shapes(in_features=None))
        _checks.one_dtype("params", params)

    def check_inputs(self, params: Params, x: Array, name: str, min_ndim: int) -> Array:
        """Refuse inputs or parameters that do not fit; return the inputs in the parameters' dtype."""
        self.check_params(params)
        x = _checks.floating(name, x, min_ndim=min_ndim, layout="(time, ..., features)" if min_ndim > 1 else "(..., features)")
        kernel = params["input"]["kernel"]
        if x.shape[-1] != kernel.shape[0]:
            raise ValueError(
                f"{name} has {x.shape[-1]} features (shape {x.shape}), the parameters were made for {kernel.shape[0]}."
            )
        return x.astype(kernel.dtype)

    def check_state(self, ready: Params, state: CellState, batch_shape: tuple[int, ...]) -> None:
        """Refuse a state whose structure, shapes or dtypes are not those of this cell's states."""
        _checks.same_structure("state", state, jax.eval_shape(lambda ready: self.start(ready, batch_shape), ready))

    def start(self, ready: Params, batch_shape: tuple[int, ...]) -> CellState:
        """`initial_state` on prepared parameters, for arguments that are known to fit."""
        dtype = ready["input"]["kernel"].dtype
        u = jnp.zeros((*batch_shape, self.core.drive_features), dtype)
        return CellState(self._initial_drive_state(u), self.core.initial_state(ready["core"], batch_shape, dtype))

    @abc.abstractmethod
    def _initial_drive_state(self, u: Array) -> Any:
        """The state in front of the core before the first step, for projected inputs like `u`."""


@pytree_dataclass
class Cell(RecurrentCell):
    """A recurrent cell: `u_t = W x_t + b_x`, `d_t = drive(u_t)`, `h_t = core(h_{t-1}, d_t)`.

    A cell is itself a pytree whose leaves are the drive's hyper-parameters: pass it through `jax.jit`, `jax.vmap` and
    `jax.grad` as an argument, or make one from traced values inside. It holds no parameters; `init` makes them.

    Args:
      core: what recurs: `Elman`, `LSTM`, `GRU`, `Orthogonal`.
      drive: what happens to the projected input before: `Identity`, `Momentum`, `Adam`, `RMSProp`, `Nesterov`, `OptaxDrive`.

    Raises:
      TypeError: `core` is no core, or `drive` no drive.

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

    def __post_init__(self) -> None:
        _checks.instance("core", self.core, Core)
        _checks.instance("drive", self.drive, Drive)

    def advance(self, ready: Params, state: CellState, x: Array) -> tuple[CellState, Array]:
        drive_state, d = self.drive.step(state.drive, self.project(ready, x))
        core_state, h = self.core.step(ready["core"], state.core, d)
        return CellState(drive_state, core_state), h

    def _initial_drive_state(self, u: Array) -> Any:
        return self.drive.init(u)
