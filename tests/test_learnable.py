"""Learned hyper-parameters: the maps into their ranges, which are learned, and how they are named, in NNX and in Linen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import learnable
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import TOLERANCE, F, H, T, inputs
from tests.registry import assert_close

UNIT = learnable.Range(0.0, 1.0)
RANGES = {
    "mu": (UNIT, (0.0, 0.3, 0.999)),
    "wide": (learnable.Range(-1.0, 3.0), (-1.0, 0.0, 2.5)),
    "step_size": (learnable.Range(0.0, low_open=True), (1e-3, 1.0, 40.0)),
    "above_minus_one": (learnable.Range(-1.0, low_open=True), (-0.5, 2.0)),
    "eps": (learnable.Range(1e-30), (1e-30, 1e-16, 0.1)),
    "gain": (learnable.Range(0.0), (0.0, 2.0)),
    "unbounded": (learnable.Range(), (-3.0, 0.0, 5.0)),
    "narrow": (learnable.Range(0.9, 1.0), (0.9, 0.95)),
    "between": (learnable.Range(0.0, 1.0, low_open=True), (0.01, 0.5, 0.99)),
    "below_two": (learnable.Range(high=2.0), (-50.0, 0.0, 1.75)),
    "negative": (learnable.Range(high=0.0), (-50.0, -0.5)),
}
CASES = [(name, start) for name, (_, starts) in RANGES.items() for start in starts]


def derivative(limits, start):
    """What the docstring of `move` states, at an offset of zero."""
    if np.isfinite(limits.high) and np.isinf(limits.low):
        return limits.high - start
    if np.isfinite(limits.high) and limits.low_open:
        return (start - limits.low) * (limits.high - start) / (limits.high - limits.low)
    if np.isfinite(limits.high):
        r = (start - limits.low) / (limits.high - limits.low)
        return (limits.high - limits.low) * (1 - r * r)
    if limits.low_open:
        return start - limits.low
    return start if limits.low > 0 else 1.0


@pytest.mark.parametrize(("name", "start"), CASES)
def test_a_map_starts_exactly_where_it_is_told_and_moves_from_there(name, start, float64):
    limits = RANGES[name][0]
    value, slope = jax.value_and_grad(lambda offset: learnable.move(limits, start, offset))(jnp.float64(0.0))
    assert value == pytest.approx(start, abs=1e-15 if limits.low_open and limits.low else 0, rel=0)
    assert slope == pytest.approx(derivative(limits, start), rel=1e-12)
    assert slope > 0
    h = 1e-6  # from above, as a start at the end of the range has nothing below
    above = learnable.move(limits, start, jnp.float64(h))
    assert (above - value) / h == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize(("name", "start"), CASES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_map_stays_in_its_range_with_finite_gradients(name, start, dtype, float64):
    limits = RANGES[name][0]
    offsets = jnp.array([-1e4, -30.0, -1.0, -1e-3, 1e-3, 1.0, 30.0, 1e4], dtype)
    values, slopes = jax.vmap(jax.value_and_grad(lambda offset: learnable.move(limits, start, offset)))(offsets)
    assert values.dtype == dtype
    assert np.isfinite(slopes).all()
    values = np.asarray(values, np.float64)
    assert ((values > limits.low) if limits.low_open and limits.low == 0 else (values >= np.asarray(limits.low, dtype))).all()
    assert (values < np.asarray(limits.high, dtype)).all()


def test_bounded_values_add_like_velocities_and_are_reflected_at_zero(float64):
    offsets = jnp.linspace(-3.0, 3.0, 25)
    moved = jax.vmap(lambda offset: learnable.move(UNIT, 0.4, offset))(offsets)
    assert_close(moved, jnp.abs(jnp.tanh(jnp.arctanh(0.4) + offsets)), 1e-12)


def test_momentum_is_learned_from_zero():
    """A plain network finds the momentum of the cell that made its targets."""
    cell = mr.momentum_rnn(H, mu=0.0, step_size=1.0)
    params, xs = cell.init(jax.random.key(0), F), inputs(T, 8, F)

    def outputs(cell):
        return mr.unroll(cell, params, xs, method="stepwise")[1]

    target = outputs(cell.replace(mu=0.7))

    def loss(offset):
        return jnp.sum((outputs(learnable.moved(cell, {("drive", "mu"): offset})) - target) ** 2)

    @jax.jit
    def learn():
        return jax.lax.fori_loop(0, 200, lambda _, offset: offset - 0.005 * jax.grad(loss)(offset), jnp.float32(0.0))

    assert learnable.move(UNIT, 0.0, learn()) == pytest.approx(0.7, abs=1e-3)


CHAIN = mr.Cell(mr.Leaky(H, tau=80.0), mr.Chain(mr.Momentum(0.1, 0.5), mr.Adam(0.9, 0.6, beta=0.3)))


@mr.pytree_dataclass
class Mixed(mr.Elman):
    """A core whose hyper-parameter has the name of a drive's, and no declared range."""

    mu: float = 0.25

    def update(self, params, state, *pre):
        return mr.HiddenState(mr.align("mu", self.mu, state.h) * state.h + super().update(params, state, *pre).h)


def effective(cell, learned, offsets):
    """The functional cell that an NNX cell and a Linen cell compute with offsets of these values, which must be one."""
    module = mnnx.RecurrentCell(cell, F, learnable=learned, rngs=nnx.Rngs(0))
    assert {".".join(map(str, path[1:])) for path, _ in nnx.to_flat_state(nnx.state(module)) if path[0] == "learnt"} == set(
        offsets
    )
    in_linen = mlinen.RecurrentCell(cell, learnable=learned)
    variables = in_linen.init(jax.random.key(0), in_linen.initialize_carry(None, (2, F)), jnp.ones((2, F)))
    learnt = {tuple(name.split(".")): offset for name, offset in offsets.items()}
    assert set(learnable.by_path(variables["params"]["learnt"])) == set(learnt)
    variables["params"]["learnt"] = learnable.nested(learnt)
    nnx.update(module.learnt, learnable.nested(learnt))
    assert_close(*(jax.tree.map(jnp.float32, one) for one in (in_linen.bind(variables).effective, module.effective)), 0)
    return module.effective


EVERY_STEP = {
    "drive.drives.0.mu": 0.1,
    "drive.drives.0.step_size": 0.5,
    "drive.drives.1.mu": 0.9,
    "drive.drives.1.step_size": 0.6,
}


@pytest.mark.parametrize(
    ("cell", "learned", "moved"),
    [
        (CHAIN, ("mu",), {"drive.drives.0.mu": 0.1, "drive.drives.1.mu": 0.9}),
        (CHAIN, ("drives.1.mu", "tau"), {"drive.drives.1.mu": 0.9, "core.tau": 80.0}),
        (CHAIN, {"beta": "scalar", "core.tau": "per_unit"}, {"drive.drives.1.beta": 0.3, "core.tau": 80.0}),
        (CHAIN, "scalar", EVERY_STEP),
        (mr.Cell(Mixed(H), mr.Momentum(0.6)), {"mu": "scalar", "core.mu": "per_unit"}, {"drive.mu": 0.6, "core.mu": 0.25}),
        (mr.Cell(Mixed(H), mr.Momentum(0.6)), ["core.mu"], {"core.mu": 0.25}),
        (mr.ReleasedNesterovLSTM(mr.LSTM(H), step_size=0.7), "per_unit", {"step_size": 0.7}),
    ],
)
def test_names_stand_for_the_hyperparameters_whose_paths_end_with_them(cell, learned, moved):
    def kind(name):
        if not isinstance(learned, dict):
            return "per_unit" if learned == "per_unit" else "scalar"
        return next(learned[key] for key in sorted(learned, key=len, reverse=True) if f".{name}".endswith(f".{key}"))

    units = {"scalar": lambda name: (), "per_unit": lambda name: (H if name.startswith("core") else cell.core.drive_features,)}
    offsets = {name: jnp.full(units[kind(name)](name), 0.3) for name in moved}
    now = {".".join(path): leaf for path, leaf in learnable.hyperparameters(effective(cell, learned, offsets)).items()}
    before = {".".join(path): leaf for path, leaf in learnable.hyperparameters(cell).items()}
    assert moved.items() <= before.items()
    for name, value in now.items():
        if name not in moved:
            assert_close(value, jnp.float32(before[name]), 1e-7)
        else:
            limits = learnable.Range() if name == "core.mu" else RANGES["mu" if name.endswith(("mu", "beta")) else "step_size"][0]
            expected = learnable.move(limits, moved[name], offsets[name])
            assert value.shape == offsets[name].shape
            assert np.all(expected != before[name])
            assert_close(value, expected, 1e-7)


@pytest.mark.parametrize(
    ("cell", "learned", "message"),
    [
        (CHAIN, "mu", r"learnable must be None, 'scalar', 'per_unit', 'each', a tuple of names, or .*, got 'mu'\."),
        (CHAIN, jnp.ones(2), r"learnable must be .*, got float32 of shape \(2,\)\."),
        (CHAIN, ("betta",), r"learnable must name hyper-parameters of the cell, got 'betta'; it has .*; did you mean 'beta'\?"),
        (CHAIN, {"beta": "vector"}, r"learnable\['beta'\] must be 'scalar', 'per_unit' or 'each', got 'vector'\."),
        (CHAIN, (3,), r"learnable must name hyper-parameters of the cell, got 3; it has"),
        (mr.lstm(H), ("mu",), r"learnable must name hyper-parameters of the cell, got 'mu'; it has none\."),
        (mr.lstm(H), "scalar", "learnable must be None or names for Identity, which has neither mu nor step_size"),
    ],
)
def test_other_names_are_refused(cell, learned, message):
    with pytest.raises(ValueError, match=message):
        learnable.init_offsets(cell, learned, jnp.float32)


def test_a_learnable_core_trains_in_a_layer():
    layer = mnnx.RNN(mnnx.RecurrentCell(CHAIN, F, learnable={"tau": "per_unit", "drives.0.mu": "scalar"}, rngs=nnx.Rngs(0)))
    gradients = nnx.jit(nnx.grad(lambda layer: layer(inputs(2, T, F)).sum()))(layer)
    learnt = nnx.to_pure_dict(gradients)["cell"]["learnt"]
    assert jax.tree.map(jnp.shape, learnt) == {"core": {"tau": (H,)}, "drive": {"drives": {"0": {"mu": ()}}}}
    assert all(np.abs(leaf).min() > 0 for leaf in jax.tree.leaves(learnt))
    assert_close(layer.cell.effective.core.tau, jnp.full(H, 80.0), TOLERANCE)


LEARNT_AT_THE_END_OF_THEIR_RANGE = {
    "zoneout": (mr.Zoneout(mr.LSTM(H), {"c": 0.5, "h": 0.0}), ("core.rate.c", "core.rate.h")),
    "zoneout of all": (mr.Zoneout(mr.GRU(H), 0.5), ("core.rate",)),
    "dropout": (mr.RecurrentDropout(mr.LSTM(H), 0.5), ("core.rate",)),
    "noise": (mr.Leaky(H, noise=0.0), ("core.noise",)),
    "tau": (mr.Leaky(H, tau=30.0, dt=30.0), ("core.tau",)),
    "dt": (mr.LayerNorm(mr.Leaky(H, tau=jnp.array([30.0, 40.0, 50.0, 60.0]))), ("core.core.dt",)),
    "tau and dt": (mr.Leaky(H), ("core.tau", "core.dt")),
}


@pytest.mark.parametrize("offset", [-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("name", LEARNT_AT_THE_END_OF_THEIR_RANGE)
def test_a_core_with_learned_hyperparameters_is_one_that_could_be_constructed(name, offset):
    core, paths = LEARNT_AT_THE_END_OF_THEIR_RANGE[name]
    cell = mr.Cell(core)
    assert {tuple(path.split(".")) for path in paths} == set(learnable.init_offsets(cell, paths, jnp.float32))
    offsets = {tuple(path.split(".")): jnp.float32(sign * offset) for path, sign in zip(paths, (1, -1), strict=False)}

    def total(offsets):
        moved = learnable.moved(cell, offsets)
        return sum(jnp.sum(jnp.log1p(jnp.asarray(leaf, jnp.float32))) for leaf in jax.tree.leaves(moved)), moved

    gradients, moved = jax.jit(jax.grad(total, has_aux=True))(offsets)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))

    def constructed(part):
        core = {"core": constructed(part.core)} if hasattr(part, "core") else {}
        return type(part)(**{**vars(part), **core})

    assert jax.tree.structure(constructed(moved.core)) == jax.tree.structure(moved.core)
    if not offset:
        for value, start in zip(jax.tree.leaves(moved), jax.tree.leaves(cell), strict=True):
            assert_close(jnp.float32(value), jnp.broadcast_to(jnp.float32(start), jnp.shape(value)), 0)


P = 2
PROJECTED = mr.LSTM(H, projection_features=P)


@pytest.mark.parametrize(
    ("core", "name", "shape"),
    [
        (mr.RecurrentDropout(PROJECTED, 0.3), "core.rate", (P,)),
        (mr.RecurrentDropout(mr.Zoneout(PROJECTED, {"c": 0.1, "h": 0.2}), 0.3), "core.core.rate.c", (H,)),
        (mr.RecurrentDropout(mr.Zoneout(PROJECTED, {"c": 0.1, "h": 0.2}), 0.3), "core.core.rate.h", (P,)),
        (mr.Zoneout(mr.LSTM(H), 0.3), "core.rate", (H,)),
        (mr.LayerNorm(mr.Leaky(H)), "core.core.tau", (H,)),
    ],
)
def test_a_number_for_each_unit_has_the_shape_of_what_it_acts_on(core, name, shape):
    cell = mr.Cell(core)
    module = mnnx.RecurrentCell(cell, F, learnable={name: "per_unit"}, deterministic=True, rngs=nnx.Rngs(0))
    offsets = learnable.init_offsets(cell, {name: "per_unit"}, jnp.float32)
    assert {".".join(path): offset.shape for path, offset in offsets.items()} == {name: shape}
    assert module(module.initialize_carry((F,)), jnp.ones(F))[1].shape == (core.output_features,)


@pytest.mark.parametrize(
    ("core", "name", "message"),
    [
        (
            mr.Zoneout(PROJECTED, 0.3),
            "core.rate",
            r"learnable must be 'scalar' for core\.rate, which cannot differ by unit in Zoneout, got 'per_unit'\.",
        ),
        (
            mr.LayerNorm(mr.GRU(H)),
            "eps",
            r"learnable must be 'scalar' for core\.eps, which cannot differ by unit in LayerNorm, got 'per_unit'\.",
        ),
        (mr.LayerNormLSTM(H), "eps", r"learnable must be 'scalar' for core\.eps, which cannot differ by unit in LayerNormLSTM"),
        (
            mr.Leaky(H, tau=jnp.full(3, 50.0)),
            "tau",
            r"learnable must be 'scalar' for core\.tau, whose shape \(3,\) is not that of the units, \(4,\), got 'per_unit'\.",
        ),
    ],
)
def test_a_number_for_each_unit_is_refused_where_there_cannot_be_one(core, name, message):
    cell = mr.Cell(core)
    with pytest.raises(ValueError, match=message):
        mnnx.RecurrentCell(cell, F, learnable={name: "per_unit"}, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=message):
        mlinen.RecurrentCell(cell, learnable={name: "per_unit"}).init(jax.random.key(0), None, jnp.ones(F))
