"""Firing rates from spikes: every recorded case of the released code and of nlb_tools, and the rate models."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.neural import __main__ as neural
from experiments.neural import data, masking, metrics, models
from experiments.neural.fit import rate
from experiments.neural.released import from_ndt, to_ndt
from experiments.neural.transformer import NeuralDataTransformer, Sizes, context_mask, sinusoids

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder.0.bias": None}, "arrays must hold decoder.0.bias"),
        ({"decoder.0.weight": np.zeros((6, 5))}, r"decoder.0.weight must have shape \(6, 6\), got \(6, 5\); 1 of"),
        ({"extra": np.zeros(2)}, r"extra must have shape none, got \(2,\); 1 of the names do not fit"),
    ],
)
def test_other_arrays_than_the_released_ones_are_refused(change, message, float64):
    arrays = {name: array for name, array in (recorded("model/maze")["param"] | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        from_ndt(arrays, recorded("model/maze")["meta"]["config.MODEL"], time=8)


def test_what_is_not_reproduced_is_refused():
    config = recorded("model/maze")["meta"]["config.MODEL"] | {"LINEAR_EMBEDDER": True}
    with pytest.raises(ValueError, match="config must have LINEAR_EMBEDDER = False, got True"):
        from_ndt(recorded("model/maze")["param"], config, time=8)
    with pytest.raises(ValueError, match="num_heads must divide the 5 features, got 2"):
        Sizes(neurons=5, time=3)
    with pytest.raises(ValueError, match="decoder_layers must be 1 or 2, got 3"):
        Sizes(neurons=4, time=3, decoder_layers=3)


def test_a_step_sees_its_context_alone_and_dropout_needs_a_key():
    model = NeuralDataTransformer(Sizes(neurons=4, time=6, num_layers=1), context=(1, 2), rngs=nnx.Rngs(0))
    one = jnp.zeros((1, 6, 4), int)
    run = nnx.jit(lambda model, spikes: model(spikes))
    changed = np.asarray(jnp.abs(run(model, one.at[0, 2, 1].set(3)) - run(model, one)).max(axis=-1)[0] > 1e-6)
    assert changed.tolist() == [False, True, True, True, True, False]
    key = jax.random.key(0)
    dropped = nnx.jit(lambda model, spikes: model(spikes, key))(model, one)
    assert not np.allclose(dropped, run(model, one))


def test_corrupted_entries_are_zero_or_random_or_as_they_were():
    spikes, mask = jnp.full((20, 30, 4), 7), masking.draw_mask(jax.random.key(1), 20, 30, 0.5)
    masked = np.broadcast_to(np.asarray(mask)[..., None], spikes.shape)

    def corrupted(token, random):
        seen = np.asarray(masking.corrupt(jax.random.key(0), spikes, mask, 5, token, random))
        assert (seen[~masked] == 7).all()
        return seen[masked]

    assert (corrupted(1.0, 1.0) == 0).all()
    assert (corrupted(0.0, 0.0) == 7).all()
    assert set(corrupted(0.0, 1.0)) == set(range(5))
    some = corrupted(0.5, 0.5)
    assert np.mean(some == 7) == pytest.approx(0.25, abs=0.05)
    assert np.mean(some == 0) == pytest.approx(0.5 + 0.25 / 5, abs=0.05)


def test_spans_come_with_the_ramp_and_leave_the_share_about_as_it_is():
    widths = jax.vmap(lambda key, progress: masking.span_width(key, progress, 0.2, 0.6, 4), (0, None))
    keys = jax.random.split(jax.random.key(0), 400)
    assert set(np.asarray(widths(keys, 0.1))) == {1}
    assert np.bincount(widths(keys, 0.9), minlength=5)[1:].min() > 60
    assert np.mean(widths(keys, 0.4) == 1) == pytest.approx(0.5 + 0.5 / 4, abs=0.07)
    for width in (1, 3):
        mask = masking.draw_mask(jax.random.key(2), 300, 40, 0.2, width)
        assert np.mean(mask) == pytest.approx(0.2, abs=0.02)


def test_the_learning_rate_rises_and_falls():
    assert rate(jnp.array([0.0, 0.025, 0.05, 0.525, 1.0])) == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0], abs=1e-6)


@pytest.mark.parametrize(("name", "mean"), [("chaotic", 0.15), ("lorenz", data.LORENZ_MEAN * data.LORENZ_BIN)])
def test_populations_have_the_same_conditions_in_each_split(name, mean):
    population, again = data.load(name, 3), data.load(name, 3)
    for trials, same in zip(population[:3], again[:3], strict=True):
        np.testing.assert_array_equal(trials.spikes, same.spikes)
        np.testing.assert_array_equal(trials.rates.reshape(-1, *trials.rates.shape[1:])[:3], population.test.rates[:3])
        assert trials.spikes.mean() == pytest.approx(trials.rates.mean(), rel=0.1)
    assert len(population.train.spikes) == 8 * len(population.test.spikes)
    assert population.train.rates.mean() == pytest.approx(mean, rel=0.05)
    assert not np.array_equal(population.validation.spikes, population.test.spikes)


DATA = models.Data(6, 7, 5, np.full(6, 0.5))


def test_smoothing_both_ways_has_the_weights_of_an_exponential(float64):
    weights = models.both_ways(jnp.zeros((1, 9, 1)).at[0, 4].set(1.0), 0.5)[0, :, 0]
    agree(weights, 0.5 ** np.abs(np.arange(9) - 4) / 3)
    agree(models.smooth(jnp.zeros((1, 3, 1)).at[0, 0].set(1.0), 0.5)[0, :, 0], [0.5, 0.25, 0.125])


def test_without_the_input_bias_momentum_is_smoothing_of_the_spikes(float64):
    spikes = jnp.asarray(np.random.RandomState(0).poisson(1.0, (2, 7, 6)).astype(np.int32))
    pair = [models.build(name, {"mu": 0.7}, 5, DATA, 0) for name in ("momentum", "smoothed")]
    for model in pair:
        nnx.update(model, jax.tree.map(lambda leaf: leaf.astype(float), nnx.state(model)))
        for number, rnn in enumerate(model.rnns):
            rnn.cell.param_dtype = jnp.float64
            rnn.cell.core.kernel[...] += 0.1 * (number + 1)
    agree(pair[0](spikes), pair[1](spikes))
    for model in pair:
        model.rnns[0].cell.input.bias[...] += 1.0
    assert not np.allclose(pair[0](spikes), pair[1](spikes), atol=1e-3)


def test_the_late_model_looks_ahead_by_its_delay_and_the_others_everywhere():
    spikes = jnp.zeros((1, 12, 6), int)
    for name, first in (("delayed", 10 - models.DELAY), ("momentum", 0)):
        model = models.build(name, {"mu": 0.5}, 4, DATA._replace(time=12), 0)
        changed = np.asarray(jnp.abs(model(spikes.at[0, 10].set(5)) - model(spikes)).max(axis=-1)[0] > 0)
        assert np.flatnonzero(changed).tolist() == list(range(first, 12)), name


def test_the_smoother_leaves_out_what_it_does_not_see():
    smoother = models.build("smoother", {"mu": 0.5, "share": 0.25}, 1, DATA, 0)
    spikes, seen = jnp.full((1, 7, 6), 2), jnp.arange(7)[None, :, None] != 3
    hidden = jnp.where(seen, spikes, 9)
    np.testing.assert_allclose(jnp.exp(smoother(hidden, seen=seen)), np.full((1, 7, 6), 0.75 * 2 + 0.25 * 0.5), rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(smoother(spikes, seen=jnp.zeros_like(seen))), np.full((1, 7, 6), 0.5), rtol=1e-5)


def test_every_model_has_as_many_trials_and_no_more_parameters_than_the_transformer():
    assert set(models.KINDS) == set(neural.MODELS)
    assert {len(kind.trials) for name, kind in models.KINDS.items() if name != "control"} == {6}
    budget = models.count("ndt", 1, DATA)
    for name, kind in models.KINDS.items():
        hidden = models.hidden_features(name, DATA)
        assert models.count(name, hidden, DATA) <= budget
        assert not kind.sized or models.count(name, hidden + 1, DATA) > budget
