"""What every Linen cell does, and the generic one: any functional cell as a module."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from jax import Array

from momentum_rnn_jax import _checks, layer
from momentum_rnn_jax import learnable as learning
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax.cell import CellState, Params
from momentum_rnn_jax.cell import RecurrentCell as FunctionalCell
from momentum_rnn_jax.learnable import Learnable


class CellModule(linen.RNNCellBase):
    """What every Linen cell does. A module of your own, such as one that changes a cell's weights, extends it.

    A subclass defines `functional`, the cell and the parameters that it holds, `initialize_carry`, and `compute_dtype`. One that
    holds a cell whose steps are random also hands on `noise_key`.

    >>> import jax, jax.numpy as jnp
    >>> from flax import linen
    >>> from momentum_rnn_jax import linen as mlinen
    >>> class Clipped(mlinen.CellModule):
    ...     cell: mlinen.CellModule
    ...     def functional(self, in_features, deterministic=None):
    ...         cell, params = self.cell.functional(in_features, deterministic)
    ...         return cell, jax.tree.map(lambda leaf: jnp.clip(leaf, -0.1, 0.1), params)
    ...     @linen.nowrap
    ...     def initialize_carry(self, rng, input_shape):
    ...         return self.cell.initialize_carry(rng, input_shape)
    ...     @property
    ...     def compute_dtype(self):
    ...         return self.cell.compute_dtype
    >>> rnn = mlinen.RNN(Clipped(mlinen.MomentumLSTMCell(8)))
    >>> rnn.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))[0].shape
    (2, 5, 8)
    """

    def functional(self, in_features: int, deterministic: bool | None = None) -> tuple[FunctionalCell, Params]:
        """The functional cell and the parameters that this module holds: what `unroll` and the analysis take.

        Args:
          in_features: F of the inputs.
          deterministic: of the call; whether random changes of the parameters are left out.
        """
        raise NotImplementedError(f"{type(self).__name__} must define functional(in_features, deterministic).")

    @property
    def compute_dtype(self) -> Any:
        """The dtype of computation."""
        raise NotImplementedError(f"{type(self).__name__} must define compute_dtype.")

    def noise_key(self, deterministic: bool | None = None) -> Array | None:
        """A key for the noise of a sequence or a step; None for no randomness, which is the default."""
        return None

    def __call__(self, carry: CellState, inputs: Array, *, deterministic: bool | None = None) -> tuple[CellState, Array]:
        """One step: `(carry, x_t)` -> `(new carry, y_t)`, (batch…, F) -> (batch…, H).

        Args:
          carry: from `initialize_carry`, or an earlier step's.
          inputs: x_t.
          deterministic: whether a cell or a weight dropout that is random is not; as in `flax.linen.Dropout`, it is given here or
            to the module.

        Raises:
          TypeError, ValueError: the carry or the inputs do not fit the cell; the message names them.
        """
        cell, params = self.functional(layer.num_features(inputs, 1), deterministic)
        return layer.step(cell, params, carry, inputs, self.compute_dtype, self.noise_key(deterministic))

    @property
    def num_feature_axes(self) -> int:
        """One: inputs are (batch…, F)."""
        return 1


class RecurrentCell(CellModule):
    """Any functional cell as a Linen cell; the named cells are thin over it.

    Variables: the collection "params" with `input`, `core`, `initial` where the initial state is trained, and `learnt` as in
    `momentum_rnn_jax.nnx.RecurrentCell`. A parameter that the core declares as untrained, the base of an orthogonal core, is
    among them, so that the cell works in `flax.linen.RNN`, which broadcasts "params" alone; its gradient is zero: leave it out of
    weight decay (`optax.masked`). Hyper-parameters are attributes of the module, as always in Linen; `effective` is the cell
    with those that are learnt, `module.bind(variables).effective.drive.mu`.

    Args:
      cell: for example `Cell(LSTM(128), Momentum(0.6, 0.6))`, or any other `RecurrentCell`.
      dtype: of computation; `param_dtype` unless given.
      param_dtype, learnable, kernel_init, recurrent_kernel_init, bias_init: as in `momentum_rnn_jax.nnx.RecurrentCell`.
      deterministic: whether a core that is random, such as zoneout, is not; given here or to the call. The stream "dropout" is
        used: one key for each sequence in `RNN`; in `flax.linen.RNN`, with `split_rngs={"params": False, "dropout": True}`, one
        for each step.
      parent, name: as in every Linen module.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind or not allowed; the message names it.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import linen as mlinen
    >>> cell = mlinen.RecurrentCell(mr.Cell(mr.GRU(8), mr.Adam()), learnable=("mu", "beta"))
    >>> x = jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> y.shape, round(cell.bind(variables).effective.drive.mu.item(), 3)
    ((2, 8), 0.6)
    """

    cell: FunctionalCell
    dtype: Any = dataclasses.field(default=None, kw_only=True)
    param_dtype: Any = dataclasses.field(default=jnp.float32, kw_only=True)
    learnable: Learnable = dataclasses.field(default=None, kw_only=True)
    kernel_init: layer.Initializer | None = dataclasses.field(default=None, kw_only=True)
    recurrent_kernel_init: layer.Initializer | None = dataclasses.field(default=None, kw_only=True)
    bias_init: layer.Initializer | None = dataclasses.field(default=None, kw_only=True)
    deterministic: bool | None = dataclasses.field(default=None, kw_only=True)
    features: int = dataclasses.field(init=False, default=0)
    """H, under the name that Linen's cells have for it."""

    def __post_init__(self) -> None:
        _checks.instance("cell", self.cell, FunctionalCell)
        learning.hyperparameters(self.cell)
        if self.dtype is not None:
            _checks.float_dtype("dtype", self.dtype)
        _checks.float_dtype("param_dtype", self.param_dtype)
        layer.optional_flag("deterministic", self.deterministic)
        object.__setattr__(self, "cell", as_numpy(self.cell))
        object.__setattr__(self, "features", self.cell.core.hidden_features)
        super().__post_init__()

    @linen.compact
    def functional(self, in_features: int, deterministic: bool | None = None) -> tuple[FunctionalCell, Params]:
        def init(key: Array, part: str) -> dict[str, Array]:
            return layer.init_params(
                self.cell,
                key,
                in_features,
                self.param_dtype,
                kernel_init=self.kernel_init,
                recurrent_kernel_init=self.recurrent_kernel_init,
                bias_init=self.bias_init,
            )[part]

        offsets = learning.init_offsets(self.cell, self.learnable, at_least_float32(self.param_dtype))
        learnt = self.param("learnt", lambda _: learning.nested(offsets)) if offsets else {}
        params = {part: self.param(part, init, part) for part in self._parts(in_features)}
        return learning.moved(self.cell, learning.by_path(learnt)), params

    @property
    def effective(self) -> Any:
        """The functional cell as a module bound to variables computes it, with the hyper-parameters that were learnt so far.

        Raises:
          ValueError: the module is not bound to variables.
        """
        if self.scope is None:
            raise ValueError("effective needs variables: module.bind(variables).effective.")
        return learning.moved(self.cell, learning.by_path(self.get_variable("params", "learnt", {})))

    @property
    def num_feature_axes(self) -> int:
        """One, as inputs are (batch…, F); three for convolutional cores, (batch…, height, width, F)."""
        return self.cell.core.feature_axes

    @linen.nowrap
    def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> CellState:
        """The carry before the first step, the cell's initial state, for inputs of shape (batch…, F). `rng` is not used.

        Without variables, a state that depends on parameters is that of parameters of zero. `RNN` without an `initial_carry` uses
        the parameters; in a loop of your own, `cell, params = module.functional(F)` and `cell.initial_state(params, batch_shape)`
        do.

        Raises:
          TypeError, ValueError: `input_shape` is not a tuple of sizes.
        """
        core = self.cell.core
        input_shape = _checks.sizes("input_shape", input_shape, core.feature_axes)
        init = jax.eval_shape(lambda: self.cell.prepare(self.cell.init(jax.random.key(0), input_shape[-1], self.param_dtype)))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), init)
        return self.cell.start(zeros, core.batch_shape(input_shape))

    def noise_key(self, deterministic: bool | None = None) -> Array | None:
        if not layer.samples_noise(self.cell) or linen.merge_param("deterministic", self.deterministic, deterministic):
            return None
        return self.make_rng("dropout")

    @property
    def compute_dtype(self) -> Any:
        """`dtype`, or `param_dtype` where that is None."""
        return self.param_dtype if self.dtype is None else self.dtype

    @linen.nowrap
    def _parts(self, in_features: int) -> tuple[str, ...]:
        """The names of the dicts that the parameters are in."""
        return tuple(jax.eval_shape(lambda: self.cell.init(jax.random.key(0), in_features, jnp.float32)))


def as_numpy(tree: Any) -> Any:
    """A tree with NumPy's arrays for JAX's: `flax.linen.jit` identifies a module by its attributes, and cannot compare JAX's."""

    def convert(leaf: Any) -> Any:
        is_number = isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jnp.number)  # a random key is none
        return np.asarray(leaf)[()] if is_number and not isinstance(leaf, jax.core.Tracer) else leaf

    return jax.tree.map(convert, tree)
