"""What `from_torch`, `from_released` and their kin take for an array: tensors, and no malformed values."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.registry import assert_close

F, H = 3, 2
SHAPES = {"weight_ih_l0": (4 * H, F), "weight_hh_l0": (4 * H, H), "bias_ih_l0": (4 * H,), "bias_hh_l0": (4 * H,)}


def arrays(dtype=np.float32):
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


class Tensor:
    """A tensor as PyTorch's behave: not exported while it requires gradients, is on another device, or has gaps between rows."""

    def __init__(self, array, requires_grad=True, device="gpu"):
        self.array, self.requires_grad, self.device = array, requires_grad, device

    def detach(self):
        return Tensor(self.array, False, self.device)

    def cpu(self):
        return Tensor(self.array, self.requires_grad, "cpu")

    def contiguous(self):
        return Tensor(jnp.array(self.array), self.requires_grad, self.device)

    def __dlpack__(self, **options):
        assert not self.requires_grad
        assert self.device == "cpu"
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ArrayTensor:
    """A tensor that is exported to NumPy only."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class DLPackTensor(ArrayTensor):
    """A tensor that is exported by DLPack only, and shares its memory."""

    __array__ = None

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("tensor", [Tensor, ArrayTensor, DLPackTensor])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_tensors_are_the_arrays_they_hold(float64, tensor, dtype):
    values = arrays(dtype)
    assert_close(mr.from_torch({name: tensor(value) for name, value in values.items()}), mr.from_torch(values), 0)


def test_tensors_of_16_bits_that_numpy_does_not_know():
    values = {name: jnp.asarray(value, jnp.bfloat16) for name, value in arrays().items()}
    got = mr.from_torch({name: Tensor(value) for name, value in values.items()})
    assert_close(got, mr.from_torch(values), 0)


@pytest.mark.parametrize("wrap", [np.asarray, ArrayTensor, DLPackTensor])
def test_parameters_do_not_change_with_the_tensors_they_came_from(wrap):
    values = arrays()
    _, params = mr.from_torch({name: wrap(value) for name, value in values.items()})
    before = jax.tree.map(np.array, params)
    for value in values.values():
        value += 1
    assert_close(params, before, 0)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_pytorch_s_own_modules(float64, dtype):
    import torch

    module = torch.nn.LSTM(F, H).to(getattr(torch, dtype))
    wanted = {name: np.asarray(parameter.detach().double()) for name, parameter in module.named_parameters()}
    wanted = mr.from_torch({name: jnp.asarray(value).astype(dtype) for name, value in wanted.items()})
    assert_close(mr.from_torch(module.state_dict()), wanted, 0)
    assert_close(mr.from_torch(dict(module.named_parameters())), wanted, 0)
    with_gaps = {name: torch.stack([value, value], dim=-1)[..., 0] for name, value in module.state_dict().items()}
    assert_close(mr.from_torch(with_gaps), wanted, 0)


def test_from_released_takes_tensors_and_is_differentiable_in_arrays():
    got = mr.from_released("lstm", {name: Tensor(value) for name, value in LSTM.items()})
    assert_close(got, mr.from_released("lstm", LSTM), 0)
    gradients = jax.grad(lambda arrays: jnp.sum(mr.from_released("lstm", arrays)[1]["input"]["kernel"]))(LSTM)
    assert np.all(gradients["x2h.weight"] == 1)


SECRET = 1234.5  # the content of malformed values, which no message may show
MALFORMED = {
    "None": None,
    "string": "1234.5",
    "number": SECRET,
    "list": [[SECRET] * H] * 4 * H,
    "dict": {"array": SECRET},
    "masked": np.ma.masked_array(np.full((4 * H, H), SECRET, np.float32), mask=False),
    "objects": np.full((4 * H, H), "1234.5", object),
    "integers": np.full((4 * H, H), 12345),
    "complex": np.full((4 * H, H), SECRET, complex),
    "structured": np.full((4 * H, H), SECRET, [("x", np.float32)]),
    "key": jax.random.key(12345),
    "keys": jax.random.split(jax.random.key(12345), (4 * H, H)),
    "shape": jax.ShapeDtypeStruct((4 * H, H), jnp.float32),
    "other shape": np.full((4 * H, H + 1), SECRET, np.float32),
    "other dtype": np.full((4 * H, H), SECRET, np.float64),
    "no axes": np.float32(SECRET),
    "tensor that cannot be exported": Tensor(None),
}


def released(arrays):
    names = {"weight_ih_l0": "x2h.weight", "weight_hh_l0": "h2h.weight", "bias_ih_l0": "x2h.bias", "bias_hh_l0": "h2h.bias"}
    return mr.from_released("lstm", {names[name]: array for name, array in arrays.items()})


def orthogonal(arrays):
    square = {"recurrent_kernel.A": np.ones((H, H), np.float32), "nonlinearity.b": np.ones(H, np.float32)}
    return mr.from_released("orthogonal_rnn", square | {"input_kernel.weight": arrays["weight_hh_l0"]})


def to_torch(arrays):
    like_ours = {"weight_hh_l0": np.ones((4 * H, H), np.float32)} | arrays
    params = {"input": {"kernel": like_ours["weight_hh_l0"], "bias": arrays["bias_ih_l0"]}}
    return mr.to_torch_lstm(params | {"core": {"kernel": np.ones((H, 4 * H), np.float32), "bias": arrays["bias_hh_l0"]}})


@pytest.mark.parametrize("reader", [mr.from_torch, mr.from_torch_layers, mr.from_torch_lstm, released, orthogonal, to_torch])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_malformed_arrays_are_refused_in_one_line_without_their_contents(reader, malformed):
    with pytest.raises((TypeError, ValueError), match=r"^(weights|arrays|params)\b") as caught:
        reader(arrays() | {"weight_hh_l0": MALFORMED[malformed]})
    message = str(caught.value)
    assert "\n" not in message
    assert "1234" not in message


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("reader", [mr.from_torch, mr.from_torch_lstm, released])
def test_arrays_of_several_dtypes_are_refused_whatever_jax_would_make_of_them(reader, dtype):
    values = arrays()
    with pytest.raises(TypeError, match=rf"^(weights|arrays) must be of one dtype, got .*{dtype}"):
        reader(values | {"bias_hh_l0": values["bias_hh_l0"].astype(dtype)})


@pytest.mark.parametrize("reader", [mr.from_torch, mr.from_torch_lstm, lambda arrays: mr.from_released("lstm", arrays)])
@pytest.mark.parametrize("mapping", [None, 1234.5, [1234.5], np.full(3, 1234.5), {1: 1234.5, "weight_ih_l0": 1234.5}, mr])
def test_what_is_no_mapping_from_names_is_refused_in_one_line(reader, mapping):
    with pytest.raises(
        TypeError, match=r"^(weights|arrays) must be a (state )?dict.* got .*(NoneType|float|list|ndarray|int|module)"
    ):
        reader(mapping)


LSTM = dict(zip(("x2h.weight", "h2h.weight", "x2h.bias", "h2h.bias"), arrays().values(), strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "half", None, [0.5, [0.5]], {"mu": 0.5}, jax.random.key(0)])
@pytest.mark.parametrize(
    ("cell", "name"), [("momentum_lstm", "mu"), ("adam_lstm", "epsilon"), ("nesterov_lstm_mnist", "restart")]
)
def test_malformed_hyperparameters_are_refused_in_one_line_by_the_caller_s_names(cell, name, value):
    names = {"momentum_lstm": ("mu", "epsilon"), "adam_lstm": ("mu", "epsilon", "beta"), "nesterov_lstm_mnist": ("epsilon",)}
    values = dict.fromkeys(names[cell], 0.5) | {name: value}
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must be") as caught:
        mr.from_released(cell, LSTM, **values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [jax.random.key(0), [0, [0]], None, np.zeros(2), "0"])
def test_a_hyperparameter_that_the_cell_lacks_may_only_be_zero(value):
    for zero in (0, 0.0, np.float64(0), np.zeros((), int), jnp.zeros(())):
        mr.from_released("lstm", LSTM, mu=zero)
    with pytest.raises(ValueError, match=r"^hyper .* has no use for \['mu'\]"):
        mr.from_released("lstm", LSTM, mu=value)
