"""Synthetic tasks, generated on the device from a key: adding, copying, denoising, and a signal to track under noise.

`length` and `batch_size` are static under `jax.jit`: `jax.jit(adding, static_argnums=(1, 2))`. There are no splits: a fixed key
gives a fixed validation or test set.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks

NUM_SYMBOLS = 8  # that carry data; then the blank and the delimiter
BLANK, DELIMITER = NUM_SYMBOLS, NUM_SYMBOLS + 1
ALPHABET = NUM_SYMBOLS + 2
NUM_DATA = 10  # symbols to remember


class Batch(NamedTuple):
    """`inputs`: (batch, time, features) float32. `targets`: (batch,) float32 of `adding`, (batch, time) float32 of `tracking`,
    else (batch, time) int32.
    """

    inputs: Array
    targets: Array


def adding(key: Array, batch_size: int, length: int) -> Batch:
    """The adding problem: the sum of the two numbers that are marked among many.

    The first feature is uniform in [0, 1); the second is 1 at two steps, one in each half of the sequence, and 0 elsewhere. The
    target is the sum of the first feature there. Always answering 1 has a mean squared error of 1/6.

    S. Hochreiter, J. Schmidhuber (1997), in the form of M. Arjovsky, A. Shah, Y. Bengio, "Unitary Evolution Recurrent Neural
    Networks" (2016).

    `length` is their number of steps T, at least 2; 200 to 750 in the paper.

    Returns:
      `inputs` (batch, length, 2), `targets` (batch,); both float32.

    >>> batch = adding(jax.random.key(0), 3, 100)
    >>> batch.inputs.shape, batch.targets.shape
    ((3, 100, 2), (3,))
    """
    _check(key, batch_size, length, low=2)
    value_key, first_key, second_key = jax.random.split(key, 3)
    values = jax.random.uniform(value_key, (batch_size, length), jnp.float32)
    half = length // 2
    first = jax.random.randint(first_key, (batch_size,), 0, half)
    second = jax.random.randint(second_key, (batch_size,), half, length)
    marks = jax.nn.one_hot(first, length, dtype=jnp.float32) + jax.nn.one_hot(second, length, dtype=jnp.float32)
    return Batch(jnp.stack([values, marks], axis=-1), jnp.sum(values * marks, axis=1))


def copying(key: Array, batch_size: int, length: int) -> Batch:
    """The copying problem: repeat ten symbols after a delay.

    The input is ten symbols from an alphabet of eight, `length` - 1 blanks, the delimiter, and ten blanks; the target is
    `length` + 10 blanks and the ten symbols. Blanks and guesses have a mean cross entropy of `10 log 8 / (length + 20)` nats.

    M. Arjovsky, A. Shah, Y. Bengio, "Unitary Evolution Recurrent Neural Networks" (2016).

    `length` is the delay T, at least 1; 100 to 2000 in the literature.

    Returns:
      `inputs` (batch, length + 20, 10) float32, one-hot; `targets` (batch, length + 20) int32.

    >>> batch = copying(jax.random.key(0), 3, 100)
    >>> batch.inputs.shape, batch.targets.shape
    ((3, 120, 10), (3, 120))
    """
    _check(key, batch_size, length, low=1)
    data = _data(key, batch_size)
    symbols = jnp.concatenate(
        [data, _blanks(batch_size, length - 1), _delimiter(batch_size), _blanks(batch_size, NUM_DATA)], axis=1
    )
    return _recall(symbols, data)


def denoise(key: Array, batch_size: int, length: int) -> Batch:
    """The denoising problem: repeat ten symbols that were scattered among blanks.

    Of the first `length` + 9 steps of the input, ten carry symbols from an alphabet of eight, and the others blanks; then come
    the delimiter and ten blanks. The target is `length` + 10 blanks and the ten symbols in their order.

    L. Jing et al., "Gated Orthogonal Recurrent Units: On Learning to Forget" (2017); its code has nine symbols, and may draw
    the same step twice, which loses a symbol. Here steps are drawn without replacement.

    `length` is T, at least 1; 200 in the paper's code.

    Returns:
      `inputs` (batch, length + 20, 10) float32, one-hot; `targets` (batch, length + 20) int32.

    >>> batch = denoise(jax.random.key(0), 3, 100)
    >>> batch.inputs.shape, batch.targets.shape
    ((3, 120, 10), (3, 120))
    """
    _check(key, batch_size, length, low=1)
    data_key, place_key = jax.random.split(key)
    data = _data(data_key, batch_size)
    noisy = _blanks(batch_size, length + NUM_DATA - 1)
    shuffled = jnp.argsort(jax.random.uniform(place_key, noisy.shape), axis=1)
    steps = jnp.sort(shuffled[:, :NUM_DATA], axis=1)
    noisy = jax.vmap(lambda row, step, symbols: row.at[step].set(symbols))(noisy, steps, data)
    symbols = jnp.concatenate([noisy, _delimiter(batch_size), _blanks(batch_size, NUM_DATA)], axis=1)
    return _recall(symbols, data)


def tracking(key: Array, batch_size: int, length: int, correlation_time: float, noise: float) -> Batch:
    """A signal in noise, to be told from the past at every step.

    The signal z is Gaussian with mean 0, variance 1 and correlation `exp(-|t - t'| / correlation_time)`, and is stationary.
    The input is `z_t + noise n_t` with white n of variance 1, the target z_t. Without memory, the best answer
    `x_t / (1 + noise²)` has a mean squared error of `noise² / (1 + noise²)`.

    `length` is the number of steps, at least 1.

    Returns:
      `inputs` (batch, length, 1), `targets` (batch, length); both float32.

    >>> batch = tracking(jax.random.key(0), 3, 100, correlation_time=10.0, noise=1.0)
    >>> batch.inputs.shape, batch.targets.shape
    ((3, 100, 1), (3, 100))
    """
    _check(key, batch_size, length, low=1)
    _checks.number("correlation_time", correlation_time, low=0.0, low_open=True)
    _checks.number("noise", noise, low=0.0)
    signal_key, noise_key = jax.random.split(key)
    kept = math.exp(-1 / correlation_time)
    # Of a stationary signal, z_t = kept z_{t-1} + sqrt(1 - kept²) e_t; the first value has variance 1.
    news = jax.random.normal(signal_key, (length, batch_size), jnp.float32)
    news = news.at[1:].multiply(math.sqrt(1 - kept * kept))

    def step(z: Array, new: Array) -> tuple[Array, Array]:
        z = kept * z + new
        return z, z

    signal = jax.lax.scan(step, jnp.zeros(batch_size, jnp.float32), news)[1].T
    inputs = signal + noise * jax.random.normal(noise_key, signal.shape, jnp.float32)
    return Batch(inputs[..., jnp.newaxis], signal)


def _check(key: Array, batch_size: int, length: int, low: int) -> None:
    _checks.key(key)
    _checks.integer("batch_size", batch_size, low=1)
    _checks.integer("length", length, low=low)


def _data(key: Array, batch_size: int) -> Array:
    return jax.random.randint(key, (batch_size, NUM_DATA), 0, NUM_SYMBOLS, jnp.int32)


def _blanks(batch_size: int, steps: int) -> Array:
    return jnp.full((batch_size, steps), BLANK, jnp.int32)


def _delimiter(batch_size: int) -> Array:
    return jnp.full((batch_size, 1), DELIMITER, jnp.int32)


def _recall(symbols: Array, data: Array) -> Batch:
    """One-hot inputs; targets are blank but for the data at the end."""
    batch_size, steps = symbols.shape
    targets = jnp.concatenate([_blanks(batch_size, steps - NUM_DATA), data], axis=1)
    return Batch(jax.nn.one_hot(symbols, ALPHABET, dtype=jnp.float32), targets)
