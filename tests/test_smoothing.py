"""The smoothing identity: a linear drive with scalar coefficients is a causal filter of the inputs, whatever the core."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.registry import COMMON_CORES, CORES, DRIVES, assert_close, problem

VECTORS = [name for name, core in CORES.items() if core.feature_axes == 1]
LINEAR = ("momentum", "nesterov", "scheduled_restart")
# Each core of vectors after momentum, and each linear drive in front of an LSTM; `make test-all` has the other cores. Images are
# left out: an input of one would fade at their border, so their bias is added after the convolution (`execution.hoisted`).
PAIRS = [pytest.param("momentum", core, marks=() if core in COMMON_CORES else pytest.mark.exhaustive) for core in VECTORS]
PAIRS += [(drive, "lstm") for drive in LINEAR[1:]]


def on_smoothed_inputs(cell, params, xs):
    """The plain cell on the inputs and a constant one, all filtered by the drive: its kernel is [W; b], and it has no bias."""
    ones = jnp.ones((*xs.shape[:-1], 1))
    with_one = jnp.concatenate([xs, ones], axis=-1)
    _, smoothed = cell.drive.unroll(cell.drive.init(with_one[0]), with_one)
    kernel, bias = params["input"]["kernel"], params["input"].get("bias")
    kernel = jnp.concatenate([kernel, jnp.zeros((1, kernel.shape[1])) if bias is None else bias[jnp.newaxis]])
    own = {"kernel": kernel} | ({} if bias is None else {"bias": jnp.zeros_like(bias)})
    return mr.unroll(mr.Cell(cell.core), {**params, "input": own}, smoothed, method="stepwise")[1]


def with_the_drive(cell, params, xs):
    return mr.unroll(cell, params, xs, method="stepwise")[1]


@pytest.mark.parametrize(("drive", "core"), PAIRS)
def test_a_linear_drive_is_the_plain_cell_on_filtered_inputs(float64, drive, core):
    cell = mr.Cell(CORES[core], DRIVES[drive])
    params, xs, _, weights = problem(cell, time=12)

    @functools.partial(jax.jit, static_argnums=0)
    def values_and_gradients(run, *arguments):
        def total(*arguments):
            hs = run(*arguments)
            return jnp.sum(hs * weights), hs

        return jax.value_and_grad(total, argnums=(1, 2), has_aux=True)(*arguments)

    assert_close(
        values_and_gradients(on_smoothed_inputs, cell, params, xs), values_and_gradients(with_the_drive, cell, params, xs), 1e-12
    )


def test_it_holds_over_hundreds_of_steps_of_strong_momentum(float64):
    cell = mr.momentum_lstm(8, mu=0.9)
    params = cell.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (300, 2, 3))
    np.testing.assert_allclose(on_smoothed_inputs(cell, params, xs), with_the_drive(cell, params, xs), rtol=0, atol=1e-13)


def test_momentum_is_exponential_smoothing_with_gain_s_over_one_minus_mu(float64):
    drive, us = mr.Momentum(mu=0.6, step_size=0.2), np.random.default_rng(0).normal(size=(50, 3))
    _, ds = drive.unroll(drive.init(jnp.asarray(us[0])), jnp.asarray(us))
    weights = 0.4 * 0.6 ** np.arange(50)  # an exponential average, (1 - mu) mu^k
    averages = np.stack([np.tensordot(weights[: t + 1][::-1], us[: t + 1], 1) for t in range(50)])
    np.testing.assert_allclose(ds, 0.2 / (1 - 0.6) * averages, rtol=1e-12)


def test_momentum_for_each_unit_is_a_bank_of_filters_behind_the_projection(float64):
    mu = jnp.linspace(0.0, 0.9, 5)
    cell = mr.momentum_rnn(5, mu=mu)
    params, xs, _, _ = problem(cell, time=12)
    us = xs @ params["input"]["kernel"] + params["input"]["bias"].reshape(1, 1, 5)
    for unit in range(5):
        drive = mr.Momentum(mu[unit], cell.drive.step_size)
        own = drive.unroll(drive.init(us[0]), us)[1][..., unit]
        np.testing.assert_allclose(cell.drive.unroll(cell.drive.init(us[0]), us)[1][..., unit], own, rtol=1e-12)
    assert np.abs(on_smoothed_inputs(mr.momentum_rnn(5, mu=0.5), params, xs) - with_the_drive(cell, params, xs)).max() > 1e-2


@pytest.mark.parametrize("drive", ["adam", "rmsprop"])
def test_adaptive_drives_are_not_linear(float64, drive):
    us = jax.random.normal(jax.random.key(0), (10, 4))
    run = lambda us: DRIVES[drive].unroll(DRIVES[drive].init(us[0]), us)[1]  # noqa: E731
    assert np.abs(run(2 * us) - 2 * run(us)).max() > 0.1


def test_a_hidden_state_in_the_velocity_is_no_filter_of_the_inputs(float64):
    released, paper = mr.ReleasedNesterovLSTM(mr.LSTM(5), restart=3), mr.Cell(mr.LSTM(5), mr.Nesterov(restart=3))
    params, xs, _, _ = problem(paper)
    assert np.abs(on_smoothed_inputs(paper, params, xs) - with_the_drive(released, params, xs)).max() > 1e-2
