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
    """A cell and a linear head, which reads every hidden state (`every_step`) or the last one.

    Parameters and outputs are float32; everything between is computed in `dtype`, except what 16 bits cannot represent well: an
    orthogonal matrix and the states of a drive.

    Outputs do not depend on padding, which native kernels skip where `lengths` are given.
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
        if self.readout_init == "released":  # the default of `nn.Linear` in the authors' framework
            keys, bound = jax.random.split(head_key), 1 / math.sqrt(hidden)
            kernel, bias = (
                jax.random.uniform(k, shape, minval=-bound, maxval=bound)
                for k, shape in zip(keys, ((hidden, self.outputs), (self.outputs,)), strict=True)
            )
        else:
            kernel, bias = jax.nn.initializers.lecun_normal()(head_key, (hidden, self.outputs)), jnp.zeros(self.outputs)
        return {"cell": self.cell.init(cell_key, self.in_features), "head": {"kernel": kernel, "bias": bias}}

    def apply(self, params: Params, inputs: Array, lengths: Array | None = None) -> Array:
        """(batch, time, features) -> (batch, time, outputs), or (batch, outputs) if only the last state is read.

        Of images, the head reads every pixel, and what it reads of the last state is averaged over them.
        """
        hs = self.hidden_states(params, inputs, lengths if self.every_step else None)
        if self.every_step:
            return jnp.swapaxes(self.read(params, hs), 0, 1)
        return self.read(params, hs[-1]).mean(range(1, hs.ndim - 2))

    def hidden_states(self, params: Params, inputs: Array, lengths: Array | None = None) -> Array:
        """(batch, time, features) -> (time, batch, H), in `dtype`; zeros from the end of each sequence on."""
        xs = self.input_scale * jnp.swapaxes(inputs, 0, 1)
        return mr.unroll(self.cell, params["cell"], xs, seq_lengths=lengths, dtype=self.dtype)[1]

    def read(self, params: Params, h: Array) -> Array:
        """The head: hidden states (..., H) -> (..., outputs)."""
        head = jax.tree.map(lambda leaf: leaf.astype(self.dtype), params["head"])
        return affine(head, h).astype(jnp.promote_types(self.dtype, jnp.float32))

    def initial_carry(self, params: Params, batch_size: int) -> tuple[()]:
        """Empty: every sequence starts from zeros."""
        return ()

    def run(self, params: Params, carry: tuple[()], batch: Split, key: Array | None = None) -> tuple[tuple[()], Array, float]:
        """`(carry, outputs, penalty)`, as a language model's; there is no carry, randomness or penalty."""
        return carry, self.apply(params, batch.inputs, batch.lengths), 0.0

    def rebase(self, params: Params, *, project: bool = False) -> Params:
        """The same network with the base of its orthogonal core moved to the current matrix; other networks are unchanged."""
        return {**params, "cell": rebase_cell(self.cell, params["cell"], project=project)}


def rebase_cell(cell: Any, params: Params, *, project: bool) -> Params:
    """A cell's parameters with the base of an orthogonal core moved to the current matrix."""
    if not isinstance(cell.core, mr.Orthogonal):
        return params
    return {**params, "core": cell.core.rebase(params["core"], project=project)}


def num_parameters(params: Params) -> int:
    """The number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def flat(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, joined with slashes."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
