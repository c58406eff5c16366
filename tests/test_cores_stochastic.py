"""Zoneout and recurrent dropout: equations, masks, and that the fast path runs them."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import layer
from tests.new_cores import BATCH, NEW_CORES, TIME, assert_follows, close, normal, sigmoid
from tests.wrapped import linen_cell, nnx_cell

H = 4


def lstm(xp, params, c, h, product_input, d):
    i, f, g, o = xp.split(product_input @ params["kernel"] + params["bias"] + d, 4)
    c = sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(g)
    return c, sigmoid(xp, o) * xp.tanh(c)


def gru(xp, params, h, product_input, d):
    a_r, a_z, a_n = xp.split(product_input @ params["kernel"] + params["bias"], 3)
    d_r, d_z, d_n = xp.split(d, 3)
    z = sigmoid(xp, a_z + d_z)
    return (1 - z) * xp.tanh(d_n + sigmoid(xp, a_r + d_r) * a_n) + z * h


def zoneout_lstm(xp, core, params, state, d, noise):
    new = dict(zip(("c", "h"), lstm(xp, params, state.c, state.h, state.h, d), strict=True))
    for name in core.rate if isinstance(core.rate, dict) else ("c", "h"):
        rate = core.rate[name] if isinstance(core.rate, dict) else core.rate
        keep = rate if noise is None else noise.mask[name].astype(float)
        new[name] = keep * getattr(state, name) + (1 - keep) * new[name]
    return mr.LSTMState(**new), new["h"]


def dropped_gru(xp, core, params, state, d, noise):
    h = gru(xp, params, state.y, state.h, d)
    mask = 1.0 if noise is None else noise.mask.astype(float) / (1 - core.rate)
    return mr.RecurrentDropoutState(mr.HiddenState(None), mask * h, h), h


EACH = jnp.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize(
    ("core", "step"),
    [
        (mr.Zoneout(mr.LSTM(H), rate={"c": 0.5, "h": 0.1}), zoneout_lstm),
        (mr.Zoneout(mr.LSTM(H), rate={"c": EACH}), zoneout_lstm),
        (mr.Zoneout(mr.LSTM(H), rate=0.3), zoneout_lstm),
        (mr.RecurrentDropout(mr.GRU(H), rate=0.4), dropped_gru),
        (mr.RecurrentDropout(mr.GRU(H), rate=EACH, variational=False), dropped_gru),
    ],
    ids=["entries", "units", "all", "variational", "each_step"],
)
def test_equations(float64, core, step, noisy):
    assert_follows(core, step, core.sample_noise(jax.random.key(1), (TIME, BATCH)) if noisy else None)


def test_dropout_in_an_lstm_drops_from_the_product_alone(float64):
    core = mr.RecurrentDropout(mr.LSTM(H), rate=0.4)
    params = normal(core.init(jax.random.key(0)), 0)
    noise = core.sample_noise(jax.random.key(2), (TIME,))
    ds = normal(jnp.zeros((TIME, 4 * H)), 1)
    _, ys = jax.lax.scan(
        lambda state, inputs: core.step(params, state, *inputs), core.initial_state(params, (), float), (ds, noise)
    )
    c = h = np.zeros(H)
    mask = np.asarray(noise.mask[0]) / 0.6
    for d, y in zip(np.asarray(ds), ys, strict=True):  # as in Gal and Ghahramani: one mask, on h before the product
        c, h = lstm(np, jax.tree.map(np.asarray, params), c, h, h * mask, d)
        close(y, h)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_rate_that_16_bits_would_round_to_one(dtype):
    rate, before, after = 0.9999, jnp.zeros(H, dtype), jnp.full(H, 0.5, dtype)

    @mr.pytree_dataclass
    class Constant(mr.Elman):
        def update(self, params, state, *pre):
            return mr.HiddenState(after * jnp.ones_like(state.h))

    h = mr.Zoneout(Constant(H), rate).update({}, mr.HiddenState(before), before).h
    assert h.dtype == dtype
    np.testing.assert_allclose(np.asarray(h, float), (1 - rate) * 0.5, rtol=0.01)
    dropout = mr.RecurrentDropout(mr.Elman(H, "identity"), rate)
    noise = mr.WrapperNoise(None, jnp.array([True, False, True, False]))

    def dropped(rate, d):
        state = dropout.initial_state({}, (), dtype)
        return dataclasses.replace(dropout, rate=rate).update({}, state, d, noise=noise).h

    d = jnp.full(H, 0.5, dtype)
    h, pull = jax.vjp(dropped, jnp.float32(rate), d)
    np.testing.assert_allclose(np.asarray(h, float), [5000, 0, 5000, 0], rtol=0.01)
    assert all(np.isfinite(np.asarray(leaf, float)).all() for leaf in pull(jnp.full(H, 1e-4, dtype)))


class TestMasks:
    def test_zoneout_draws_for_each_step_example_unit_and_entry_at_its_rate(self):
        core = mr.Zoneout(mr.LSTM(20), rate={"c": 0.5, "h": jnp.full(20, 0.1)})
        mask = core.sample_noise(jax.random.key(0), (50, 40)).mask
        assert {name: m.shape for name, m in mask.items()} == {"c": (50, 40, 20), "h": (50, 40, 20)}
        assert np.mean(mask["c"]) == pytest.approx(0.5, abs=0.01)
        assert np.mean(mask["h"]) == pytest.approx(0.1, abs=0.01)
        for axis in range(3):
            assert np.ptp(np.mean(mask["c"], axis=tuple({0, 1, 2} - {axis}))) > 0

    def test_rates_of_units_are_each_units_own(self):
        mask = mr.RecurrentDropout(mr.GRU(H), rate=EACH).sample_noise(jax.random.key(0), (1, 20000)).mask
        np.testing.assert_allclose(np.mean(mask, axis=(0, 1)), 1 - np.asarray(EACH), atol=0.015)

    def test_a_variational_mask_is_the_same_at_every_step_and_each_examples_own(self):
        core = mr.RecurrentDropout(mr.LSTM(50, projection_features=30), rate=0.5)
        mask = np.asarray(core.sample_noise(jax.random.key(0), (4, 3, 2)).mask)
        assert mask.shape == (4, 3, 2, 30)
        assert (mask == mask[:1]).all()
        assert len({row.tobytes() for row in mask[0].reshape(6, 30)}) == 6
        own = np.asarray(mr.RecurrentDropout(mr.GRU(50), 0.5, variational=False).sample_noise(jax.random.key(0), (4, 3)).mask)
        assert len({row.tobytes() for row in own.reshape(12, 50)}) == 12

    def test_a_step_of_a_flax_cell_draws_for_each_example(self):
        cell = mr.Cell(mr.RecurrentDropout(mr.GRU(50), rate=0.5))
        params = cell.init(jax.random.key(0), 2)
        state, _ = layer.step(cell, params, cell.initial_state(params, (3,)), jnp.ones((3, 2)), float, jax.random.key(1))
        assert len({row.tobytes() for row in np.asarray(state.core.h == 0)}) == 3

    def test_noise_without_axes_is_one_examples_one_step(self):
        assert mr.RecurrentDropout(mr.GRU(H), 0.5).sample_noise(jax.random.key(0), ()).mask.shape == (H,)

    def test_the_noise_of_the_core_is_kept(self):
        core = mr.RecurrentDropout(mr.Zoneout(mr.LayerNorm(mr.Leaky(H, noise=0.1)), 0.3), 0.3)
        noise = core.sample_noise(jax.random.key(0), (5, 2))
        assert noise.core.core.shape == noise.core.mask["v"].shape == noise.mask.shape == (5, 2, H)
        assert mr.Zoneout(mr.GRU(H), 0.3).sample_noise(jax.random.key(0), (5,)).core is None
        assert mr.LayerNorm(mr.GRU(H)).sample_noise(jax.random.key(0), (5,)) is None


NOISY = {
    "zoneout": NEW_CORES["zoneout"],
    "nested": mr.RecurrentDropout(mr.Zoneout(mr.LayerNorm(mr.Leaky(H, noise=0.1), eps=0.1), 0.3), 0.3),
}


@pytest.mark.parametrize("name", NOISY)
def test_the_fast_path_with_noise_is_a_scan_of_the_step(float64, name):
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), mr.Cell(NOISY[name], mr.Momentum()))
    params = normal(cell.init(jax.random.key(0), 3), 0, 0.5)
    xs, state = normal(jnp.zeros((4, BATCH, 3)), 1), normal(cell.initial_state(params, (BATCH,)), 2)
    noise = cell.sample_noise(jax.random.key(1), (4, BATCH))
    weights = normal(jnp.zeros((4, BATCH, cell.core.output_features)), 3)

    @functools.partial(jax.jit, static_argnames="method")
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(given, method):
        cell, params, xs, state = given
        final, ys = mr.unroll(cell, params, xs, state, method, noise=noise)
        return jnp.sum(ys * weights), (final, ys)

    assert not np.allclose(mr.unroll(cell, params, xs, state)[1], mr.unroll(cell, params, xs, state, noise=noise)[1])
    close(run((cell, params, xs, state), "chunked"), run((cell, params, xs, state), "stepwise"), 1e-11)


@pytest.mark.parametrize("stacked", [False, True])
def test_noise_is_time_first_also_where_the_inputs_are_batch_first(float64, stacked):
    cell = mr.Cell(mr.RecurrentDropout(mr.GRU(H), rate=0.5), mr.Momentum())
    cell = mr.Stack([cell, mr.Cell(NOISY["zoneout"])]) if stacked else cell
    params = normal(cell.init(jax.random.key(0), 3), 0, 0.5)
    xs = normal(jnp.zeros((4, 3, 2, 3)), 1)  # time and two batch axes
    noise = cell.sample_noise(jax.random.key(1), xs.shape[:-1])
    final, ys = mr.unroll(cell, params, xs, noise=noise)
    batch_first = mr.unroll(cell, params, jnp.moveaxis(xs, 0, 2), noise=noise, time_major=False)
    close(batch_first, (final, jnp.moveaxis(ys, 0, 2)), 1e-14)
    moved = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 2), noise)
    with pytest.raises(ValueError, match=r"noise.* must be bool of shape \(4, 3, 2, 4\), got bool of shape \(3, 2, 4, 4\)"):
        mr.unroll(cell, params, jnp.moveaxis(xs, 0, 2), noise=moved, time_major=False)


def leaky_start(start):
    return mr.LeakyState(start["v"], sigmoid(jnp, start["v"]))


def dropped(state):
    return mr.RecurrentDropoutState(state._replace(h=None), state.h, state.h)


class Delayed(NamedTuple):
    v: jax.Array
    h: jax.Array
    before: jax.Array


@mr.pytree_dataclass
class Late(mr.Wrapper):
    """A wrapper whose state is its own, and which says nothing of how it starts."""

    core: mr.KernelCore

    def initial_state(self, prepared, batch_shape, dtype):
        state = self.core.initial_state(prepared, batch_shape, dtype)
        return Delayed(*state, jnp.zeros_like(state.h))

    def update(self, params, state, *pre):
        return Delayed(*self.core.update(params, mr.LeakyState(state.v, state.h), *pre), state.h)


STARTS = {
    "leaky": (mr.Leaky(H, "sigmoid"), ("v",), leaky_start),
    "normalised leaky": (mr.LayerNorm(mr.Leaky(H, "sigmoid")), ("v",), leaky_start),
    "dropout": (mr.RecurrentDropout(mr.GRU(H), 0.3), ("h",), lambda start: dropped(mr.HiddenState(**start))),
    "dropout, two entries": (
        mr.RecurrentDropout(mr.Zoneout(mr.LSTM(H, projection_features=2), 0.3), 0.3),
        ("c", "h"),
        lambda start: dropped(mr.LSTMState(**start)),
    ),
    "dropout, leaky": (mr.RecurrentDropout(mr.Leaky(H, "sigmoid"), 0.3), ("v",), lambda start: dropped(leaky_start(start))),
    "a state of its own": (Late(mr.Leaky(H)), ("v", "h", "before"), lambda start: Delayed(**start)),
}


class TestTrainedStarts:
    """The start that is trained is what the rest of the state follows from."""

    @pytest.mark.parametrize("name", STARTS)
    def test_a_run_is_the_one_from_the_state_made_by_hand(self, float64, name):
        core, names, by_hand = STARTS[name]
        cell = mr.Cell(core, mr.Momentum(), trainable_initial_state=True)
        new = cell.init(jax.random.key(0), 3)
        params = normal(new, 0, 0.5)
        assert set(new["initial"]) == set(names)
        assert {n: leaf.shape for n, leaf in new["initial"].items()} == cell.param_shapes(3)["initial"]
        start = cell.initial_state(new).core
        close(start, mr.Cell(core).initial_state({"input": new["input"], "core": new["core"]}).core)
        pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(start)]
        assert len(set(pointers)) == len(pointers)  # a caller may donate them
        xs, weights = normal(jnp.zeros((4, BATCH, 3)), 1), normal(jnp.zeros((4, BATCH, core.output_features)), 2)
        resets = jnp.zeros((4, BATCH), bool).at[2, 0].set(True)

        @functools.partial(jax.value_and_grad, has_aux=True)
        def ours(params):
            final, ys = mr.unroll(cell, params, xs, method="chunked" if name != "a state of its own" else "auto")
            return jnp.sum(ys * weights), (final, ys)

        @functools.partial(jax.value_and_grad, has_aux=True)
        def expected(params):
            start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (BATCH, *leaf.shape)), by_hand(params["initial"]))
            state = mr.CellState(cell.initial_state(params, (BATCH,)).drive, start)
            final, ys = mr.unroll(cell, params, xs, state, "stepwise")
            return jnp.sum(ys * weights), (final, ys)

        got = jax.jit(ours)(params)
        close(got, jax.jit(expected)(params), 1e-10)
        used = [np.abs(leaf).min() for leaf in got[1]["initial"].values()]
        assert name == "a state of its own" or min(used) > 0
        after_reset = mr.unroll(cell, params, xs, resets=resets)[1]
        alone = mr.unroll(cell, params, xs[2:, :1])[1]
        close(after_reset[2:, :1], alone, 1e-10)

    @pytest.mark.parametrize("name", ["leaky", "dropout, two entries"])
    def test_in_flax(self, name):
        core, names, by_hand = STARTS[name]
        cell = mr.Cell(core, mr.Momentum(), trainable_initial_state=True)
        module, in_linen = nnx_cell(cell, 3), linen_cell(cell)
        initial = normal({n: jax.ShapeDtypeStruct(shape, float) for n, shape in cell.param_shapes(3)["initial"].items()}, 0)
        initial = jax.tree.map(jnp.float32, initial)
        nnx.update(module, {"initial": initial})
        variables = in_linen.init(jax.random.key(0), in_linen.initialize_carry(None, (3,)), jnp.ones(3))
        assert set(variables["params"]["initial"]) == set(names)
        variables["params"]["initial"] = initial
        carry = in_linen.apply(variables, 3, method=lambda linen, F: mr.Cell.initial_state(*linen.functional(F))).core
        wanted = jax.tree.map(jnp.asarray, by_hand(initial))
        close(module.initialize_carry((3,)).core, wanted, 1e-6)
        close(carry, wanted, 1e-6)

    def test_in_a_stack(self):
        cell = mr.Cell(mr.RecurrentDropout(mr.LSTM(H), 0.3), trainable_initial_state=True)
        stack = mr.Stack([cell, cell])
        params = stack.init(jax.random.key(0), 3)
        assert all(set(one["initial"]) == {"c", "h"} for one in params)
        params = normal(params, 0)
        params = jax.tree.map(jnp.float32, params)
        for state, one in zip(stack.initial_state(params), params, strict=True):
            close(state.core, dropped(mr.LSTMState(**one["initial"])), 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.Zoneout(mr.MinGRU(8), 0.1), TypeError, "core must be an instance of KernelCore"),
        (lambda: mr.Zoneout(mr.LSTM(8), 1.0), ValueError, r"rate must be in \[0, 1\), got 1.0"),
        (lambda: mr.Zoneout(mr.LSTM(8), {"c": -0.1}), ValueError, r"rate\['c'\] must be in \[0, 1\), got -0.1"),
        (lambda: mr.Zoneout(mr.GRU(8), {"c": 0.1}), ValueError, r"rate .*\['c'\]"),
        (
            lambda: mr.Zoneout(mr.RecurrentDropout(mr.GRU(8), 0.1), 0.1),
            ValueError,
            "core must have h for its output, RecurrentDropout has 'y': RecurrentDropout goes around Zoneout",
        ),
        (lambda: mr.RecurrentDropout(mr.GRU(8), 1.5), ValueError, r"rate must be in \[0, 1\), got 1.5"),
        (lambda: mr.RecurrentDropout(mr.GRU(8), 0.5, variational="yes"), TypeError, "variational must be True or False"),
        (
            lambda: mr.RecurrentDropout(mr.RecurrentDropout(mr.GRU(8), 0.5), 0.5),
            ValueError,
            "core must have h for its output, RecurrentDropout has 'y': units of h are dropped already",
        ),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
