"""Firing rates from spikes: every recorded case of the released code and of nlb_tools, the rate models, and the command."""

import functools
import json
import os
import pathlib
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.neural import __main__ as neural
from experiments.neural import data, masking, metrics, models, study
from experiments.neural.fit import Trainer, as_arrays, rate
from experiments.neural.released import from_ndt, to_ndt
from experiments.neural.transformer import NeuralDataTransformer, Sizes, context_mask, sinusoids
from tests.train_command import status_of

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


def tiny(conditions=2):
    """A population of six neurons and seven bins."""
    random = np.random.RandomState(0)
    return data._population(random.uniform(0.1, 1.0, (conditions, 7, 6)), 10, random, {"name": "tiny", "conditions": conditions})


DATA = models.Data(6, 7, 5, np.full(6, 0.5))


def test_smoothing_both_ways_has_the_weights_of_an_exponential(float64):
    weights = models.both_ways(jnp.zeros((1, 9, 1)).at[0, 4].set(1.0), 0.5)[0, :, 0]
    agree(weights, 0.5 ** np.abs(np.arange(9) - 4) / 3)
    agree(models.smooth(jnp.zeros((1, 3, 1)).at[0, 0].set(1.0), 0.5)[0, :, 0], [0.5, 0.25, 0.125])


def test_without_the_input_bias_momentum_is_smoothing_of_the_spikes(float64):
    spikes = jnp.asarray(tiny().test.spikes)
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
    assert {len(kind.trials) for kind in models.KINDS.values()} == {6}
    budget = models.count("ndt", 1, DATA)
    for name, kind in models.KINDS.items():
        hidden = models.hidden_features(name, DATA)
        assert models.count(name, hidden, DATA) <= budget
        assert not kind.sized or models.count(name, hidden + 1, DATA) > budget


@pytest.fixture
def small(monkeypatch):
    """A tiny population, a transformer of one layer, two trials of each model."""
    monkeypatch.setattr(data, "load", lambda name, conditions: tiny(conditions or 2))
    monkeypatch.setattr(models, "TRANSFORMER_LAYERS", 1)
    monkeypatch.setattr(models, "TRANSFORMER_HIDDEN", 4)
    for name, kind in models.KINDS.items():
        monkeypatch.setitem(models.KINDS, name, kind._replace(trials=kind.trials[:2]))


def test_held_out_neurons_are_never_seen_but_count(small):
    trainer, settings = Trainer("ndt", tiny()), {"learning_rate": 0.1, "context": 4}
    arrays, params, spikes = as_arrays(settings), trainer.start(settings, 0), trainer.train[:2]
    assert trainer.seen == 5
    other = spikes.at[..., 5].add(3)
    np.testing.assert_array_equal(trainer.infer(arrays, params, spikes), trainer.infer(arrays, params, other))
    mask = jnp.zeros((2, 7), bool)

    @jax.jit
    def loss(spikes):
        graph, _, rest = trainer.split(arrays, 0)
        return trainer.loss(nnx.merge(graph, params, rest), spikes, mask, None)

    inferred = trainer.infer(arrays, params, spikes)[..., 5]
    expected = np.mean(inferred - np.asarray(spikes[..., 5]) * np.log(inferred))
    assert float(loss(spikes)) == pytest.approx(
        float(expected), rel=1e-5
    )  # of the neuron that is held out alone, as nothing is masked
    assert loss(spikes) != loss(other)


def main(*arguments):
    """The command in this process, as a user finds JAX."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return status_of(neural.main, *arguments)


def test_a_run_writes_a_table_and_a_figure_and_is_not_done_twice(small, tmp_path, monkeypatch, capsys):
    command = ("--out", tmp_path / "run", "--models", "momentum", "smoother", "--seeds", 2, "--epochs", 2)
    assert main(*command) == 0
    printed, text = capsys.readouterr().out, (tmp_path / "run" / "report.md").read_text()
    assert "| MomentumLSTM, both ways | " in printed
    assert " ".join(map(str, command[2:])) in text
    assert (tmp_path / "run" / "rates.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert [row["model"] for row in found] == ["momentum", "smoother"]
    assert [len(row["r2"]) for row in found] == [2, 1]
    assert all(np.isfinite(row["co_bps"]).all() and row["microseconds_per_bin"] > 0 for row in found)
    assert found[0]["settings"] == models.KINDS["momentum"].trials[int(np.argmin(found[0]["trial_losses"]))]

    monkeypatch.setattr(Trainer, "fit", lambda *task: pytest.fail("this trains"))
    assert main(*command) == 0
    again = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    for before, after in zip(found, again, strict=True):
        assert {**before, "microseconds_per_bin": 0} == {**after, "microseconds_per_bin": 0}


def test_a_run_that_is_stopped_goes_on_behind_its_last_fit(small, tmp_path, monkeypatch, capsys):
    command, fit, count = ("--out", tmp_path / "run", "--models", "smoother", "--seeds", 1), Trainer.fit, [0]

    def stopped(*task):
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return fit(*task)

    monkeypatch.setattr(Trainer, "fit", stopped)
    assert main(*command) == 128 + signal.SIGINT
    assert capsys.readouterr().err == f"error: stopped; the same command goes on behind the last fit in {tmp_path / 'run'}\n"
    assert sorted(path.name for path in (tmp_path / "run" / "fits").iterdir()) == ["smoother-trial0.json", "smoother-trial0.npz"]
    assert main(*command) == 0
    assert count[0] == 4  # the second trial again, and then the one that is scored


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "validate", lambda *task: jnp.nan)
    assert main("--out", tmp_path / "run", "--models", "smoother") == 1
    assert "smoother {'mu': 0.8, 'share': 0.3}, seed 0: the validation loss is nan\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --out"),
        (["--out", "x", "--data", "maze"], "argument --data: invalid choice: 'maze'"),
        (["--out", "x", "--models", "gru"], "argument --models: invalid choice: 'gru'"),
        (["--out", "x", "--epochs", "0"], "argument --epochs: must be a whole number from 1 to 10000, got '0'"),
        (["--out", "{full}"], "it holds no config.json, but other files; give another --out"),
        (["--out", "{other}"], "holds a run with another command: epochs is 3 there and 16 here; give another --out"),
        (["--out", "{damaged}"], "config.json is damaged; give another --out"),
        (["--out", "{file}"], "nothing can be written there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(small, arguments, message, tmp_path, capsys):
    options = study.Options("chaotic", neural.MODELS, 3, 3, None)
    paths = {name: tmp_path / name for name in ("full", "other", "damaged")} | {"file": tmp_path / "some" / "run"}
    (tmp_path / "some").write_text("")
    for path, name, content in (
        (paths["full"], "notes.txt", ""),
        (paths["other"], "config.json", json.dumps({"options": vars(options)})),
        (paths["damaged"], "config.json", "{}"),
    ):
        path.mkdir()
        (path / name).write_text(content)
    assert main(*(argument.format(**paths) for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""
