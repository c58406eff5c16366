"""Firing rates from spikes: every recorded case of the released code and of nlb_tools, the rate models, and the command."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.neural import data, masking, metrics
from experiments.neural.released import from_ndt, to_ndt
from experiments.neural.transformer import context_mask, sinusoids

ARRAYS = np.load(pathlib.Path(__file__).parent / "reference" / "neighbours" / "ndt.npz", allow_pickle=False)
UNMASKED = -100  # the released label of what does not count


@functools.cache
def recorded(case):
    """A case's groups, each a dict by name, and its `meta`."""
    found = {}
    for key in ARRAYS.files:
        if key.startswith(f"{case}/"):
            group, _, name = key.removeprefix(f"{case}/").partition("/")
            if group == "meta":
                found["meta"] = json.loads(str(ARRAYS[key]))
            else:
                found.setdefault(group, {})[name] = ARRAYS[key]
    return found


def cases(kind):
    return sorted({"/".join(key.split("/")[:2]) for key in ARRAYS.files if key.startswith(f"{kind}/")})


def agree(got, expected, atol=1e-10):
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-10, atol=atol)


def transformer(case):
    meta, out = recorded(case)["meta"], recorded(case)["out"]
    return from_ndt(recorded(case)["param"], meta["config.MODEL"], time=meta["T"], position=out.get("position"))


@pytest.mark.parametrize("case", cases("model"))
def test_the_transformer_agrees_with_the_released_one_in_outputs_and_gradients(case, float64):
    expected, model = recorded(case)["out"], transformer(case)
    spikes, labels = (jnp.asarray(recorded(case)["input"][name]) for name in ("masked_spikes", "labels"))
    counted = labels != UNMASKED

    def objective(model):
        rates, layers, attention = model.trace(spikes)
        values = metrics.poisson_loss(rates, jnp.where(counted, labels, 0), log_rates=model.sizes.log_rates)
        loss = metrics.masked_mean(values, counted)
        return loss + 0.01 * jnp.square(rates).sum(), (loss, rates, layers, attention)

    (_, (loss, rates, layers, attention)), gradients = nnx.jit(nnx.value_and_grad(objective, has_aux=True))(model)
    agree(loss, expected["loss"][0])
    agree(rates, expected["log_rates" if "log_rates" in expected else "rates"])
    for number, layer in enumerate(layers):
        agree(layer.swapaxes(0, 1), expected[f"layer{number}"])
    agree(attention[0], expected["attention0"])
    if "context_allowed" in expected:
        np.testing.assert_array_equal(model.allowed[...], expected["context_allowed"])
    nnx.update(model, gradients)
    named = to_ndt(model)
    assert set(named) == set(recorded(case)["grad"])
    for name, gradient in recorded(case)["grad"].items():
        agree(named[name], gradient)


@pytest.mark.parametrize("case", [case for case in cases("model") if "position" in recorded(case)["out"]])
def test_sinusoids_are_the_released_ones_to_the_digits_of_float32(case, float64):
    expected = recorded(case)["out"]["position"]
    agree(sinusoids(*expected.shape), expected, atol=1e-6)


@pytest.mark.parametrize("case", cases("context"))
def test_the_context_is_the_released_one(case):
    meta = recorded(case)["meta"]
    allowed = context_mask(meta["T"], meta["forward"], meta["backward"])
    np.testing.assert_array_equal(allowed, recorded(case)["out"]["allowed"])


@pytest.mark.parametrize("width", range(1, 6))
def test_spans_are_the_released_ones(width):
    seed, expected = recorded("mask/expand")["input"]["seed"], recorded("mask/expand")["out"][f"width{width}"]
    np.testing.assert_array_equal(masking.expand_mask(seed, width), expected != 0)
    np.testing.assert_array_equal(jax.jit(masking.expand_mask, static_argnums=2)(seed, width, 5), expected != 0)


def test_the_chaotic_network_is_the_released_one():
    case = recorded("data/chaotic_rnn")
    W = data.chaotic_weights()
    agree(W, case["input"]["W"])
    assert W[0, 0] == pytest.approx(0.06239899, abs=5e-9)
    agree(data.chaotic_rates(W, case["input"]["x0"]), case["out"]["rates"])


def test_the_draft_of_the_lorenz_data_is_the_released_one():
    case = recorded("data/lorenz")
    trajectory = data.lorenz_draft(case["input"]["initial"], case["input"]["parameters_s_r_b"], case["meta"]["steps"])
    agree(trajectory, case["out"]["trajectory"])


def test_the_metrics_are_those_of_nlb_tools_and_scikit_learn():
    given, expected = recorded("metric/all")["input"], recorded("metric/all")["out"]
    agree(metrics.bits_per_spike(given["pred"], given["spikes"]), expected["bits_per_spike"])
    agree(metrics.bits_per_spike(given["pred"], given["spikes_nan"]), expected["bits_per_spike_nan"])
    agree(metrics.r2(given["rates"], given["pred"]), expected["r2"])
