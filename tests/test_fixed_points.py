"""Fixed points: of drives under a constant input, and of cells, against what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import analysis
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax._fixed_point import newton
from momentum_rnn_jax.analysis.fixed_points import _distinct
from tests import flip_flop, user_cores, user_drives
from tests.registry import DRIVES, FEATURES, HIDDEN, problem

COUNTING = {"nesterov": "steps", "scheduled_restart": "steps", "hippo": "steps", "optax_clipped_adam": "count"}
COUNTING |= {"warm_up": "now", "cooling": "steps"}
ALL_DRIVES = DRIVES | user_drives.DRIVES
RESTING = {name: drive for name, drive in ALL_DRIVES.items() if name not in COUNTING}
RESTING |= {"nesterov_restart_1": mr.Nesterov(restart=1), "optax_rms": mr.OptaxDrive(optax.scale_by_rms(0.5))}
RESTING |= {"per_unit": mr.Momentum(mu=jnp.linspace(0.0, 0.9, 4)), "empty_window": mr.AssortedTimeNorm(1)}
INPUT = np.array([0.5, -1.2, 2.0, 0.3])


def starts_of(cell, params, number, scale=1.2, key=1):
    """Random states."""
    like = jax.eval_shape(lambda: cell.initial_state(params, (number,)))
    random = np.random.default_rng(key)

    def entry(leaf):
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.zeros(leaf.shape, leaf.dtype)
        return jnp.asarray(random.uniform(-scale, scale, leaf.shape), leaf.dtype)

    return jax.tree.map(entry, like)


def bistable(drive=None, gain=2.0, units=3, dtype=float):
    """Units that do not see each other, `h = tanh(gain h + d)`, and parameters; each has three fixed points for a small d."""
    cell = mr.Cell(mr.Elman(units), drive or mr.Identity())
    params = cell.init(jax.random.key(0), 1, dtype)
    params["core"]["kernel"] = gain * jnp.eye(units, dtype=dtype)
    return cell, params


def sorted_rows(array):
    """Rows in lexicographic order, to compare sets of them."""
    array = np.asarray(array)
    return array[np.lexsort(array.round(6).T[::-1])]


@pytest.mark.parametrize("name", RESTING)
def test_a_drive_at_rest_stays_where_a_constant_input_leads(float64, name):
    drive, u = RESTING[name], jnp.asarray(INPUT)
    state = drive.fixed_point(u)
    after, d = drive.step(state, u)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-13)
    ds = drive.unroll(drive.init(u), jnp.broadcast_to(u, (400, 4)))[1]
    np.testing.assert_allclose(ds[-1], d, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", COUNTING)
def test_a_drive_that_counts_is_never_at_rest(name):
    with pytest.raises(
        ValueError, match=f"must have a state at rest under a constant u.* changes the entry '.*{COUNTING[name]}'"
    ):
        ALL_DRIVES[name].fixed_point(jnp.asarray(INPUT, jnp.float32))


def test_a_step_of_newton_is_shortened_where_the_whole_one_leads_away(float64):
    """On arctan whole steps from beyond 1.39 grow without end."""
    point = newton(lambda z: z - jnp.arctan(z), jnp.array([3.0, -20.0]), 50)
    np.testing.assert_allclose(point.z, 0, atol=1e-15)
    assert point.residual < 1e-15


def test_what_momentum_and_adam_hand_on_at_rest(float64):
    u = jnp.asarray(INPUT)
    drive = mr.Adam(mu=0.9, step_size=0.2, beta=0.5, eps=0.1)
    d = drive.step(drive.fixed_point(u), u)[1]
    np.testing.assert_allclose(d, 2 * INPUT / np.sqrt(INPUT**2 + 0.1), rtol=1e-14)
    chain = mr.Chain(mr.Momentum(0.9, 0.2), mr.Momentum(0.5, 3.0))
    np.testing.assert_allclose(chain.step(chain.fixed_point(u), u)[1], 12 * INPUT, rtol=1e-14)


@mr.pytree_dataclass
class RunningSum(mr.LinearDrive):
    def start(self, u):
        return mr.MomentumState(jnp.zeros_like(u))

    def coefficients(self, clock, like):
        return 1.0, 1.0


def test_a_running_sum_is_at_rest_where_its_input_is_zero_only():
    with pytest.raises(ValueError, match="changes the entry 'velocity'"):
        RunningSum().fixed_point(jnp.ones(2))
    traced = jax.jit(RunningSum().fixed_point)(jnp.ones(2))
    assert not np.isfinite(traced.velocity).any()
    np.testing.assert_array_equal(RunningSum().fixed_point(jnp.zeros(2)).velocity, 0.0)  # where the closed form is 0 / 0


def test_a_state_that_hardly_moves_behind_a_saturated_gate_is_no_fixed_point(float64):
    cell = mr.Cell(mr.GRU(3), mr.Momentum(mu=jnp.linspace(0.1, 0.9, 9)))
    params = jax.tree.map(lambda leaf: 3.0 * leaf, cell.init(jax.random.key(0), 2))
    x = jnp.array([0.3, -0.7])
    points = analysis.fixed_points(cell, params, x, starts_of(cell, params, 60, scale=4.0))
    assert len(points.counts)
    # From states within (-1, 1), a GRU's h stays there; a fixed point has each h_i equal to a tanh.
    assert np.abs(points.states.core.h).max() < 1


def test_points_of_large_entries_are_one_if_they_agree_relatively():
    z = np.array([[267.424, 0.5], [267.429, 0.5], [267.424, 0.52]])
    chosen, index = _distinct(z, np.array([1e-6, 2e-6, 3e-6]), 1e-5, 1e-3)
    assert (chosen.tolist(), index.tolist()) == ([0, 2], [0, 0, 1])


def test_all_27_fixed_points_of_three_bistable_units(float64):
    cell, params = bistable()
    points = analysis.fixed_points(cell, params, jnp.zeros(1), starts_of(cell, params, 800))
    h = 0.5
    for _ in range(100):
        h = np.tanh(2 * h)
    expected = np.stack(np.meshgrid(*3 * [[-h, 0, h]]), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(sorted_rows(points.states.core.h), sorted_rows(expected), rtol=0, atol=1e-12)
    assert points.residuals.max() < 1e-14
    # Of a unit, 2 (1 - h²): stable where no unit is at 0.
    slopes = 2 * (1 - np.asarray(points.states.core.h) ** 2)
    np.testing.assert_allclose(points.eigenvalues, np.sort(slopes, axis=1)[:, ::-1], rtol=1e-12)
    np.testing.assert_allclose(points.jacobians, slopes[:, :, None] * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(points.spectral_radius, slopes.max(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(points.stable, [True] * 8 + [False] * 19)
    assert points.converged.all()
    np.testing.assert_array_equal(points.counts, np.bincount(points.index, minlength=27))
    assert (np.diff(points.counts[:8]) <= 0).all()
    assert (np.diff(points.counts[8:]) <= 0).all()


def test_starts_keep_their_batch_axes_and_say_where_they_led():
    cell, params = bistable(mr.Momentum(mu=0.9), dtype=jnp.float32)
    starts = starts_of(cell, params, 12)
    near = jnp.asarray([[1.0, 1, 1], [0.05, 1, 1]], jnp.float32)
    starts = starts._replace(core=mr.HiddenState(starts.core.h.at[:2].set(near)))
    starts = jax.tree.map(lambda leaf: leaf.reshape(2, 6, *leaf.shape[1:]), starts)
    points = analysis.fixed_points(cell, params, jnp.zeros(1), starts)
    assert points.index.shape == points.converged.shape == (2, 6)
    np.testing.assert_allclose(points.states.core.h[points.index[0, :2]], [[0.9575] * 3, [0, 0.9575, 0.9575]], atol=1e-4)
    again = analysis.fixed_points(cell, params, jnp.zeros(1), points.states)
    np.testing.assert_array_equal(again.counts, np.ones(len(points.counts)))


def test_where_there_are_none(float64):
    """`h = h + 1`."""
    cell = mr.rnn(2, activation="identity")
    params = cell.init(jax.random.key(0), 1)
    params["core"] = {"kernel": jnp.eye(2), "bias": jnp.ones(2)}
    points = analysis.fixed_points(cell, params, jnp.zeros(1), starts_of(cell, params, 3), "full")
    assert points.states.core.h.shape == points.eigenvalues.shape == (0, 2)
    assert points.jacobians.shape == (0, 2, 2)
    assert points.index.tolist() == [-1, -1, -1]
    assert points.stable.shape == points.spectral_radius.shape == points.counts.shape == (0,)


def test_a_point_without_a_derivative_has_no_eigenvalues_and_is_not_called_stable():
    @mr.pytree_dataclass
    class Root(mr.Elman):
        def update(self, params, state, *pre):
            return mr.HiddenState(jnp.sqrt(state.h))

    cell = mr.Cell(Root(1))
    params = cell.init(jax.random.key(0), 1)
    starts = cell.initial_state(params, (2,))._replace(core=mr.HiddenState(jnp.array([[0.0], [0.5]])))
    points = analysis.fixed_points(cell, params, jnp.zeros(1), starts)
    np.testing.assert_allclose(points.states.core.h, [[1.0], [0.0]], atol=1e-6)
    np.testing.assert_allclose(points.eigenvalues[0], [0.5], rtol=1e-6)
    assert not np.isfinite(points.eigenvalues[1]).any()
    assert points.stable.tolist() == [True, False]


def test_limits_are_those_given(float64):
    cell, params = bistable(gain=0.5)
    starts = starts_of(cell, params, 20)
    few = analysis.fixed_points(cell, params, jnp.zeros(1), starts, max_steps=1)
    assert few.index.tolist() == [-1] * 20
    coarse = analysis.fixed_points(cell, params, jnp.zeros(1), starts, max_steps=1, tolerance=10.0, distance=10.0)
    assert coarse.counts.tolist() == [20]


# Each kind of state: with h alone, with c, with a copy of h, with h of another size, with more than one entry that follows.
CORES = {
    "elman": mr.Elman(HIDDEN),
    "lstm": mr.LSTM(HIDDEN),
    "recurrent_dropout_lstmp": mr.RecurrentDropout(mr.LSTM(HIDDEN, projection_features=3), rate=0.3),
    "leaky": mr.Leaky(HIDDEN),
    "two_entries": user_cores.CORES["two_entries"],
} | {
    "gru": mr.GRU(HIDDEN),
    "orthogonal": mr.Orthogonal(HIDDEN, mapping="cayley"),
    "read_out": user_cores.CORES["read_out"],
    "zoneout": mr.Zoneout(mr.LSTM(HIDDEN), rate=0.2),
    "assorted_time": mr.Normalized(mr.Elman(HIDDEN), mr.AssortedTime(3)),
}
OFTEN = ("lstm", "recurrent_dropout_lstmp")


@pytest.mark.parametrize("core", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.exhaustive) for name in CORES])
def test_a_step_keeps_a_fixed_point_and_the_joint_spectrum_adds_mu(float64, core):
    mus = jnp.linspace(0.1, 0.9, CORES[core].drive_features) if core == "lstm" else 0.6
    cell = mr.Cell(CORES[core], mr.Momentum(mu=mus, step_size=0.7))
    params, xs, _, _ = problem(cell)
    x, starts = xs[0, 0], starts_of(cell, params, 8, 0.5)
    points = analysis.fixed_points(cell, params, x, starts, tolerance=1e-12)
    assert points.counts.sum() >= 1
    after, _ = cell.step(params, points.states, jnp.broadcast_to(x, (len(points.counts), FEATURES)))
    for old, new in zip(jax.tree.leaves(points.states), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-11)
    state = jax.tree.map(lambda leaf: leaf[0], points.states)
    jacobian = analysis.step_jacobians(cell, params, x[np.newaxis], state, "core")[0]
    np.testing.assert_allclose(points.jacobians[0], jacobian, rtol=0, atol=1e-12)
    joint = analysis.fixed_points(cell, params, x, points.states, "full")
    assert joint.index.tolist() == list(range(len(points.counts)))  # in the same order
    for of_core, eigenvalues in zip(points.eigenvalues, joint.eigenvalues, strict=True):
        expected = np.append(of_core, np.broadcast_to(mus, cell.core.drive_features))
        np.testing.assert_allclose(np.poly(eigenvalues), np.poly(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("mu", [0.9, np.linspace(0.1, 0.8, 3)], ids=["scalar", "per_unit"])
def test_momentum_keeps_the_fixed_points_of_the_plain_cell_at_its_gain(float64, mu):
    momentum, params = bistable(mr.Momentum(mu=jnp.asarray(mu), step_size=0.2))
    plain = mr.Cell(momentum.core)
    gain = 0.2 / (1 - mu)
    params["input"] = {"kernel": jnp.array([[0.1, -0.2, 0.3]]), "bias": jnp.array([0.02, 0.01, -0.05])}
    scaled = {**params, "input": jax.tree.map(lambda leaf: jnp.asarray(gain * np.asarray(leaf)), params["input"])}
    x, starts = jnp.array([0.2]), starts_of(plain, params, 400)
    expected = analysis.fixed_points(plain, scaled, x, starts)
    found = analysis.fixed_points(momentum, params, x, starts_of(momentum, params, 400)._replace(core=starts.core))
    assert len(expected.counts) == 27
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.states.core.h, expected.states.core.h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=0, atol=1e-11)


@mr.pytree_dataclass
class Feedback(mr.RecurrentCell):
    """A drive's state that follows h: neither can be found before the other."""

    core: mr.Core

    def initial_drive_state(self, u):
        return mr.MomentumState(jnp.zeros_like(u))

    def advance(self, prepared, state, x, noise=None):
        v = 0.5 * state.drive.velocity + self.project(prepared, x) + 0.25 * state.core.h
        core, h = self.core.step(prepared["core"], state.core, v)
        return mr.CellState(mr.MomentumState(v), core), h


def test_where_a_drive_sees_h_both_are_searched_for(float64):
    """At rest v = h / 2, and so h = tanh(1.5 h + h / 2), the plain cell's."""
    plain, params = bistable()
    cell = Feedback(plain.core)
    params["core"]["kernel"] = 1.5 * jnp.eye(3)
    points = analysis.fixed_points(cell, params, jnp.zeros(1), starts_of(cell, params, 600), "full")
    assert len(points.counts) == 27
    np.testing.assert_allclose(np.tanh(2 * points.states.core.h), points.states.core.h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(points.states.drive.velocity, points.states.core.h / 2, rtol=0, atol=1e-12)
    assert points.jacobians.shape == (27, 6, 6)
    assert points.stable.sum() == 8


def test_a_drive_of_ones_own_is_solved(float64):
    cell, params = bistable(user_drives.Saturating(0.6, 1.0))
    params["input"]["bias"] = jnp.array([0.1, 0.2, -0.1])
    points = analysis.fixed_points(cell, params, jnp.ones(1), starts_of(cell, params, 5))
    v, u = points.states.drive.velocity[0], cell.project(params, jnp.ones(1))
    np.testing.assert_allclose(np.tanh(0.6 * v + u), v, rtol=0, atol=1e-13)


def test_an_nnx_cell_is_taken_as_it_is():
    module = mnnx.MomentumRNNCell(2, 3, rngs=nnx.Rngs(0))
    cell, params = module.functional()
    starts = starts_of(cell, params, 4)
    found = analysis.fixed_points(module, None, jnp.ones(2), starts)
    expected = analysis.fixed_points(cell, params, jnp.ones(2), starts)
    np.testing.assert_array_equal(found.states.core.h, expected.states.core.h)


def test_narrow_parameters_are_widened():
    cell, params = bistable(dtype=jnp.bfloat16)
    points = analysis.fixed_points(cell, params, jnp.zeros(1, jnp.bfloat16), starts_of(cell, params, 10))
    assert points.states.core.h.dtype == points.jacobians.dtype == jnp.float32
    assert points.eigenvalues.dtype == jnp.complex64
    assert points.residuals.max() < 1e-6


class TestRefused:
    def test_a_drive_that_counts(self):
        cell, params = bistable(mr.Nesterov(), dtype=jnp.float32)
        with pytest.raises(ValueError, match="cell must have a drive that can be at rest; Nesterov must"):
            analysis.fixed_points(cell, params, jnp.zeros(1), starts_of(cell, params, 2))

    @pytest.mark.parametrize("cell", [mr.Cell(mr.HiPPORNN(3)), mr.ReleasedNesterovLSTM(mr.LSTM(3))], ids=["core", "cell"])
    def test_a_core_that_counts(self, cell):
        params = cell.init(jax.random.key(0), 1)
        with pytest.raises(ValueError, match=r"cell must have a state at rest, but a step changes '.*steps'"):
            analysis.fixed_points(cell, params, jnp.zeros(1), starts_of(cell, params, 2))

    def test_traced_values(self):
        cell, params = bistable(dtype=jnp.float32)
        starts = starts_of(cell, params, 2)
        with pytest.raises(TypeError, match=r"fixed_points must be called outside of jax\.jit.* but got traced values"):
            jax.jit(lambda x: analysis.fixed_points(cell, params, x, starts))(jnp.zeros(1))


@pytest.mark.parametrize(
    "core",
    [
        pytest.param(mr.Elman(24), id="elman"),
        pytest.param(mr.LSTM(24), id="lstm", marks=pytest.mark.exhaustive),
        pytest.param(mr.GRU(24), id="gru", marks=pytest.mark.exhaustive),
    ],
)
def test_the_eight_memories_of_a_trained_flip_flop(core):
    cell, params, readout = flip_flop.trained(core, steps=500)
    xs, ys = flip_flop.sequences(jax.random.key(1))
    _, hs, states = mr.unroll(cell, params, xs, return_states=True)
    assert jnp.mean(jnp.sign(hs @ readout) == ys) > 0.99
    starts = jax.tree.map(lambda leaf: leaf[9::10], states)
    points = analysis.fixed_points(cell, params, jnp.zeros(flip_flop.BITS), starts)
    bits = np.sign(points.states.core.h @ readout)[points.stable]
    assert sorted(bits.tolist()) == [[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    assert points.residuals.max() < 1e-6
