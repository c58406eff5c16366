"""The rate models: what each is, which settings are tried for it, and how large it is.

Each maps counts (batch, T, n) to log-rates (batch, T, n), `model(spikes, key=None)`, with dropout where a key is given. Settings
are numbers that a compiled program takes as arguments: all trials of a model are the same program.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

import momentum_rnn_jax as mr
from experiments.neural.transformer import NeuralDataTransformer, Sizes, drop
from momentum_rnn_jax import nnx as mnnx

DROPOUT = 0.2  # of every model's output, where it is not tried
DELAY = 4  # bins that the causal model may look ahead: the transformer's context forward
TRANSFORMER_LAYERS, TRANSFORMER_HIDDEN = 2, 64
Settings = Mapping[str, Any]


class Data(NamedTuple):
    """What a model must know of the data: n, T, the largest count, and each neuron's mean count in training, (n,)."""

    neurons: int
    time: int
    max_spikes: int
    means: np.ndarray


class Readout(nnx.Module):
    """Features (batch, T, F) -> log-rates; it starts uniform in ±0.1 around the log of each neuron's mean."""

    def __init__(self, features: int, data: Data, rngs: nnx.Rngs):
        self.kernel = nnx.Param(jax.random.uniform(rngs.params(), (features, data.neurons), minval=-0.1, maxval=0.1))
        self.bias = nnx.Param(log_means(data))

    def __call__(self, x: Array) -> Array:
        return x @ self.kernel[...] + self.bias[jnp.newaxis, jnp.newaxis]


def log_means(data: Data) -> Array:
    """Where every model's output starts; a neuron without a spike counts as one with half a spike in 1000 bins."""
    return jnp.log(jnp.maximum(jnp.asarray(data.means, jnp.float32), 5e-4))


def smooth(spikes: Array, mu: Array | float) -> Array:
    """`v_t = μ v_{t-1} + (1 - μ) x_t` over the second axis: what the drive of the momentum cell does to its input."""
    drive = mr.Momentum(mu=mu, step_size=1 - mu)
    xs = jnp.moveaxis(jnp.asarray(spikes, jnp.result_type(float)), 1, 0)
    return jnp.moveaxis(drive.unroll(drive.init(xs[0]), xs)[1], 0, 1)


def both_ways(spikes: Array, mu: Array | float) -> Array:
    """Weights μ^|k|, which sum to one over all k: the mean of both directions, the bin itself counted once."""
    ahead, behind = (smooth(part, mu) for part in (spikes, spikes[:, ::-1]))
    return (ahead + behind[:, ::-1] - (1 - mu) * spikes) / (1 + mu)


class Recurrent(nnx.Module):
    """An LSTM in both directions, or one whose output comes `delay` bins late, and a linear read-out.

    `mu` is the momentum of a drive of step size 1 - μ, or, with `smoothed`, of the same filter on the spikes, each direction's in
    its own; None for neither.
    """

    def __init__(
        self,
        hidden: int,
        data: Data,
        rngs: nnx.Rngs,
        *,
        mu: Array | float | None = None,
        smoothed: bool = False,
        delay: int | None = None,
        dropout: Array | float = DROPOUT,
    ):
        drive = mr.Identity() if mu is None or smoothed else mr.Momentum(mu=mu, step_size=1 - mu)
        directions = 2 if delay is None else 1
        self.rnns = nnx.List(
            [mnnx.RNN(mnnx.RecurrentCell(mr.Cell(mr.LSTM(hidden), drive), data.neurons, rngs=rngs)) for _ in range(directions)]
        )
        self.mu = nnx.Variable(jnp.asarray(mu, jnp.float32)) if smoothed else None
        self.dropout, self.delay = nnx.Variable(jnp.asarray(dropout, jnp.float32)), delay
        self.readout = Readout(directions * hidden, data, rngs)

    def hidden_states(self, spikes: Array) -> Array:
        """(batch, T, n) -> (batch, T, H), or 2·H for two directions."""
        xs = spikes.astype(jnp.result_type(float))
        xs = xs if self.delay is None else jnp.pad(xs, ((0, 0), (0, self.delay), (0, 0)))
        outputs = []
        for reverse, rnn in zip((False, True), self.rnns, strict=False):
            turned = xs[:, ::-1] if reverse else xs
            hs = rnn(turned if self.mu is None else smooth(turned, self.mu[...]))
            outputs.append(hs[:, ::-1] if reverse else hs)
        return jnp.concatenate(outputs, axis=-1)[:, self.delay or 0 :]

    def __call__(self, spikes: Array, key: Array | None = None) -> Array:
        return self.readout(drop(self.hidden_states(spikes), self.dropout[...], key, 0))


class SmoothedRegression(nnx.Module):
    """A Poisson regression on spikes smoothed both ways, all neurons on all."""

    def __init__(self, data: Data, rngs: nnx.Rngs, *, mu: Array | float):
        self.mu = nnx.Variable(jnp.asarray(mu, jnp.float32))
        self.readout = Readout(data.neurons, data, rngs)

    def __call__(self, spikes: Array, key: Array | None = None) -> Array:
        return self.readout(drop(both_ways(spikes.astype(jnp.result_type(float)), self.mu[...]), DROPOUT, key, 0))


class Smoother(nnx.Module):
    """The smoother alone: `(1 - w) · smoothed + w · mean`, nothing trained; a neuron that is not seen gets its mean."""

    def __init__(self, data: Data, *, mu: Array | float, share: Array | float):
        self.mu, self.share = nnx.Variable(jnp.asarray(mu, jnp.float32)), nnx.Variable(jnp.asarray(share, jnp.float32))
        self.log_means = nnx.Variable(log_means(data))

    def __call__(self, spikes: Array, key: Array | None = None, seen: Array | None = None) -> Array:
        """`seen` is 1 where spikes are to be used; its shape broadcasts to theirs."""
        xs = spikes.astype(jnp.result_type(float))
        seen = jnp.ones_like(xs) if seen is None else jnp.broadcast_to(seen, xs.shape).astype(xs.dtype)
        mean = jnp.exp(self.log_means[jnp.newaxis, jnp.newaxis])
        weight = both_ways(seen, self.mu[...])
        smoothed = jnp.where(weight > 0, both_ways(xs * seen, self.mu[...]) / jnp.where(weight > 0, weight, 1.0), mean)
        return jnp.log((1 - self.share[...]) * smoothed + self.share[...] * mean)


class Kind(NamedTuple):
    """A rate model: its name in tables, how it is made from settings and a size, and the settings of its trials."""

    title: str
    make: Callable[[Settings, int, Data, nnx.Rngs], nnx.Module]
    trials: tuple[dict[str, float], ...]
    sized: bool = False
    trained: bool = True


def grid(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    """All combinations.

    >>> grid(a=(1, 2), b=(3,))
    ({'a': 1, 'b': 3}, {'a': 2, 'b': 3})
    """
    found: list[dict[str, float]] = [{}]
    for name, options in values.items():
        found = [{**settings, name: option} for settings in found for option in options]
    return tuple(found)


def transformer_sizes(data: Data) -> Sizes:
    """Counts as they are, or, of an odd number of neurons, a vector of two for each: two heads must divide the features."""
    return Sizes(
        neurons=data.neurons,
        time=data.time,
        max_spikes=data.max_spikes,
        embed_features=data.neurons % 2 * 2,
        hidden_features=TRANSFORMER_HIDDEN,
        num_layers=TRANSFORMER_LAYERS,
    )


def _transformer(settings: Settings, hidden: int, data: Data, rngs: nnx.Rngs) -> nnx.Module:
    context = settings["context"]
    model = NeuralDataTransformer(transformer_sizes(data), context=(context // 2, context), rngs=rngs)
    model.decoder[-1].bias = nnx.Param(log_means(data))
    return model


def _recurrent(**fixed: Any) -> Callable[[Settings, int, Data, nnx.Rngs], nnx.Module]:
    def make(settings: Settings, hidden: int, data: Data, rngs: nnx.Rngs) -> nnx.Module:
        chosen = {name: settings[name] for name in ("mu", "dropout") if name in settings}
        return Recurrent(hidden, data, rngs, **chosen, **fixed)

    return make


RATES, MUS, WIDE = (2e-3, 6e-3), (0.5, 0.7, 0.85), (0.7, 0.85, 0.95)
KINDS = {
    "ndt": Kind("Neural Data Transformer", _transformer, grid(learning_rate=RATES, context=(8, 24, 48))),
    "momentum": Kind("MomentumLSTM, both ways", _recurrent(), grid(learning_rate=RATES, mu=MUS), sized=True),
    "control": Kind("the same with μ = 0, a plain LSTM", _recurrent(), grid(learning_rate=RATES, mu=(0.0,)), sized=True),
    "delayed": Kind(f"MomentumLSTM, {DELAY} bins late", _recurrent(delay=DELAY), grid(learning_rate=RATES, mu=MUS), sized=True),
    "plain": Kind("LSTM, both ways", _recurrent(), grid(learning_rate=RATES, dropout=(0.0, 0.2, 0.4)), sized=True),
    "smoothed": Kind(
        "LSTM on smoothed spikes, both ways", _recurrent(smoothed=True), grid(learning_rate=RATES, mu=MUS), sized=True
    ),
    "regression": Kind(
        "regression on smoothed spikes",
        lambda settings, hidden, data, rngs: SmoothedRegression(data, rngs, mu=settings["mu"]),
        grid(learning_rate=RATES, mu=WIDE),
    ),
    "smoother": Kind(
        "smoother alone",
        lambda settings, hidden, data, rngs: Smoother(data, mu=settings["mu"], share=settings["share"]),
        grid(mu=(0.8, 0.9, 0.95), share=(0.3, 0.5)),
        trained=False,
    ),
}


def build(name: str, settings: Settings, hidden: int, data: Data, seed: Array | int) -> Any:
    """The model of that name, one of `KINDS`, with initial parameters of that seed."""
    return KINDS[name].make(settings, hidden, data, nnx.Rngs(jax.random.key(seed)))


def count(name: str, hidden: int, data: Data) -> int:
    """How many numbers are trained."""
    model = nnx.eval_shape(lambda: build(name, KINDS[name].trials[0], hidden, data, 0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def hidden_features(name: str, data: Data) -> int:
    """The most units with which the model has no more parameters than the transformer; 1 where there are no units."""
    hidden, budget = 1, count("ndt", 1, data)
    while KINDS[name].sized and count(name, hidden + 1, data) <= budget:
        hidden += 1
    return hidden
