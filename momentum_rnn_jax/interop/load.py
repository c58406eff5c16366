"""Parameters from any `from_*`, or from `cell.init`, put into this library's Flax modules."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Params, RecurrentCell
from momentum_rnn_jax.interop._layout import check_mapping, read, to_jax

_PARTS = ("input", "core")
_INITIAL = "initial"  # a trainable initial state, where the module has one


def load_nnx(module: Any, params: Params) -> None:
    """Put parameters into an NNX cell of this library, in place.

    The module keeps its own hyper-parameters, and its trainable initial state where `params` have none. Its core must be the one
    that the parameters were made for: their shapes do not tell one activation or mapping from another.

    Args:
      module: a cell of `momentum_rnn_jax.nnx`, with the variables `input.…` and `core.…`; for an `RNN`, its `cell`.
      params: `{"input": {…}, "core": {…}}`, possibly with "initial", as any `from_*` and `cell.init` return them.

    Raises:
      TypeError: `module` is not such a cell, or an array has another dtype than the module's.
      ValueError: the names or shapes are not the module's. The module is then unchanged.

    >>> import numpy as np, momentum_rnn_jax as mr
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> weights = {"weight_ih_l0": np.ones((8, 3), np.float32), "weight_hh_l0": np.ones((8, 2), np.float32)}
    >>> _, params = mr.from_torch(weights)
    >>> module = mnnx.MomentumLSTMCell(3, 2, mu=0.6, step_size=0.6, rngs=nnx.Rngs(0))
    >>> mr.interop.load_nnx(module, params)
    >>> float(module.core.kernel[0, 0])
    1.0
    """
    from flax import nnx

    variables = nnx.to_pure_dict(nnx.state(module)) if isinstance(module, nnx.Module) else {}
    _check_module("momentum_rnn_jax.nnx", module, variables)
    nnx.update(module, _fitting(params, variables))


def load_linen(module: Any, params: Params) -> dict[str, Any]:
    """The variables of a Linen cell of this library, with these parameters: `module.apply(variables, carry, x)`.

    What `params` lack (offsets of learnt hyper-parameters, a trainable initial state) is as `module.init` makes it. The module's
    core must be the one that the parameters were made for: their shapes do not tell one activation or mapping from another.

    Args:
      module: a cell of `momentum_rnn_jax.linen`. An `RNN` of it keeps `variables["params"]` as `{"params": {"cell": …}}`.
      params: as in `load_nnx`.

    Returns:
      `{"params": {"input": {…}, "core": {…}, …}}`, differentiable in `params`.

    Raises:
      TypeError: `module` is not such a cell, or an array has another dtype than the module's.
      ValueError: the names or shapes are not the module's.

    >>> import jax.numpy as jnp, numpy as np, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import linen as mlinen
    >>> weights = {"weight_ih_l0": np.ones((8, 3), np.float32), "weight_hh_l0": np.ones((8, 2), np.float32)}
    >>> _, params = mr.from_torch(weights)
    >>> module = mlinen.MomentumLSTMCell(2, mu=0.6, step_size=0.6)
    >>> variables = mr.interop.load_linen(module, params)
    >>> rnn = mlinen.RNN(module)
    >>> rnn.apply({"params": {"cell": variables["params"]}}, jnp.ones((1, 5, 3))).shape
    (1, 5, 2)
    """
    from flax import linen

    in_features, dtype = _input(params)
    if isinstance(cell := getattr(module, "cell", None), RecurrentCell):
        in_features = cell.features_of(params)

    def init() -> dict[str, Any]:
        key = jax.random.key(0)
        return module.init(key, module.initialize_carry(key, (in_features,)), jnp.zeros(in_features, dtype))

    is_cell = isinstance(module, linen.Module) and hasattr(module, "initialize_carry")
    shapes = jax.eval_shape(init) if is_cell else {}
    _check_module("momentum_rnn_jax.linen", module, shapes.get("params", {}))
    loaded = _fitting(params, shapes["params"])
    is_all = set(shapes) == {"params"} and set(shapes["params"]) == set(loaded)
    variables = {"params": {}} if is_all else init()
    return {**variables, "params": {**variables["params"], **loaded}}


def _check_module(library: str, module: Any, variables: Mapping[str, Any]) -> None:
    if not all(isinstance(variables.get(part), Mapping) for part in _PARTS):
        raise TypeError(f"module must be a cell of {library} (of an RNN, its cell), got {type(module).__name__}.")


def _input(params: Any) -> tuple[int, Any]:
    """The number of input features that parameters are made for, and their dtype."""
    check_mapping("params", params)
    _checks.names("params", params, _PARTS, optional=(_INITIAL,))
    arrays = read("params['input']", params["input"], ("kernel",), optional=("bias",))
    kernel = _checks.floating("params['input']['kernel']", arrays["kernel"], min_ndim=2, layout="(F, G·H)")
    return kernel.shape[0], kernel.dtype


def _fitting(params: Any, variables: Mapping[str, Any]) -> Params:
    """Parameters as JAX arrays; refused unless their names, shapes and dtypes are those of a module's variables."""
    check_mapping("params", params)
    _checks.names("params", params, _PARTS, optional=(_INITIAL,) if _INITIAL in variables else ())
    loaded = {}
    for part, entries in params.items():
        argument = f"params[{part!r}]"
        arrays = read(argument, entries, variables[part])
        _checks.arrays(argument, arrays, {name: variable.shape for name, variable in variables[part].items()})
        for name, array in arrays.items():
            dtype = variables[part][name].dtype
            if array.dtype != dtype:
                raise TypeError(
                    f"{argument}[{name!r}] must have the module's dtype, {dtype}, got {array.dtype}; convert it first."
                )
        loaded[part] = {name: to_jax(array) for name, array in arrays.items()}
    return loaded
