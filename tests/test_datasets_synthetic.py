"""Synthetic tasks: what they are by their definitions, and their baselines."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.datasets import synthetic

# Compiled, which is quicker than one operation at a time.
adding, copying, denoise = (
    jax.jit(task, static_argnums=(1, 2)) for task in (synthetic.adding, synthetic.copying, synthetic.denoise)
)


@pytest.mark.parametrize("task", [adding, copying, denoise])
def test_a_key_gives_one_batch_with_or_without_jit(task):
    batch = task(jax.random.key(3), 4, 30)
    for compiled, eager in zip(batch, task.__wrapped__(jax.random.key(3), 4, 30), strict=True):
        np.testing.assert_array_equal(compiled, eager)
    assert not np.array_equal(task(jax.random.key(4), 4, 30).inputs, batch.inputs)


@pytest.mark.parametrize("length", [2, 3, 751])
def test_adding_is_the_sum_of_two_marked_numbers(length):
    inputs, targets = adding(jax.random.key(0), 200, length)
    assert (inputs.shape, inputs.dtype, targets.dtype) == ((200, length, 2), jnp.float32, jnp.float32)
    values, marks = np.moveaxis(np.asarray(inputs), -1, 0)
    half = length // 2
    assert set(np.unique(marks)) == ({0, 1} if length > 2 else {1})
    np.testing.assert_array_equal(marks[:, :half].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, half:].sum(axis=1), 1)
    marked = np.stack([row[mark == 1] for row, mark in zip(values, marks, strict=True)])
    np.testing.assert_allclose(targets, marked.sum(axis=1), rtol=1e-6)
    assert values.min() >= 0
    assert values.max() < 1


def test_marks_of_adding_are_everywhere():
    marks = np.asarray(adding(jax.random.key(0), 2000, 11).inputs[..., 1]).mean(axis=0)
    np.testing.assert_allclose(marks, [1 / 5] * 5 + [1 / 6] * 6, atol=0.04)


def test_the_baseline_of_adding():
    targets = np.asarray(adding(jax.random.key(0), 100_000, 2).targets)
    assert np.mean((targets - 1) ** 2) == pytest.approx(1 / 6, rel=0.02)


def symbols(batch):
    inputs = np.asarray(batch.inputs)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs.sum(axis=-1), 1)
    np.testing.assert_array_equal(inputs.max(axis=-1), 1)
    return inputs.argmax(axis=-1)


@pytest.mark.parametrize("length", [1, 2, 2000])
def test_copying_gives_back_the_first_ten_symbols(length):
    batch = copying(jax.random.key(0), 20, length)
    read, targets = symbols(batch), np.asarray(batch.targets)
    assert (batch.inputs.shape, targets.shape, targets.dtype) == ((20, length + 20, 10), (20, length + 20), np.int32)
    np.testing.assert_array_equal(targets[:, -10:], read[:, :10])
    assert np.all(targets[:, :-10] == 8)
    assert np.all(read[:, 10 : length + 9] == 8)
    assert np.all(read[:, length + 9] == 9)
    assert np.all(read[:, length + 10 :] == 8)
    assert set(np.unique(read[:, :10])) == set(range(8))


@pytest.mark.parametrize("length", [1, 200])
def test_denoise_gives_back_the_symbols_among_the_blanks(length):
    batch = denoise(jax.random.key(0), 50, length)
    read, targets = symbols(batch), np.asarray(batch.targets)
    assert (batch.inputs.shape, targets.shape) == ((50, length + 20, 10), (50, length + 20))
    noisy = read[:, : length + 9]
    np.testing.assert_array_equal((noisy < 8).sum(axis=1), 10)
    np.testing.assert_array_equal(targets[:, -10:], [row[row < 8] for row in noisy])
    assert np.all(targets[:, :-10] == 8)
    assert np.all(read[:, length + 9] == 9)
    assert np.all(read[:, length + 10 :] == 8)
    if length > 1:
        places = (noisy < 8).mean(axis=0)
        assert abs(places[:100].mean() - places[-100:].mean()) < 0.02  # everywhere alike
        assert places.max() < 0.3


@pytest.mark.parametrize("task", [copying, denoise])
def test_the_baseline_of_copying(task):
    targets = task(jax.random.key(0), 5, 40).targets
    # Certain of the blanks, and at the end of one of the eight symbols: log-probabilities.
    log_probabilities = np.full((5, 60, synthetic.ALPHABET), -np.inf)
    log_probabilities[:, :50, synthetic.BLANK] = 0
    log_probabilities[:, 50:, : synthetic.NUM_SYMBOLS] = -np.log(8)
    loss = -np.take_along_axis(log_probabilities, np.asarray(targets)[..., np.newaxis], axis=-1).mean()
    assert loss == pytest.approx(10 * math.log(8) / 60, rel=1e-12)


@pytest.mark.parametrize("task", [adding, copying, denoise])
def test_wrong_sizes_are_refused(task):
    with pytest.raises(ValueError, match="length must be an integer of at least"):
        task(jax.random.key(0), 3, 0)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        task(jax.random.key(0), 0, 30)
    with pytest.raises(TypeError, match="key must be one random key"):
        task(0, 3, 30)


@pytest.mark.parametrize(("time", "noise"), [(3.0, 0.5), (10.0, 2.0)])
def test_a_tracked_signal_has_its_correlation_time_and_its_noise(time, noise):
    draw = jax.jit(lambda key: synthetic.tracking(key, 40_000, 8, time, noise))
    inputs, targets = draw(jax.random.key(0))
    assert (inputs.shape, inputs.dtype, targets.shape, targets.dtype) == ((40_000, 8, 1), jnp.float32, (40_000, 8), jnp.float32)
    signal, noisy = np.asarray(targets, float), np.asarray(inputs[..., 0], float)
    lags = np.abs(np.arange(8)[:, None] - np.arange(8))
    np.testing.assert_allclose(signal.T @ signal / 40_000, np.exp(-lags / time), atol=0.03)  # stationary from the first step
    rest = noisy - signal
    np.testing.assert_allclose(rest.T @ rest / 40_000, noise**2 * np.eye(8), atol=0.03 * noise**2)
    np.testing.assert_allclose(signal.T @ rest / 40_000, 0, atol=0.03 * noise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correlation_time": 0.0, "noise": 1.0}, "correlation_time must be"),
        ({"correlation_time": 1.0, "noise": -1.0}, "noise must be"),
    ],
)
def test_a_signal_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        synthetic.tracking(jax.random.key(0), 2, 3, **options)
