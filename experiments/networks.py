"""Networks for sequences: a recurrent cell, and a linear map of its last hidden state or of every one."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

import momentum_rnn_jax as mr
from experiments import models
from experiments.datasets import Split
from momentum_rnn_jax.cores import affine


@dataclasses.dataclass(frozen=True)
class Network:
    """A cell and its head; `every_step` says whether the head reads every hidden state, or the last one.

    Parameters are float32, and so are outputs; between them, all is computed in `dtype`, but for what would be lost in 16 bits:
    an orthogonal matrix and the states of a drive.

    Nothing is masked in here: an output depends on no later step, so what stands behind the end of a short sequence changes
    none of the outputs that count. The loss leaves the others out.
    """

    cell: mr.Cell
    in_features: int
    outputs: int
    every_step: bool
    input_scale: float = 1.0
    dtype: Any = jnp.float32

    def init(self, key: Array) -> models.Params:
        """New parameters, `{"cell": …, "head": {"kernel": (H, outputs), "bias": (outputs,)}}`."""
        return models.init(self.cell, key, self.in_features, self.outputs)

    def apply(self, params: models.Params, inputs: Array) -> Array:
        """(batch, time, features) -> (batch, time, outputs), or (batch, outputs) where the last state alone is read."""
        hs = self.hidden_states(params, inputs)
        head = jax.tree.map(lambda leaf: leaf.astype(self.dtype), params["head"])
        outputs = jnp.swapaxes(affine(head, hs), 0, 1) if self.every_step else affine(head, hs[-1])
        return outputs.astype(jnp.float32)

    def hidden_states(self, params: models.Params, inputs: Array) -> Array:
        """(batch, time, features) -> (time, batch, H), in `dtype`."""
        return mr.unroll(self.cell, params["cell"], self.input_scale * jnp.swapaxes(inputs, 0, 1), dtype=self.dtype)[1]

    def initial_carry(self, params: models.Params, batch_size: int) -> tuple[()]:
        """Nothing: every sequence begins from zeros."""
        return ()

    def run(
        self, params: models.Params, carry: tuple[()], batch: Split, key: Array | None = None
    ) -> tuple[tuple[()], Array, float]:
        """As a language model's: `(carry, outputs, penalty)`; nothing is carried, drawn at random or penalised."""
        return carry, self.apply(params, batch.inputs), 0.0

    def rebase(self, params: models.Params, *, project: bool = False) -> models.Params:
        """The same network, the base of its orthogonal core moved to where the matrix is; others are passed on."""
        return {**params, "cell": rebase_cell(self.cell, params["cell"], project=project)}


def rebase_cell(cell: mr.Cell, params: models.Params, *, project: bool) -> models.Params:
    """A cell's parameters with the base of an orthogonal core moved to where the matrix is."""
    if not isinstance(cell.core, mr.Orthogonal):
        return params
    return {**params, "core": cell.core.rebase(params["core"], project=project)}
