"""Each drive against its equation, by hand or in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_rnn_jax as mr
from tests.registry import DRIVES, assert_close


def run(drive, us):
    return drive.unroll(drive.init(us[0]), us)


def step(drive, u):
    """One step from the initial state for three features and no batch."""
    return drive.step(drive.init(jnp.ones(3)), u)


@pytest.fixture
def us(float64):
    return jnp.asarray(np.random.default_rng(0).normal(size=(12, 3, 5)))


@pytest.mark.parametrize("name", DRIVES)
def test_unroll_is_a_loop_of_step(us, name):
    drive = DRIVES[name]
    state = drive.init(us[0])
    final, ds = run(drive, us)
    for u, d in zip(us, ds, strict=True):
        state, expected = drive.step(state, u)
        assert_close(d, expected, 1e-13)
    assert_close(final, state, 1e-13)


@pytest.mark.parametrize("name", DRIVES)
def test_every_state_leaf_begins_with_the_batch_shape(us, name):
    assert all(leaf.shape[:1] == (3,) for leaf in jax.tree.leaves(DRIVES[name].init(us[0])))


@pytest.mark.parametrize("name", DRIVES)
def test_a_drive_is_linear_exactly_when_it_says_so(us, name):
    drive = DRIVES[name]
    one, two, both = (run(drive, x)[1] for x in (us, us[::-1], 2 * us + us[::-1]))
    assert isinstance(drive, mr.Identity | mr.LinearDrive | mr.HiPPO) == bool(
        jnp.allclose(both, 2 * one + two, rtol=1e-12, atol=1e-12)
    )


@pytest.mark.parametrize("name", [name for name in DRIVES if isinstance(DRIVES[name], mr.Identity | mr.LinearDrive)])
def test_a_linear_drive_commutes_with_the_projection(us, name):
    W = jnp.asarray(np.random.default_rng(1).normal(size=(5, 8)))
    assert_close(run(DRIVES[name], us)[1] @ W, run(DRIVES[name], us @ W)[1], 1e-12)


def test_linear_drives_are_the_identity_and_one_recurrence():
    assert {type(d) for d in DRIVES.values() if isinstance(d, mr.Identity | mr.LinearDrive)} == {
        mr.Identity,
        mr.Momentum,
        mr.Nesterov,
    }
    assert all(issubclass(cls, mr.LinearDrive) for cls in (mr.Momentum, mr.Nesterov))


def test_momentum_impulse_response(float64):
    impulse = jnp.zeros((20, 1)).at[0].set(1.0)
    assert_close(run(mr.Momentum(mu=0.7, step_size=0.3), impulse)[1][:, 0], 0.3 * 0.7 ** np.arange(20.0), 1e-12)


def test_defaults():
    assert dataclasses.asdict(mr.Momentum()) == {"mu": 0.6, "step_size": 0.6}
    assert dataclasses.asdict(mr.Adam()) == {"mu": 0.6, "step_size": 0.6, "beta": 0.1, "eps": 1e-16}
    assert dataclasses.asdict(mr.RMSProp()) == {"step_size": 0.6, "beta": 0.9, "eps": 1e-16}


def test_momentum_gain_is_step_size_over_one_minus_mu(float64):
    assert run(mr.Momentum(mu=0.5, step_size=0.3), jnp.ones((80, 1)))[1][-1, 0] == pytest.approx(0.6, rel=1e-12)


def test_rmsprop_is_adam_without_momentum(us):
    adam, rmsprop = run(mr.Adam(0.0, 0.7, 0.9), us), run(mr.RMSProp(0.7, 0.9), us)
    assert_close(rmsprop[1], adam[1], 1e-13)
    assert_close(rmsprop[0].second_moment, adam[0].second_moment, 1e-13)


def test_adam_equation(us):
    mu, s, beta, eps = 0.6, 0.7, 0.9, 1e-16
    v = m = np.zeros(us.shape[1:])
    for u, d in zip(np.asarray(us), run(mr.Adam(mu, s, beta, eps), us)[1], strict=True):
        v, m = mu * v + s * u, beta * m + (1 - beta) * u**2
        assert_close(d, v / np.sqrt(m + eps), 1e-12)


@pytest.mark.parametrize("restart", [None, 1, 2, 5])
def test_nesterov_equation(us, restart):
    v, k = np.zeros(us.shape[1:]), 1
    for u, d in zip(np.asarray(us), run(mr.Nesterov(0.7, restart), us)[1], strict=True):
        v = (k - 1) / (k + 2) * v + 0.7 * u
        assert_close(d, v, 1e-12)
        k = 1 if k == restart else k + 1


def test_nesterov_counts_past_what_bfloat16_can_hold():
    steps = jnp.array([1000], jnp.int32)
    state = mr.NesterovState(jnp.ones((1, 1)), steps)
    state, d = mr.Nesterov(1.0).step(state, jnp.zeros((1, 1), jnp.bfloat16))
    assert state.steps.tolist() == [1001]
    assert d.tolist() == [[float(jnp.bfloat16(1000 / 1003))]]


@pytest.mark.parametrize(
    "drive", [mr.Momentum(mu=0.999), mr.Adam(beta=0.999), mr.RMSProp(beta=0.999), mr.Nesterov()], ids=lambda d: type(d).__name__
)
def test_bfloat16_keeps_decays_that_it_cannot_hold(drive):
    """0.999 rounds to 1 in bfloat16, and small steps are lost in large sums; drives compute in float32."""
    us = jnp.full((600, 1), 0.5, jnp.bfloat16)
    d, expected = run(drive, us)[1], run(drive, us.astype(jnp.float32))[1]
    assert d.dtype == jnp.bfloat16
    assert jnp.abs(d.astype(jnp.float32) / expected - 1).max() <= 2**-8


def test_mu_per_unit(us):
    mu = np.linspace(0.0, 0.9, 5)
    together = run(mr.Momentum(mu, 1.0), us)[1]
    for i, one in enumerate(mu):
        assert_close(together[..., i], run(mr.Momentum(one, 1.0), us)[1][..., i], 1e-14)


class TestOptaxDrive:
    def test_trace_is_momentum(self, us):
        assert_close(run(mr.OptaxDrive(optax.trace(decay=0.6)), us)[1], run(mr.Momentum(0.6, 1.0), us)[1], 1e-14)

    @pytest.mark.parametrize(
        "tx",
        [
            optax.scale_by_adam(),
            optax.scale_by_lion(),
            optax.scale_by_belief(),
            optax.scale_by_yogi(),
            optax.chain(optax.clip_by_global_norm(1.0), optax.trace(0.9, nesterov=True)),
            optax.inject_hyperparams(optax.scale_by_rms)(decay=0.9),
        ],
        ids=["adam", "lion", "belief", "yogi", "chain", "inject_hyperparams"],
    )
    def test_transformations_run_under_unroll_grad_and_vmap(self, float64, tx):
        cell = mr.Cell(mr.LSTM(4), mr.OptaxDrive(tx))
        params = cell.init(jax.random.key(0), 3)
        xs = jax.random.normal(jax.random.key(1), (6, 2, 3))

        def loss(params, xs):
            return jnp.sum(mr.unroll(cell, params, xs)[1] ** 2)

        # One example by itself is the meaning; a batch must not mix examples.
        value, grads = jax.jit(jax.value_and_grad(loss))(params, xs)
        per_example = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 1)))(params, xs)
        assert_close((value, grads), jax.tree.map(lambda x: x.sum(0), per_example), 1e-10)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
        # A loop written by hand.
        us = np.asarray(xs[:, 0]) @ np.asarray(params["input"]["kernel"]) + np.asarray(params["input"]["bias"])[None]
        state, ds, update = jax.jit(tx.init)(jnp.zeros(16)), [], jax.jit(tx.update)
        for u in us:
            with jax.numpy_dtype_promotion("standard"):
                d, state = update(u, state)
            ds.append(d)
        assert_close(jax.jit(lambda: run(cell.drive, us)[1])(), np.stack(ds), 1e-12)

    def test_refuses_what_needs_more_than_a_gradient(self):
        with pytest.raises(TypeError, match=r"tx must be an optax.GradientTransformation, got 'adam'"):
            mr.OptaxDrive("adam")
        with pytest.raises(ValueError, match="tx must work on a gradient alone"):
            mr.OptaxDrive(optax.add_decayed_weights(1e-4))


@pytest.mark.parametrize("drive", [mr.Adam(0.6, 0.6, 0.01), mr.Adam(0.6, 0.6, 0.999), mr.RMSProp(0.6, 0.9)], ids=str)
def test_blank_borders_stay_finite_in_float32(drive):
    """Rows of exact zeros around a picture, and biases of zero: u is exactly zero, and m + eps is 1e-16."""
    cell = mr.Cell(mr.LSTM(8, init_scheme="released"), drive)
    params = cell.init(jax.random.key(0), 1)
    params["input"]["bias"] = jnp.zeros_like(params["input"]["bias"])
    image = jnp.zeros((12, 12)).at[4:8, 4:8].set(jax.random.uniform(jax.random.key(1), (4, 4)))
    xs = image.reshape(-1, 1, 1)

    def loss(cell, params, xs):
        return jnp.sum(mr.unroll(cell, params, xs)[1][-1] ** 2)

    value, grads = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(cell, params, xs)
    assert value > 0
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert any(jnp.abs(g).max() > 0 for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.Momentum(1.0, 0.6), ValueError, r"mu must be in \[0, 1\), got 1.0"),
        (lambda: mr.Momentum(-0.1, 0.6), ValueError, r"mu must be in \[0, 1\), got -0.1"),
        (lambda: mr.Momentum(float("nan"), 0.6), ValueError, r"mu must be in \[0, 1\), got nan"),
        (lambda: mr.Momentum(np.array([0.5, 1.5]), 0.6), ValueError, r"mu must be in \[0, 1\)"),
        (lambda: mr.Momentum(jnp.array([0.5, 1.5]), 0.6), ValueError, r"mu must be in \[0, 1\)"),
        (lambda: mr.Momentum("0.6", 0.6), TypeError, "mu must be a real number or an array of them, got '0.6'"),
        (lambda: mr.Momentum(True, 0.6), TypeError, "mu must be a real number"),
        (lambda: mr.Momentum(0.6, 0.0), ValueError, r"step_size must be in \(0, inf\), got 0.0"),
        (lambda: mr.Momentum(0.6, float("inf")), ValueError, r"step_size must be in \(0, inf\), got inf"),
        (lambda: mr.Adam(0.6, 0.6, 1.0), ValueError, r"beta must be in \[0, 1\), got 1.0"),
        (lambda: mr.Adam(0.6, 0.6, 0.9, eps=0.0), ValueError, r"eps must be in \[1e-30, inf\), got 0.0"),
        (lambda: mr.Momentum(0.99999999999, 0.6), ValueError, r"mu must be in \[0, 1\), got 0.99999999999"),  # 1 in float32
        (lambda: mr.RMSProp(-1.0, 0.9), ValueError, r"step_size must be in \(0, inf\), got -1.0"),
        (lambda: mr.Nesterov(1.0, restart=0), ValueError, "restart must be an integer of at least 1, got 0"),
        (lambda: mr.Nesterov(1.0, restart=2.5), TypeError, "restart must be an integer of at least 1, got 2.5"),
        (lambda: mr.Momentum(0.6, 0.6).init(jnp.ones(3, jnp.int32)), TypeError, "u must have a floating-point dtype, got int32"),
        (lambda: step(mr.Momentum(), jnp.ones(3, jnp.int32)), TypeError, "u must have a floating-point dtype, got int32"),
        (lambda: step(mr.Identity(), [1.0, 2.0, 3.0]), TypeError, r"u must be an array of shape \(..., gates\), got \[1.0"),
        (lambda: step(mr.Adam(), jnp.ones((2, 3))), ValueError, r"state.velocity must be float32 of shape \(2, 3\), got"),
        (lambda: run(mr.Nesterov(), jnp.ones((4, 3), jnp.int32)), TypeError, "u must have a floating-point dtype"),
        (lambda: mr.RMSProp().unroll(mr.RMSProp().init(jnp.ones(3)), jnp.ones(3)), ValueError, r"us must have shape \(time"),
        (lambda: run(mr.Momentum(np.full(3, 0.5)), jnp.ones((2, 4))), ValueError, r"mu must be a scalar or broadcast"),
        (lambda: run(mr.Adam(eps=np.full((2, 2, 4), 0.5)), jnp.ones((2, 4))), ValueError, r"eps must be a scalar or broadcast"),
    ],
)
def test_bad_hyperparameters_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_chain_takes_its_drives_by_keyword():
    drives = (mr.Momentum(0.5), mr.RMSProp())
    chain = mr.Chain(*drives)
    assert mr.Chain(drives=list(drives)) == chain
    assert dataclasses.replace(mr.Chain(mr.Adam()), drives=drives) == chain
    assert mr.Cell(mr.GRU(3), mr.Chain(mr.Adam())).replace(drives=drives).drive == chain
    with pytest.raises(TypeError, match="drives must be arguments of their own or given by the keyword, got both"):
        mr.Chain(*drives, drives=drives)
    with pytest.raises(TypeError, match=r"drives must be a tuple or list of drives, got .*Momentum"):
        mr.Chain(drives=drives[0])
    for make in (mr.Chain, lambda: mr.Chain(drives=[])):
        with pytest.raises(ValueError, match="drives must be at least one drive, got none"):
            make()


@mr.pytree_dataclass
class Lagging(mr.Momentum):
    """Begins at one, and hands on the velocity of the step before."""

    def init(self, u):
        return jax.tree.map(jnp.ones_like, super().init(u))

    def advance(self, state, u):
        return super().advance(state, u)[0], state.velocity.astype(u.dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_chain_is_its_drives_one_after_another(us, dtype):
    drives = (mr.Momentum(0.5), Lagging(0.9, 0.1), mr.RMSProp(0.7, 0.9, eps=0.1))
    us = us.astype(dtype)
    chain, d = mr.Chain(*drives), us.astype(jnp.float32)  # what is between two drives is not rounded
    states = [drive.init(d[0]) for drive in drives]
    for number, drive in enumerate(drives):
        states[number], d = drive.unroll(states[number], d)
    state, ds = chain.unroll(chain.init(us[0]), us)
    assert ds.dtype == dtype
    assert_close((state, ds), (tuple(states), d.astype(dtype)), 1e-6 if dtype == jnp.float32 else 1e-2)
    cell = mr.Cell(mr.Elman(2), chain)
    params, xs = cell.init(jax.random.key(0), 3, jnp.float32), us[..., :3]
    assert_close(mr.unroll(cell, params, xs, method="chunked"), mr.unroll(cell, params, xs, method="stepwise"), 1e-5)


def test_gradients_and_other_trees_of_values_are_not_checked():
    """A gradient of a drive is a drive-shaped tree whose entries may be negative."""
    gradient = jax.grad(lambda drive: -drive.step(drive.init(jnp.ones(1)), jnp.ones(1))[1][0])(mr.Momentum(0.6, 0.6))
    assert gradient.step_size == -1.0
