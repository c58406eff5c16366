"""Training a rate model on masked spikes, and scoring it on validation and test trials.

Every model has the same minibatches, masks, optimiser and number of epochs. The last fifth of the neurons is held out: a model
never sees their spikes, and is scored on them as on what is masked.
"""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from experiments.command import DivergedError
from experiments.neural import masking, metrics, models
from experiments.neural.data import Population, Trials

BATCH, WARM_UP = 64, 0.05
MASK_RATIO, TOKEN_RATIO, RANDOM_RATIO = 0.25, 1.0, 0.5
LONGEST_SPAN, SPANS_FROM, SPANS_TO = 3, 1 / 3, 2 / 3  # widths of 1 alone in the first third of the training
CLIP_NORM, WEIGHT_DECAY, EPS = 200.0, 5e-5, 1e-8
VALIDATION_KEY = 0  # every evaluation has the same masks, so that epochs and trials can be compared


class Fit(NamedTuple):
    """A trained model: the parameters of the best epoch, that epoch, its validation loss, and how long the training took."""

    params: Any
    best_epoch: int
    validation_loss: float
    seconds: float


class Trainer:
    """One kind of model on one population; its compiled programs serve every trial and seed."""

    def __init__(self, name: str, population: Population):
        train = population.train.spikes
        self.name, self.train = name, jnp.asarray(train)
        trials, bins, neurons = train.shape
        self.neurons, self.held_out = neurons, max(1, neurons // 5)
        self.batch = min(BATCH, trials)
        self.steps = trials // self.batch
        self.data = models.Data(neurons, bins, int(train.max()), train.mean(axis=(0, 1)))
        self.hidden = models.hidden_features(name, self.data)
        self.parameters = models.count(name, self.hidden, self.data)
        spikes, key = jnp.asarray(population.validation.spikes), jax.random.key(VALIDATION_KEY)
        self.validation = spikes, masking.draw_mask(key, len(spikes), bins, MASK_RATIO)
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(CLIP_NORM), optax.scale_by_adam(eps=EPS), optax.add_decayed_weights(WEIGHT_DECAY)
        )

    @property
    def seen(self) -> int:
        """How many neurons the model sees; the others are held out."""
        return self.neurons - self.held_out

    def split(self, settings: models.Settings, seed: Array | int) -> Any:
        """`(graph, parameters, the rest)` of a new model."""
        return nnx.split(models.build(self.name, settings, self.hidden, self.data, seed), nnx.Param, ...)

    def hide(self, spikes: Array) -> Array:
        """The spikes, zero where neurons are held out."""
        return jnp.where(jnp.arange(self.neurons)[jnp.newaxis, jnp.newaxis] < self.seen, spikes, 0)

    def loss(self, model: Any, spikes: Array, mask: Array, keys: tuple[Array, Array] | None) -> Array:
        """The mean over masked time steps and held-out neurons; `keys` are for corrupting and for dropout, None for neither."""
        counted = mask[..., jnp.newaxis] | (jnp.arange(self.neurons)[jnp.newaxis, jnp.newaxis] >= self.seen)
        if self.name == "smoother":
            outputs = model(self.hide(spikes), seen=~counted)
        elif keys is None:
            outputs = model(self.hide(jnp.where(mask[..., jnp.newaxis], 0, spikes)))
        else:
            shown = masking.corrupt(keys[0], spikes, mask, self.data.max_spikes, TOKEN_RATIO, RANDOM_RATIO)
            outputs = model(self.hide(shown), keys[1])
        return metrics.masked_mean(metrics.poisson_loss(outputs, spikes), counted)

    @functools.partial(jax.jit, static_argnums=0)
    def epoch(self, settings: models.Settings, seed: Array, number: Array, epochs: Array, state: Any) -> Any:
        """All minibatches once: `(parameters, optimiser's state)` after them; the epoch is that number, from 0, of `epochs`."""
        graph, _, rest = self.split(settings, seed)
        epoch_key = jax.random.fold_in(jax.random.key(seed), number)
        order = jax.random.permutation(epoch_key, len(self.train))[: self.steps * self.batch].reshape(self.steps, self.batch)

        def step(state: Any, turn: tuple[Array, Array]) -> tuple[Any, None]:
            (params, opt), (index, rows) = state, turn
            width_key, mask_key, *keys = jax.random.split(jax.random.fold_in(epoch_key, index + 1), 4)
            progress = (number * self.steps + index + 1) / (epochs * self.steps)
            width = masking.span_width(width_key, progress, SPANS_FROM, SPANS_TO, LONGEST_SPAN)
            mask = masking.draw_mask(mask_key, self.batch, self.data.time, MASK_RATIO, width, LONGEST_SPAN)

            def loss(params: Any) -> Array:
                return self.loss(nnx.merge(graph, params, rest), self.train[rows], mask, (keys[0], keys[1]))

            updates, opt = self.optimizer.update(jax.grad(loss)(params), opt, params)
            size = -settings["learning_rate"] * rate(progress)
            return (optax.apply_updates(params, jax.tree.map(lambda update: size * update, updates)), opt), None

        return jax.lax.scan(step, state, (jnp.arange(self.steps), order))[0]

    @functools.partial(jax.jit, static_argnums=0)
    def validate(self, settings: models.Settings, params: Any) -> Array:
        """The loss on the validation trials, under masks that are always the same."""
        graph, _, rest = self.split(settings, 0)
        return self.loss(nnx.merge(graph, params, rest), *self.validation, None)

    def validation_loss(self, rates: np.ndarray) -> float:
        """The loss on the validation trials of rates that are given, (trials, time, neurons), under the same masks."""
        spikes, mask = self.validation
        counted = mask[..., jnp.newaxis] | (jnp.arange(self.neurons)[jnp.newaxis, jnp.newaxis] >= self.seen)
        logs = jnp.log(jnp.maximum(jnp.asarray(rates, jnp.float32), metrics.TINY))
        return float(metrics.masked_mean(metrics.poisson_loss(logs, spikes), counted))

    @functools.partial(jax.jit, static_argnums=0)
    def infer(self, settings: models.Settings, params: Any, spikes: Array) -> Array:
        """The rates, (trials, time, neurons), from the neurons that are seen; nothing is masked."""
        graph, _, rest = self.split(settings, 0)
        known = {"seen": jnp.arange(self.neurons)[jnp.newaxis, jnp.newaxis] < self.seen} if self.name == "smoother" else {}
        return jnp.exp(nnx.merge(graph, params, rest)(self.hide(spikes), **known))

    def start(self, settings: models.Settings, seed: int) -> Any:
        """The parameters before training."""
        return jax.jit(lambda settings, seed: self.split(settings, seed)[1])(as_arrays(settings), seed)

    def fit(self, settings: models.Settings, seed: int, epochs: int) -> Fit:
        """Train one; what is not trained is only validated.

        Raises:
          DivergedError: the validation loss is not finite.
        """
        began, arrays = time.perf_counter(), as_arrays(settings)
        params = self.start(settings, seed)
        state, best = (params, self.optimizer.init(params)), (float("inf"), 0, params)
        for number in range(epochs if models.KINDS[self.name].trained else 1):
            if models.KINDS[self.name].trained:
                state = self.epoch(arrays, jnp.int32(seed), jnp.int32(number), jnp.int32(epochs), state)
            loss = float(self.validate(arrays, state[0]))
            if not np.isfinite(loss):
                raise DivergedError(f"{self.name} {dict(settings)}, seed {seed}: the validation loss is {loss}")
            if loss < best[0]:
                best = (loss, number + 1, state[0])
        return Fit(best[2], best[1], best[0], time.perf_counter() - began)

    def test(self, settings: models.Settings, params: Any, trials: Trials) -> dict[str, float]:
        """R² of the rates of seen and of held-out neurons, and co-bps: bits per spike of the held-out ones."""
        rates, cut = np.asarray(self.infer(as_arrays(settings), params, jnp.asarray(trials.spikes))), self.seen
        return {
            "r2": metrics.r2(trials.rates[..., :cut], rates[..., :cut]),
            "r2_held_out": metrics.r2(trials.rates[..., cut:], rates[..., cut:]),
            "co_bps": metrics.bits_per_spike(rates[..., cut:], trials.spikes[..., cut:]),
        }


def rate(progress: Array) -> Array:
    """What the learning rate is multiplied by: up to 1 in the first twentieth of the training, then half a cosine down to 0."""
    return jnp.minimum(progress / WARM_UP, 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((progress - WARM_UP) / (1 - WARM_UP), 0.0, 1.0))))


def as_arrays(settings: models.Settings) -> dict[str, Any]:
    """Settings as arguments of a compiled program; whole numbers stay whole."""
    return {name: jnp.asarray(value, jnp.int32 if isinstance(value, int) else jnp.float32) for name, value in settings.items()}
