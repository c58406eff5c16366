"""The Neural Data Transformer in NNX: log-rates of neurons from their masked spike counts.

    x = sqrt(D) embed(spikes) + position;  x += Attention(LN x), x += FF(LN x) in each layer;  log-rates = LN(x) W + b

Source: the released code of Ye and Pandarinath, "Representation learning for neural population activity with Neural Data
Transformers", whose outputs and gradients it gives to rounding. Two things are unlike: every layer has initial weights of its
own, where the released layers start as copies of one, and the T-Fixup initialisation is left out.
"""

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

EPSILON, SMALLEST_NORM = 1e-5, 1e-5
DECODER_FEATURES = 16  # of the hidden layer that a decoder of two layers has


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What fixes a transformer's parameters.

    `neurons` n, `time` T, `max_spikes` the largest count of the data; `embed_features` 0 for the counts themselves, D = n, or E
    for a table with a vector of E for each count, side by side for all neurons, D = E·n. D must be divisible by `num_heads`.
    """

    neurons: int
    time: int
    max_spikes: int = 3
    embed_features: int = 0
    hidden_features: int = 128
    num_layers: int = 6
    num_heads: int = 2
    decoder_layers: int = 1
    pre_norm: bool = True
    scale_norm: bool = False
    learned_position: bool = True
    log_rates: bool = True

    def __post_init__(self) -> None:
        if self.features % self.num_heads:
            raise ValueError(f"num_heads must divide the {self.features} features, got {self.num_heads}.")
        if self.decoder_layers not in (1, 2):
            raise ValueError(f"decoder_layers must be 1 or 2, got {self.decoder_layers}.")

    @property
    def features(self) -> int:
        """D."""
        return self.neurons * max(1, self.embed_features)


def context_mask(time: int, forward: Array | int, backward: Array | int) -> Array:
    """Which steps a step sees, (query, key): `i - backward <= j <= i + forward`.

    A negative `forward` is no limit, and so is a `backward` of 0 or less.

    >>> context_mask(4, 1, 2).astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]]
    """
    i, j = jnp.arange(time)[:, jnp.newaxis], jnp.arange(time)[jnp.newaxis]
    return ((j <= i + forward) | (jnp.asarray(forward) < 0)) & ((j >= i - backward) | (jnp.asarray(backward) <= 0))


def sinusoids(time: int, features: int, dtype: Any = float) -> Array:
    """Fixed positions, counted from 1: sine and cosine in turn, (time, features). The released table has float32's digits."""
    angles = jnp.arange(1, time + 1, dtype=dtype)[:, jnp.newaxis] * 10_000.0 ** (
        -jnp.arange(0, features, 2, dtype=dtype)[jnp.newaxis] / features
    )
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(time, -1)[:, :features]


def drop(x: Array, rate: Array | float, key: Array | None, number: int) -> Array:
    """Dropout with the key's part of that number; without a key, nothing is dropped."""
    if key is None:
        return x
    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, x.shape)
    return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), jnp.zeros_like(x))


class ScaleNorm(nnx.Module):
    """`x · g / max(‖x‖, 1e-5)`, where the one number g starts at sqrt(D)."""

    def __init__(self, features: int, dtype: Any):
        self.scale = nnx.Param(jnp.asarray(math.sqrt(features), dtype))

    def __call__(self, x: Array) -> Array:
        norm = jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis=-1, keepdims=True), SMALLEST_NORM**2))
        return x * (self.scale[...] / norm)


class LayerNorm(nnx.Module):
    """Mean 0 and variance 1 over the features, then a scale and a bias; Flax's own mixes float32 into float64."""

    def __init__(self, features: int, dtype: Any):
        self.scale, self.bias = nnx.Param(jnp.ones(features, dtype)), nnx.Param(jnp.zeros(features, dtype))

    def __call__(self, x: Array) -> Array:
        scale, bias = (jnp.expand_dims(part[...], range(x.ndim - 1)) for part in (self.scale, self.bias))
        return jax.nn.standardize(x, axis=-1, epsilon=EPSILON) * scale + bias


class EncoderLayer(nnx.Module):
    """Attention over the time steps of the context, then two maps with a relu between them, each added to what came in."""

    def __init__(self, sizes: Sizes, dtype: Any, rngs: nnx.Rngs):
        def linear(inputs: int, outputs: int) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, kernel_init=nnx.initializers.xavier_uniform(), param_dtype=dtype, rngs=rngs)

        D, hidden = sizes.features, sizes.hidden_features
        self.num_heads, self.pre_norm = sizes.num_heads, sizes.pre_norm
        self.in_proj, self.out_proj = linear(D, 3 * D), linear(D, D)
        self.linear1, self.linear2 = linear(D, hidden), linear(hidden, D)
        self.norm1, self.norm2 = LayerNorm(D, dtype), LayerNorm(D, dtype)

    def attend(self, x: Array, allowed: Array, dropout: Array | float, key: Array | None) -> tuple[Array, Array]:
        """(batch, time, D) -> the same, and the weights, (batch, heads, query, key)."""
        batch, time, features = x.shape
        q, k, v = jnp.moveaxis(self.in_proj(x).reshape(batch, time, 3, self.num_heads, -1), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(features // self.num_heads)
        weights = jax.nn.softmax(jnp.where(allowed[jnp.newaxis, jnp.newaxis], scores, -jnp.inf), axis=-1)
        values = jnp.einsum("bhqk,bkhd->bqhd", drop(weights, dropout, key, 0), v)
        return self.out_proj(values.reshape(batch, time, features)), weights

    def feed_forward(self, x: Array, dropout: Array | float, key: Array | None) -> Array:
        """(batch, time, D) -> the same."""
        return self.linear2(drop(jax.nn.relu(self.linear1(x)), dropout, key, 1))

    def __call__(self, x: Array, allowed: Array, dropout: Array | float, key: Array | None) -> tuple[Array, Array]:
        """The layer's output, and its attention's weights."""
        attended, weights = self.attend(self.norm1(x) if self.pre_norm else x, allowed, dropout, key)
        x = x + drop(attended, dropout, key, 2)
        x = x if self.pre_norm else self.norm1(x)
        x = x + drop(self.feed_forward(self.norm2(x) if self.pre_norm else x, dropout, key), dropout, key, 3)
        return (x if self.pre_norm else self.norm2(x)), weights


class NeuralDataTransformer(nnx.Module):
    """(batch, T, n) counts -> (batch, T, n) log-rates, or rates where `sizes.log_rates` is unset.

    Args:
      sizes: a `Sizes`.
      context: how many steps forward and backward each step sees, as in `context_mask`; None for all. Numbers may be traced.
      dropout, dropout_rates, dropout_embedding: in the layers, before the decoder, and behind the positions.
      dtype: of parameters and computation.

    >>> model = NeuralDataTransformer(Sizes(neurons=4, time=5, num_layers=1), rngs=nnx.Rngs(0))
    >>> model(jnp.zeros((2, 5, 4), int)).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        context: tuple[Array | int, Array | int] | None = (4, 8),
        dropout: Array | float = 0.1,
        dropout_rates: Array | float = 0.2,
        dropout_embedding: Array | float = 0.2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        D, n = sizes.features, sizes.neurons
        self.sizes, self.dtype = sizes, dtype
        self.allowed = nnx.Variable(context_mask(sizes.time, *((-1, 0) if context is None else context)))
        self.dropout, self.dropout_rates, self.dropout_embedding = map(_rate, (dropout, dropout_rates, dropout_embedding))
        if sizes.embed_features:
            table = jax.random.normal(rngs.params(), (sizes.max_spikes + 2, sizes.embed_features), dtype)
            self.embedding = nnx.Param(table)
        self.position: nnx.Variable[Array] = (
            nnx.Param(jax.random.normal(rngs.params(), (sizes.time, D), dtype))
            if sizes.learned_position
            else nnx.Variable(sinusoids(sizes.time, D, dtype))
        )
        self.layers = nnx.List([EncoderLayer(sizes, dtype, rngs) for _ in range(sizes.num_layers)])
        self.norm = ScaleNorm(D, dtype) if sizes.scale_norm else LayerNorm(D, dtype)
        widths = (D, n) if sizes.decoder_layers == 1 else (D, DECODER_FEATURES, n)
        self.decoder = nnx.List(
            [nnx.Linear(a, b, kernel_init=_uniform, param_dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(widths)]
        )

    def __call__(self, spikes: Array, key: Array | None = None) -> Array:
        """The log-rates, with dropout where a key is given."""
        return self.trace(spikes, key)[0]

    def trace(self, spikes: Array, key: Array | None = None) -> tuple[Array, list[Array], list[Array]]:
        """The log-rates, every layer's output (batch, T, D), and its attention, the mean of the heads, (batch, T, T)."""
        x = self.embed(spikes) * math.sqrt(self.sizes.features) + self.position[jnp.newaxis]
        x = drop(x, self.dropout_embedding[...], key, 0)
        outputs, attention = [], []
        for number, layer in enumerate(self.layers):
            own = None if key is None else jax.random.fold_in(key, number + 2)
            x, weights = layer(x, self.allowed[...], self.dropout[...], own)
            outputs.append(x)
            attention.append(weights.mean(axis=1))
        x = self.decoder[0](drop(self.norm(x), self.dropout_rates[...], key, 1))
        for linear in self.decoder[1:]:
            x = linear(jax.nn.relu(x))
        return (x if self.sizes.log_rates else jax.nn.relu(x)), outputs, attention

    def embed(self, spikes: Array) -> Array:
        """(batch, T, n) counts -> (batch, T, D); a count beyond the table is taken for its last."""
        if not self.sizes.embed_features:
            return spikes.astype(self.dtype)
        rows = self.embedding[...][jnp.clip(spikes, 0, self.sizes.max_spikes + 1).astype(jnp.int32)]
        return rows.reshape(*spikes.shape[:-1], -1)


def _rate(rate: Array | float) -> nnx.Variable[Array]:
    return nnx.Variable(jnp.asarray(rate, jnp.float32))


def _uniform(key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any = None) -> Array:
    return jax.random.uniform(key, shape, dtype, -0.1, 0.1)
