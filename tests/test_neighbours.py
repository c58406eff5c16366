"""The tasks of neighbouring work: their data by its definition, and their cells."""

import json

import jax
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import cells, configs, datasets, networks, record, tasks
from experiments.datasets import DataError, mnist, moving, trajectories


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


@pytest.mark.parametrize("name", [name for name in cells.CELLS if not hasattr(mr.named, name)])
def test_a_cell_takes_its_options_and_its_record_is_plain(name):
    values = {"mu": 0.3, "step_size": 0.5, "restart": 3, "forget_bias": 1.5, "memory_order": 4, "window": 3}
    values |= {"init_scheme": "released"}
    cell = cells.make(name, 5, {option: values[option] for option in cells.options_of(name)})
    text = json.dumps(record.describe(cell), default=lambda value: np.asarray(value).tolist())
    for option in cells.options_of(name):
        named = {"window": "k", "memory_order": "order" if name == "hippo_driven_lstm" else "memory_order"}.get(option, option)
        assert f'"{named}": {json.dumps(values[option])}' in text
    assert cell.core.output_features == 5
    with pytest.raises(ValueError, match="eps is not an argument of the cell"):
        cells.make(name, 5, {"eps": 0.1})


def test_bit_reversal_visits_every_pixel_once():
    order = mnist.bit_reversal()
    assert order[:10].tolist() == [0, 512, 256, 768, 128, 640, 384, 64, 576, 320]
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    assert mnist.bit_reversal(5).tolist() == [0, 4, 2, 1, 3]


def test_runs_of_bit_reversed_mnist_read_in_that_order():
    config = configs.get("bit_reversed_mnist_lstm_64")
    data = tasks.Data(None, datasets.Split(np.zeros((2, 784, 1)), np.zeros(2)), None, {})
    np.testing.assert_array_equal(tasks.orders([config, config], data), [mnist.bit_reversal()] * 2)


def test_moving_digits_are_for_convolutional_cells():
    with pytest.raises(configs.ConfigError, match="cell must be a convolutional one for the task 'moving_digits', got 'lstm'"):
        configs.override(configs.get("moving_digits_conv_lstm"), ["cell=lstm"])


def test_a_network_reads_every_pixel_of_a_frame_and_averages_over_the_last_one():
    cell = mr.Cell(cells.Feedforward(3, (4, 5)))
    every, last = (networks.Network(cell, 1, 2, every_step) for every_step in (True, False))
    params, inputs = every.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (6, 7, 4, 5, 1))
    outputs = every.apply(params, inputs)
    assert outputs.shape == (6, 7, 4, 5, 2)
    np.testing.assert_allclose(last.apply(params, inputs), outputs[:, -1].mean((1, 2)), rtol=1e-5, atol=1e-6)
    batch = datasets.Split(inputs, np.zeros(outputs.shape, np.float32))
    (loss,) = tasks.means(tasks.video(outputs, batch)).values()
    np.testing.assert_allclose(loss, np.square(outputs).mean(), rtol=1e-5)
