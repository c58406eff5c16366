"""Models in JAX, one function each: the library's own, Flax's, and cuDNN's LSTM as JAX offers it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

import momentum_rnn_jax as mr
from benchmarks.jax_contestant import JaxModel
from benchmarks.problem import Problem
from momentum_rnn_jax import nnx as mnnx

GATES = "ifgo"


def ours(problem: Problem, method: str = "auto") -> JaxModel:
    """`mr.unroll`."""
    params = jax.tree.map(jnp.asarray, problem.params)
    return JaxModel(params, lambda params, xs: mr.unroll(problem.cell, params, xs, method=method)[1], jnp.asarray(problem.xs))


def ours_in_nnx(problem: Problem) -> JaxModel:
    """`momentum_rnn_jax.nnx.RNN` over the same cell as a module."""
    return _nnx(mnnx.RNN(_our_module(problem), time_major=True), problem, _our_gradients)


def flax_nnx_stepwise(problem: Problem) -> JaxModel:
    """The same cell as a module, stepped by `flax.nnx.RNN`."""
    return _nnx(nnx.RNN(_our_module(problem), time_major=True, rngs=False), problem, _our_gradients)


def flax_nnx_lstm(problem: Problem) -> JaxModel:
    """`flax.nnx.RNN(nnx.OptimizedLSTMCell)`; its one bias is the sum of ours."""
    cell = nnx.OptimizedLSTMCell(problem.shape.features, problem.shape.hidden, rngs=nnx.Rngs(0))
    cell.dense_h.bias[...] = jnp.asarray(problem.params["input"]["bias"] + problem.params["core"]["bias"])
    return _flax_nnx_dense(cell, {"input": "dense_h", "core": "dense_h"}, problem)


def flax_nnx_elman(problem: Problem) -> JaxModel:
    """`flax.nnx.RNN(nnx.SimpleCell)`; its one bias is the sum of ours."""
    cell = nnx.SimpleCell(problem.shape.features, problem.shape.hidden, rngs=nnx.Rngs(0))
    cell.dense_i.bias[...] = jnp.asarray(problem.params["input"]["bias"] + problem.params["core"]["bias"])
    return _flax_nnx_dense(cell, {"input": "dense_i", "core": "dense_i"}, problem)


def flax_nnx_gru(problem: Problem) -> JaxModel:
    """`flax.nnx.RNN(nnx.GRUCell)`, whose recurrent layer is given a bias, as ours has and PyTorch's."""
    features, hidden = problem.shape.features, problem.shape.hidden
    cell = nnx.GRUCell(features, hidden, rngs=nnx.Rngs(0))
    cell.dense_h = nnx.Linear(hidden, 3 * hidden, rngs=nnx.Rngs(0))
    cell.dense_i.bias[...] = jnp.asarray(problem.params["input"]["bias"])
    cell.dense_h.bias[...] = jnp.asarray(problem.params["core"]["bias"])
    return _flax_nnx_dense(cell, {"input": "dense_i", "core": "dense_h"}, problem)


def flax_linen_lstm(problem: Problem) -> JaxModel:
    """`flax.linen.RNN(linen.OptimizedLSTMCell)`, which keeps a kernel for each gate."""
    weights = problem.params
    bias = weights["input"]["bias"] + weights["core"]["bias"]
    cell: dict[str, dict[str, jax.Array]] = {}
    for k, gate in enumerate(GATES):
        part = slice(k * problem.shape.hidden, (k + 1) * problem.shape.hidden)
        cell[f"i{gate}"] = {"kernel": jnp.asarray(weights["input"]["kernel"][:, part])}
        cell[f"h{gate}"] = {"kernel": jnp.asarray(weights["core"]["kernel"][:, part]), "bias": jnp.asarray(bias[part])}
    rnn = linen.RNN(linen.OptimizedLSTMCell(problem.shape.hidden), time_major=True)

    def to_ours(gradients: Any) -> dict[str, dict[str, Any]]:
        def side_by_side(source: str, name: str) -> jax.Array:
            return jnp.concatenate([gradients["params"]["cell"][source + gate][name] for gate in GATES], axis=-1)

        return _with_one_bias(side_by_side("i", "kernel"), side_by_side("h", "kernel"), side_by_side("h", "bias"))

    return JaxModel({"params": {"cell": cell}}, rnn.apply, jnp.asarray(problem.xs), to_ours)


def cudnn_lstm(problem: Problem) -> JaxModel:
    """`jax.experimental.rnn.lstm`: cuDNN, batch-major, all weights in one flat array."""
    from jax.experimental import rnn

    batch, time, features, hidden = problem.shape
    arrays = mr.to_torch_lstm(jax.tree.map(jnp.asarray, problem.params))
    weights = jnp.concatenate([arrays[f"{name}_l0"].ravel() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")])
    lengths = jnp.full(batch, time, jnp.int32)
    zeros = jnp.zeros((1, batch, hidden), jnp.float32)
    sizes = {"input_size": features, "hidden_size": hidden, "num_layers": 1, "bidirectional": False}

    def apply(weights: jax.Array, xs: jax.Array) -> jax.Array:
        return rnn.lstm(xs, zeros, zeros, weights, lengths, features, hidden, 1, 0.0, False)[0]

    def to_ours(gradient: jax.Array) -> dict[str, dict[str, Any]]:
        parts = rnn.unpack_lstm_weights(gradient, **sizes)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return mr.from_torch_lstm({name: part[0] for name, part in zip(names, parts, strict=True)})[1]

    return JaxModel(weights, apply, jnp.asarray(problem.xs.swapaxes(0, 1)), to_ours, time_axis=1)


def _nnx(rnn: nnx.Module, problem: Problem, to_ours: Callable[[Any, Problem], Any]) -> JaxModel:
    graphdef, params, rest = nnx.split(rnn, nnx.Param, ...)

    def apply(params: Any, xs: jax.Array) -> jax.Array:
        # A copy, because `rest` is from outside the trace; Flax's own cells ask for random numbers to make their zero carry.
        return nnx.merge(graphdef, params, rest, copy=True)(xs, rngs=nnx.Rngs(0))

    def gradients_to_ours(gradients: Any) -> dict[str, dict[str, Any]]:
        return to_ours(nnx.to_pure_dict(gradients)["cell"], problem)

    return JaxModel(params, apply, jnp.asarray(problem.xs), gradients_to_ours)


def _flax_nnx_dense(cell: Any, biases: dict[str, str], problem: Problem) -> JaxModel:
    """A cell with one layer for the inputs and one for the state; `biases` names the layer that has each bias of ours."""
    cell.dense_i.kernel[...] = jnp.asarray(problem.params["input"]["kernel"])
    cell.dense_h.kernel[...] = jnp.asarray(problem.params["core"]["kernel"])

    def to_ours(gradients: Any, _: Problem) -> dict[str, dict[str, Any]]:
        kernels = {"input": gradients["dense_i"]["kernel"], "core": gradients["dense_h"]["kernel"]}
        return {part: {"kernel": kernels[part], "bias": gradients[biases[part]]["bias"]} for part in kernels}

    return _nnx(nnx.RNN(cell, time_major=True, rngs=False), problem, to_ours)


def _with_one_bias(input_kernel: Any, core_kernel: Any, bias: Any) -> dict[str, dict[str, Any]]:
    # Each of our two biases has the gradient of their sum.
    return {"input": {"kernel": input_kernel, "bias": bias}, "core": {"kernel": core_kernel, "bias": bias}}


def _our_module(problem: Problem) -> mnnx.RecurrentCell:
    module = mnnx.RecurrentCell(problem.cell, problem.shape.features, rngs=nnx.Rngs(0))
    for part, arrays in problem.params.items():
        for name, array in arrays.items():
            getattr(getattr(module, part), name)[...] = jnp.asarray(array)
    return module


def _our_gradients(gradients: Any, problem: Problem) -> dict[str, dict[str, Any]]:
    # What is not an nnx.Param, the base of an orthogonal core, has gradient zero.
    return {
        part: {name: gradients[part].get(name, jnp.zeros_like(array)) for name, array in arrays.items()}
        for part, arrays in problem.params.items()
    }
