"""Parameters put into this library's Flax modules."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.registry import FEATURES, HIDDEN, assert_close, problem

CELLS = {
    "MomentumLSTMCell": mr.momentum_lstm(HIDDEN, mu=0.6, step_size=0.7),
    "AdamGRUCell": mr.adam_gru(HIDDEN),
    "RNNCell": mr.rnn(HIDDEN),
    "MomentumOrthogonalCell": mr.momentum_dtriv(HIDDEN, mu=0.6, step_size=0.7, mapping="cayley"),
}
OPTIONS = {
    "MomentumLSTMCell": {"mu": 0.6, "step_size": 0.7},
    "MomentumOrthogonalCell": {"mu": 0.6, "step_size": 0.7, "mapping": "cayley"},
}


def nnx_cell(name, **options):
    return getattr(mnnx, name)(FEATURES, HIDDEN, **OPTIONS.get(name, {}), **options, rngs=nnx.Rngs(0))


def linen_cell(name, **options):
    return getattr(mlinen, name)(HIDDEN, **OPTIONS.get(name, {}), **options)


@pytest.mark.parametrize("name", CELLS)
def test_loaded_modules_compute_what_the_cell_computes(name):
    params, xs, _, _ = problem(CELLS[name])
    state, want = mr.unroll(CELLS[name], params, xs)

    module = nnx_cell(name)
    mr.interop.load_nnx(module, params)
    assert_close(module.functional()[1], params, 0)
    assert_close(mnnx.RNN(module, time_major=True, return_carry=True)(xs), (state, want), 1e-6)

    variables = mr.interop.load_linen(linen_cell(name), params)
    assert_close(variables, {"params": params}, 0)
    rnn = mlinen.RNN(linen_cell(name), time_major=True, return_carry=True)
    assert_close(rnn.apply({"params": {"cell": variables["params"]}}, xs), (state, want), 1e-6)


def test_from_torch_to_modules():
    """NumPy arrays under PyTorch's names, all the way into the modules: nothing is lost on the way."""
    random = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (3 * HIDDEN, FEATURES), "weight_hh_l0": (3 * HIDDEN, HIDDEN)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    _, params = mr.from_torch(weights)
    module = nnx_cell("AdamGRUCell")
    mr.interop.load_nnx(module, params)
    assert_close(np.asarray(module.core.kernel[...]), weights["weight_hh_l0"].T, 0)
    assert not np.any(module.core.bias[...])
    variables = mr.interop.load_linen(linen_cell("AdamGRUCell"), params)
    assert_close(np.asarray(variables["params"]["input"]["kernel"]), weights["weight_ih_l0"].T, 0)


def test_variables_keep_their_types_and_optimisers_still_leave_the_base_alone():
    module = nnx_cell("MomentumOrthogonalCell")
    before = jax.tree.structure(nnx.state(module, nnx.Param))
    mr.interop.load_nnx(module, problem(CELLS["MomentumOrthogonalCell"])[0])
    assert jax.tree.structure(nnx.state(module, nnx.Param)) == before
    assert "base" not in nnx.to_pure_dict(nnx.state(module, nnx.Param))["core"]


def test_what_the_parameters_lack_stays_as_it_starts():
    params = problem(CELLS["MomentumLSTMCell"])[0]
    module = nnx_cell("MomentumLSTMCell", learnable="scalar")
    before = nnx.to_pure_dict(nnx.state(module))
    mr.interop.load_nnx(module, params)
    assert_close(nnx.to_pure_dict(nnx.state(module)), before | params, 0)

    module = linen_cell("MomentumLSTMCell", learnable="scalar")
    key = jax.random.key(0)
    wanted = module.init(key, module.initialize_carry(key, (FEATURES,)), jnp.ones(FEATURES))["params"]
    assert set(wanted) > set(params)
    assert_close(mr.interop.load_linen(module, params), {"params": wanted | params}, 0)


def test_load_linen_is_differentiable():
    params = problem(CELLS["RNNCell"])[0]
    gradients = jax.grad(lambda params: sum(map(jnp.sum, jax.tree.leaves(mr.interop.load_linen(linen_cell("RNNCell"), params)))))(
        params
    )
    assert_close(gradients, jax.tree.map(jnp.ones_like, params), 0)


class Group(nnx.Module):
    def __init__(self, **arrays):
        for name, array in arrays.items():
            setattr(self, name, nnx.Param(array))


class StartingNNX(nnx.Module):
    """The variables of a cell with a trainable initial state."""

    def __init__(self):
        self.input, self.core = Group(kernel=jnp.zeros((3, 2))), Group(A=jnp.zeros((2, 2)))
        self.initial = Group(h=jnp.zeros(2))


class StartingLinen(flax.linen.Module):
    """The same in Linen."""

    @flax.linen.compact
    def __call__(self, carry, x):
        zeros = {"input": {"kernel": (x.shape[-1], 2)}, "core": {"A": (2, 2)}, "initial": {"h": (2,)}}
        for part, shapes in zeros.items():
            self.param(part, lambda _, shapes=shapes: {name: jnp.zeros(shape) for name, shape in shapes.items()})
        return carry, x

    @flax.linen.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros(input_shape[:-1])


@pytest.mark.parametrize("initial", [{}, {"initial": {"h": jnp.ones(2)}}], ids=["without", "with"])
def test_an_initial_state_is_loaded_where_there_is_one(initial):
    params = {"input": {"kernel": jnp.ones((3, 2))}, "core": {"A": jnp.ones((2, 2))}} | initial
    wanted = {"initial": {"h": jnp.zeros(2)}} | params
    module = StartingNNX()
    mr.interop.load_nnx(module, params)
    assert_close(nnx.to_pure_dict(nnx.state(module)), wanted, 0)
    assert_close(mr.interop.load_linen(StartingLinen(), params), {"params": wanted}, 0)


def put(part, name, value):
    return lambda params: params | {part: params[part] | {name: value}}


MALFORMED = [
    (lambda params: None, TypeError, "^params must be a dict from names to arrays, got NoneType"),
    (lambda params: params | {3: {}}, TypeError, "^params must be a dict from names to arrays, got one with a key of type int"),
    (lambda params: {"core": params["core"]}, ValueError, r"^params must have the entries .* lacks \['input'\]"),
    (lambda params: params | {"initial": {"h": np.ones(HIDDEN)}}, ValueError, r"^params .* has unknown entries \['initial'\]"),
    (lambda params: params | {"input": [1234.5]}, TypeError, r"^params\['input'\] must be a dict from names to arrays, got list"),
    (put("core", "scale", np.ones(3)), ValueError, r"^params\['core'\] .* has unknown entries \['scale'\]"),
    (put("core", "bias", [1234.5]), TypeError, r"^params\['core'\]\['bias'\] must be an array or a tensor, got list"),
    (put("input", "kernel", "1234.5"), TypeError, r"^params\['input'\]\['kernel'\] must be an array or a tensor, got str"),
    (
        put("core", "bias", np.full(4, 1234.5, np.float32)),
        ValueError,
        r"^params\['core'\]\['bias'\] must have shape \(20,\), got",
    ),
    (put("core", "bias", jax.random.key(0)), TypeError, r"^params\['core'\]\['bias'\] must have a floating-point dtype"),
    (
        put("core", "bias", np.full(4 * HIDDEN, 1234.5)),
        TypeError,
        r"^params\['core'\]\['bias'\] must have the module's dtype, float32, got float64; convert it first",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), MALFORMED)
def test_malformed_parameters_are_refused_and_the_module_is_unchanged(change, error, message):
    wrong = change(problem(CELLS["MomentumLSTMCell"])[0])
    module = nnx_cell("MomentumLSTMCell")
    before = nnx.to_pure_dict(nnx.state(module))
    for load in (
        lambda: mr.interop.load_nnx(module, wrong),
        lambda: mr.interop.load_linen(linen_cell("MomentumLSTMCell"), wrong),
    ):
        with pytest.raises(error, match=message) as caught:
            load()
        assert "\n" not in str(caught.value)
        assert "1234" not in str(caught.value)
    assert_close(nnx.to_pure_dict(nnx.state(module)), before, 0)


def test_another_core_s_parameters_are_refused():
    params = problem(CELLS["AdamGRUCell"])[0]
    for load, module in ((mr.interop.load_nnx, nnx_cell), (mr.interop.load_linen, linen_cell)):
        with pytest.raises(ValueError, match=r"params\['(input|core)'\]\['(kernel|bias)'\] must have shape"):
            load(module("MomentumLSTMCell"), params)


def test_refuses_modules_that_are_no_cells_of_this_library():
    params = problem(CELLS["RNNCell"])[0]
    others = (None, "module", mnnx.RNN(nnx_cell("RNNCell")), nnx.SimpleCell(FEATURES, HIDDEN, rngs=nnx.Rngs(0)), params)
    for module in others:
        with pytest.raises(TypeError, match=r"module must be a cell of momentum_rnn_jax\.nnx \(of an RNN, its cell\), got "):
            mr.interop.load_nnx(module, params)
    others = (None, "module", mlinen.RNN(linen_cell("RNNCell")), flax.linen.SimpleCell(HIDDEN), nnx_cell("RNNCell"))
    for module in others:
        with pytest.raises(TypeError, match=r"module must be a cell of momentum_rnn_jax\.linen \(of an RNN, its cell\), got "):
            mr.interop.load_linen(module, params)
