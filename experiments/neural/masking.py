"""What a model sees of the spikes, and which of them it is scored on: the masking of the Neural Data Transformer."""

import jax
import jax.numpy as jnp
from jax import Array


def expand_mask(seed: Array, width: Array | int, longest: int | None = None) -> Array:
    """Spans around the seeds of a mask: every seed at s covers `s - (w - 1 - ⌊w/2⌋) … s + ⌊w/2⌋`.

    Args:
      seed: (trials, time), booleans or zeros and ones.
      width: w of the whole batch, at least 1; it may be traced if `longest` is given.
      longest: the largest w there can be; `width` unless given.

    >>> expand_mask(jnp.array([[0, 0, 1, 0, 0, 0]]), 4).astype(int).tolist()
    [[0, 1, 1, 1, 1, 0]]
    """
    seed = jnp.asarray(seed).astype(bool)
    longest = int(width) if longest is None else longest
    ahead, behind = width // 2, width - 1 - width // 2
    out, time = jnp.zeros_like(seed), seed.shape[-1]
    for offset in range(-min((longest - 1) // 2, time - 1), min(longest // 2, time - 1) + 1):
        shifted = jnp.pad(seed, ((0, 0), (max(offset, 0), max(-offset, 0))))
        shifted = shifted[:, :time] if offset >= 0 else shifted[:, -offset:]
        out |= shifted & (offset >= -behind) & (offset <= ahead)
    return out


def span_width(key: Array, progress: Array | float, start: float, end: float, longest: int) -> Array:
    """The width of a batch's spans: 1, or, with a probability that grows from 0 at `start` to 1 at `end`, uniform 1…longest."""
    how, which = jax.random.split(key)
    probability = jnp.clip((progress - start) / (end - start), 0.0, 1.0)
    return jnp.where(jax.random.uniform(how) < probability, jax.random.randint(which, (), 1, longest + 1), 1)


def draw_mask(
    key: Array, trials: int, time: int, ratio: float = 0.25, width: Array | int = 1, longest: int | None = None
) -> Array:
    """Whole time steps to be masked, (trials, time): each is a seed with probability `ratio / width`."""
    return expand_mask(jax.random.bernoulli(key, ratio / width, (trials, time)), width, longest)


def corrupt(
    key: Array, spikes: Array, mask: Array, max_spikes: int, token_ratio: float = 1.0, random_ratio: float = 0.5
) -> Array:
    """What the model sees: (trials, time, neurons) counts, of which those where `mask` (trials, time) is True are altered.

    A share `token_ratio` of them, drawn for each neuron by itself, becomes 0; of the others a share `random_ratio` becomes a
    random count from 0 to `max_spikes - 1`; what is left stays.
    """
    token, share, value = jax.random.split(key, 3)
    zero = jax.random.bernoulli(token, token_ratio, spikes.shape)
    random = jax.random.bernoulli(share, random_ratio, spikes.shape)
    counts = jax.random.randint(value, spikes.shape, 0, max(max_spikes, 1), spikes.dtype)
    altered = jnp.where(zero, jnp.zeros_like(spikes), jnp.where(random, counts, spikes))
    return jnp.where(mask[..., jnp.newaxis], altered, spikes)
