"""Trajectories sampled at different rates, and moving digits: what they are by their definitions."""

import numpy as np
import pytest

from experiments import datasets
from experiments.datasets import DataError, moving, trajectories


def test_trajectories_are_the_same_paths_at_another_rate():
    full, halved = trajectories.load(), trajectories.load(train_every=2)
    assert [split.inputs.shape for split in halved[:3]] == [(1200, 50, 3), (400, 50, 3), (400, 100, 3)]
    for one, other in zip(full[:2], halved[:2], strict=True):
        np.testing.assert_array_equal(one.inputs[:, 1::2], other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(full.test.inputs, halved.test.inputs)
    assert halved.info.origin["train_every"] == 2
    for split, size in zip(full[:3], (120, 40, 40), strict=True):
        np.testing.assert_array_equal(np.bincount(split.targets), [size] * 10)


def test_trajectories_are_smooth():
    inputs = trajectories.load().train.inputs
    jumps = np.diff(inputs, axis=1)
    assert jumps.std() < 0.15 * inputs.std()


def test_moving_digits_keep_their_image_and_move_in_straight_lines_that_bounce():
    data = moving.load()
    assert data.train.inputs.shape == data.train.targets.shape == (1000, 12, 16, 16, 1)
    np.testing.assert_array_equal(data.train.inputs[:, 1:], data.train.targets[:, :-1])
    mass = data.train.inputs.sum((2, 3, 4))
    np.testing.assert_allclose(mass, mass[:, :1] * np.ones(12), rtol=1e-5)  # nothing leaves the frame
    rows = (data.train.inputs.sum((3, 4)) * np.arange(16)).sum(2) / mass
    assert np.abs(np.diff(rows, axis=1)).max() <= moving.SPEED + 1
    assert np.abs(np.diff(rows, axis=1)).mean() > 0.5


def test_classes_and_noise_of_moving_digits():
    clean, noisy = moving.load(predict="class"), moving.load(predict="class", noise=0.5)
    assert clean.train.targets.shape == (1000,)
    assert len(np.unique(clean.train.targets)) == 10
    for one, other in zip(clean[:3], noisy[:3], strict=True):
        np.testing.assert_array_equal(one.targets, other.targets)
    assert (noisy.train.inputs[0] - clean.train.inputs[0]).std() == pytest.approx(0.5, rel=0.05)


def test_bad_options_are_refused():
    with pytest.raises(DataError, match="trajectories has no source, got elsewhere: its data comes with the code"):
        datasets.load("trajectories", "anywhere", "elsewhere")
    with pytest.raises(DataError, match="moving has no source, got elsewhere: its data comes with the code"):
        datasets.load("moving", "anywhere", "elsewhere")
    with pytest.raises(ValueError, match="test_every must be at most 100, got 101"):
        trajectories.load(test_every=101)
    with pytest.raises(ValueError, match="predict must be"):
        moving.load(predict="colour")
    with pytest.raises(ValueError, match="noise must"):
        moving.load(noise=-1.0)
