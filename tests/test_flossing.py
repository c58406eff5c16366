"""The leading Lyapunov exponents, the penalty on them, and gradients of what the analysis finds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import flossing
from momentum_rnn_jax import analysis
from momentum_rnn_jax.analysis._scaled import spectral_norm
from tests.flax_cells import standard_promotion
from tests.registry import FEATURES, problem

STEPS = 12


def run_of(core, time=STEPS, mu=0.6):
    cell = mr.Cell(core, mr.Momentum(mu=mu, step_size=0.7))
    params, xs, state, _ = problem(cell, time=time, batch=())
    return cell, params, xs, state


def along(function, params):
    """A derivative by finite differences and one by automatic differentiation, in a random direction."""
    random = np.random.default_rng(5)
    direction = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), params)

    def moved(amount):
        return function(jax.tree.map(lambda leaf, d: leaf + amount * d, params, direction))

    # Of fourth order: the error is that of rounding, 1e-16 / 1e-3.
    near, far = ((moved(eps) - moved(-eps)) / (2 * eps) for eps in (1e-3, 2e-3))
    gradient = jax.grad(function)(params)
    slope = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    return float(slope), float((4 * near - far) / 3)


@pytest.mark.parametrize("wrt", ["core", "full"])
def test_the_leading_exponents_are_the_first_of_the_whole_frame(float64, wrt):
    """A velocity that fades faster than the core: equal exponents, as of three velocities, come in any order in a short run."""
    run = run_of(mr.LSTM(3), 60, mu=0.01)
    n = {"core": 6, "full": 18}[wrt]
    frame = jnp.asarray(np.random.default_rng(1).normal(size=(n, n)))
    whole = analysis.lyapunov_spectrum(*run, wrt=wrt, frame=frame, warmup=20)
    for k in (1, 3):
        leading = analysis.lyapunov_spectrum(*run, wrt=wrt, frame=frame, warmup=20, leading=k)
        narrow = analysis.lyapunov_spectrum(*run, wrt=wrt, frame=frame[:, :k], warmup=20)
        assert leading.shape == (k,)
        np.testing.assert_array_equal(leading, narrow)
        np.testing.assert_allclose(leading, whole[:k], rtol=0, atol=1e-12)


def test_without_a_frame_the_leading_exponents_are_the_largest(float64):
    """The identity would stay with the first coordinates, whose rates are the smallest here."""
    cell = mr.Cell(mr.Elman(4, activation="identity"), mr.Momentum(mu=0.7))
    params = cell.init(jax.random.key(0), 1)
    params["core"]["kernel"] = jnp.diag(jnp.array([0.1, 0.2, 0.8, 0.9]))
    xs = jnp.ones((400, 1))
    found = analysis.lyapunov_spectrum(cell, params, xs, warmup=300, leading=3)
    np.testing.assert_allclose(np.exp(found), [0.9, 0.8, 0.7], rtol=1e-9)
    two = analysis.lyapunov_spectrum(cell, params, xs, warmup=300, leading=2)
    np.testing.assert_allclose(two, found[:2], rtol=0, atol=1e-14)


def test_leading_is_at_most_the_columns_that_there_are():
    run = run_of(mr.Elman(3))
    with pytest.raises(ValueError, match="leading must be an integer of at most 2, got 3"):
        analysis.lyapunov_spectrum(*run, frame=jnp.eye(6, 2), leading=3)
    with pytest.raises(ValueError, match=r"frame must have shape \(6, k\) with k from 1 to 6, got \(6, 7\)"):
        analysis.lyapunov_spectrum(*run, frame=jnp.eye(6, 7))
    with pytest.raises(ValueError, match="frame must have 2 independent columns, got a matrix of rank 1"):
        analysis.lyapunov_spectrum(*run, frame=jnp.ones((6, 2)))


def test_flossing_is_the_sum_of_squares(float64):
    run = run_of(mr.GRU(4))
    exponents = analysis.lyapunov_spectrum(*run, wrt="core", warmup=2, leading=3)
    assert analysis.flossing(*run, leading=3, warmup=2) == pytest.approx(np.sum(np.square(exponents)), rel=1e-13)


@pytest.mark.parametrize(
    ("core", "leading"),
    [
        pytest.param(mr.Elman(4), 4, id="elman"),
        pytest.param(mr.LSTM(3), 2, id="lstm"),
        pytest.param(mr.GRU(4), 3, id="gru", marks=pytest.mark.exhaustive),
    ],
)
def test_the_gradient_of_flossing_is_that_of_finite_differences(float64, core, leading):
    cell, params, xs, state = run_of(core)
    penalty = jax.jit(lambda params: analysis.flossing(cell, params, xs, state, leading=leading, warmup=2))
    slope, difference = along(penalty, params)
    assert abs(difference) > 1e-3
    assert slope == pytest.approx(difference, rel=1e-6)


def test_flossing_brings_the_exponents_of_the_core_to_zero(float64):
    cell, params, xs, _ = run_of(mr.Elman(5))

    @jax.jit
    def step(params):
        gradient = jax.grad(lambda params: analysis.flossing(cell, params, xs, leading=2))(params)
        return jax.tree.map(lambda leaf, g: leaf - 0.2 * g, params, gradient)

    before = analysis.lyapunov_spectrum(cell, params, xs, wrt="core", leading=2)
    for _ in range(60):
        params = step(params)
    after = analysis.lyapunov_spectrum(cell, params, xs, wrt="core", leading=2)
    assert np.abs(before).max() > 0.1
    assert np.abs(after).max() < 1e-3


@pytest.mark.parametrize(
    ("wrt", "norm"),
    [
        ("hidden", "frobenius"),
        ("full", "spectral"),
        pytest.param("hidden", "spectral", marks=pytest.mark.exhaustive),
        pytest.param("full", "frobenius", marks=pytest.mark.exhaustive),
    ],
)
def test_log_norms_have_gradients(float64, wrt, norm):
    cell, params, xs, state = run_of(mr.LSTM(3), 6)
    of_params = jax.jit(lambda params: analysis.jacobian_log_norms(cell, params, xs, state, wrt, norm)[:3].sum())
    slope, difference = along(of_params, params)
    assert slope == pytest.approx(difference, rel=1e-6)


def test_input_sensitivity_has_gradients(float64):
    cell, params, xs, state = run_of(mr.Elman(3), 6)
    slope, difference = along(jax.jit(lambda xs: analysis.input_sensitivity(cell, params, xs, state)[:4].sum()), xs)
    assert xs.shape == (6, FEATURES)
    assert slope == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_the_derivative_of_the_spectral_norm_is_an_outer_product(float64, shape):
    A = np.random.default_rng(3).normal(size=shape)
    u, s, v = np.linalg.svd(A)
    value, gradient = jax.value_and_grad(spectral_norm)(jnp.asarray(A))
    assert value == pytest.approx(s[0], rel=1e-14)
    np.testing.assert_allclose(gradient, np.outer(u[:, 0], v[0]), rtol=0, atol=1e-12)
    tangent = np.random.default_rng(4).normal(size=shape)
    forward = jax.jvp(spectral_norm, (jnp.asarray(A),), (jnp.asarray(tangent),))[1]
    assert forward == pytest.approx(u[:, 0] @ tangent @ v[0], rel=1e-10)


def test_where_singular_values_are_equal_the_derivative_is_one_of_theirs(float64):
    gradient = jax.grad(spectral_norm)(2 * jnp.eye(3))
    assert np.linalg.norm(gradient, 2) == pytest.approx(1)
    assert np.trace(gradient) == pytest.approx(1)


def test_a_batch_of_penalties(float64):
    cell, params, _, _ = run_of(mr.Elman(3))
    batch = jnp.asarray(np.random.default_rng(6).normal(size=(2, STEPS, FEATURES)))
    penalty = partial(analysis.flossing, cell, params, leading=2)
    together = jax.jit(jax.vmap(penalty))(batch)
    np.testing.assert_allclose(together, [penalty(xs) for xs in batch], rtol=1e-12)


def test_the_experiment_writes_its_report_and_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(flossing, "ARMS", flossing.ARMS[1:2])
    with standard_promotion():
        assert flossing.main(["--seeds", "2", "--updates", "50", "--floss", "2", "--out", str(tmp_path)]) == 0
    report = (tmp_path / "report.md").read_text()
    assert "| RNN, Gaussian, flossed | -" in report
    assert "python -m experiments.flossing --seeds 2" in report
    assert (tmp_path / "flossing.png").read_bytes().startswith(b"\x89PNG")
