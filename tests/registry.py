"""Every drive and every core, with the settings the laws are run on. A new one is added here once."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_rnn_jax as mr
from tests.new_cores import NEW_CORES

TIME, BATCH, FEATURES, HIDDEN = 7, 3, 4, 5

DRIVES = {
    "identity": mr.Identity(),
    "momentum": mr.Momentum(mu=0.6, step_size=0.7),
    "adam": mr.Adam(mu=0.6, step_size=0.7, beta=0.9, eps=0.1),
    "rmsprop": mr.RMSProp(step_size=0.7, beta=0.9, eps=0.1),
    "nesterov": mr.Nesterov(step_size=0.7),
    "scheduled_restart": mr.Nesterov(step_size=0.7, restart=3),
    "chain": mr.Chain(mr.Momentum(mu=0.3, step_size=0.7), mr.RMSProp(step_size=0.7, beta=0.9, eps=0.1)),
    "hippo": mr.HiPPO(2, readout=np.array([0.7, -0.4]), discretization="forward"),
    "assorted_time_norm": mr.AssortedTimeNorm(3, gain=0.8, shift=0.3, eps=0.1),
    "optax_clipped_adam": mr.OptaxDrive(optax.chain(optax.scale_by_adam(b1=0.5, b2=0.9), optax.clip_by_global_norm(1.0))),
}
COMMON_CORES = {
    "elman": mr.Elman(HIDDEN),
    "lstm": mr.LSTM(HIDDEN),
    "gru": mr.GRU(HIDDEN),
    "orthogonal": mr.Orthogonal(HIDDEN, mapping="cayley"),  # its maps have tests of their own; this one compiles quickly
}
CORES = COMMON_CORES | NEW_CORES
# Every common core after every drive; each other core after one, and each drive before one of them.
CELLS = {f"{drive}-{core}": mr.Cell(CORES[core], DRIVES[drive]) for drive in DRIVES for core in COMMON_CORES}
CELLS |= {f"{drive}-{core}": mr.Cell(CORES[core], DRIVES[drive]) for drive, core in zip(itertools.cycle(DRIVES), NEW_CORES)}
# What every run of the tests has of them: each drive and each core; `make test-all` runs the rest too.
COVERING = {f"{drive}-{core}" for drive, core in zip(DRIVES, itertools.cycle(COMMON_CORES))}
COVERING |= set(CELLS) - {f"{drive}-{core}" for drive in DRIVES for core in COMMON_CORES}
CELLS |= {"released_nesterov": mr.ReleasedNesterovLSTM(mr.LSTM(HIDDEN), step_size=0.7, restart=3)}
CELLS |= {"timed": mr.TimedCell(CORES["hippo_rnn"], DRIVES["momentum"])}
COVERING |= {"released_nesterov", "timed"}


def params_of(names):
    """Names of cells as parameters of a test, marked as exhaustive where others cover the same drives and cores."""
    return [name if name in COVERING else pytest.param(name, marks=pytest.mark.exhaustive) for name in names]


def problem(cell, dtype=float, time=TIME, batch=(BATCH,)):
    """Parameters, inputs, a state in the middle of a sequence, and weights that make a scalar of the outputs.

    All random and nothing zero, so that no term of an equation is lost; made by NumPy, which compiles nothing.
    """
    random = np.random.default_rng(7)

    def param(leaf):
        return jnp.asarray(0.3 * random.normal(size=leaf.shape), leaf.dtype)

    def state_entry(leaf):  # positive: some of them are second moments
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)  # every example is at a step of its own
        return jnp.asarray(random.uniform(0.1, 0.6, leaf.shape), leaf.dtype)

    params = jax.tree.map(param, jax.eval_shape(lambda: cell.init(jax.random.key(0), FEATURES, dtype)))
    state = jax.tree.map(state_entry, jax.eval_shape(lambda: cell.initial_state(params, batch)))
    xs = jnp.asarray(random.normal(size=(time, *batch, *cell.core.features_shape(FEATURES))), dtype)
    if isinstance(cell, mr.TimedCell):  # times that grow, from that of the state on
        xs = xs.at[..., 0].set(jnp.cumsum(jnp.abs(xs[..., 0]), axis=0) + 0.6)
    weights = jnp.asarray(random.normal(size=(time, *batch, *cell.core.features_shape(cell.core.output_features))), dtype)
    return params, xs, state, weights


def split_floats(tree):
    """The floating-point leaves of a tree, and a function that puts others in their place (steps are integers)."""
    leaves, structure = jax.tree.flatten(tree)
    is_float = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]

    def combine(floats):
        floats = iter(floats)
        return structure.unflatten([next(floats) if f else leaf for f, leaf in zip(is_float, leaves, strict=True)])

    return [leaf for f, leaf in zip(is_float, leaves, strict=True) if f], combine


def assert_close(actual, expected, rtol):
    """Equal to `rtol`, relative to the largest entry of each leaf."""
    actual_leaves, actual_tree = jax.tree.flatten(actual)
    expected_leaves, expected_tree = jax.tree.flatten(expected)
    assert actual_tree == expected_tree
    for a, e in zip(actual_leaves, expected_leaves, strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape
        assert a.dtype == e.dtype
        if e.size:
            scale, error = np.abs(e).max(), np.abs(a - e).max()
            assert error <= rtol * scale, f"error {error:.3g} on a scale of {scale:.3g}"
