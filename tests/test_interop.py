import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import momentum_rnn_jax as mr
from tests.registry import assert_close, problem

RECORDS = pathlib.Path(__file__).parent / "reference" / "torch"


def load(name):
    with np.load(RECORDS / f"{name}.npz") as file:
        return dict(file)


@pytest.fixture
def record():
    return load("nn_lstm")


def weights(record):
    return {key.removeprefix("param/"): value for key, value in record.items() if key.startswith("param/")}


@pytest.mark.parametrize("method", ["stepwise", "chunked"])
def test_from_torch_lstm_computes_what_torch_computed(float64, record, method):
    def loss(arrays, x):
        cell, params = mr.from_torch_lstm(arrays)
        state, hidden = mr.unroll(cell, params, x, method=method)
        return jnp.sum(hidden * record["loss_weights"]), (state, hidden)

    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, (state, hidden)), (grads, grad_x) = run(weights(record), record["x"])
    assert_close(hidden, record["hidden"], 1e-12)
    assert_close(state.core.c, record["final/c"], 1e-12)
    assert_close(grad_x, record["grad/x"], 1e-12)
    for name, gradient in grads.items():
        assert_close(gradient, record[f"grad/{name}"], 1e-12)


def test_to_torch_lstm_is_the_inverse(float64, record):
    cell, params = mr.from_torch_lstm(weights(record), mr.Momentum(0.6, 0.6))
    assert cell == mr.momentum_lstm(6, mu=0.6, step_size=0.6)
    back = mr.to_torch_lstm(params)
    assert set(back) == set(weights(record))
    for name, array in weights(record).items():
        assert_close(back[name], array, 0)


def test_refuses_what_is_no_single_torch_lstm(record):
    arrays = weights(record)
    with pytest.raises(ValueError, match=r"has unknown entries \['weight_ih_l1'\]"):
        mr.from_torch_lstm(arrays | {"weight_ih_l1": arrays["weight_ih_l0"]})
    with pytest.raises(ValueError, match=r"arrays\['weight_hh_l0'\] must have shape \(24, 6\)"):
        mr.from_torch_lstm(arrays | {"weight_hh_l0": arrays["weight_hh_l0"][:18]})
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_torch_lstm(arrays, "momentum")
    with pytest.raises(ValueError, match=r"params\['core'\]\['kernel'\] must have shape \(H, 4H\), so at least 2 axes"):
        mr.to_torch_lstm(jax.tree.map(jnp.sum, problem(mr.lstm(5))[0]))
    with pytest.raises(ValueError, match=r"params\['core'\]\['bias'\] must have shape \(20,\), got \(15,\)"):
        mr.to_torch_lstm(problem(mr.gru(5))[0])
    with pytest.raises(ValueError, match=r"params\['input'\] must have the entries \['bias', 'kernel'\]"):
        mr.to_torch_lstm(problem(mr.dtriv(5))[0])


def run_layers(layers, x):
    """The whole network: the last layer's output, and the final states in PyTorch's order."""
    states = []
    for layer in layers:
        outputs = []
        for (cell, params), flip in zip(layer, (False, True), strict=False):
            state, hidden = mr.unroll(cell, params, jnp.flip(x, 0) if flip else x)
            states.append(state.core)
            outputs.append(jnp.flip(hidden, 0) if flip else hidden)
        x = jnp.concatenate(outputs, axis=-1)
    return x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


@pytest.mark.parametrize(("name", "core"), [("lstm", mr.LSTM(4)), ("gru", mr.GRU(4))])
def test_from_torch_computes_what_two_layers_in_two_directions_computed(float64, name, core):
    record = load(f"nn_{name}_2_layers_bidirectional")

    @jax.jit
    def run(arrays, x):
        def loss(arrays, x):
            hidden, states = run_layers(mr.from_torch(arrays), x)
            return jnp.sum(hidden * record["loss_weights"]), (hidden, states)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(arrays, x)

    layers = mr.from_torch(weights(record))
    assert [[cell for cell, _ in layer] for layer in layers] == 2 * [2 * [mr.Cell(core)]]
    (value, (hidden, states)), (grads, grad_x) = run(weights(record), record["x"])
    assert_close(value, record["loss"], 1e-12)
    assert_close(hidden, record["hidden"], 1e-12)
    assert set(states._fields) == {key.removeprefix("final/") for key in record if key.startswith("final/")}
    for field, final in states._asdict().items():
        assert_close(final, record[f"final/{field}"], 1e-12)
    assert_close(grad_x, record["grad/x"], 1e-12)
    assert len(grads) == 16
    for key, gradient in grads.items():
        assert_close(gradient, record[f"grad/{key}"], 1e-12)


def test_from_torch_of_one_layer_is_from_torch_lstm(record):
    drive = mr.Momentum(0.6, 0.5)
    assert_close(mr.from_torch(weights(record), drive), ((mr.from_torch_lstm(weights(record), drive),),), 0)


def test_from_torch_without_biases_has_zero_biases():
    arrays = weights(load("nn_gru_2_layers_bidirectional"))
    zeros = {name: np.zeros_like(array) if name.startswith("bias") else array for name, array in arrays.items()}
    without = {name: array for name, array in arrays.items() if not name.startswith("bias")}
    assert_close(mr.from_torch(without), mr.from_torch(zeros), 0)


def test_from_torch_strips_a_prefix_and_leaves_the_rest_of_the_model_alone():
    arrays = weights(load("nn_lstm_2_layers_bidirectional"))
    model = {f"rnn.{name}": array for name, array in arrays.items()} | {"head.weight": np.ones((2, 8)), "steps": np.array(3)}
    assert_close(mr.from_torch(model, prefix="rnn."), mr.from_torch(arrays), 0)
    with pytest.raises(ValueError, match=r"has unknown entries .*'head.weight'"):
        mr.from_torch(model)
    with pytest.raises(ValueError, match=r"weights has no entry that begins with prefix, 'lstm\.'"):
        mr.from_torch(model, prefix="lstm.")
    with pytest.raises(TypeError, match=r"prefix must be a string, such as 'rnn\.', got None"):
        mr.from_torch(model, prefix=None)


@pytest.mark.parametrize("as_path", [str, pathlib.Path])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_from_torch_reads_files_of_arrays(float64, tmp_path, suffix, as_path):
    arrays = weights(load("nn_gru_2_layers_bidirectional"))
    model = {f"rnn.{name}": array for name, array in arrays.items()} | {"head.weight": np.ones((2, 8))}
    path = tmp_path / f"model{suffix}"
    np.savez(path, **model) if suffix == ".npz" else save_file(model, path)
    assert_close(mr.from_torch(as_path(path), prefix="rnn."), mr.from_torch(arrays), 0)


def test_from_torch_keeps_the_dtype_of_a_file_in_16_bits(tmp_path):
    arrays = weights(load("nn_gru_2_layers_bidirectional"))
    save_file({name: array.astype(jnp.bfloat16) for name, array in arrays.items()}, tmp_path / "model.safetensors")
    layers = mr.from_torch(tmp_path / "model.safetensors")
    assert {leaf.dtype for leaf in jax.tree.leaves(layers)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin", ".npy", ""])
def test_from_torch_never_opens_another_kind_of_file(tmp_path, suffix):
    # The file is not there: were it opened, the error would be another.
    with pytest.raises(
        ValueError, match=r"weights must be a file of arrays, \.npz or \.safetensors, .*numpy\.savez.*safetensors"
    ):
        mr.from_torch(tmp_path / f"model{suffix}")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_from_torch_never_loads_a_pickle(tmp_path):
    np.savez(tmp_path / "objects.npz", weight_ih_l0=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match=r"weights must be a readable \.npz file of numbers; .*objects\.npz' is damaged"):
        mr.from_torch(tmp_path / "objects.npz")
    with open(tmp_path / "one.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match=r"weights must be a file of named arrays, .*one\.npz' holds one array"):
        mr.from_torch(tmp_path / "one.npz")


def test_a_missing_safetensors_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'momentum_rnn_jax\[torch\]'"):
        mr.from_torch(tmp_path / "model.safetensors")


def without(*names):
    return lambda arrays: {name: array for name, array in arrays.items() if name not in names}


def replaced(name, change):
    return lambda arrays: arrays | {name: change(arrays[name])}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda arrays: arrays | {"weight_hr_l0": arrays["weight_ih_l0"]}, ValueError, r"has the projections \['weight_hr_l0'\]"),
        (lambda arrays: arrays | {"weight_ih": arrays["weight_ih_l0"]}, ValueError, r"has unknown entries \['weight_ih'\]"),
        (lambda arrays: arrays | {1: arrays["weight_ih_l0"]}, TypeError, "weights must be a dict from PyTorch's names to arrays"),
        (lambda arrays: list(arrays.values()), TypeError, "weights must be a dict .* got list"),
        (lambda arrays: {}, ValueError, "weights has no entry"),
        (without("weight_hh_l0"), ValueError, r"lacks \['weight_hh_l0'\]"),
        (without("bias_hh_l1"), ValueError, r"lacks \['bias_hh_l1'\]"),
        (without("weight_ih_l1_reverse"), ValueError, r"lacks \['weight_ih_l1_reverse'\]"),
        (
            lambda arrays: {name.replace("_l1", "_l7"): array for name, array in arrays.items()},
            ValueError,
            r"lacks \['bias_hh_l1', .* has unknown entries \['bias_hh_l7'",
        ),
        (replaced("weight_hh_l0", lambda a: a[:4]), ValueError, r"\(4·H, H\) for an LSTM or \(3·H, H\) for a GRU, got \(4, 4\)"),
        (
            replaced("weight_hh_l0", lambda a: a[:12]),
            ValueError,
            r"weights\['weight_ih_l0'\] must have shape \(12, 3\), got \(16, 3\)",
        ),
        (
            replaced("weight_ih_l1", lambda a: a[:, :4]),
            ValueError,
            r"weights\['weight_ih_l1'\] must have shape \(16, 8\), got \(16, 4\)",
        ),
        (
            replaced("weight_hh_l1", lambda a: a[:12]),
            ValueError,
            r"weights\['weight_hh_l1'\] must have shape \(16, 4\), got \(12, 4\)",
        ),
        (replaced("bias_ih_l0", lambda a: a.astype(np.float16)), TypeError, "weights must be of one dtype"),
        (replaced("bias_ih_l0", lambda a: a.astype(int)), TypeError, r"weights\['bias_ih_l0'\] must have a floating-point dtype"),
        (replaced("weight_hh_l0", lambda a: a.tolist()), TypeError, r"weights\['weight_hh_l0'\] must be an array"),
    ],
)
def test_from_torch_refuses_what_it_cannot_compute(change, error, message):
    with pytest.raises(error, match=message):
        mr.from_torch(change(weights(load("nn_lstm_2_layers_bidirectional"))))


def test_from_torch_refuses_what_is_no_drive(record):
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_torch(weights(record), "momentum")


def flax_cell(cls, **options):
    """A Flax cell whose biases are not zero either; NumPy's initial values need no compiling."""
    random = np.random.default_rng(0)

    def normal(key, shape, dtype):
        return jnp.asarray(0.5 * random.normal(size=shape), dtype)

    return cls(3, 4, rngs=nnx.Rngs(0), kernel_init=normal, recurrent_kernel_init=normal, bias_init=normal, **options)


FLAX = {
    "lstm": (nnx.LSTMCell, {}, mr.LSTM(4)),
    "optimized_lstm": (nnx.OptimizedLSTMCell, {}, mr.LSTM(4)),
    "gru": (nnx.GRUCell, {}, mr.GRU(4)),
    "simple": (nnx.SimpleCell, {}, mr.Elman(4)),
    "simple_relu": (nnx.SimpleCell, {"activation_fn": nnx.relu}, mr.Elman(4, "relu")),
    "simple_sigmoid": (nnx.SimpleCell, {"activation_fn": nnx.sigmoid}, mr.Elman(4, "sigmoid")),
    "simple_identity": (nnx.SimpleCell, {"activation_fn": nnx.identity}, mr.Elman(4, "identity")),
}


@pytest.mark.parametrize("name", FLAX)
def test_from_flax_computes_what_flax_computes(name):
    cls, options, core = FLAX[name]
    module = flax_cell(cls, **options)
    cell, params = mr.from_flax(module)
    assert cell == mr.Cell(core)
    biases = [np.asarray(part["bias"]) for part in params.values()]
    assert sorted(np.any(bias) for bias in biases) == [False, True]  # Flax has one bias, and here it is random
    structure, variables = nnx.split(module)
    random = np.random.default_rng(0)
    x, loss_weights = (jnp.asarray(random.normal(size=(6, 2, size)), jnp.float32) for size in (3, 4))

    def theirs(variables, x):
        module = nnx.merge(structure, variables)
        carry, hidden = jax.lax.scan(module, module.initialize_carry((2, 3), nnx.Rngs(0)), x)
        return jnp.sum(hidden * loss_weights), (hidden, jax.tree.leaves(carry))

    def ours(variables, x):
        state, hidden = mr.unroll(*mr.from_flax(nnx.merge(structure, variables)), x)
        return jnp.sum(hidden * loss_weights), (hidden, jax.tree.leaves(state.core))

    got, want = (jax.jit(jax.value_and_grad(run, (0, 1), has_aux=True))(variables, x) for run in (ours, theirs))
    assert_close(got, want, 1e-6)


def test_from_flax_keeps_dtype_and_takes_a_drive(float64):
    cell, params = mr.from_flax(flax_cell(nnx.GRUCell, param_dtype=jnp.float64), mr.Nesterov(0.5, restart=3))
    assert cell.drive == mr.Nesterov(0.5, restart=3)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float64)}


def keep_all(arrays, **_):
    return arrays


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (nnx.LSTMCell, {"gate_fn": nnx.hard_sigmoid}, "gate_fn must be Flax's default, sigmoid, got hard_sigmoid"),
        (nnx.OptimizedLSTMCell, {"activation_fn": nnx.relu}, "activation_fn must be Flax's default, tanh, got relu"),
        (nnx.GRUCell, {"activation_fn": nnx.relu}, "activation_fn must be Flax's default, tanh, got relu"),
        (nnx.GRUCell, {"dtype": jnp.bfloat16}, "dtype must be None or that of its parameters, float32, .* got bfloat16"),
        (nnx.GRUCell, {"promote_dtype": keep_all}, "promote_dtype must be Flax's default, promote_dtype, got keep_all"),
        (nnx.SimpleCell, {"residual": True}, "residual must be Flax's default, False, got True"),
        (nnx.SimpleCell, {"activation_fn": nnx.gelu}, "activation_fn must be one of nnx.tanh, .*, got gelu"),
    ],
)
def test_from_flax_refuses_what_no_core_computes(cls, options, message):
    with pytest.raises(ValueError, match=rf"cell_module\.{message}"):
        mr.from_flax(flax_cell(cls, **options))


def test_from_flax_refuses_another_start():
    with pytest.warns(UserWarning, match="carry_init is provided"):
        module = flax_cell(nnx.GRUCell, carry_init=nnx.initializers.ones_init())
    with pytest.raises(ValueError, match=r"cell_module\.carry_init must be Flax's default, None, got ones"):
        mr.from_flax(module)


def test_from_flax_refuses_other_types():
    class Peephole(nnx.LSTMCell):
        pass

    with pytest.raises(TypeError, match=r"cell_module must be exactly one of nnx\.LSTMCell, .*, got Peephole"):
        mr.from_flax(flax_cell(Peephole))
    with pytest.raises(TypeError, match=r"cell_module must be exactly one of .*, got RNN"):
        mr.from_flax(nnx.RNN(flax_cell(nnx.GRUCell)))
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_flax(flax_cell(nnx.GRUCell), "momentum")
