import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
    with pytest.raises(ValueError, match=r"params\['(input|core)'\]\['bias'\] must have shape \(20,\), got \(15,\)"):
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


@pytest.mark.parametrize(
    ("name", "core", "nonlinearity"),
    [
        ("lstm", mr.LSTM(4), None),
        ("lstm_projection", mr.LSTM(4, projection_features=2), None),
        ("gru", mr.GRU(4), None),
        ("rnn_tanh", mr.Elman(4, "tanh"), "tanh"),
        ("rnn_relu", mr.Elman(4, "relu"), "relu"),
    ],
)
def test_from_torch_layers_computes_what_two_layers_in_two_directions_computed(float64, name, core, nonlinearity):
    record = load(f"nn_{name}_2_layers_bidirectional")

    @jax.jit
    def run(arrays, x):
        def loss(arrays, x):
            hidden, states = run_layers(mr.from_torch_layers(arrays, nonlinearity=nonlinearity), x)
            return jnp.sum(hidden * record["loss_weights"]), (hidden, states)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(arrays, x)

    layers = mr.from_torch_layers(weights(record), nonlinearity=nonlinearity)
    assert [[cell for cell, _ in layer] for layer in layers] == 2 * [2 * [mr.Cell(core)]]
    (value, (hidden, states)), (grads, grad_x) = run(weights(record), record["x"])
    assert_close(value, record["loss"], 1e-12)
    assert_close(hidden, record["hidden"], 1e-12)
    assert set(states._fields) == {key.removeprefix("final/") for key in record if key.startswith("final/")}
    for field, final in states._asdict().items():
        assert_close(final, record[f"final/{field}"], 1e-12)
    assert_close(grad_x, record["grad/x"], 1e-12)
    assert len(grads) == (20 if name == "lstm_projection" else 16)
    for key, gradient in grads.items():
        assert_close(gradient, record[f"grad/{key}"], 1e-12)


def test_one_layer_is_one_pair(record):
    drive = mr.Momentum(0.6, 0.5)
    pair = mr.from_torch(weights(record), drive)
    assert_close(pair, mr.from_torch_lstm(weights(record), drive), 0)
    assert_close(((pair,),), mr.from_torch_layers(weights(record), drive), 0)


def test_from_torch_refuses_several_layers_or_directions():
    arrays = weights(load("nn_lstm_2_layers_bidirectional"))
    below = {name: array for name, array in arrays.items() if "_l0" in name}
    forward = {name: array[:, :4] for name, array in arrays.items() if not name.endswith("_reverse") and array.ndim == 2}
    for several, got in [
        (arrays, "2 layers in 2 directions"),
        (below, "1 layer in 2 directions"),
        (forward, "2 layers in 1 direction;"),
    ]:
        with pytest.raises(ValueError, match=got):
            mr.from_torch(several)


def test_from_torch_without_biases_has_zero_biases():
    arrays = weights(load("nn_gru_2_layers_bidirectional"))
    zeros = {name: np.zeros_like(array) if name.startswith("bias") else array for name, array in arrays.items()}
    without = {name: array for name, array in arrays.items() if not name.startswith("bias")}
    assert_close(mr.from_torch_layers(without), mr.from_torch_layers(zeros), 0)


def test_from_torch_strips_a_prefix_and_leaves_the_rest_of_the_model_alone():
    arrays = weights(load("nn_lstm_2_layers_bidirectional"))
    model = {f"rnn.{name}": array for name, array in arrays.items()} | {"head.weight": np.ones((2, 8)), "steps": np.array(3)}
    assert_close(mr.from_torch_layers(model, prefix="rnn."), mr.from_torch_layers(arrays), 0)
    with pytest.raises(ValueError, match=r"has unknown entries .*'head.weight'"):
        mr.from_torch({name: array for name, array in arrays.items() if "_l0" in name} | {"head.weight": model["head.weight"]})
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
    assert_close(mr.from_torch_layers(as_path(path), prefix="rnn."), mr.from_torch_layers(arrays), 0)


def test_from_torch_keeps_the_dtype_of_a_file_in_16_bits(tmp_path):
    arrays = weights(load("nn_gru_2_layers_bidirectional"))
    save_file({name: array.astype(jnp.bfloat16) for name, array in arrays.items()}, tmp_path / "model.safetensors")
    layers = mr.from_torch_layers(tmp_path / "model.safetensors")
    assert {leaf.dtype for leaf in jax.tree.leaves(layers)} == {jnp.dtype(jnp.bfloat16)}


def test_from_torch_refuses_damaged_files_in_one_line(tmp_path):
    header = json.dumps({"weight_hh_l0": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    files = {
        "empty.npz": b"",
        "text.npz": b"weights\n",
        "short.safetensors": b"12",
        "eight_bits.safetensors": len(header).to_bytes(8, "little") + header + bytes(4),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"^weights(\['weight_hh_l0'\])? must (be a readable|have a dtype)") as caught:
            mr.from_torch(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("folder.safetensors", "missing.npz", "missing.safetensors"):
        with pytest.raises(FileNotFoundError, match=f"^weights must be the path of a file, and there is none at .*{name}"):
            mr.from_torch(tmp_path / name)


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
        (lambda arrays: arrays | {"weight_hr_l0": arrays["weight_ih_l0"]}, ValueError, "lacks .*'weight_hr_l0_reverse'"),
        (lambda arrays: arrays | {"weight_ih": arrays["weight_ih_l0"]}, ValueError, r"has unknown entries \['weight_ih'\]"),
        (lambda arrays: arrays | {1: arrays["weight_ih_l0"]}, TypeError, "got one with a key of type int"),
        (lambda arrays: list(arrays.values()), TypeError, "weights must be a state dict, .* got list"),
        (lambda arrays: {}, ValueError, "weights has no entry"),
        (without("weight_hh_l0"), ValueError, r"lacks \['weight_hh_l0'\]"),
        (without("bias_hh_l1"), ValueError, r"lacks \['bias_hh_l1'\]"),
        (without("weight_ih_l1_reverse"), ValueError, r"lacks \['weight_ih_l1_reverse'\]"),
        (
            lambda arrays: {name.replace("_l1", "_l7"): array for name, array in arrays.items()},
            ValueError,
            r"lacks \['bias_hh_l1', .* has unknown entries \['bias_hh_l7'",
        ),
        (replaced("weight_hh_l0", lambda a: a[:8]), ValueError, r"\(3·H, H\) for a GRU or \(H, H\) for an RNN, got \(8, 4\)"),
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
        mr.from_torch_layers(change(weights(load("nn_lstm_2_layers_bidirectional"))))


def test_from_torch_refuses_what_is_no_drive(record):
    with pytest.raises(TypeError, match="drive must be an instance of Drive"):
        mr.from_torch(weights(record), "momentum")


def test_nonlinearity_is_named_for_an_rnn_and_for_nothing_else(record):
    rnn = {"weight_ih_l0": np.ones((2, 3)), "weight_hh_l0": np.ones((2, 2))}
    assert mr.from_torch(rnn, nonlinearity="relu")[0] == mr.Cell(mr.Elman(2, "relu"))
    for wrong in (None, "sigmoid", "ReLU", np.ones(3)):
        with pytest.raises(ValueError, match=r"nonlinearity must be 'tanh' or 'relu' for the weights of a torch\.nn\.RNN"):
            mr.from_torch(rnn, nonlinearity=wrong)
    with pytest.raises(ValueError, match=r"nonlinearity must be None for weights that are not a torch\.nn\.RNN's, got 'tanh'"):
        mr.from_torch(weights(record), nonlinearity="tanh")


def test_from_torch_refuses_projections_that_do_not_fit():
    arrays = weights(load("nn_lstm_projection_2_layers_bidirectional"))
    with pytest.raises(ValueError, match=r"weights\['weight_hr_l1'\] must have shape \(2, 4\), got \(2, 3\)"):
        mr.from_torch_layers(arrays | {"weight_hr_l1": arrays["weight_hr_l1"][:, :3]})
    with pytest.raises(ValueError, match="nonlinearity must be None"):
        mr.from_torch_layers(arrays, nonlinearity="tanh")
