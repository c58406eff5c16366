"""What every NNX cell does, and the generic one: any functional cell as a module."""

import abc
import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax import learnable as learning
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import CellState, Params
from momentum_rnn_jax.cell import RecurrentCell as FunctionalCell
from momentum_rnn_jax.learnable import Learnable
from momentum_rnn_jax.nnx.variables import Frozen, Group, Hyperparameter, arrays_at, hold, variable_at


class _Hook:
    """A method without a row in `nnx.tabulate`, which looks for plain functions and cannot print what this one returns."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self._function = function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self._function, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


F = TypeVar("F", bound=Callable[..., Any])


def _hook(function: F) -> F:
    return cast(F, _Hook(function))


class CellModule(nnx.RNNCellBase):
    """What every NNX cell does. A module of your own, such as one that changes a cell's weights, extends it.

    A subclass defines `functional`, the cell and the parameters that it holds, and `compute_dtype`. One that holds a cell whose
    steps are random also hands on `noise_key`.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> class Clipped(mnnx.CellModule):
    ...     def __init__(self, cell):
    ...         self.cell = cell
    ...     def functional(self):
    ...         cell, params = self.cell.functional()
    ...         return cell, jax.tree.map(lambda leaf: jnp.clip(leaf, -0.1, 0.1), params)
    ...     @property
    ...     def compute_dtype(self):
    ...         return self.cell.compute_dtype
    >>> cell = Clipped(mnnx.MomentumLSTMCell(3, 8, rngs=nnx.Rngs(0)))
    >>> mnnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name in ("functional", "noise_key"):
            if isinstance(method := vars(cls).get(name), types.FunctionType):
                setattr(cls, name, _hook(method))
        super().__init_subclass__(**kwargs)

    @_hook
    @abc.abstractmethod
    def functional(self) -> tuple[FunctionalCell, Params]:
        """The functional cell and the parameters that this module holds: what `unroll` and the analysis take."""

    @property
    @abc.abstractmethod
    def compute_dtype(self) -> Any:
        """The dtype of computation."""

    @_hook
    def noise_key(self) -> Array | None:
        """A key for the noise of a sequence or a step; None for no randomness, which is the default."""
        return None

    @property
    def effective(self) -> Any:
        """The functional cell as it computes now: `cell.effective.drive.mu` is the momentum that was learnt so far."""
        return self.functional()[0]

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> CellState:
        """The carry before the first step, the cell's initial state, for inputs of shape (batch…, F). `rngs` is not needed.

        Raises:
          TypeError, ValueError: `input_shape` is not a tuple of sizes, or `carry_init` is given: a momentum cell's carry is more
            than one array; make one with `jax.tree.map`.
        """
        if carry_init is not None:
            got = _checks.describe(carry_init)
            raise ValueError(f"carry_init must be None, got {got}: map over the carry that initialize_carry returns instead.")
        cell, params = self.functional()
        input_shape = _checks.sizes("input_shape", input_shape, cell.core.feature_axes)
        return cell.initial_state(params, cell.core.batch_shape(input_shape))

    def __call__(self, carry: CellState, inputs: Array) -> tuple[CellState, Array]:
        """One step: `(carry, x_t)` -> `(new carry, y_t)`, (batch…, F) -> (batch…, H).

        Raises:
          TypeError, ValueError: the carry or the inputs do not fit the cell; the message names them.
        """
        return layer.step(*self.functional(), carry, inputs, self.compute_dtype, self.noise_key())

    @property
    def num_feature_axes(self) -> int:
        """One, as inputs are (batch…, F); three for convolutional cores, (batch…, height, width, F)."""
        return self.functional()[0].core.feature_axes


class RecurrentCell(CellModule):
    """Any functional cell as an NNX cell; the named cells are thin over it.

    Variables: `input.kernel` (F, G·H), `input.bias`, `core.…` as the core names its parameters, and `initial.…` where the initial
    state is trained, each an `nnx.Param`, or `Frozen` where the core says that it is not trained. Hyper-parameters are the leaves
    of the cell, under their paths: `drive.mu`, `core.tau`, `drive.drives[0].mu`, each a `Hyperparameter`. `learnt.…` has the
    offsets of those that are learnt, under the same paths; `effective` is the cell with them.

    Args:
      cell: for example `Cell(LSTM(128), Momentum(0.6, 0.6))`, or any other `RecurrentCell`.
      in_features: F.
      dtype: of computation; `param_dtype` unless given.
      param_dtype: of the parameters.
      learnable: which hyper-parameters are learnt. None; "scalar" for μ and the step size, one of each; "per_unit" for one of
        each for every unit of every gate; or by name, `("mu", "beta")` or `{"mu": "per_unit", "readout": "each"}`, where "each"
        is one for each number that the hyper-parameter has. They start exactly where the cell has them, and stay in their ranges
        (`learnable.move` has the equations).
      kernel_init, recurrent_kernel_init, bias_init: Flax initialisers instead of the core's own scheme. Kernels are drawn
        gate by gate; `bias_init` draws the input's bias and the core's, and so replaces a forget-gate bias. A cell without such a
        parameter refuses them.
      deterministic: whether a core that is random, such as zoneout, is not; `module.eval()` and `module.train()` set it.
      rngs: the stream "params" is used, and "dropout" where the core is random: one key for each sequence in `RNN`, one for each
        step in the call of the cell.

    The carry is a `CellState(drive, core)` of named tuples; no random numbers are needed for it.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed; the message names it.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> cell = mnnx.RecurrentCell(mr.Cell(mr.GRU(8), mr.Adam()), 3, learnable=("mu", "beta"), rngs=nnx.Rngs(0))
    >>> carry, y = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> y.shape, cell.drive.mu[...].item() == cell.effective.drive.mu.item()
    ((2, 8), True)
    """

    def __init__(
        self,
        cell: FunctionalCell,
        in_features: int,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        learnable: Learnable = None,
        kernel_init: layer.Initializer | None = None,
        recurrent_kernel_init: layer.Initializer | None = None,
        bias_init: layer.Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ):
        _checks.instance("rngs", rngs, nnx.Rngs)
        _checks.instance("cell", cell, FunctionalCell)
        self.in_features = _checks.size("in_features", in_features)
        self.hidden_features = cell.core.hidden_features
        if dtype is not None:
            _checks.float_dtype("dtype", dtype)
        _checks.float_dtype("param_dtype", param_dtype)
        self.dtype, self.param_dtype = dtype, param_dtype
        self.deterministic = layer.flag("deterministic", deterministic)
        hyperparameters = learning.hyperparameters(cell)
        params = layer.init_params(
            cell,
            rngs.params(),
            in_features,
            param_dtype,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
            bias_init=bias_init,
        )
        offsets = learning.init_offsets(cell, learnable, at_least_float32(param_dtype))
        parameters = {(part, name): value for part, values in params.items() for name, value in values.items()}
        self._parts, self._parameters = tuple(params), tuple(parameters)
        self._structure: Any = jax.tree.structure(cell)
        self._hyperparameters, self._offsets = tuple(hyperparameters), tuple(offsets)

        self.input, self.core, self.drive, self.learnt = Group(), Group(), Group(), Group()
        self.rngs: Any = rngs["dropout"].fork() if layer.samples_noise(cell) else nnx.data(None)
        for path, value in parameters.items():
            frozen = path[0] == "core" and path[1] in cell.core.untrained
            hold(self, {path: Frozen(value) if frozen else nnx.Param(value)})
        hold(self, {path: Hyperparameter(_as_float(value, param_dtype)) for path, value in hyperparameters.items()})
        hold(self.learnt, {path: nnx.Param(value) for path, value in offsets.items()})

    def functional(self) -> tuple[FunctionalCell, Params]:
        cell = self._structure.unflatten(arrays_at(self, self._hyperparameters).values())
        params = learning.nested(arrays_at(self, self._parameters))
        return learning.moved(cell, arrays_at(self.learnt, self._offsets)), {part: params.get(part, {}) for part in self._parts}

    @property
    def compute_dtype(self) -> Any:
        """`dtype`, or `param_dtype` where that is None."""
        return self.param_dtype if self.dtype is None else self.dtype

    def noise_key(self) -> Array | None:
        return None if self.deterministic or self.rngs is None else self.rngs()

    def set_view(self, deterministic: bool | None = None) -> None:
        """For `nnx.view`: a view of the cell with or without randomness.

        Args:
          deterministic: if True, the core's steps are not random.
        """
        if deterministic is not None:
            self.deterministic = deterministic

    def rebase(self, *, project: bool = False) -> None:
        """Move the base of an orthogonal core to where its matrix is; to be called between optimiser steps.

        Raises:
          TypeError: the core is not orthogonal.
        """
        cell, params = self.functional()
        rebase = getattr(cell.core, "rebase", None)
        if rebase is None:
            raise TypeError(f"rebase is for cells with an Orthogonal core, this one has {type(cell.core).__name__}.")
        for name, value in rebase(params["core"], project=project).items():
            variable_at(self, ("core", name))[...] = value


def _as_float(value: Any, param_dtype: Any) -> Array:
    """A hyper-parameter as an array of at least float32; one that is not a float keeps its dtype."""
    is_float = jnp.issubdtype(jnp.result_type(value), jnp.floating)
    return jnp.asarray(value, at_least_float32(param_dtype) if is_float else None)
