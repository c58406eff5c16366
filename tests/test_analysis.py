"""The analysis of gradients: against `jax.jacfwd` of composed maps, finite differences, and what is known in closed form."""

import dataclasses
import json
import math
import re
import sys
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import momentum_rnn_jax as mr
from benchmarks import analysis as benchmark
from momentum_rnn_jax import analysis
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax.analysis._scaled import spectral_norm
from tests import user_cores
from tests.flax_cells import standard_promotion
from tests.new_cores import NEW_CORES
from tests.registry import CELLS, COMMON_CORES, COVERING, FEATURES, HIDDEN, params_of, problem, split_floats

# Every drive before one core, every common core after one drive, what covers both, and the cell that is neither.
OF_VECTORS = [name for name, cell in CELLS.items() if cell.core.feature_axes == 1]  # images are refused
MOMENTUM = [f"momentum-{core}" for core in COMMON_CORES]
COMMON = COVERING - {name for name, cell in CELLS.items() if cell.core in NEW_CORES.values()}
NAMES = [name for name in CELLS if name.endswith("-lstm") or name in MOMENTUM or name in COMMON]
every_cell = pytest.mark.parametrize("name", params_of(NAMES))
T = 5


@mr.pytree_dataclass
class Readout(mr.Elman):
    """A core whose output is no entry of its state."""

    recurrence = "general"

    def step(self, prepared, state, d, noise=None):
        new, h = super().step(prepared, state, d)
        return new, jnp.sin(3 * h[..., :2])

    @property
    def output_features(self):
        return 2


@mr.pytree_dataclass
class Compiled(mr.Elman):
    """A core whose step is a compiled function, which returns h twice."""

    recurrence = "general"

    def step(self, prepared, state, d, noise=None):
        return jax.jit(jax.checkpoint(super().step))(prepared, state, d)


# Every other core: those of the package, some that wrap or are wrapped in more than one way, and some of a user's.
OTHER_CORES = {name: core for name, core in NEW_CORES.items() if core.feature_axes == 1} | {
    "linear_leaky": mr.Leaky(HIDDEN, activation="identity"),
    "recurrent_dropout_lstmp": mr.RecurrentDropout(mr.LSTM(HIDDEN, projection_features=3), rate=0.3),
    "layer_norm_recurrent_dropout": mr.LayerNorm(mr.RecurrentDropout(mr.LSTM(HIDDEN), rate=0.3), eps=0.1),
    "read_out": user_cores.CORES["read_out"],
    "counting": user_cores.CORES["counting"],
    "readout": Readout(HIDDEN),
    "compiled": Compiled(HIDDEN),
}
every_other_core = pytest.mark.parametrize("core", OTHER_CORES)


def varied(names, some, wrts, covering):
    """`(name, wrt)` as parameters of a test: all of the state for those that cover the others, and its parts for some of them."""
    marks = {True: (), False: pytest.mark.exhaustive}
    pairs = [(name, wrt, name in covering and (wrt == "full" or name in some)) for name in names for wrt in wrts]
    return pytest.mark.parametrize(("name", "wrt"), [pytest.param(*pair, marks=marks[often]) for *pair, often in pairs])


def single(name, dtype=float, time=T):
    """A cell of the registry, parameters, one sequence, and a state in the middle of it."""
    return arranged(CELLS[name], dtype, time)


def arranged(cell, dtype=float, time=T):
    """The cell, parameters, one sequence, and a state in the middle of it."""
    params, xs, state, _ = problem(cell, dtype, time=time, batch=())
    return cell, params, xs, state


def rows(matrix):
    """A linear RNN's kernel for the matrix U of `h_t = U h_{t-1}`: states are rows."""
    return jnp.asarray(matrix).T


def linear_rnn(U, drive=None):
    """A cell with `h_t = U h_{t-1} + d_t`, and parameters."""
    cell = mr.Cell(mr.Elman(len(U), activation="identity"), drive or mr.Identity())
    params = cell.init(jax.random.key(0), 1)
    return cell, {**params, "core": {**params["core"], "kernel": rows(U)}}


def symmetric(eigenvalues):
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(len(eigenvalues),) * 2))[0]
    return Q @ np.diag(eigenvalues) @ Q.T


def taken(state, wrt):
    """What varies, in the order of the coordinates, written down once more: h, the core's others, the drive's floats."""
    others = [getattr(state.core, field) for field in others_of(state.core)]
    drive = split_floats(state.drive)[0]
    return {"hidden": [state.core.h], "core": [state.core.h, *others], "drive": drive, "full": [state.core.h, *others, *drive]}[
        wrt
    ]


def others_of(core_state):
    """The entries beside h with coordinates of their own: integers have none, nor has the h that recurrent dropout outputs."""
    fields = [field for field in core_state._fields if field not in ("h", "count", "steps")]
    return [field for field in fields if not (isinstance(core_state, mr.RecurrentDropoutState) and field == "y")]


def replaced(state, wrt, values):
    values = list(values)
    core, drive = state.core, state.drive
    if wrt != "drive":
        h = values.pop(0)
        if isinstance(core, mr.RecurrentDropoutState):
            core = core._replace(y=core.y + (h - core.h))
        core = core._replace(h=h)
    if wrt in ("core", "full"):
        core = core._replace(**{field: values.pop(0) for field in others_of(core)})
    if wrt in ("drive", "full"):
        drive = split_floats(drive)[1](values)
    return mr.CellState(drive, core)


def states_before(cell, params, xs, state):
    """s_0 … s_{T-1}, stacked."""
    return jax.lax.scan(lambda state, x: (cell.step(params, state, x)[0], state), state, xs)[1]


def composed(cell, params, xs, state, wrt):
    """`(z_0, F)`: F takes what varies through all steps, and puts the rest back to where the run had it, at each of them."""
    z, unravel = ravel_pytree(taken(state, wrt))

    def step(z, inputs):
        x, held = inputs
        return ravel_pytree(taken(cell.step(params, replaced(held, wrt, unravel(z)), x)[0], wrt))[0], None

    return z, lambda z: jax.lax.scan(step, z, (xs, states_before(cell, params, xs, state)))[0]


@varied(NAMES, ["momentum-lstm"], ("hidden", "core", "full"), COVERING)
def test_products_are_jacobians_of_composed_maps(float64, name, wrt):
    cell, params, xs, state = single(name)
    z = ravel_pytree(taken(state, wrt))[0]
    direction = jnp.asarray(np.random.default_rng(1).normal(size=z.size))

    @jax.jit  # one program, which compiles faster than three
    def work_out(state, eps=1e-5):
        z, through = composed(cell, params, xs, state, wrt)
        difference = (through(z + eps * direction) - through(z - eps * direction)) / (2 * eps)
        product = analysis.jacobian_product(cell, params, xs, state, wrt=wrt)
        return jax.jacfwd(through)(z), difference, product, analysis.step_jacobians(cell, params, xs, state, wrt)

    jacobian, difference, product, steps = work_out(state)
    assert steps.shape == (T, z.size, z.size)
    scale = np.abs(jacobian).max()
    np.testing.assert_allclose(product, jacobian, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(np.linalg.multi_dot(steps[::-1]), jacobian, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(product @ direction, difference, rtol=0, atol=1e-6 * np.abs(difference).max())


@varied(OTHER_CORES, ["recurrent_dropout_lstmp", "compiled"], ("hidden", "core", "full"), OTHER_CORES)
def test_products_are_jacobians_of_the_state_after_some_steps(float64, name, wrt):
    cell, params, xs, state = arranged(mr.Cell(OTHER_CORES[name], mr.Momentum(mu=0.6, step_size=0.7)), time=3)

    def after(z, unravel):
        last, _ = jax.lax.scan(lambda state, x: (cell.step(params, state, x)[0], None), replaced(state, wrt, unravel(z)), xs)
        return ravel_pytree(taken(last, wrt))[0]

    @jax.jit
    def work_out():
        z, unravel = ravel_pytree(taken(state, wrt))
        through = composed(cell, params, xs, state, wrt)[1] if wrt == "hidden" else lambda z: after(z, unravel)
        run = cell, params, xs, state
        spectrum = analysis.singular_spectrum(*run, wrt=wrt), analysis.lyapunov_spectrum(*run, wrt=wrt)
        product, log_norms = analysis.jacobian_product(*run, wrt=wrt), analysis.jacobian_log_norms(*run, wrt, "frobenius")
        return jax.jacfwd(through)(z), product, analysis.step_jacobians(*run, wrt), log_norms, spectrum

    jacobian, product, steps, log_norms, (singular, exponents) = work_out()
    scale = np.abs(jacobian).max()
    np.testing.assert_allclose(product, jacobian, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(np.linalg.multi_dot(steps[::-1]), jacobian, rtol=0, atol=1e-9 * scale)
    assert log_norms[0] == pytest.approx(np.log10(np.linalg.norm(jacobian)), abs=1e-9)
    resolved = ~np.isnan(singular)
    expected = np.linalg.svd(jacobian, compute_uv=False)
    np.testing.assert_allclose(10 ** singular[resolved], expected[resolved], rtol=0, atol=1e-9 * scale)
    Q, stretched = np.eye(len(jacobian)), 1.0
    for J in np.asarray(steps):
        Q, R = np.linalg.qr(J @ Q)
        stretched = stretched * np.abs(np.diag(R))
    np.testing.assert_allclose(np.exp(3 * exponents), np.sort(stretched)[::-1], rtol=0, atol=1e-9)


@every_cell
def test_losses_against_automatic_differentiation(float64, name):
    check_losses(*single(name))


@every_other_core
def test_losses_of_other_cores_against_automatic_differentiation(float64, core):
    check_losses(*arranged(mr.Cell(OTHER_CORES[core], mr.Momentum(mu=0.6, step_size=0.7)), time=3))


def check_losses(cell, params, xs, state):
    T = len(xs)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(T, cell.core.output_features)))

    def loss(hs):
        return jnp.sum(jnp.sin(hs) * weights)

    def perturbed(amounts, t):
        """The loss when the amounts are added to s_t."""

        def add(state, where):
            moved = jax.tree.map(lambda leaf, amount: leaf + jnp.where(where, amount, 0), taken(state, "full"), amounts)
            return replaced(state, "full", moved)

        def step(state, inputs):
            x, number = inputs
            new, y = cell.step(params, state, x)
            new = add(new, number == t)
            return new, y if isinstance(cell.core, Readout) else getattr(new.core, getattr(cell.core, "output", "h"))

        return loss(jax.lax.scan(step, add(state, t == 0), (xs, jnp.arange(1, T + 1)))[1])

    @jax.jit
    def expected():
        zeros = jax.tree.map(jnp.zeros_like, taken(state, "full"))

        def of_start(values):
            return loss(mr.unroll(cell, params, xs, replaced(state, "full", values), "stepwise")[1])

        at_start = jax.grad(of_start)(taken(state, "full"))
        return jax.lax.map(lambda t: jax.grad(perturbed)(zeros, t), jnp.arange(T + 1)), at_start

    gradients, at_start = map(jax.tree.leaves, expected())
    norms = analysis.gradient_norms(loss, cell, params, xs, state)
    assert len(norms) == len(gradients)
    assert "y" not in norms or not isinstance(state.core, mr.RecurrentDropoutState)
    found = sorted(map(tuple, norms.values()))
    np.testing.assert_allclose(found, sorted(tuple(norm_by_step(gradient)) for gradient in gradients), rtol=1e-9)
    np.testing.assert_allclose(norms["h"], norm_by_step(gradients[0]), rtol=1e-9)
    np.testing.assert_allclose([norms_of[0] for norms_of in found], sorted(map(np.linalg.norm, at_start)), rtol=1e-9)


def norm_by_step(gradients):
    return np.linalg.norm(gradients.reshape(len(gradients), -1), axis=1)


@pytest.mark.parametrize("name", params_of(OF_VECTORS))
def test_inputs_against_automatic_differentiation(float64, name):
    check_inputs(name, *single(name, time=3))


@pytest.mark.parametrize("core", [core for core in OTHER_CORES if core not in NEW_CORES])
def test_inputs_of_other_cores_against_automatic_differentiation(float64, core):
    check_inputs(core, *arranged(mr.Cell(OTHER_CORES[core], mr.Momentum(mu=0.6, step_size=0.7)), time=3))


def check_inputs(name, cell, params, xs, state):
    norms = {"frobenius": "fro", "spectral": 2} if name == "momentum-lstm" else {"frobenius": "fro"}

    @jax.jit
    def both(params, xs, state):
        to_inputs = jax.jacrev(lambda xs: mr.unroll(cell, params, xs, state, "stepwise")[1][-1])(xs)
        return to_inputs, {norm: analysis.input_sensitivity(cell, params, xs, state, norm) for norm in norms}

    to_inputs, found = both(params, xs, state)
    for norm, order in norms.items():
        expected = np.log10(np.linalg.norm(to_inputs.swapaxes(0, 1), order, axis=(1, 2)))
        np.testing.assert_allclose(found[norm], expected, rtol=0, atol=1e-9)


def test_a_part_of_a_run_has_the_product_of_its_own_steps(float64):
    cell, params, xs, state = single("momentum-lstm")
    steps = analysis.step_jacobians(cell, params, xs, state, "core")
    expected = np.linalg.multi_dot(steps[1:4][::-1])
    found = analysis.jacobian_product(cell, params, xs, state, start=1, stop=4, wrt="core")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    values = analysis.singular_spectrum(cell, params, xs, state, start=1, stop=4, wrt="core")
    np.testing.assert_allclose(values, np.log10(np.linalg.svd(expected, compute_uv=False)), rtol=0, atol=1e-9)


def test_what_fades_beside_the_velocity_is_there_when_the_velocity_restarts(float64):
    """Until a restart the velocity's columns dominate beyond float32's range; at it they vanish, and the others are left."""
    cell = mr.Cell(mr.Elman(4), mr.Nesterov(restart=40))
    params = cell.init(jax.random.key(0), FEATURES, jnp.float32)
    params["core"]["kernel"] *= 0.1
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(130, FEATURES)), jnp.float32)

    def found(dtype):
        arguments = cell, *jax.tree.map(lambda leaf: leaf.astype(dtype), (params, xs))
        return analysis.jacobian_log_norms(*arguments, wrt="full"), analysis.input_sensitivity(*arguments)

    for narrow, wide in zip(found(jnp.float32), found(jnp.float64), strict=True):
        assert wide[0] < -100
        assert narrow.dtype == jnp.float32
        np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-3)


@pytest.mark.parametrize("analyse", [analysis.jacobian_log_norms, analysis.input_sensitivity])
def test_a_long_run_never_holds_the_jacobians_of_all_its_steps(analyse):
    steps, cell = 10_000, mr.momentum_rnn(32)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 1))
    xs = jax.ShapeDtypeStruct((steps, 1), jnp.float32)
    compiled = jax.jit(lambda params, xs: analyse(cell, params, xs)).lower(params, xs).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < steps * 32 * 32 * 4 / 4


@every_cell
def test_log_norms_and_exponents_are_those_of_the_products(float64, name):
    cell, params, xs, state = single(name)
    n = sum(leaf.size for leaf in taken(state, "full"))

    @jax.jit
    def work_out(*arguments):
        steps = analysis.step_jacobians(*arguments, "core")
        log_norms = {norm: analysis.jacobian_log_norms(*arguments, "core", norm) for norm in ("spectral", "frobenius")}
        spectra = analysis.lyapunov_spectrum(*arguments), analysis.lyapunov_spectrum(*arguments, frame=jnp.eye(n))
        return steps, log_norms, spectra

    steps, log_norms, (by_blocks, whole) = work_out(cell, params, xs, state)
    products = [np.linalg.multi_dot([np.eye(steps.shape[1])] * 2 + [*steps[t:][::-1]]) for t in range(T + 1)]
    for norm, order in (("spectral", 2), ("frobenius", "fro")):
        expected = [np.log10(np.linalg.norm(P, order)) for P in products]
        np.testing.assert_allclose(log_norms[norm], expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(by_blocks, whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", params_of(OF_VECTORS))
def test_every_cell_can_be_compiled_and_batched(name):
    """Traced, not run: shapes and dtypes are known then. Nothing is computed in less than float32."""
    cell, params, xs, state = single(name, jnp.bfloat16)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), (xs, state))
    flow = jax.vmap(lambda xs, state: analysis.gradient_flow(cell, params, xs, state, loss_fn=jnp.sum))
    report = jax.eval_shape(jax.jit(flow), *batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(report)} == {jnp.dtype(jnp.float32)}
    assert report.input_sensitivity.shape == (2, T)
    assert report.jacobian_log_norms["hidden"].shape == report.gradient_norms["h"].shape == (2, T + 1)
    n = sum(leaf.size for leaf in jax.tree.leaves(taken(state, "full")))
    assert sum(exponents.shape[1] for exponents in report.lyapunov_spectrum.values()) == n


@pytest.mark.parametrize("name", ["nesterov-lstm", "momentum-elman"])
def test_a_compiled_batch_is_a_loop_over_its_sequences(float64, name):
    cell, params, _, _ = single(name)
    xs = jnp.asarray(np.random.default_rng(3).normal(size=(3, T, FEATURES)))

    def flow(cell, params, xs):
        report = analysis.gradient_flow(cell, params, xs, loss_fn=lambda hs: jnp.sum(hs[-1] ** 2))
        # A decomposition finds singular values to rounding of the largest, not each to rounding of its own.
        return dataclasses.replace(report, singular_spectrum=10**report.singular_spectrum)

    batch, one = jax.jit(jax.vmap(flow, in_axes=(None, None, 0)))(cell, params, xs), jax.jit(flow)
    for i in range(3):
        for together, alone in zip(jax.tree.leaves(batch), jax.tree.leaves(one(cell, params, xs[i])), strict=True):
            np.testing.assert_allclose(together[i], alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "core",
    [
        pytest.param(mr.GRU(HIDDEN), marks=pytest.mark.exhaustive, id="gru"),
        pytest.param(mr.LSTM(HIDDEN), marks=pytest.mark.exhaustive, id="lstm"),
        pytest.param(mr.Zoneout(mr.GRU(HIDDEN), rate=0.2), id="zoneout"),
    ],
)
def test_recurrent_dropout_without_noise_is_the_core_inside(float64, core):
    run, wrapped = (mr.Cell(core, mr.Momentum()) for core in (core, mr.RecurrentDropout(core, rate=0.3)))
    params, xs, _, _ = problem(run, time=T, batch=())

    @jax.jit
    def reports():
        return [analysis.gradient_flow(cell, params, xs, loss_fn=last_sum) for cell in (run, wrapped)]

    expected, found = reports()
    assert found.jacobian_log_norms.keys() == expected.jacobian_log_norms.keys()
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


class TestLinear:
    """Where everything is known: `h_t = U h_{t-1} + d_t`."""

    def test_a_product_is_a_power_of_the_matrix(self, float64):
        U = np.random.default_rng(0).normal(size=(4, 4))
        cell, params = linear_rnn(U)
        xs = jnp.ones((9, 1))
        for start, stop in ((0, 9), (0, None), (2, 7), (4, 4), (0, 0)):
            expected = np.linalg.matrix_power(U, (9 if stop is None else stop) - start)
            product = analysis.jacobian_product(cell, params, xs, start=start, stop=stop)
            np.testing.assert_allclose(product, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())

    @staticmethod
    @partial(jax.jit, static_argnames="norm")
    def log_norms(params, norm):
        cell = mr.Cell(mr.Elman(3, activation="identity"))
        return analysis.jacobian_log_norms(cell, params, jnp.ones((10_000, 1), params["core"]["kernel"].dtype), norm=norm)

    @pytest.mark.parametrize("rho", [0.3, 0.99, 3.0])
    @pytest.mark.parametrize("norm", ["spectral", "frobenius"])
    def test_ten_thousand_steps_of_a_symmetric_matrix(self, float64, rho, norm):
        _, params = linear_rnn(symmetric([rho, -0.5 * rho, 0.1 * rho]))
        distances = np.arange(10_000, -1, -1)
        for dtype, rtol in ((jnp.float64, 1e-6), (jnp.float32, 1e-5)):
            log_norms = self.log_norms(jax.tree.map(lambda leaf, dtype=dtype: np.asarray(leaf, dtype), params), norm)
            assert log_norms.dtype == dtype
            far = distances > 20  # the smaller eigenvalues are gone
            np.testing.assert_allclose(log_norms[far], distances[far] * np.log10(rho), rtol=rtol)

    def test_a_rotation_has_singular_values_of_one(self, float64):
        cell = mr.momentum_dtriv(6, activation="identity")
        params = cell.init(jax.random.key(0), 1)
        xs = jnp.ones((300, 1))
        np.testing.assert_allclose(analysis.singular_spectrum(cell, params, xs), np.zeros(6), atol=1e-9)
        np.testing.assert_allclose(analysis.jacobian_log_norms(cell, params, xs), np.zeros(301), atol=1e-9)
        np.testing.assert_allclose(analysis.lyapunov_spectrum(cell, params, xs, wrt="core"), np.zeros(6), atol=1e-9)

    def test_singular_values_are_exact_or_said_to_be_lost(self, float64):
        rates = np.array([0.9, 0.8, 0.6, 0.1])
        cell, params = linear_rnn(symmetric(rates))
        found = analysis.singular_spectrum(cell, params, jnp.ones((100, 1)), start=10)
        expected = 90 * np.log10(rates)
        np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-9)
        assert np.isnan(found[2:]).all()  # 10^-15.8 and 10^-86 of the largest
        exponents = analysis.lyapunov_spectrum(cell, params, jnp.ones((2000, 1)), wrt="core")
        np.testing.assert_allclose(exponents, np.log(rates), atol=5e-3)  # O(1/T): the frame starts askew
        eigenvectors = jnp.asarray(np.linalg.eigh(symmetric(rates))[1][:, ::-1])  # in their falling order they stay
        exponents = analysis.lyapunov_spectrum(cell, params, jnp.ones((50, 1)), wrt="core", frame=eigenvectors)
        np.testing.assert_allclose(exponents, np.log(rates), rtol=1e-9)

    @pytest.mark.parametrize(("core_rate", "mu"), [(0.5, 0.9), (0.9, 0.5)])
    def test_the_reach_of_an_input(self, float64, core_rate, mu):
        cell, params = linear_rnn(np.array([[core_rate]]), mr.Momentum(mu=mu, step_size=0.7))
        params["input"]["kernel"] = jnp.ones((1, 1))
        found = analysis.input_sensitivity(cell, params, jnp.ones((50, 1)))
        # Σ_{j=s…T} core_rate^{T-j} μ^{j-s}, times the step size: a geometric series
        distance = np.arange(49, -1, -1)
        expected = 0.7 * (core_rate ** (distance + 1) - mu ** (distance + 1)) / (core_rate - mu)
        np.testing.assert_allclose(found, np.log10(expected), rtol=0, atol=1e-9)

    def test_what_is_exactly_lost_is_minus_infinity(self):
        cell, params = linear_rnn(np.zeros((2, 2), np.float32))
        xs = jnp.ones((3, 1))
        assert analysis.jacobian_log_norms(cell, params, xs).tolist() == [-math.inf] * 3 + [pytest.approx(0, abs=1e-8)]
        assert analysis.singular_spectrum(cell, params, xs).tolist() == [-math.inf] * 2
        assert analysis.lyapunov_spectrum(cell, params, xs).tolist() == [-math.inf] * 2
        assert np.isneginf(analysis.input_sensitivity(cell, params, xs)[:2]).all()


class TestMomentum:
    """What momentum changes, and what it does not."""

    @pytest.mark.parametrize("core", COMMON_CORES)
    def test_the_jacobians_are_those_of_the_plain_cell_driven_by_the_velocity(self, float64, core):
        cell, params, xs, state = single(f"momentum-{core}")
        u = cell.project(cell.prepare(params), xs)
        plain = mr.Cell(cell.core)
        identity = {name: jnp.zeros_like(bias) for name, bias in params["input"].items()}
        identity["kernel"] = jnp.eye(cell.core.drive_features)
        velocities = cell.drive.unroll(state.drive, u)[1]
        start = mr.CellState(mr.IdentityState(), state.core)
        for wrt in ("hidden", "core"):
            expected = analysis.step_jacobians(plain, {**params, "input": identity}, velocities, start, wrt)
            found = analysis.step_jacobians(cell, params, xs, state, wrt)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("core", COMMON_CORES)
    def test_the_full_jacobian_is_block_triangular(self, float64, core):
        cell, params, xs, state = single(f"momentum-{core}")
        full = analysis.step_jacobians(cell, params, xs, state, "full")
        block = analysis.step_jacobians(cell, params, xs, state, "core")
        n = block.shape[-1]
        np.testing.assert_allclose(full[:, :n, :n], block, rtol=1e-13, atol=1e-16)
        assert np.abs(full[:, :n, n:]).min(axis=0).any()
        np.testing.assert_array_equal(full[:, n:, :n], 0)
        np.testing.assert_allclose(
            full[:, n:, n:], np.broadcast_to(0.6 * np.eye(cell.core.drive_features), full[:, n:, n:].shape)
        )

    def test_it_adds_its_own_exponents_and_no_others(self, float64):
        cell, params, _, state = single("momentum-elman")
        xs = jnp.asarray(np.random.default_rng(4).normal(size=(2000, FEATURES)))
        # Exactly, at any T, when the frame starts with the hidden block.
        for steps in (3, 2000):
            dense = analysis.lyapunov_spectrum(cell, params, xs[:steps], state, frame=jnp.eye(2 * HIDDEN))
            block = analysis.lyapunov_spectrum(cell, params, xs[:steps], state, "core")
            np.testing.assert_allclose(dense, np.sort([*block, *HIDDEN * [np.log(0.6)]])[::-1], rtol=0, atol=1e-12)

    def test_any_frame_finds_them_in_the_long_run(self, float64):
        cell = mr.momentum_rnn(HIDDEN, mu=0.6, step_size=0.4)
        params = cell.init(jax.random.key(0), FEATURES)
        params["core"]["kernel"] *= 0.5
        random = np.random.default_rng(4)
        xs = jnp.asarray(random.normal(size=(2000, FEATURES)))
        frame = jnp.asarray(random.normal(size=(2 * HIDDEN, 2 * HIDDEN)))
        for warmup, atol in ((500, 1e-3), (0, 2e-3)):
            found = analysis.lyapunov_spectrum(cell, params, xs, frame=frame, warmup=warmup)
            hidden = analysis.lyapunov_spectrum(cell, params, xs, wrt="core", warmup=warmup)
            expected = np.sort([*hidden, *HIDDEN * [np.log(0.6)]])[::-1]
            np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@mr.pytree_dataclass
class Swapped(mr.Momentum):
    """Momentum whose velocities change places at each step: its Jacobian is not diagonal."""

    def update(self, state, u):
        velocity = self.mu * state.velocity[..., ::-1] * jnp.arange(1.0, u.shape[-1] + 1) + u
        return mr.MomentumState(velocity), velocity


class HState(NamedTuple):
    h: jax.Array


@mr.pytree_dataclass
class Running(mr.Drive):
    """A running sum that calls itself h, as the core's state is called."""

    def start(self, u):
        return HState(jnp.zeros_like(u))

    def update(self, state, u):
        return HState(0.5 * state.h + u), 0.5 * state.h + u


class TestDrivesOfOnesOwn:
    def test_a_subclass_is_not_taken_for_the_drive_it_comes_from(self, float64):
        cell = mr.Cell(mr.Elman(3), Swapped(0.6, 1.0))
        params, xs = cell.init(jax.random.key(0), 1), jnp.ones((40, 1))
        found = analysis.lyapunov_spectrum(cell, params, xs, wrt="drive")
        expected = np.log(0.6) + np.array([np.log(2), np.log(3) / 2, np.log(3) / 2])  # 1 and 3 take turns
        np.testing.assert_allclose(found, expected, rtol=1e-9)

    def test_both_of_two_entries_of_one_name_are_there(self):
        cell = mr.Cell(mr.Elman(3), Running())
        params, xs = cell.init(jax.random.key(0), 1), jnp.ones((4, 1))
        norms = analysis.gradient_norms(lambda hs: jnp.sum(hs[-1]), cell, params, xs)
        assert set(norms) == {"h", "drive.h"}
        assert norms["h"][-1] == pytest.approx(np.sqrt(3))
        assert norms["drive.h"][-1] == 0  # after the last output nothing depends on it


class TestTheorem:
    @pytest.fixture(params=["tanh", pytest.param("sigmoid", marks=pytest.mark.exhaustive), "identity", "orthogonal", "per_unit"])
    def case(self, request, float64):
        activation = request.param if request.param in ("tanh", "sigmoid", "identity") else "tanh"
        mu = jnp.linspace(0.2, 0.9, HIDDEN) if request.param == "per_unit" else 0.6
        make = mr.Orthogonal if request.param == "orthogonal" else mr.Elman
        cell = mr.Cell(make(HIDDEN, activation=activation), mr.Momentum(mu, 0.7))
        return cell, *problem(cell, time=6, batch=())[:3]

    def test_its_full_map_is_the_joint_map_in_other_coordinates(self, case):
        cell, params, xs, state = case
        ready = cell.prepare(params)
        states = [state]
        for x in xs:
            states.append(cell.advance(ready, states[-1], x)[0])
        sigma = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "identity": lambda z: z}[cell.core.activation]
        inverse = {"tanh": jnp.arctanh, "sigmoid": jax.scipy.special.logit, "identity": lambda h: h}[cell.core.activation]
        kernel, bias = ready["core"]["kernel"], ready["core"].get("bias", 0.0)

        def velocity(pair):  # (h_t, h_{t-1}) -> v_t
            h, earlier = jnp.split(pair, 2)
            return inverse(h) - earlier @ kernel - bias

        def two_step(pair, x):  # (h_{t-1}, h_{t-2}) -> (h_t, h_{t-1})
            h = pair[:HIDDEN]
            v = cell.drive.mu * velocity(pair) + cell.drive.step_size * cell.project(ready, x)
            return jnp.concatenate([sigma(h @ kernel + bias + v), h])

        def pair(t):
            return jnp.concatenate([states[t].core.h, states[t - 1].core.h])

        def coordinates(t):  # C_t
            return jax.jacfwd(lambda pair: jnp.concatenate([pair[:HIDDEN], velocity(pair)]))(pair(t))

        np.testing.assert_allclose(two_step(pair(3), xs[3]), pair(4), rtol=1e-9)
        Ms = [jax.jacfwd(two_step)(pair(t - 1), xs[t - 1]) for t in range(2, 7)]
        Js = analysis.step_jacobians(cell, params, xs, state, "full")[1:]
        M, J = np.linalg.multi_dot(Ms[::-1]), np.linalg.multi_dot(Js[::-1])
        conjugated = coordinates(6) @ M
        np.testing.assert_allclose(conjugated, J @ coordinates(1), rtol=0, atol=1e-9 * np.abs(conjugated).max())

        blocks = [M[:HIDDEN, :HIDDEN] for M in Ms]
        for norm, order in (("spectral", 2), ("frobenius", "fro")):
            products = analysis.theorem_product(cell, params, xs, state, norm)
            for found, factors in ((products.complete, Ms), (products.paper, blocks)):
                unit = [np.eye(len(factors[0]))] * 2
                expected = [np.log10(np.linalg.norm(np.linalg.multi_dot(unit + factors[t:][::-1]), order)) for t in range(6)]
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    def test_the_plain_product_is_the_gradient(self, case):
        cell, params, xs, state = case
        for norm in ("spectral", "frobenius"):
            plain = analysis.theorem_product(cell, params, xs, state, norm).plain
            np.testing.assert_allclose(plain, analysis.jacobian_log_norms(cell, params, xs, state, norm=norm)[1:], atol=1e-9)

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            (mr.momentum_lstm(3), r"got the core LSTM"),
            (mr.rnn(3), r"got the drive Identity"),
            (mr.adam_rnn(3), r"got the drive Adam"),
            (mr.momentum_rnn(3, activation="relu"), "got the activation 'relu'"),
            (mr.momentum_dtriv(3), "got the activation 'modrelu'"),
            (mr.ReleasedNesterovLSTM(mr.LSTM(3)), "got the drive ReleasedNesterovLSTM"),
            (mr.Cell(mr.Elman(3), Swapped(0.6, 0.6)), r"got the drive Swapped"),
        ],
    )
    def test_other_cells_are_refused(self, cell, message):
        with pytest.raises(TypeError, match=f"cell must be a momentum RNN.*{message}"):
            analysis.theorem_product(cell, cell.init(jax.random.key(0), 1), jnp.ones((3, 1)))


@pytest.mark.parametrize(
    "A",
    [
        np.random.default_rng(0).normal(size=(40, 40)),
        np.random.default_rng(0).normal(size=(3, 40)),
        np.random.default_rng(0).normal(size=(40, 1)),
        symmetric(np.ones(9)),
        symmetric([1.0, 1 - 1e-9, 1 - 1e-5, 0.5]),
        symmetric(10.0 ** -np.arange(30)),
        np.zeros((2, 2)),
    ],
)
def test_the_spectral_norm_is_the_largest_singular_value(float64, A):
    expected = np.linalg.norm(A, 2)
    assert spectral_norm(jnp.asarray(A)) == pytest.approx(expected, rel=1e-14)
    assert spectral_norm(jnp.asarray(A, jnp.float32)) == pytest.approx(expected, rel=1e-6)
    batch = jax.vmap(spectral_norm)(jnp.stack([jnp.asarray(A), 2 * jnp.asarray(A)]))
    np.testing.assert_allclose(batch, [expected, 2 * expected], rtol=1e-14)


def test_a_gradient_too_small_to_be_squared_has_a_norm():
    cell, params = linear_rnn(1e-5 * np.eye(2, dtype=np.float32))
    norms = analysis.gradient_norms(lambda hs: jnp.sum(hs[-1]), cell, params, jnp.ones((7, 1)))["h"]
    np.testing.assert_allclose(norms, np.sqrt(2) * 10.0 ** (-5.0 * np.arange(7, -1, -1)), rtol=1e-5)


class TestFlax:
    @pytest.mark.parametrize("learnable", [None, "per_unit"])
    def test_an_nnx_cell_stands_for_its_cell_and_parameters(self, learnable):
        module = mnnx.MomentumLSTMCell(2, 3, mu=0.5, learnable=learnable, rngs=nnx.Rngs(0))
        cell, params = module.functional()
        xs, carry = jnp.ones((T, 2)), module.initialize_carry((2,))
        expected = analysis.jacobian_log_norms(cell, params, xs)
        np.testing.assert_array_equal(analysis.jacobian_log_norms(module, None, xs, carry), expected)
        compiled = nnx.jit(lambda module, xs: analysis.jacobian_log_norms(module, None, xs))
        with standard_promotion():
            np.testing.assert_allclose(compiled(module, xs), expected, rtol=1e-5)
        drives = analysis.lyapunov_spectrum(module, None, xs, wrt="drive")
        np.testing.assert_allclose(drives, np.full(12, np.log(0.5)), rtol=1e-5)

    def test_a_linen_cell_gives_its_cell_and_parameters(self):
        module = mlinen.MomentumLSTMCell(3, mu=0.5)
        xs = jnp.ones((T, 2))
        carry = module.initialize_carry(jax.random.key(0), (2,))
        variables = module.init(jax.random.key(0), carry, xs[0])
        cell, params = module.apply(variables, 2, method="functional")
        assert analysis.jacobian_log_norms(cell, params, xs, carry).shape == (T + 1,)
        with pytest.raises(TypeError, match="for a Linen cell, pass the cell and params"):
            analysis.jacobian_log_norms(module, None, xs)


def last_sum(hs):
    return jnp.sum(hs[-1])


def run_of(cell):
    return cell, cell.init(jax.random.key(0), 1), jnp.ones((12, 1))


@pytest.fixture(scope="module")
def report():
    return analysis.gradient_flow(*run_of(mr.momentum_lstm(3)), loss_fn=last_sum)


@pytest.fixture(scope="module")
def report_of_rnn():
    return analysis.gradient_flow(*run_of(mr.momentum_rnn(3)), loss_fn=last_sum, norm="frobenius")


class TestReport:
    @pytest.mark.parametrize(
        ("fixture", "cell", "norm", "jacobians", "theorem"),
        [
            ("report", mr.momentum_lstm(3), "spectral", ["hidden", "core"], False),
            ("report_of_rnn", mr.momentum_rnn(3), "frobenius", ["hidden"], True),
        ],
    )
    def test_it_is_what_its_functions_return(self, request, fixture, cell, norm, jacobians, theorem):
        run, found = run_of(cell), request.getfixturevalue(fixture)
        expected = analysis.GradientFlow(
            jacobian_log_norms={wrt: analysis.jacobian_log_norms(*run, wrt=wrt, norm=norm) for wrt in jacobians},
            input_sensitivity=analysis.input_sensitivity(*run, norm=norm),
            singular_spectrum=analysis.singular_spectrum(*run, wrt="core"),
            lyapunov_spectrum={wrt: analysis.lyapunov_spectrum(*run, wrt=wrt) for wrt in ("core", "drive")},
            gradient_norms=analysis.gradient_norms(last_sum, *run),
            theorem_product=analysis.theorem_product(*run, norm=norm) if theorem else None,
        )
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for entry, value in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(entry, value)

    def test_one_step_is_enough(self):
        cell, params, xs = run_of(mr.momentum_rnn(3))
        products = analysis.gradient_flow(cell, params, xs[:1]).theorem_product
        np.testing.assert_allclose(jnp.concatenate(products), np.zeros(3), atol=1e-6)  # of nothing

    def test_a_wrong_loss_is_refused_before_anything_is_computed(self, monkeypatch):
        names = [name for name in vars(analysis) if name.endswith(("_norms", "_spectrum", "_sensitivity"))]
        for name in set(names) - {"gradient_norms"}:
            monkeypatch.setattr(f"momentum_rnn_jax.analysis.report.{name}", lambda *args, **words: pytest.fail("too early"))
        with pytest.raises(ValueError, match="loss_fn must return one real number"):
            analysis.gradient_flow(*run_of(mr.momentum_lstm(3)), loss_fn=jnp.sin)

    def test_it_is_json(self, report):
        read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        np.testing.assert_allclose(read["jacobian_log_norms"]["core"], report.jacobian_log_norms["core"], rtol=1e-6)
        batch = jax.tree.map(lambda leaf: jnp.stack([leaf, jnp.full_like(leaf, -jnp.inf)]), report)
        assert batch.to_dict()["input_sensitivity"][1] == [None] * 12

    def test_its_curves_are_by_distance(self, report):
        curves = report.curves()
        assert list(curves) == ["hidden", "core", "input", "∂L/∂c", "∂L/∂h", "∂L/∂velocity"]
        np.testing.assert_array_equal(curves["core"], report.jacobian_log_norms["core"][::-1])
        np.testing.assert_array_equal(curves["input"][:-1], report.input_sensitivity[::-1])
        assert np.isnan(curves["input"][-1])
        assert curves["∂L/∂h"][0] == pytest.approx(np.log10(np.sqrt(3)), abs=1e-6)

    def test_its_figure_is_a_file(self, report, tmp_path):
        figure = report.plot(tmp_path / "flow.png")
        assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
        assert [len(axes.lines) for axes in figure.axes] == [len(report.curves()), len(report.lyapunov_spectrum), 1]

    def test_its_figure_is_drawn_on_axes_of_ones_own(self, report, tmp_path):
        figure = Figure()
        _, below = figure.subfigures(2)
        axes = below.subplots(1, 3)
        assert report.plot(tmp_path / "flow.png", axes=axes) is figure
        assert [len(one.lines) for one in axes] == [len(report.curves()), len(report.lyapunov_spectrum), 1]
        assert (tmp_path / "flow.png").exists()
        assert report.plot(axes=Figure().subplots(3)) is not figure
        for wrong in (axes[:2], axes[0], [None] * 3, "abc"):
            with pytest.raises(TypeError, match=r"axes must be three matplotlib Axes, got [123] of "):
                report.plot(axes=wrong)

    def test_matplotlib_is_asked_for_where_it_is_missing(self, report, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"plot needs matplotlib: pip install 'momentum_rnn_jax\[plot\]'"):
            report.plot(tmp_path / "flow.png")

    def test_a_batch_of_reports_is_refused(self, report):
        batch = jax.tree.map(lambda leaf: leaf[jnp.newaxis], report)
        with pytest.raises(ValueError, match="this is a batch of reports; take one"):
            batch.table()


class Undecorated(mr.Momentum):
    """JAX knows the class it comes from, and not this one."""


class TestBadArguments:
    CELL = mr.momentum_lstm(3)

    @pytest.fixture
    def params(self):
        return self.CELL.init(jax.random.key(0), 2)

    XS = np.ones((4, 2), np.float32)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda c, p, xs: analysis.step_jacobians(c, p, xs[None]), r"xs must be one sequence .* got shape \(1, 4, 2\)"),
            (lambda c, p, xs: analysis.step_jacobians(c, p, xs[:0]), r"xs must be one sequence .* at least one step"),
            (lambda c, p, xs: analysis.step_jacobians(c, p, xs[0]), "xs must have shape"),
            (lambda c, p, xs: analysis.step_jacobians(c, p, xs[:, :1]), "xs has 1 features"),
            (
                lambda c, p, xs: analysis.step_jacobians(c, p, xs, c.initial_state(p, (1,))),
                r"state.*must be float32 of shape \(12,\)",
            ),
            (
                lambda c, p, xs: analysis.step_jacobians(c, p, xs, wrt="cell"),
                "wrt must be one of 'hidden', 'core', 'drive', 'full'",
            ),
            (
                lambda c, p, xs: analysis.lyapunov_spectrum(mr.lstm(3), p, xs, wrt="drive"),
                "wrt must be one of 'hidden', 'core', 'full' for this cell, whose drive has no state, got 'drive'",
            ),
            (
                lambda c, p, xs: analysis.lyapunov_spectrum(c, p, xs, frame=jnp.eye(3)),
                r"frame must have shape \(18, k\) with k from 1 to 18, got \(3, 3\)",
            ),
            (
                lambda c, p, xs: analysis.lyapunov_spectrum(c, p, xs, warmup=4),
                "warmup must be less than the 4 steps of xs, got 4",
            ),
            (
                lambda c, p, xs: analysis.lyapunov_spectrum(c, p, xs, frame=jnp.full((18, 18), jnp.nan)),
                "frame must be finite, but NaN or infinity is in 324 of its entries",
            ),
            (
                lambda c, p, xs: analysis.lyapunov_spectrum(c, p, xs, frame=jnp.eye(18).at[3].set(0)),
                "frame must have 18 independent columns, got a matrix of rank 17",
            ),
            (
                lambda c, p, xs: analysis.gradient_norms(lambda hs: jnp.sum(jnp.sqrt(hs - hs)), c, p, xs),
                "the gradient of loss_fn at the outputs hs must be finite",
            ),
            (
                lambda c, p, xs: analysis.gradient_norms(jnp.sum, mr.Cell(c.core, Undecorated()), p, xs),
                "cell.drive must be a pytree, got Undecorated: decorate the class with momentum_rnn_jax.pytree_dataclass",
            ),
            (lambda c, p, xs: analysis.jacobian_log_norms(c, p, xs, norm="max"), "norm must be one of 'spectral', 'frobenius'"),
            (lambda c, p, xs: analysis.input_sensitivity(c, p, xs, norm=2), "norm must be one of"),
            (lambda c, p, xs: analysis.jacobian_product(c, p, xs, start=3, stop=2), "start <= stop <= 4.*got 3 and 2"),
            (lambda c, p, xs: analysis.jacobian_product(c, p, xs, stop=5), "stop must be an integer of at most 4, got 5"),
            (lambda c, p, xs: analysis.singular_spectrum(c, p, xs, start=-1), "start must be an integer of at least 0"),
            (lambda c, p, xs: analysis.gradient_norms(jnp.sin, c, p, xs), r"loss_fn must return one real number.*\(4, 3\)"),
            (lambda c, p, xs: analysis.gradient_norms("mse", c, p, xs), "loss_fn must be a function"),
            (lambda c, p, xs: analysis.gradient_norms(lambda hs: 1, c, p, xs), "loss_fn must return one real number"),
            (lambda c, p, xs: analysis.gradient_flow(mnnx, p, xs), "cell must be a Cell with its params, or an NNX cell"),
            (lambda c, p, xs: analysis.gradient_flow(c, None, xs), "params must be a dict"),
            (
                lambda c, p, xs: analysis.gradient_flow(c, p, np.where(xs > 0, np.nan, xs)),
                r"xs must be finite.* 8 of its entries; the first is at \(0, 0\)",
            ),
        ],
    )
    def test_they_are_named(self, params, call, message):
        with pytest.raises((TypeError, ValueError), match=message):
            call(self.CELL, params, self.XS)

    def test_parameters_that_are_not_finite_are_named(self, params):
        params["core"]["kernel"] = params["core"]["kernel"].at[1, 2].set(jnp.inf)
        with pytest.raises(
            ValueError, match=r"params\['core'\]\['kernel'\] must be finite, .* 1 of its entries; the first is at \(1, 2\)"
        ):
            analysis.jacobian_log_norms(self.CELL, params, self.XS)


class TestBenchmark:
    def test_a_measurement_is_seconds_and_megabytes(self):
        first, second, memory = benchmark.measure("log-norms, hidden", 3, 2)
        assert first > 0
        assert second > 0
        assert memory >= 0

    @pytest.mark.parametrize("option", ["--steps", "--hidden"])
    def test_a_wrong_size_is_one_line_and_status_2(self, option, capsys):
        with pytest.raises(SystemExit) as end:
            benchmark.main([option, "3", "0"])
        assert end.value.code == 2
        assert re.fullmatch(
            rf"error: argument {option}: must be a whole number from 1 to \d+, got '0'\n", capsys.readouterr().err
        )

    def test_an_accelerator_is_refused(self, monkeypatch, capsys):
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        with pytest.raises(SystemExit) as end:
            benchmark.main([])
        assert end.value.code == 2
        assert "JAX must run on the CPU (JAX_PLATFORMS=cpu), not on gpu" in capsys.readouterr().err
