"""Networks for sequences: a recurrent cell, and a linear map of its last hidden state or of every one."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

import momentum_rnn_jax as mr
from experiments.datasets import Split
from momentum_rnn_jax.cores import affine

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A cell and its head; `every_step` says whether the head reads every hidden state, or the last one.

    Parameters are float32, and so are outputs; between them, all is computed in `dtype`, but for what would be lost in 16 bits:
    an orthogonal matrix and the states of a drive.

    Nothing is masked in here: an output depends on no later step, so what stands behind the end of a short sequence changes
    none of the outputs that count. The loss leaves the others out.
    """

    cell: Any
    in_features: int
    outputs: int
    every_step: bool
    input_scale: float = 1.0
    readout_init: str = "lecun_normal"
    dtype: Any = jnp.float32

    def init(self, key: Array) -> Params:
        """New parameters, `{"cell": …, "head": {"kernel": (H, outputs), "bias": (outputs,)}}`."""
        cell_key, head_key = jax.random.split(key)
        hidden = self.cell.core.hidden_features
        if self.readout_init == "released":  # the default of the authors' framework
            keys, bound = jax.random.split(head_key), 1 / math.sqrt(hidden)
            kernel, bias = (
                jax.random.uniform(k, shape, minval=-bound, maxval=bound)
                for k, shape in zip(keys, ((hidden, self.outputs), (self.outputs,)), strict=True)
            )
        else:
            kernel, bias = jax.nn.initializers.lecun_normal()(head_key, (hidden, self.outputs)), jnp.zeros(self.outputs)
        return {"cell": self.cell.init(cell_key, self.in_features), "head": {"kernel": kernel, "bias": bias}}

    def apply(self, params: Params, inputs: Array) -> Array:
        """(batch, time, features) -> (batch, time, outputs), or (batch, outputs) where the last state alone is read."""
        hs = self.hidden_states(params, inputs)
        return jnp.swapaxes(self.read(params, hs), 0, 1) if self.every_step else self.read(params, hs[-1])

    def hidden_states(self, params: Params, inputs: Array) -> Array:
        """(batch, time, features) -> (time, batch, H), in `dtype`."""
        return mr.unroll(self.cell, params["cell"], self.input_scale * jnp.swapaxes(inputs, 0, 1), dtype=self.dtype)[1]

    def read(self, params: Params, h: Array) -> Array:
        """The head: hidden states (..., H) -> (..., outputs)."""
        head = jax.tree.map(lambda leaf: leaf.astype(self.dtype), params["head"])
        return affine(head, h).astype(jnp.promote_types(self.dtype, jnp.float32))

    def initial_carry(self, params: Params, batch_size: int) -> tuple[()]:
        """Nothing: every sequence begins from zeros."""
        return ()

    def run(self, params: Params, carry: tuple[()], batch: Split, key: Array | None = None) -> tuple[tuple[()], Array, float]:
        """As a language model's: `(carry, outputs, penalty)`; nothing is carried, drawn at random or penalised."""
        return carry, self.apply(params, batch.inputs), 0.0

    def rebase(self, params: Params, *, project: bool = False) -> Params:
        """The same network, the base of its orthogonal core moved to where the matrix is; others are passed on."""
        return {**params, "cell": rebase_cell(self.cell, params["cell"], project=project)}


def rebase_cell(cell: Any, params: Params, *, project: bool) -> Params:
    """A cell's parameters with the base of an orthogonal core moved to where the matrix is."""
    if not isinstance(cell.core, mr.Orthogonal):
        return params
    return {**params, "core": cell.core.rebase(params["core"], project=project)}


def num_parameters(params: Params) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def flat(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their names, joined with slashes."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
