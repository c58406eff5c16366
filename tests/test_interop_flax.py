"""Flax's own cells, NNX and Linen, beside what `from_flax` makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import momentum_rnn_jax as mr
from tests.flax_cells import standard_promotion
from tests.registry import assert_close


def flax_cell(library, name, **options):
    """A Flax cell whose biases are not zero either; NumPy's initial values need no compiling."""
    random = np.random.default_rng(0)

    def normal(key, shape, dtype):
        return jnp.asarray(0.5 * random.normal(size=shape), dtype)

    inits = {"kernel_init": normal, "recurrent_kernel_init": normal, "bias_init": normal}
    cls = getattr(library, name)
    return cls(3, 4, rngs=nnx.Rngs(0), **inits, **options) if library is nnx else cls(4, **inits, **options)


def linen_variables(module):
    key = jax.random.key(0)
    with standard_promotion():
        return module.init(key, module.initialize_carry(key, (3,)), jnp.ones(3))


def variables_of(module):
    """What `from_flax` needs beside the module."""
    return linen_variables(module) if isinstance(module, linen.Module) else None


FLAX = {
    "lstm": ("LSTMCell", {}, mr.LSTM(4)),
    "optimized_lstm": ("OptimizedLSTMCell", {}, mr.LSTM(4)),
    "gru": ("GRUCell", {}, mr.GRU(4)),
    "sigmoid_lstm": (
        "LSTMCell",
        {"gate_fn": nnx.tanh, "activation_fn": nnx.sigmoid},
        mr.LSTM(4, activation="sigmoid", gate_activation="tanh"),
    ),
    "linear_optimized_lstm": (
        "OptimizedLSTMCell",
        {"gate_fn": linen.relu, "activation_fn": jax.nn.identity},
        mr.LSTM(4, activation="identity", gate_activation="relu"),
    ),
    "sigmoid_gru": ("GRUCell", {"activation_fn": linen.sigmoid}, mr.GRU(4, activation="sigmoid")),
    "linear_gru": (
        "GRUCell",
        {"gate_fn": jnp.tanh, "activation_fn": jax.nn.identity},
        mr.GRU(4, activation="identity", gate_activation="tanh"),
    ),
    "simple": ("SimpleCell", {}, mr.Elman(4)),
    "simple_relu": ("SimpleCell", {"activation_fn": jax.nn.relu}, mr.Elman(4, "relu")),
    "simple_sigmoid": ("SimpleCell", {"activation_fn": jax.nn.sigmoid}, mr.Elman(4, "sigmoid")),
    "simple_identity": ("SimpleCell", {"activation_fn": jax.nn.identity}, mr.Elman(4, "identity")),
}


@pytest.mark.parametrize("library", [nnx, linen], ids=["nnx", "linen"])
@pytest.mark.parametrize("name", FLAX)
def test_from_flax_computes_what_flax_computes(float64, library, name):
    cls, options, core = FLAX[name]
    module = flax_cell(library, cls, dtype=jnp.float64, param_dtype=jnp.float64, **options)
    if library is nnx:
        structure, variables = nnx.split(module)

        def flax_rnn(variables, x):
            module = nnx.merge(structure, variables)
            return jax.lax.scan(module, module.initialize_carry((2, 3), nnx.Rngs(0)), x)

        def from_flax(variables):
            return mr.from_flax(nnx.merge(structure, variables))

    else:
        variables = linen_variables(module)
        rnn = linen.RNN(module, time_major=True, return_carry=True)

        def flax_rnn(variables, x):
            return rnn.apply({"params": {"cell": variables["params"]}}, x)

        def from_flax(variables):
            return mr.from_flax(module, variables=variables)

    assert from_flax(variables)[0] == mr.Cell(core)
    random = np.random.default_rng(0)
    x, loss_weights = (jnp.asarray(random.normal(size=(6, 2, size))) for size in (3, 4))

    def theirs(variables, x):
        carry, hidden = flax_rnn(variables, x)
        return jnp.sum(hidden * loss_weights), (hidden, jax.tree.leaves(carry))

    def ours(variables, x):
        state, hidden = mr.unroll(*from_flax(variables), x)
        return jnp.sum(hidden * loss_weights), (hidden, jax.tree.leaves(state.core))

    with standard_promotion():
        got, want = (jax.jit(jax.value_and_grad(run, (0, 1), has_aux=True))(variables, x) for run in (ours, theirs))
    assert_close(got, want, 1e-12)


@pytest.mark.parametrize("library", [nnx, linen], ids=["nnx", "linen"])
@pytest.mark.parametrize(
    ("name", "input_bias", "core_bias"),
    [("LSTMCell", [False] * 4, [True] * 4), ("GRUCell", [True] * 3, [False, False, None]), ("SimpleCell", [True], [False])],
)
def test_flax_has_one_bias_where_we_have_two(library, name, input_bias, core_bias):
    module = flax_cell(library, name)
    _, params = mr.from_flax(module, variables=variables_of(module))
    core_bias = [library is linen if one is None else one for one in core_bias]  # Linen's GRU has `hn`'s, NNX's has not
    for part, expected in (("input", input_bias), ("core", core_bias)):
        gates = np.split(np.asarray(params[part]["bias"]), len(expected))
        assert [bool(np.any(gate)) for gate in gates] == expected


@pytest.mark.parametrize("library", [nnx, linen], ids=["nnx", "linen"])
def test_from_flax_keeps_dtype_and_takes_a_drive(float64, library):
    module = flax_cell(library, "GRUCell", param_dtype=jnp.float64)
    cell, params = mr.from_flax(module, mr.Nesterov(0.5, restart=3), variables_of(module))
    assert cell.drive == mr.Nesterov(0.5, restart=3)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float64)}


def keep_all(arrays, **_):
    return arrays


@pytest.mark.parametrize(
    ("libraries", "name", "options", "message"),
    [
        (
            (nnx, linen),
            "LSTMCell",
            {"gate_fn": nnx.hard_sigmoid},
            "gate_fn must be one of tanh, sigmoid, relu, identity, got hard_sigmoid",
        ),
        (
            (nnx, linen),
            "OptimizedLSTMCell",
            {"activation_fn": nnx.hard_tanh},
            "activation_fn must be one of tanh, .*got hard_tanh",
        ),
        ((nnx, linen), "GRUCell", {"activation_fn": lambda x: x}, "activation_fn must be one of tanh, .*, got <lambda>"),
        ((nnx, linen), "GRUCell", {"dtype": jnp.bfloat16}, "dtype must be None or that of its parameters, float32, .* bfloat16"),
        ((nnx, linen), "SimpleCell", {"residual": True}, "residual must be Flax's default, False, got True"),
        ((nnx, linen), "SimpleCell", {"activation_fn": nnx.gelu}, "activation_fn must be one of tanh, .*, got gelu"),
        ((nnx,), "GRUCell", {"promote_dtype": keep_all}, "promote_dtype must be Flax's default, promote_dtype, got keep_all"),
        (
            (linen,),
            "GRUCell",
            {"carry_init": linen.initializers.ones_init()},
            "carry_init must be Flax's default, zeros, got ones",
        ),
    ],
)
def test_from_flax_refuses_what_no_core_computes(libraries, name, options, message):
    variables = linen_variables(flax_cell(linen, name))
    for library in libraries:
        with pytest.raises(ValueError, match=rf"cell_module\.{message}"):
            mr.from_flax(flax_cell(library, name, **options), variables=variables if library is linen else None)


def test_from_flax_refuses_another_start():
    with pytest.warns(UserWarning, match="carry_init is provided"):
        module = flax_cell(nnx, "GRUCell", carry_init=nnx.initializers.ones_init())
    with pytest.raises(ValueError, match=r"cell_module\.carry_init must be Flax's default, None, got ones"):
        mr.from_flax(module)


@pytest.mark.parametrize("library", [nnx, linen], ids=["nnx", "linen"])
def test_from_flax_refuses_other_types(library):
    Peephole = type("Peephole", (library.LSTMCell,), {})
    subclass = Peephole(3, 4, rngs=nnx.Rngs(0)) if library is nnx else Peephole(4)
    with pytest.raises(TypeError, match=r"cell_module must be exactly one of nnx\.LSTMCell, .*linen\.SimpleCell, got Peephole"):
        mr.from_flax(subclass)
    with pytest.raises(TypeError, match=r"cell_module must be exactly one of .*, got RNN"):
        mr.from_flax(library.RNN(flax_cell(library, "GRUCell")))
    module = flax_cell(library, "GRUCell")
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_flax(module, "momentum", variables_of(module))


def test_from_flax_refuses_another_layer_in_the_place_of_flax_s():
    module = flax_cell(nnx, "GRUCell")
    module.dense_h = nnx.LoRALinear(4, 12, lora_rank=1, use_bias=False, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"cell_module\.dense_h must be an nnx\.Linear, as Flax makes it, got LoRALinear"):
        mr.from_flax(module)


def test_from_flax_refuses_an_nnx_cell_whose_arrays_do_not_fit():
    module = flax_cell(nnx, "LSTMCell")
    module.hg.kernel = nnx.Param(jnp.ones((4, 5)))
    with pytest.raises(ValueError, match=r"cell_module\['hg'\]\['kernel'\] must have shape \(4, 4\), got \(4, 5\)"):
        mr.from_flax(module)
    module.hg.kernel = nnx.Param(jnp.ones((4, 4), jnp.bfloat16))
    with pytest.raises(TypeError, match="cell_module must be of one dtype"):
        mr.from_flax(module)


def changed(path, value):
    """Linen variables with the entry at `path` replaced, or dropped where `value` is `...`."""

    def change(tree, path=path):
        name, *rest = path
        new = change(tree[name], rest) if rest else value
        return {key: entry for key, entry in tree.items() if key != name} | ({} if new is ... else {name: new})

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda _: None, TypeError, "variables must be a dict from names to arrays, got NoneType"),
        (lambda tree: tree["params"], ValueError, r"variables must have the entries \['params'\]; it lacks \['params'\]"),
        (changed(["params"], [1]), TypeError, r"variables\['params'\] must be a dict from names to arrays, got list"),
        (changed(["params", "hn"], ...), ValueError, r"variables\['params'\] .* lacks \['hn'\]"),
        (changed(["params", "hn"], "kernel"), TypeError, r"variables\['params'\]\['hn'\] must be a dict .* got str"),
        (changed(["params", "hn", "bias"], ...), ValueError, r"variables\['params'\]\['hn'\] .* lacks \['bias'\]"),
        (changed(["params", "hr", "bias"], np.ones(4)), ValueError, r"\['hr'\] .* has unknown entries \['bias'\]"),
        (changed(["params", "ii"], {}), ValueError, r"has unknown entries \['ii'\]"),
        (
            changed(["params", "iz", "kernel"], np.ones((2, 4), np.float32)),
            ValueError,
            r"variables\['params'\]\['iz'\]\['kernel'\] must have shape \(3, 4\), got \(2, 4\)",
        ),
        (
            changed(["params", "iz", "bias"], np.ones(4, np.float16)),
            TypeError,
            r"variables\['params'\] must be of one dtype, got .*float16",
        ),
    ],
)
def test_from_flax_refuses_variables_that_are_not_the_linen_cell_s(change, error, message):
    module = flax_cell(linen, "GRUCell")
    with pytest.raises(error, match=message):
        mr.from_flax(module, variables=change(linen_variables(module)))


def test_from_flax_refuses_linen_variables_in_another_dtype_than_the_module_s():
    module = flax_cell(linen, "SimpleCell")
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), linen_variables(module))
    with pytest.raises(ValueError, match=r"cell_module\.param_dtype must be that of its parameters, bfloat16, .* float32"):
        mr.from_flax(module, variables=variables)


def test_from_flax_refuses_variables_for_an_nnx_cell():
    with pytest.raises(TypeError, match=r"variables must be None for nnx\.GRUCell, which holds its own, got dict"):
        mr.from_flax(flax_cell(nnx, "GRUCell"), variables={"params": {}})


def test_from_flax_takes_partitioned_and_frozen_variables():
    init = linen.with_partitioning(linen.initializers.lecun_normal(), (None, "model"))
    boxed = linen_variables(linen.SimpleCell(4, kernel_init=init))
    assert isinstance(boxed["params"]["i"]["kernel"], linen.Partitioned)
    got = mr.from_flax(linen.SimpleCell(4), variables=linen.FrozenDict(boxed))
    assert_close(got, mr.from_flax(linen.SimpleCell(4), variables=linen.unbox(boxed)), 0)
