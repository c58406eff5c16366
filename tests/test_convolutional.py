"""Convolutional cores: the released code's values and gradients, Flax's cell, and the projection ahead of the steps."""

import functools
import json
import pathlib

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax.analysis import lyapunov_spectrum
from tests.new_cores import CONV_CORES
from tests.registry import assert_close, problem, split_floats

FILE = pathlib.Path(__file__).parent / "reference" / "neighbours" / "convrnn.npz"
KIND = {"reciprocal/median": "reciprocal_median", "composed/momentum_lstm": "lstm", "composed/momentum_reciprocal": "reciprocal"}


@functools.cache
def released():
    """The recorded cases: {case: {group: {name: array}}}."""
    cases = {}
    with np.load(FILE) as arrays:
        for key in arrays.files:
            family, case, group, *name = (*key.split("/", 3), "", "")[:4]
            if family != "meta":
                cases.setdefault(f"{family}/{case}", {}).setdefault(group, {})["/".join(name)] = arrays[key]
    return cases


CASES = [
    "basic/layer_norm_False",
    "basic/layer_norm_True",
    "gru/plain",
    "lstm/peepholes_False",
    "lstm/peepholes_True",
    "lstm/even_filter",
    "ugrnn/plain",
    "intersection/plain",
    "reciprocal/minimal",
    "reciprocal/shallow",
    "reciprocal/median",
    "composed/momentum_lstm",
    "composed/momentum_reciprocal",
]


def test_every_recorded_case_is_compared():
    assert set(released()) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_released_code_does(float64, case):
    record = released()[case]
    meta = json.loads(str(record["meta"][""]))
    kind = KIND.get(case, case.split("/")[0])
    cotangent = record["cotangent"]

    def run(arrays, inputs):
        options = {"residual": True} if kind == "reciprocal_median" else {}
        cell, params = mr.from_convrnn(kind, arrays, (meta["height"], meta["width"]), **options)
        if "mu" in meta:
            cell = cell.replace(drive=mr.Momentum(meta["mu"], meta["step_size"]))
        wanted = {"reciprocal_median": ("xs", "res", "fb"), "reciprocal": ("xs", "res")}.get(kind, ("xs",))
        xs = jnp.concatenate([inputs[name] for name in wanted], axis=-1)[..., : cell.core.in_features(params["input"])]
        state = cell.initial_state(params, (meta["batch"],))
        ends = np.cumsum([leaf.shape[-1] for leaf in state.core])[:-1]
        state = state._replace(core=type(state.core)(*jnp.split(inputs["state0"], ends, axis=-1)))
        _, ys, states = mr.unroll(cell, params, xs, state, return_states=True)
        out = {"outputs": ys, "states": jnp.concatenate(states.core, axis=-1)}
        return sum(jnp.sum(out[name] * cotangent[name]) for name in out), out

    given = jax.tree.map(jnp.asarray, (record["param"], record["input"]))
    (_, out), gradients = jax.jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))(*given)
    assert_close(out, record["out"], 1e-12)
    ours = {**gradients[0], **gradients[1]}
    assert_close({name: ours[name] for name in record["grad"]}, record["grad"], 1e-12)


DRIVES = {"momentum": mr.Momentum(0.6, 0.7), "nesterov": mr.Nesterov(0.7, restart=2), "adam": mr.Adam(0.6, 0.7, 0.9, 0.1)}


@pytest.mark.parametrize(
    ("core", "drive", "from_state"),
    [(core, drive, i % 2 == 0) for i, (core, drive) in enumerate(zip(CONV_CORES, [*DRIVES, *DRIVES, "momentum"], strict=True))],
)
def test_hoisted_equals_stepwise_in_values_and_all_gradients(float64, core, drive, from_state):
    cell = mr.Cell(CONV_CORES[core], DRIVES[drive])
    params, xs, state, weights = problem(cell, time=5)
    masks = {"seq_lengths": jnp.array([5, 3, 0])}
    if not from_state:
        masks["resets"] = jnp.asarray(np.random.default_rng(1).random((5, 3)) < 0.4)
    floats, combine = split_floats((cell, params, xs, state))

    @functools.partial(jax.jit, static_argnames="method")
    def run(floats, method):
        cell, params, xs, state = combine(floats)

        def loss(final, hs, states):
            return jnp.sum(hs * weights) + sum(jnp.sum(leaf) for leaf in split_floats((final, states))[0])

        results = mr.unroll(cell, params, xs, state if from_state else None, method, return_states=True, **masks)
        return loss(*results), results

    of = jax.value_and_grad(run, has_aux=True)
    assert_close(of(floats, "hoisted"), of(floats, "stepwise"), 1e-11)
    execution = mr.resolve(cell, params, xs, state if from_state else None, **masks)
    assert execution.strategy == "hoisted"
    # 4 inputs and two of the filter's own are fewer than the gates; with Nesterov, pixels of a state may differ in their steps.
    narrow = [("conv_lstm", "momentum"), ("conv_intersection", "momentum")]
    assert execution.plan.filter_inputs == ((core, drive) in narrow)


def test_a_drive_in_front_of_the_convolution_is_one_after_it(float64):
    """At the border too, where an input of one for the bias would fade."""
    cell = mr.Cell(mr.ConvLSTM(2, (3, 2)), mr.Momentum(0.6, 0.7))
    params, xs, _, _ = problem(cell)
    assert mr.resolve(cell, params, xs).plan.filter_inputs
    assert not mr.resolve(cell.replace(mu=jnp.linspace(0.1, 0.9, 8)), params, xs).plan.filter_inputs
    assert_close(mr.unroll(cell, params, xs), mr.unroll(cell, params, xs, method="stepwise"), 1e-12)


def test_momentum_of_step_size_one_is_a_trainable_time_decay(float64):
    """The baseline "time decay", `s_t = decay s_{t-1} + (K ∗ x_t + b)`, is the drive's own velocity."""
    cell = mr.Cell(mr.ConvElman(2, (3, 2)), mr.Momentum(0.6, step_size=1.0))
    params, xs, _, _ = problem(cell)
    states = mr.unroll(cell, params, xs, return_states=True)[2]
    now, us = 0.0, cell.core.project(params["input"], xs)
    for u, velocity in zip(us, states.drive.velocity, strict=True):
        now = 0.6 * now + u
        assert_close(velocity, now, 1e-12)


@pytest.mark.parametrize("kernel_size", [(3, 3), (2, 3)])
@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
def test_it_is_flax_s_conv_lstm(float64, kernel_size, padding):
    cell = mr.Cell(mr.ConvLSTM(2, (4, 3), kernel_size, padding))
    params, xs, state, _ = problem(cell, time=3)

    def theirs(leaf):  # their order is (i, g, f, o), ours (i, f, g, o)
        i, f, g, o = jnp.split(leaf, 4, axis=-1)
        return jnp.concatenate([i, g, f, o], axis=-1)

    flax_cell = flax.linen.ConvLSTMCell(2, kernel_size, padding=padding, param_dtype=float)
    variables = {"ih": jax.tree.map(theirs, params["input"]), "hh": {"kernel": theirs(params["core"]["kernel"])}}
    variables["hh"]["bias"] = jnp.zeros(8)
    carry, expected = tuple(state.core), []
    for x in xs:
        carry, y = flax_cell.apply({"params": variables}, carry, x)
        expected.append(y)
    final, ys = mr.unroll(cell, params, xs, state)
    assert_close((tuple(final.core), ys), (carry, jnp.stack(expected)), 1e-12)


@pytest.mark.parametrize("core", ["conv_lstm", "separable_reciprocal"])
def test_flax_modules_take_it(core):
    cell = mr.Cell(CONV_CORES[core], mr.Momentum(0.6, 0.7))
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 3, 2, 4)), jnp.float32)  # (batch, time, height, width, F)
    lengths = jnp.array([5, 2, 4])
    module = mnnx.RecurrentCell(cell, 4, learnable={"mu": "per_unit"}, rngs=nnx.Rngs(0))
    assert module.num_feature_axes == 3
    outputs = mnnx.RNN(module)(xs, seq_lengths=lengths)
    _, expected = mr.unroll(*module.functional(), xs, time_major=False, seq_lengths=lengths)
    assert_close(outputs, expected, 1e-6)
    assert_close(nnx.RNN(module)(xs)[0], outputs[0], 1e-5)  # the first is as long as the batch

    linen = mlinen.RecurrentCell(cell)
    variables = {"params": {"cell": module.functional()[1]}}
    assert_close(mlinen.RNN(linen).apply(variables, xs, seq_lengths=lengths), outputs, 1e-6)
    assert_close(flax.linen.RNN(linen).apply(variables, xs)[0], outputs[0], 1e-5)
    new = jax.eval_shape(mlinen.RNN(linen).init, jax.random.key(0), xs)
    assert jax.tree.map(jnp.shape, new["params"]) == jax.tree.map(jnp.shape, variables["params"])


def test_a_network_is_a_loop_in_which_every_arrow_takes_one_step(float64):
    first = mr.Cell(mr.ConvLSTM(2, (4, 4), (2, 2)), mr.Momentum(0.6, 0.7))
    second = mr.Cell(mr.ConvGRU(3, (2, 2), (2, 2)))
    third = mr.Cell(mr.ConvUGRNN(1, (2, 2), (1, 2)))
    network = mr.Network([first, second, third], edges=[(2, 0), (0, 2)])
    params = network.init(jax.random.key(0), in_features=2)
    assert [p["input"]["kernel"].shape[2] for p in params] == [2 + 1, 2, 3 + 2]
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 4, 4, 2)))
    final, ys = jax.jit(network.unroll)(params, xs)

    def resized(image, size):
        return jax.image.resize(image, (3, size, size, image.shape[-1]), "linear")

    s1, s2, s3 = (cell.initial_state(p, (3,)) for cell, p in zip(network.cells, params, strict=True))
    y1, y2, y3 = jnp.zeros((3, 4, 4, 2)), jnp.zeros((3, 2, 2, 3)), jnp.zeros((3, 2, 2, 1))
    for x, y in zip(xs, ys, strict=True):
        s1, new1 = first.step(params[0], s1, jnp.concatenate([x, resized(y3, 4)], axis=-1))
        s2, new2 = second.step(params[1], s2, resized(y1, 2))
        s3, new3 = third.step(params[2], s3, jnp.concatenate([y2, resized(y1, 2)], axis=-1))
        y1, y2, y3 = new1, new2, new3
        assert_close(y, y3, 1e-12)
    assert_close(final, mr.NetworkState((s1, s2, s3), (y1, y2, y3)), 1e-12)
    again = network.unroll(params, xs[2:], network.unroll(params, xs[:2])[0])
    assert_close(again, (final, ys[2:]), 1e-12)


class TestRefusals:
    cell = mr.Cell(mr.ConvGRU(2, (3, 2)))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: mr.ConvGRU(2, 3), "image must be a pair of sizes"),
            (lambda: mr.ConvGRU(2, (3, 0)), "image must be an integer of at least 1"),
            (lambda: mr.ConvGRU(2, (3, 2), padding="VALID"), "padding must be one of 'SAME', 'CIRCULAR'"),
            (lambda: mr.Cell(mr.ConvIntersection(2, (3, 2))).init(jax.random.key(0), 3), "in_features must be 2 for"),
            (lambda: mr.Cell(CONV_CORES["separable_reciprocal"]).init(jax.random.key(0), 3), "in_features must be more than 3"),
            (lambda: mr.Zoneout(mr.ConvGRU(2, (3, 2)), rate=0.1), "core must be an instance of KernelCore"),
            (lambda: mr.Network([mr.lstm(3)]), r"cells\[0\].core must be an instance of ConvCore"),
            (lambda: mr.Network([TestRefusals.cell], edges=[(0, 1)]), "edges must be an integer of at most 0"),
            (lambda: mr.Network([TestRefusals.cell] * 2, edges=[(0, 1)]), "edges must not have an arrow twice"),
            (lambda: mr.from_convrnn("gru", {}, (3, 2)), "arrays must have the entries"),
        ],
    )
    def test_what_makes_no_core(self, make, message):
        with pytest.raises((TypeError, ValueError), match=message):
            make()

    def test_images_of_another_size(self):
        params = self.cell.init(jax.random.key(0), 2)
        with pytest.raises(ValueError, match=r"xs must have shape \(time, ..., 3, 2, features\) for ConvGRU, got shape"):
            mr.unroll(self.cell, params, jnp.ones((4, 2, 2, 3, 2)))
        with pytest.raises(ValueError, match=r"xs has 3 features"):
            mr.unroll(self.cell, params, jnp.ones((4, 2, 3, 2, 3)))
        with pytest.raises(ValueError, match=r"at least 4 axes"):
            mr.unroll(self.cell, params, jnp.ones((3, 2, 2)))

    def test_methods_and_analyses_that_cannot_run(self):
        params, xs = self.cell.init(jax.random.key(0), 2), jnp.ones((4, 3, 2, 2))
        with pytest.raises(ValueError, match="method must not be 'chunked' here: its core, ConvGRU, is neither"):
            mr.unroll(self.cell, params, xs, method="chunked")
        with pytest.raises(ValueError, match="method must not be 'hoisted' here: its core, LSTM, recurs by a product"):
            mr.explain(mr.lstm(3), mr.lstm(3).init(jax.random.key(0), 2), jnp.ones((4, 2)), method="hoisted")
        with pytest.raises(TypeError, match="cell must have a core whose states are vectors, got ConvGRU"):
            lyapunov_spectrum(self.cell, params, xs)
        text = "hoisted: projection and drive for all steps at once, then a scan of the core's step; no drive."
        assert mr.explain(self.cell, params, xs) == text


def test_a_projection_of_a_user_s_own_is_not_taken_for_an_affine_one():
    @mr.pytree_dataclass
    class Rectified(mr.ConvElman):
        def project(self, params, x):
            return jax.nn.relu(super().project(params, x))

    cell = mr.Cell(Rectified(8, (3, 2)), mr.Momentum(0.9, 0.5))
    params, xs = cell.init(jax.random.key(0), 2), jax.random.normal(jax.random.key(1), (6, 2, 3, 2, 2))
    expected = mr.unroll(cell, params, xs, method="stepwise")[1]
    np.testing.assert_allclose(mr.unroll(cell, params, xs)[1], expected, atol=1e-5)
