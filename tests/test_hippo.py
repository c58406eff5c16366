"""HiPPO: what the memory holds, what the drive and the core make of it, and time stamps."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from experiments import memory_figure
from momentum_rnn_jax import hippo
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax.hippo.legs import rotation
from momentum_rnn_jax.hippo.memory import Memory
from tests.registry import assert_close, problem, split_floats

RANDOM = np.random.default_rng(0)
POINTS = np.linspace(0, 1, 41)


def coefficients(drive, us):
    return jax.jit(lambda us: drive.unroll_coefficients(drive.init(us[0]), us)[1])(us)


def outputs(drive, us):
    return jax.jit(lambda us: drive.unroll(drive.init(us[0]), us)[1])(us)


class TestStep:
    N, T = 256, 300

    def dense(self, f, dtype, kappa):
        """A triangular solve with the dense matrix at each step."""
        A, B = (array.astype(dtype) for array in hippo.transition(self.N))
        solve = jax.jit(
            lambda delta, y: jax.scipy.linalg.solve_triangular(np.eye(self.N, dtype=dtype) - delta * A, y, lower=True)
        )
        c, cs = np.zeros(self.N, dtype), []
        for t, value in enumerate(f.astype(dtype)):
            delta = dtype(1 / (t + 1))
            c = np.asarray(solve(dtype(kappa) * delta, c + (1 - dtype(kappa)) * delta * (A @ c) + delta * B * value))
            cs.append(c)
        return np.stack(cs)

    @pytest.mark.parametrize(("discretization", "kappa"), [("bilinear", 0.5), ("backward", 1.0)])
    def test_linear_cost_equals_the_dense_solve_and_rounds_less(self, discretization, kappa):
        f = np.sin(np.arange(self.T) / 30) + 0.3 * np.random.default_rng(1).normal(size=self.T)
        drive = mr.HiPPO(self.N, discretization=discretization, init_t=1)
        with jax.enable_x64(True):
            exact = self.dense(f, np.float64, kappa)
            assert_close(coefficients(drive, jnp.asarray(f)[:, None])[:, 0], exact, 1e-12)
        narrow = coefficients(drive, jnp.asarray(f, jnp.float32)[:, None])[:, 0]
        error, of_dense = (np.linalg.norm(values - exact) for values in (narrow, self.dense(f, np.float32, kappa)))
        assert error < of_dense

    @pytest.mark.parametrize("order", [1, 2, 7, 64])
    def test_the_rotated_matrix_has_blocks_and_rank_one(self, order):
        Q, w, p, start = rotation(order)
        blocks = np.zeros((order, order))
        blocks[order // 2 : 2 * (order // 2), : order // 2] = np.diag(w)
        np.testing.assert_allclose(Q.T @ Q, np.eye(order), atol=1e-14)
        A, B = hippo.transition(order)
        np.testing.assert_allclose(Q @ (blocks - blocks.T - (np.eye(order) + np.outer(p, p)) / 2) @ Q.T, A, atol=1e-13 * order)
        np.testing.assert_allclose((Q @ p, Q @ start), (B, np.eye(order)[0]), atol=1e-13 * order)

    @pytest.mark.parametrize("discretization", ["forward", "backward", "bilinear", "zoh"])
    @pytest.mark.parametrize("order", [3, 6])
    def test_every_example_has_a_count_of_its_own(self, float64, order, discretization):
        memory = Memory(order, discretization=discretization, init_t=1)
        c, f = RANDOM.normal(size=(4, 2, order)), RANDOM.normal(size=(4, 2))
        Q = rotation(order).Q if memory.rotated else np.eye(order)
        new = memory.coefficients(memory.step(jnp.asarray(c @ Q), jnp.arange(4, dtype=jnp.int32), jnp.asarray(f)))
        for b in range(4):
            A, B = hippo.discretize(order, "legs", discretization, dt=1 / (b + 1))
            assert_close(new[b], c[b] @ A.T + f[b][:, None] * B, 1e-12)

    def test_options_are_refused(self):
        with pytest.raises(ValueError, match=r"dt must be None for 'legs', whose steps are 1/t, got 0\.1"):
            mr.HiPPO(3, dt=0.1)
        with pytest.raises(ValueError, match="max_length must be left out for 'lmu', which has no t, got 4"):
            mr.HiPPORNN(3, measure="lmu", max_length=4)
        with pytest.raises(
            ValueError, match=r"readout must be a number or of shape \(3,\) or \(3, units\), got float32 of shape"
        ):
            mr.HiPPO(3, readout=jnp.ones(4))
        per_unit = mr.HiPPO(3, readout=jnp.ones((3, 4)))
        with pytest.raises(ValueError, match="readout must have 1 or 8 units, as there are gates"):
            per_unit.step(per_unit.init(jnp.ones(8)), jnp.ones(8))


class TestReconstruction:
    def test_of_a_polynomial(self, float64):
        """Exact coefficients give the polynomial back, with every basis of Legendre polynomials."""
        nodes, weights = np.polynomial.legendre.leggauss(8)
        s, weights = (nodes + 1) / 2, weights / 2
        signal = np.polynomial.Polynomial(RANDOM.normal(size=5))
        for measure in ("legs", "legt", "lmu"):
            functions = hippo.basis(s, 6, measure)
            norms = (functions**2 * weights[:, None]).sum(axis=0)
            c = (signal(s) * weights) @ functions / norms
            np.testing.assert_allclose(hippo.reconstruct(jnp.asarray(c), POINTS, measure=measure), signal(POINTS), atol=1e-12)

    def test_of_a_laguerre_function(self, float64):
        tau = np.linspace(0, 5, 11)
        expected = np.exp(-tau / 2) * (1 - 2 * tau + tau**2 / 2)
        np.testing.assert_allclose(hippo.reconstruct(jnp.array([0.0, 0.0, 1.0]), tau, measure="lagt"), expected, atol=1e-14)

    def test_a_hold_keeps_a_polynomial_history_exactly(self, float64):
        """With "zoh" the coefficients of the past are those of a function with steps: projecting it anew gives the same."""
        f, order = RANDOM.normal(size=(6, 1)), 4
        c = coefficients(mr.HiPPO(order, discretization="zoh"), jnp.asarray(f))[-1, 0]
        nodes, weights = np.polynomial.legendre.leggauss(order)
        pieces = [((nodes + 1) / 2 + k) / 6 for k in range(6)]
        exact = sum(f[k, 0] * (weights / 12) @ hippo.basis(pieces[k], order) for k in range(6))
        np.testing.assert_allclose(c, exact, atol=1e-13)

    @pytest.mark.parametrize(
        ("measure", "points", "ago"),
        [("legs", POINTS, 1 - POINTS), ("legt", POINTS, 1 - POINTS), ("lmu", POINTS, 1 - POINTS), ("lagt", POINTS, POINTS)],
    )
    def test_what_a_memory_holds_is_the_past(self, float64, measure, points, ago):
        """A slow signal over 1000 steps, the length of the window, comes back."""
        T = 1000

        def signal(ago):
            return np.exp(-ago) * np.cos(ago / 2)

        f = signal(np.arange(T if measure == "legs" else 8 * T)[::-1] / T)
        options = {} if measure == "legs" else {"dt": 1 / T}
        c = coefficients(mr.HiPPO(16, measure=measure, **options), jnp.asarray(f)[:, None])[-1, 0]
        found = hippo.reconstruct(c, points, measure=measure)
        np.testing.assert_allclose(found, signal(ago), atol=0.002)


class TestDrive:
    US = RANDOM.normal(size=(9, 3))

    @pytest.mark.parametrize(
        ("options", "mu", "gain"),
        [
            ({"measure": "legt", "discretization": "zoh", "dt": -np.log(0.8)}, 0.8, 1.0),
            ({"measure": "lmu", "discretization": "backward", "dt": 0.25}, 0.8, 1.0),
            ({"measure": "legt", "discretization": "forward", "dt": 0.2}, 0.8, 1.0),
            ({"measure": "lagt", "discretization": "zoh", "dt": -2 * np.log(0.8)}, 0.8, 2.0),
        ],
    )
    def test_momentum_is_its_first_order_case(self, float64, options, mu, gain):
        step_size = 0.7
        drive = mr.HiPPO(1, readout=step_size / (1 - mu) / gain, **options)
        assert_close(outputs(drive, self.US), outputs(mr.Momentum(mu, step_size), self.US), 1e-13)

    @pytest.mark.parametrize(("discretization", "init_t"), [("zoh", 0), ("backward", 0), ("forward", 1)])
    def test_legs_of_order_one_is_the_running_mean(self, float64, discretization, init_t):
        drive = mr.HiPPO(1, discretization=discretization, init_t=init_t)
        mean = np.cumsum(self.US, axis=0) / np.arange(1, len(self.US) + 1)[:, None]
        assert_close(outputs(drive, self.US), mean, 1e-13)

    def test_bilinear_legs_of_order_one_is_momentum_that_grows(self, float64):
        v, expected = np.zeros(3), []
        for t, u in enumerate(self.US, 1):
            v = (t - 0.5) / (t + 0.5) * v + u / (t + 0.5)
            expected.append(v)
        assert_close(outputs(mr.HiPPO(1, init_t=1), self.US), np.stack(expected), 1e-13)

    def test_readouts(self, float64):
        cs = coefficients(mr.HiPPO(4), self.US)
        for w in (2.0, RANDOM.normal(size=4), RANDOM.normal(size=(4, 1)), RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(1, 3))):
            weights = np.broadcast_to(np.asarray(w)[:, None] if np.ndim(w) == 1 else w, (4, 3))
            assert_close(outputs(mr.HiPPO(4, readout=w), self.US), np.einsum("tgn,ng->tg", cs, weights), 1e-13)

    @pytest.mark.parametrize("measure", hippo.MEASURES)
    def test_the_default_readout_is_the_reconstruction_of_the_present(self, float64, measure):
        now = np.zeros(1) if measure == "lagt" else np.ones(1)
        drive = mr.HiPPO(5, measure=measure)
        assert_close(
            outputs(drive, self.US), hippo.reconstruct(coefficients(drive, self.US), now, measure=measure)[..., 0], 1e-13
        )

    def test_it_filters_the_inputs_where_that_is_less(self, float64):
        """In front of the projection with resets, lengths and the states of all steps: as step by step, with all gradients."""
        cell = mr.Cell(mr.LSTM(4), mr.HiPPO(3, readout=np.array([0.7, -0.4, 0.9])))
        params, xs, state, weights = problem(cell)
        options = {"resets": RANDOM.random(xs.shape[:2]) < 0.3, "seq_lengths": np.array([7, 5, 0]), "return_states": True}
        assert mr.resolve(cell, params, xs, method="chunked", **options).plan.filter_inputs
        assert not mr.resolve(cell, params, xs, state, method="chunked", **options).plan.filter_inputs
        per_unit = cell.replace(readout=np.ones((3, 16)))
        assert not mr.resolve(per_unit, params, xs, method="chunked").plan.filter_inputs
        floats, combine = split_floats((cell, params, xs))

        def loss(floats, method):
            final, hs, states = mr.unroll(*combine(floats), method=method, **options)
            return jnp.sum(hs * weights) + sum(map(jnp.sum, split_floats((final, states))[0])), (final, hs, states)

        run = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
        assert_close(run(floats, "chunked"), run(floats, "stepwise"), 1e-10)

    def test_its_readout_is_learnt_in_flax(self):
        cell = mnnx.RecurrentCell(mr.Cell(mr.Elman(4), mr.HiPPO(3)), 2, learnable={"readout": "each"}, rngs=nnx.Rngs(0))
        gradient = nnx.grad(lambda cell: jnp.sum(mnnx.RNN(cell)(jnp.ones((1, 5, 2))) ** 2))(cell)
        assert gradient["learnt"]["drive"]["readout"][...].shape == (3,)
        assert bool(jnp.all(gradient["learnt"]["drive"]["readout"][...] != 0))
        np.testing.assert_allclose(cell.effective.drive.readout, np.sqrt([1, 3, 5]), rtol=1e-6)


class TestCore:
    @pytest.mark.parametrize("gate", [True, False])
    def test_start(self, gate):
        """Spreads of the released initialisation; the forget from h to ĥ, which it leaves open, is zero or orthogonal."""
        H, F, M, N = 40, 10, 4, 30
        core = mr.HiPPORNN(H, memory_size=M, memory_order=N, gate=gate, memory_feedback=True, hidden_feedback=True)
        params = mr.Cell(core).init(jax.random.key(0), F)
        x, c, h = params["input"]["kernel"], params["core"]["read_kernel"], params["core"]["kernel"]
        bound = np.sqrt(3 / (F + H))
        for write in (x[:, :M], params["core"]["write_kernel"]):
            assert 0.8 * bound < np.abs(write).max() < bound
        spreads = [(x[:, M : M + H], 2 / (F + H)), (c[:, :H], 2 / (M * N + H))]
        spreads += [(x[:, M + H :], 1 / (F + M * N)), (c[:, H:], 1 / (F + M * N))] if gate else []
        for kernel, variance in spreads:
            assert np.var(kernel) == pytest.approx(variance, rel=0.25)
        np.testing.assert_allclose(h[:, :H].T @ h[:, :H], np.eye(H), atol=1e-5)
        assert not params["core"]["feedback_kernel"].any()
        bias = params["input"]["bias"]
        assert bias.shape == (M + (2 if gate else 1) * H,)
        for part, fan in ((bias[:M], F + H), (bias[M:], F + M * N), (params["core"]["bias"], H)):
            assert 0.3 / np.sqrt(fan) < np.abs(part).max() < 1 / np.sqrt(fan)

    def test_the_legendre_memory_unit_has_no_bias(self):
        lmu = {"measure": "lmu", "discretization": "zoh", "dt": 1 / 20, "gate": False, "input_bias": False}
        cell = mr.Cell(mr.HiPPORNN(3, memory_order=4, memory_feedback=True, hidden_feedback=True, **lmu))
        assert cell.param_shapes(2) == {
            "input": {"kernel": (2, 4)},
            "core": {"write_kernel": (3, 1), "read_kernel": (4, 3), "feedback_kernel": (1, 4), "kernel": (3, 3)},
        }

    def test_only_h_is_trained_at_the_start(self):
        cell = mr.Cell(mr.HiPPORNN(3), trainable_initial_state=True)
        assert cell.init(jax.random.key(0), 2)["initial"].keys() == {"h"}


class TestTime:
    def test_a_resampled_momentum_keeps_its_gain_and_its_span(self, float64):
        momentum = mr.Momentum(mu=jnp.array([0.5, 0.9]), step_size=0.3)
        slow = RANDOM.normal(size=(5, 2))
        held = np.repeat(slow, 4, axis=0)
        assert_close(outputs(momentum.resampled(0.25), held)[3::4], outputs(momentum, slow), 1e-13)
        assert momentum.resampled(1.0).mu.tolist() == [0.5, 0.9]

    def test_a_memory_of_the_past_does_not_mind_the_sampling_rate_unless_momentum_does(self, float64):
        """Sampled twice as fast, a signal leaves the same coefficients; momentum spoils that, and mu^dt restores it."""

        def change(drive, fast_drive):
            slow, fast = ((np.arange(n) + 1) / n for n in (200, 400))
            us = [
                np.stack([np.sin(2 * np.pi * k * s + k) for k in (1, 2, 3)], axis=-1).sum(-1, keepdims=True) for s in (slow, fast)
            ]
            c, c_fast = (coefficients(mr.HiPPO(8), outputs(d, u))[-1, 0] for d, u in zip((drive, fast_drive), us, strict=True))
            return np.linalg.norm(c_fast - c) / np.linalg.norm(c)

        momentum = mr.Momentum(0.9, 0.1)
        found = change(mr.Identity(), mr.Identity()), change(momentum, momentum), change(momentum, momentum.resampled(0.5))
        assert found == pytest.approx((0.019, 0.247, 0.032), rel=0.03)

    def test_time_stamps_one_step_apart_change_nothing_but_the_memory(self, float64):
        plain = mr.Cell(mr.GRU(4), mr.Momentum(0.7))
        params, xs, _, _ = problem(plain)
        times = jnp.broadcast_to(jnp.arange(5.0, 5.0 + len(xs))[:, None, None], (*xs.shape[:2], 1))
        timed = mr.TimedCell(plain.core, plain.drive)
        found = mr.unroll(timed, params, jnp.concatenate([times, xs], axis=-1))
        expected = mr.unroll(plain, params, xs)
        assert_close((found[0].drive.inner, found[0].core, found[1]), (expected[0].drive, expected[0].core, expected[1]), 1e-13)

    def test_counted_steps_are_time_stamps_of_whole_numbers(self, float64):
        core = mr.HiPPORNN(3, memory_order=4)
        params, xs, _, _ = problem(mr.Cell(core))
        times = jnp.broadcast_to(jnp.arange(float(len(xs)))[:, None, None], (*xs.shape[:2], 1))
        timed = mr.unroll(mr.TimedCell(core), params, jnp.concatenate([times, xs], axis=-1))
        assert_close(timed[1], mr.unroll(mr.Cell(core), params, xs)[1], 1e-13)

    def test_a_time_of_zero_starts_the_memory_of_that_example_alone(self, float64):
        cell = mr.TimedCell(mr.HiPPORNN(3, memory_order=4), mr.Momentum(0.5))
        params, xs, _, _ = problem(cell)
        again = xs.at[3, 1, 0].set(0.0)
        hs, hs_again = (mr.unroll(cell, params, one)[1] for one in (xs, again))
        assert_close(hs_again[:, jnp.array([0, 2])], hs[:, jnp.array([0, 2])], 1e-13)
        assert_close(hs_again, jnp.stack([mr.unroll(cell, params, again[:, b])[1] for b in range(3)], axis=1), 1e-13)

    def test_options_are_refused(self):
        with pytest.raises(
            TypeError, match=r"drive must have steps of any length, as Momentum has, got momentum_rnn_jax\.drives\..*Adam"
        ):
            mr.TimedCell(mr.GRU(3), mr.Adam())
        with pytest.raises(ValueError, match="core must be a HiPPORNN of 'legs' without max_length, got 'lmu', None"):
            mr.TimedCell(mr.HiPPORNN(3, measure="lmu"))
        with pytest.raises(ValueError, match=r"dt must be in \[0, inf\), got -1.0"):
            mr.Momentum().resampled(-1.0)


def test_the_figure(tmp_path, capsys):
    assert memory_figure.main([str(tmp_path / "memory.png")]) == 0
    assert (tmp_path / "memory.png").stat().st_size > 10_000
    errors = [float(error) for error in re.findall(r"root mean square error (\S+) over", capsys.readouterr().out)]
    assert errors == pytest.approx([0.094, 0.019, 0.319], abs=0.005)  # what docs/neighbours/hippo.md says


class TestPaddingOfTimes:
    @pytest.mark.parametrize("drive", [mr.Identity(), mr.Momentum(mu=0.6)])
    def test_padding_has_no_gradient_whatever_the_times(self, float64, drive):
        """A step from 5 to a time of 1, or one of hundreds backwards, would be singular."""
        cell = mr.TimedCell(mr.HiPPORNN(4, memory_order=3), drive)
        params, lengths = cell.init(jax.random.key(0), 2), jnp.array([5, 7, 0])
        signal = jax.random.normal(jax.random.key(1), (7, 3, 1))

        @jax.jit
        @functools.partial(jax.grad, argnums=(0, 1))
        def gradient(params, xs, state, lengths):
            return (mr.unroll(cell, params, xs, state, seq_lengths=lengths)[1] ** 2).sum()

        for scale, given in ((1.0, None), (1000.0, 500.0)):
            times = scale * jnp.arange(1, 8.0)[:, None, None] * jnp.ones((1, 3, 1))
            xs = jnp.concatenate([times, signal], -1)
            state = cell.initial_state(params, (3,))
            if given is not None:
                state = state._replace(drive=state.drive._replace(time=jnp.full(3, given), steps=jnp.full(3, 2, jnp.int32)))
            found = gradient(params, xs.at[5:, 0].set(jnp.nan).at[:, 2].set(jnp.nan), state, lengths)
            example = lambda tree, e: jax.tree.map(lambda leaf: leaf[e : e + 1], tree)  # noqa: E731
            one = gradient(params, xs[:5, :1], example(state, 0), jnp.array([5]))
            other = gradient(params, xs[:, 1:2], example(state, 1), jnp.array([7]))
            assert_close(found[0], jax.tree.map(jnp.add, one[0], other[0]), 1e-10)
            assert_close(found[1][:5, :1], one[1], 1e-10)
            assert not np.asarray(found[1][5:, 0]).any()
            assert not np.asarray(found[1][:, 2]).any()

    def test_times_that_run_backwards_are_refused(self):
        module = mnnx.RNN(mnnx.RecurrentCell(mr.TimedCell(mr.HiPPORNN(3)), 2, rngs=nnx.Rngs(0)), reverse=True)
        with pytest.raises(ValueError, match="reverse must be False for TimedCell, whose times must not decrease"):
            module(jnp.ones((1, 4, 2)))

    def test_a_projection_of_the_core_s_own_is_used(self):
        class Twice(mr.Elman):
            def project(self, params, x):
                return 2 * super().project(params, x)

        core = mr.pytree_dataclass(Twice)(3)
        plain, timed = mr.Cell(core), mr.TimedCell(core)
        params = timed.init(jax.random.key(0), 3)
        xs = jax.random.normal(jax.random.key(1), (4, 2, 2))
        times = jnp.arange(1, 5.0)[:, None, None] * jnp.ones((1, 2, 1))
        expected = mr.unroll(plain, params, xs)[1]
        np.testing.assert_allclose(mr.unroll(timed, params, jnp.concatenate([times, xs], -1))[1], expected, rtol=1e-6)

    def test_an_empty_batch(self):
        for cell in (mr.Cell(mr.HiPPORNN(3)), mr.TimedCell(mr.HiPPORNN(3))):
            assert mr.unroll(cell, cell.init(jax.random.key(0), 2), jnp.ones((3, 0, 2)))[1].shape == (3, 0, 3)
