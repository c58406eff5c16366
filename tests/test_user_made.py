"""What must not be taken for granted of a user's drives and cores: their names for things, and zeros at the start."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests import user_cores, user_drives
from tests.registry import HIDDEN, assert_close
from tests.wrapped import linen_cell, nnx_cell

F, TIME, BATCH = 3, 6, 2
KERNEL_CORES = {name: core for name, core in user_cores.CORES.items() if core.recurrence == "kernel"}


def problem(cell):
    random = np.random.default_rng(3)
    params = jax.tree.map(
        lambda like: jnp.asarray(0.5 * random.normal(size=like.shape), like.dtype),
        jax.eval_shape(lambda: cell.init(jax.random.key(0), F, float)),
    )
    xs, resets = jnp.asarray(random.normal(size=(TIME, BATCH, F))), jnp.zeros((TIME, BATCH), bool)
    return params, xs, resets.at[2, 0].set(True).at[4, 1].set(True)


def test_nested_hyperparameters_of_one_name_stay_apart_in_nnx():
    drive = nnx_cell(mr.Cell(mr.Elman(HIDDEN), user_drives.TwoSpeeds()), F).functional()[0].drive
    assert (float(drive.slow.mu), float(drive.fast.mu)) == pytest.approx((0.1, 0.9))


def test_a_leaf_of_the_core_keeps_its_value_beside_a_drives_of_that_name_in_nnx():
    cell = nnx_cell(mr.Cell(user_cores.Leaky(mu=0.3), mr.Momentum(mu=0.8)), F).functional()[0]
    assert (float(cell.core.mu), float(cell.drive.mu)) == pytest.approx((0.3, 0.8))


def test_a_parameter_is_trained_whatever_its_name_in_nnx():
    core = nnx_cell(mr.Cell(user_cores.OddNames()), F).core
    kinds = {name: type(getattr(core, name)) for name in user_cores.OddNames().param_shapes()}
    assert kinds == dict.fromkeys(("kernel", "bias", "base", "input", "mu", "h"), nnx.Param)


def test_what_a_core_declares_untrained_is_no_param_in_nnx():
    @mr.pytree_dataclass
    class Fixed(user_cores.OddNames):
        untrained = ("h",)

    for core, expected in ((Fixed(), {"h"}), (mr.Orthogonal(HIDDEN), {"base"})):
        group = nnx_cell(mr.Cell(core), F).core
        assert {name for name in core.param_shapes() if not isinstance(getattr(group, name), nnx.Param)} == expected


@pytest.mark.parametrize("name", ["starts_high", "starts_learnt", "starts_at_leaf", "two_entries"])
def test_a_reset_goes_back_to_a_core_start_that_is_not_zero(float64, name):
    cell = mr.Cell(user_cores.CORES[name], mr.Momentum())
    params, xs, resets = problem(cell)

    @jax.jit
    def run(params):
        return [mr.unroll(cell, params, xs, method=method, resets=resets) for method in ("stepwise", "auto")]

    stepwise, auto = run(params)
    assert_close(auto, stepwise, 1e-12)


@pytest.mark.parametrize("drive", [user_drives.Steady(), user_drives.RollingStart()], ids=["steady", "rolling_start"])
def test_a_reset_passes_gradients_to_what_the_drive_starts_from(float64, drive):
    cell = mr.Cell(mr.Elman(HIDDEN), drive)
    params, xs, resets = problem(cell)

    @jax.jit
    def run(drive):
        def loss(drive, method):
            return jnp.sum(jnp.sin(mr.unroll(mr.Cell(mr.Elman(HIDDEN), drive), params, xs, method=method, resets=resets)[1]))

        return [jax.grad(loss)(drive, method) for method in ("stepwise", "auto")]

    stepwise, auto = run(drive)
    assert_close(auto, stepwise, 1e-12)


@pytest.mark.parametrize("name", ["clipped", "saturating", "rolling_start", "cooling", "graded"])
def test_what_looks_linear_is_not_moved_in_front_of_the_projection_wrongly(float64, name):
    """Ten gates and three features: a drive that commutes with the projection would act on the features."""
    cell = mr.Cell(user_cores.Gated(HIDDEN), user_drives.DRIVES[name])
    params, xs, _ = problem(cell)

    @jax.jit
    def run(params, xs):
        states = None, jax.tree.map(lambda leaf: leaf + 1, cell.initial_state(params, (BATCH,)))
        return [[mr.unroll(cell, params, xs, state, method) for state in states] for method in ("stepwise", "auto")]

    stepwise, auto = run(params, xs)
    assert_close(auto, stepwise, 1e-12)


@pytest.mark.parametrize("method", ["stepwise", "auto"])
def test_padding_has_no_gradient_where_the_drive_has_none_at_zero(method):
    """Adam without a root's ε: the derivative of its square root is infinite where all inputs so far were zero."""
    cell = mr.Cell(mr.GRU(HIDDEN), mr.OptaxDrive(optax.scale_by_adam()))
    params, xs, lengths = cell.init(jax.random.key(0), F), problem(cell)[1], jnp.array([TIME, 0])

    def loss(params, xs, lengths):
        return jnp.sum(mr.unroll(cell, params, xs, method=method, seq_lengths=lengths)[1])

    gradient = jax.jit(jax.grad(loss))
    assert_close(gradient(params, xs, lengths), gradient(params, xs[:, :1], lengths[:1]), 1e-5)


@pytest.mark.parametrize("name", KERNEL_CORES)
def test_a_kernel_core_has_the_fast_path(without_native, name):
    cell = mr.Cell(KERNEL_CORES[name], mr.Momentum())
    params, xs, _ = problem(cell)
    assert mr.explain(cell, params, xs).split(":")[0] == "chunked"


STARTS = {
    "drive": mr.Cell(mr.Elman(HIDDEN), user_drives.Charged()),
    "drive with a leaf": mr.Cell(mr.Elman(HIDDEN), user_drives.Steady()),
    "integers": mr.Cell(mr.Elman(HIDDEN), user_drives.WarmUp()),
    "core": mr.Cell(user_cores.StartsHigh()),
    "core with a leaf": mr.Cell(user_cores.StartsAtLeaf()),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_flax_carry_begins_where_the_cell_does(name):
    cell = STARTS[name]
    params, _, _ = problem(cell)
    expected = cell.initial_state(params, (BATCH,))
    assert_close(nnx_cell(cell, F).initialize_carry((BATCH, F)), expected, 1e-6)
    assert_close(linen_cell(cell).initialize_carry(jax.random.key(0), (BATCH, F)), expected, 1e-6)


def test_a_learnt_start_is_where_the_layers_begin():
    cell = mr.Cell(user_cores.StartsLearnt())
    module, xs = nnx_cell(cell, F), jnp.ones((BATCH, TIME, F))
    first = module.initialize_carry((BATCH, F)).core.h
    assert np.array_equal(first, np.broadcast_to(module.core.first[...], first.shape))
    with jax.numpy_rank_promotion("allow"):
        assert_close(nnx.RNN(module)(xs), mnnx.RNN(module)(xs), 1e-6)
    layer = mlinen.RNN(linen_cell(cell))
    variables = layer.init(jax.random.key(0), xs)
    expected = mr.unroll(cell, variables["params"]["cell"], jnp.moveaxis(xs, 1, 0))[1]
    assert_close(layer.apply(variables, xs), jnp.moveaxis(expected, 0, 1), 1e-6)
