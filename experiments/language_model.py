"""A language model: an embedding, recurrent layers, and a decoder tied to the embedding; regularised as the AWD-LSTM."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

import momentum_rnn_jax as mr
from experiments.datasets import Split
from experiments.networks import Params, rebase_cell
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax.cores import affine

INITIAL_EMBEDDING = 0.1  # uniform between plus and minus this


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """Predicts each token from those before it; a window of text continues the previous one.

    Parameters, logits and penalties are float32; everything between is computed in `dtype`, as in `networks.Network`.

    Args:
      cell: of every layer; the last layer has the size of the embedding instead of the cell's.
      layers: how many.
      vocabulary, embedding_features: V and E; the decoder is the embedding transposed, and a bias.
      embedding_dropout: of whole words: a dropped word is dropped everywhere in the window.
      input_dropout, hidden_dropout, output_dropout: of features before, between and after the layers, with one mask for all
        time steps of a window.
      weight_dropout: of entries of the recurrent kernels.
      activation_regularization: α of the penalty `α mean(y²)`, where y is the last layer's output after its dropout.
      temporal_regularization: β of the penalty `β mean((h_t - h_{t-1})²)` on the last layer's output before its dropout.
      input_scale: the first layer reads `input_scale` times the embedding.

    Source: Merity et al., arXiv 1708.02182.
    """

    cell: mr.Cell
    layers: int
    vocabulary: int
    embedding_features: int
    embedding_dropout: float = 0.0
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    output_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation_regularization: float = 0.0
    temporal_regularization: float = 0.0
    input_scale: float = 1.0
    dtype: Any = jnp.float32

    @property
    def stack(self) -> mr.Stack:
        """The layers."""
        last = dataclasses.replace(self.cell, core=_resized(self.cell.core, self.embedding_features))
        return mr.Stack((self.cell,) * (self.layers - 1) + (last,))

    def init(self, key: Array) -> Params:
        """New parameters, `{"embedding": {"kernel": (V, E)}, "cells": (…), "head": {"bias": (V,)}}`."""
        embedding_key, cells_key = jax.random.split(key)
        shape = (self.vocabulary, self.embedding_features)
        kernel = jax.random.uniform(embedding_key, shape, minval=-INITIAL_EMBEDDING, maxval=INITIAL_EMBEDDING)
        cells = self.stack.init(cells_key, self.embedding_features)
        return {"embedding": {"kernel": kernel}, "cells": cells, "head": {"bias": jnp.zeros(self.vocabulary)}}

    def initial_carry(self, params: Params, batch_size: int) -> tuple[mr.CellState, ...]:
        """The initial states of each layer's drive and core: zeros."""
        return self.stack.initial_state(jax.tree.map(lambda leaf: leaf.astype(self.dtype), params["cells"]), (batch_size,))

    def run(
        self, params: Params, carry: tuple[mr.CellState, ...], batch: Split, key: Array | None = None
    ) -> tuple[tuple[mr.CellState, ...], Array, Array]:
        """A window of a batch of texts: `(carry after its last token, logits (batch, time, V), sum of the penalties)`.

        Args:
          carry: the states before the window.
          batch: `inputs` (batch, time), and `lengths` (batch,): how many tokens count; later logits have no meaning.
          key: for dropout; without a key there is no dropout.
        """

        count = 4 + 2 * self.layers
        keys = iter([None] * count if key is None else jax.random.split(key, count))

        def drop(values: Array, module: Callable[..., nnx.Dropout], rate: float, **options: Any) -> Array:
            now = next(keys)
            return values if now is None else module(rate, rngs=nnx.Rngs(dropout=now), **options)(values)

        locked = partial(drop, module=partial(mnnx.LockedDropout, time_major=True))  # one mask per window
        embedding, bias = (leaf.astype(self.dtype) for leaf in (params["embedding"]["kernel"], params["head"]["bias"]))
        words = drop(embedding, nnx.Dropout, self.embedding_dropout, broadcast_dims=(1,))  # one draw per word
        hs = self.input_scale * locked(words[jnp.swapaxes(batch.inputs, 0, 1)], rate=self.input_dropout)
        states = []
        for number, (cell, layer, state, _) in enumerate(self.stack.layers(params["cells"], carry, None)):
            if number:
                hs = locked(hs, rate=self.hidden_dropout)
            if self.weight_dropout:
                # `mnnx.WeightDrop` does the same for modules that own their parameters; here they are arguments of `run`.
                kernel = drop(layer["core"]["kernel"], nnx.Dropout, self.weight_dropout)
                layer = {**layer, "core": {**layer["core"], "kernel": kernel}}
            state, hs = mr.unroll(cell, layer, hs, state, seq_lengths=batch.lengths, dtype=self.dtype)
            states.append(state)
        outputs = locked(hs, rate=self.output_dropout)
        logits = affine({"kernel": embedding.T, "bias": bias}, jnp.swapaxes(outputs, 0, 1)).astype(jnp.float32)
        penalty = self._penalty(hs.astype(jnp.float32), outputs.astype(jnp.float32), batch.lengths)
        return tuple(states), logits, penalty

    def _penalty(self, hs: Array, outputs: Array, lengths: Array) -> Array:
        """Both are (time, batch, E), and zero after the end; a window of one token has no differences."""
        steps = jax.lax.broadcasted_iota(jnp.int32, hs.shape[:2], 0)
        within = (steps[1:] < lengths[jnp.newaxis])[..., jnp.newaxis]
        changes = jnp.where(within, hs[1:] - hs[:-1], 0.0)

        def mean_square(values: Array, counts: Array) -> Array:
            return jnp.square(values).sum() / (jnp.maximum(counts.sum(), 1).astype(values.dtype) * values.shape[-1])

        activation = mean_square(outputs, lengths)
        temporal = mean_square(changes, jnp.maximum(lengths - 1, 0))
        return self.activation_regularization * activation + self.temporal_regularization * temporal

    def rebase(self, params: Params, *, project: bool = False) -> Params:
        """The same model with the bases of orthogonal cores moved to the current matrices; other cores are unchanged."""
        cells = zip(self.stack.cells, params["cells"], strict=True)
        return {**params, "cells": tuple(rebase_cell(cell, layer, project=project) for cell, layer in cells)}


def _resized(core: Any, hidden_features: int) -> Any:
    """A core, or what a wrapper wraps, with another number of hidden features."""
    if "hidden_features" in {field.name for field in dataclasses.fields(core)}:
        return dataclasses.replace(core, hidden_features=hidden_features)
    return dataclasses.replace(core, core=_resized(core.core, hidden_features))
