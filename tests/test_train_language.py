"""The language model: its size, windows, carried state, dropout, penalties, averaged steps, and how it is scored."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import checkpoint, configs, language_model, loop, networks, tasks, training
from experiments.configs import ConfigError
from experiments.datasets import Split
from experiments.language_model import LanguageModel
from tests.train_command import arrays, changed, first, lines, main, quick, quick_runs, sizes, stop, tiny  # noqa: F401

pytestmark = pytest.mark.usefixtures("quick")

QUICKLY = {"compiler_options": {"xla_backend_optimization_level": 0}}
DROPOUTS = tuple(f"{name}_dropout" for name in ("embedding", "input", "hidden", "output", "weight"))
REGULARIZERS = (*DROPOUTS, "activation_regularization", "temporal_regularization")
NOTHING = dict.fromkeys(REGULARIZERS, 0.0)


@pytest.mark.parametrize("cell", ["lstm", "momentum_lstm", "scheduled_restart_lstm"])
def test_the_model_of_table_3_has_as_many_parameters_as_the_authors(cell):
    config = configs.get(f"ptb_{cell}")
    model = LanguageModel(config.make_cell(), config.layers, 10_000, config.embedding_features)
    params = jax.eval_shape(model.init, jax.random.key(0))
    sizes = [(400, 1150), (1150, 1150), (1150, 400)]
    layers = sum(4 * hidden * (features + hidden) + 2 * 4 * hidden for features, hidden in sizes)
    assert networks.num_parameters(params) == 10_000 * 400 + 10_000 + layers == 24_221_600


@pytest.mark.parametrize(("name", "unit"), [("ptb_scheduled_restart_lstm", "word"), ("text_momentum_lstm", "character")])
def test_perplexity_and_bits_follow_from_the_loss(name, unit):
    run = quick_runs(tiny(name))
    found = {key: value for key, (value,) in run.evaluate(run.start().runs.params, run.validation).items()}
    expected = {"loss": found["loss"], "perplexity": math.exp(found["loss"])}
    expected |= {"bits_per_character": found["loss"] / math.log(2)} if unit == "character" else {}
    assert found == pytest.approx(expected, rel=1e-5)


REFUSALS = {
    "layers": ("mnist_lstm_128", "layers=3", "the task 'mnist' has no field 'layers'; it has cell, "),
    "dropout": ("adding_lstm", "weight_dropout=0.5", "the task 'adding' has no field 'weight_dropout'"),
    "unit elsewhere": ("ptb_lstm", "unit=word", "the task 'ptb' has no field 'unit'"),
    "unit": ("text_lstm", "unit=line", "unit must be one of 'word', 'character', got 'line'"),
    "no windows": ("ptb_lstm", "bptt=none", "--set bptt=none: must be a whole number"),
    "everything dropped": ("ptb_lstm", "input_dropout=1", "input_dropout must be in [0, 1), got 1.0"),
    "a penalty": ("ptb_lstm", "activation_regularization=-1", "activation_regularization must be in [0, inf)"),
    "one layer": ("text_lstm", "hidden_features=3", "hidden_features must be embedding_features, 128, where there is one layer"),
    "scaled words": ("ptb_lstm", "input_scale=0.5", "the task 'ptb' has no field 'input_scale'"),
    "nothing to drop": (
        "ptb_lstm",
        "cell=dtriv init_scheme=none forget_bias=none skew_learning_rate=1",
        "weight_dropout is for cells with a recurrent",
    ),
    "averages of a base that moves": (
        "text_lstm",
        "cell=dtriv skew_learning_rate=1 rebase_every=3 nonmonotone=2",
        "nonmonotone must be none with rebase_every: the mean of bases that move is not orthogonal",
    ),
}


@pytest.mark.parametrize(("name", "assignments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_config_is_refused(name, assignments, message):
    with pytest.raises(ConfigError) as error:
        configs.override(configs.get(name), assignments.split())
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "evaluation_batch_size=17",
            "a batch of 17 rows needs more than the 16 tokens of the test split; set evaluation_batch_size",
        ),
        ("batch_size=91", "a batch of 91 rows needs more than the 90 tokens of the training split; set batch_size"),
        ("steps_per_epoch=99", "of the training split; set steps_per_epoch"),
    ],
)
def test_sizes_that_do_not_fit_the_text_are_one_line(field, message, tmp_path, capsys):
    assert main(tmp_path, "--config", "ptb_lstm", "--set", *changed(sizes("ptb_lstm"), field)) == 2
    assert message in capsys.readouterr().err


# Windows


def test_lengths_are_those_of_the_awd_lstm():
    lengths = np.array(tasks.draw_lengths(1_000_000, 70))
    assert lengths.sum() == 1_000_000
    assert lengths.min() >= 5
    long = lengths[lengths > 52]
    assert len(long) / len(lengths) == pytest.approx(0.95, abs=0.01)
    assert long.mean() == pytest.approx(69.5, abs=0.3)  # rounded down
    assert long.std() == pytest.approx(5, abs=0.2)
    assert lengths[lengths <= 52].mean() == pytest.approx(34.5, abs=1)


def test_an_epoch_reads_the_text_exactly_once_in_order_in_windows_of_its_own():
    task, data = tasks.load(dataclasses.replace(tiny("ptb_lstm"), steps_per_epoch=None), None, None)
    count, rows = task.steps_per_epoch, 4
    whole = [part[:, : 90 // rows] for part in data.train[:2]]
    cuts = []
    for key in jax.random.split(jax.random.key(0), 2):
        plan = task.plan(data.train, key)
        batches = [task.batch(data.train, plan, jnp.asarray(index)) for index in range(count)]
        lengths = [int(batch.lengths[0]) for batch in batches]
        assert all((batch.lengths == length).all() for batch, length in zip(batches, lengths, strict=True))
        for part in (0, 1):
            read = np.concatenate([batch[part][:, :length] for batch, length in zip(batches, lengths, strict=True)], axis=1)
            assert np.array_equal(read, whole[part])
        cuts.append(lengths)
    assert cuts[0] != cuts[1]
    assert sorted(cuts[0]) == sorted(cuts[1])


# The model


def text(lengths, time=5, seed=0):
    random = np.random.default_rng(seed)
    return Split(random.integers(0, 7, (len(lengths), time)), None, jnp.array(lengths))


def random_params(model, seed=0):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(size=leaf.shape).astype(np.float32), jax.eval_shape(model.init, jax.random.key(0))
    )


@pytest.mark.parametrize("cell", [mr.nesterov_lstm(4, restart=5), mr.adam_gru(4)])
def test_two_windows_are_one_long_window(cell):
    model = LanguageModel(cell, 2, 7, 3)
    params = random_params(model)
    whole = text([7, 7], time=7)
    first, second = Split(whole.inputs[:, :5], None, jnp.array([4, 4])), Split(whole.inputs[:, 4:], None, jnp.array([3, 3]))

    def compare(params):
        start = model.initial_carry(params, 2)
        carry, logits, _ = model.run(params, start, whole)
        between, one, _ = model.run(params, start, first)
        after, two, _ = model.run(params, between, second)
        return carry, after, logits, jnp.concatenate([one[:, :4], two], axis=1), model.run(params, start, second)[1]

    carry, after, logits, pieces, forgetful = jax.jit(compare, **QUICKLY)(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-5), carry, after))
    np.testing.assert_allclose(logits, pieces, atol=1e-4)
    assert not np.allclose(logits[:, 4:], forgetful, atol=1e-2)
    if hasattr(carry[0].drive, "steps"):
        assert after[0].drive.steps.tolist() == [2, 2]  # 7 of a period of 5


@pytest.fixture
def layers(monkeypatch):
    """Layers that pass on `[outputs]`, or else ones; what each was given is kept."""
    given, outputs = [], []

    def unroll(cell, params, xs, state, seq_lengths, dtype):
        given.append((np.asarray(xs), np.asarray(params["core"]["kernel"])))
        return state, outputs[0] if outputs else jnp.ones((*xs.shape[:2], cell.core.hidden_features))

    monkeypatch.setattr(language_model.mr, "unroll", unroll)
    return given, outputs


def run_with(layers, batch, key=0, **rates):
    """What two layers were given, and logits that show the output as it is; the embedding and the kernels are ones."""
    model = LanguageModel(mr.lstm(7), 2, 7, 7, **rates)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), jax.eval_shape(model.init, jax.random.key(0)))
    params["head"]["bias"] = jnp.zeros(7)
    layers[0].clear()
    _, logits, penalty = model.run(params, (None, None), batch, None if key is None else jax.random.key(key))
    return layers[0], logits, penalty


def test_words_are_dropped_whole_and_wherever_they_stand(layers):
    batch = text([9, 9], time=9)
    ((words, _), _), _, _ = run_with(layers, batch, embedding_dropout=0.5)
    assert set(np.unique(words)) == {0, 2}
    assert (words == words[..., :1]).all()
    by_word = {(token, word) for token, word in zip(batch.inputs.T.ravel(), words[..., 0].ravel(), strict=True)}
    assert len(by_word) == len(np.unique(batch.inputs))


@pytest.mark.parametrize(("rate", "layer"), [("input_dropout", 0), ("hidden_dropout", 1)])
def test_features_are_dropped_for_all_time_steps_of_a_window(rate, layer, layers):
    batch = text([5] * 8)
    given, _, _ = run_with(layers, batch, **{rate: 0.5})
    xs = given[layer][0]
    assert set(np.unique(xs)) == {0, 2}
    assert (xs == xs[:1]).all()
    assert not (xs[0] == xs[0, :1]).all()
    assert not (xs[0] == xs[0, :, :1]).all()
    assert (given[1 - layer][0] == 1).all()
    assert not np.array_equal(xs, run_with(layers, batch, key=1, **{rate: 0.5})[0][layer][0])


def test_outputs_are_dropped_for_all_time_steps_of_a_window(layers, monkeypatch):
    monkeypatch.setattr(language_model, "affine", lambda head, hs: hs)
    given, outputs, _ = run_with(layers, text([5] * 8), output_dropout=0.5)
    assert set(np.unique(outputs)) == {0, 2}
    assert (outputs == outputs[:, :1]).all()
    assert not (outputs[:, 0] == outputs[:1, 0]).all()
    assert all((xs == 1).all() for xs, _ in given)


def test_entries_of_recurrent_kernels_are_dropped_in_each_layer(layers):
    given, _, _ = run_with(layers, text([5]), weight_dropout=0.5)
    first, second = (kernel for _, kernel in given)
    assert set(np.unique(first)) == set(np.unique(second)) == {0, 2}
    assert np.mean(first == 0) == pytest.approx(0.5, abs=0.15)
    assert not np.array_equal(first, second)
    assert all((xs == 1).all() for xs, _ in given)


def test_nothing_is_dropped_without_a_key(layers):
    given, logits, _ = run_with(layers, text([5]), key=None, **dict.fromkeys(REGULARIZERS, 0.5))
    assert all((xs == 1).all() and (kernel == 1).all() for xs, kernel in given)
    assert (logits == 7).all()


def test_penalties_are_those_computed_by_hand(layers, monkeypatch):
    monkeypatch.setattr(language_model, "affine", lambda head, hs: hs)
    hs = np.random.default_rng(0).normal(size=(4, 2, 7)).astype(np.float32)
    hs[3:, 0] = hs[1:, 1] = 0  # lengths 3 and 1
    layers[1].append(jnp.asarray(hs))
    batch = text([3, 1], time=4)
    activation = sum((hs[t, 0] ** 2).sum() for t in range(3)) + (hs[0, 1] ** 2).sum()
    changes = sum(((hs[t + 1, 0] - hs[t, 0]) ** 2).sum() for t in range(2))
    _, _, penalty = run_with(layers, batch, activation_regularization=2.0, temporal_regularization=3.0)
    assert float(penalty) == pytest.approx(2 * activation / (4 * 7) + 3 * changes / (2 * 7), rel=1e-5)
    # What was dropped out is penalised as it is; its changes as they were before.
    _, outputs, dropped = run_with(layers, batch, activation_regularization=2.0, temporal_regularization=3.0, output_dropout=0.5)
    activation = float((outputs**2).sum())
    assert float(dropped) == pytest.approx(2 * activation / (4 * 7) + 3 * changes / (2 * 7), rel=1e-5)
    _, _, alone = run_with(layers, text([1, 1], time=4), temporal_regularization=3.0)
    assert float(alone) == 0  # a window of one token has no differences


# Steps


def plan(run):
    """That of the first epoch."""
    return run.task.plan(run.train, jax.random.fold_in(jax.random.split(jax.random.key(0))[1], 0))


def test_a_step_is_scaled_by_the_windows_length_and_has_weight_decay():
    run = quick_runs(tiny("ptb_lstm", weight_decay=0.25, **NOTHING))
    # The second step of the epoch, so that the state is carried.
    state = run.advance(run.start(), 1)
    batch = run.task.batch(run.train, plan(run), jnp.asarray(1))
    params, carry = first((state.runs.params, state.runs.carry))

    def loss(params, carry):
        _, logits, _ = run.model.run(params, carry, batch)
        length = batch.lengths[0]
        real = (jnp.arange(logits.shape[1]) < length)[jnp.newaxis]
        nats = -jnp.take_along_axis(jax.nn.log_softmax(logits), batch.targets[..., jnp.newaxis], axis=-1)[..., 0]
        return jnp.where(real, nats, 0.0).sum() / (4 * length)

    gradient = jax.jit(jax.grad(loss), **QUICKLY)(params, carry)
    norm = math.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))
    assert norm > 0.25
    rate = 30 * float(batch.lengths[0]) / 5
    expected = jax.tree.map(lambda p, g: p - rate * (0.25 / norm * g + 0.25 * p), params, gradient)
    new = first(run.advance(state, 2).runs.params)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-3, atol=1e-3), new, expected))


def test_the_state_is_carried_within_an_epoch_and_fresh_at_its_start():
    run = quick_runs(tiny("ptb_scheduled_restart_lstm"))
    states = [run.start()]
    for step in (1, 2):
        states.append(run.advance(states[-1], step))
    lengths = [run.task.batch(run.train, plan(run), jnp.asarray(index)).lengths for index in (0, 1)]
    for state, read in zip(states, (0, *np.cumsum([length[0] for length in lengths])), strict=True):
        assert first(state.runs.carry)[0].drive.steps.tolist() == [read % 2] * 4
    for at, carries in ((1, True), (2, False)):  # two steps are an epoch
        ones = jax.tree.map(jnp.ones_like, states[at].runs.carry)
        other = states[at]._replace(runs=states[at].runs._replace(carry=ones))
        new, changed_ = (run.advance(state, at + 1).runs.params["head"]["bias"] for state in (states[at], other))
        assert np.array_equal(new, changed_) != carries


def test_every_step_draws_masks_of_its_own(monkeypatch):
    """The keys of the dropout, as the model gets them: another one in each step of each seed, and the same after a restart."""
    keys = []
    run = LanguageModel.run

    def watched(model, params, carry, batch, key=None):
        if key is not None:
            jax.debug.callback(lambda data: keys.append(tuple(data.tolist())), jax.random.key_data(key))
        return run(model, params, carry, batch, key)

    monkeypatch.setattr(LanguageModel, "run", watched)
    config = tiny("text_lstm", layers=1, hidden_features=3, learning_rate=0.25)  # a program of its own
    for until in ((2, 4), (1, 2, 3, 4)):
        state = quick_runs(config).start()
        for step in until:
            state = jax.block_until_ready(quick_runs(config).advance(state, step))
    jax.effects_barrier()
    assert len(set(keys[:4])) == 4
    assert keys[:4] == keys[4:]


def test_evaluation_is_a_loop_over_the_text():
    run = quick_runs(tiny("ptb_scheduled_restart_lstm"))
    stacked = run.advance(run.start(), 2).runs.params
    params = first(stacked)
    rows = np.asarray(stream(run.validation)).reshape(2, 10, 2)  # of 21 tokens the last fills no column
    stack = run.model.stack

    @jax.jit
    def step(carry, tokens):
        carry, hs = stack.step(params["cells"], carry, params["embedding"]["kernel"][tokens])
        logits = hs @ params["embedding"]["kernel"].T + params["head"]["bias"][jnp.newaxis]
        return carry, jax.nn.log_softmax(logits)

    carry, nats = run.model.initial_carry(params, 2), []
    for column in range(10):
        carry, log_probabilities = step(carry, rows[:, column, 0])
        nats += [-float(log_probabilities[row, rows[row, column, 1]]) for row in range(2)]
    found = run.evaluate(stacked, run.validation)
    assert found["loss"] == [pytest.approx(np.mean(nats), rel=1e-5)]
    assert found["perplexity"] == [pytest.approx(math.exp(np.mean(nats)), rel=1e-5)]


def stream(split):
    """The pairs of input and target, in the order of the text's rows."""
    windows = len(split.lengths) // 2
    pairs = np.stack([split.inputs, split.targets], axis=-1).reshape(windows, 2, -1, 2)
    return [pair for row in (0, 1) for w in range(windows) for pair in pairs[w, row][: split.lengths[2 * w + row]]]


# Averaged steps


def test_averaging_begins_when_the_loss_is_worse_than_the_best_before_the_last_looks():
    losses = [9.0, 5.0, 6.0, 7.0, 5.5, 8.0, 4.0, 6.0, 5.5, 4.5]

    def stuck_at(patience):
        return next((n for n in range(1, len(losses) + 1) if loop.is_stuck(losses[:n], patience)), None)

    assert stuck_at(1) == 4  # 7 is worse than 5, the best of the looks but the last
    assert stuck_at(3) == 6  # 8 is worse than 5; 5.5 is better than 9
    assert stuck_at(5) == 8  # 6 is worse than 5; 4 is not
    assert stuck_at(9) is None
    assert stuck_at(10) is None


AVERAGED = changed(sizes("ptb_lstm"), "epochs=12", "nonmonotone=1")
COMMAND = ("--config", "ptb_lstm", "--set", *AVERAGED)


def test_averages_are_the_mean_of_the_parameters_since_the_start():
    run = quick_runs(configs.override(configs.get("ptb_lstm"), AVERAGED))
    state, after = run.start(), []
    assert state.runs.since.tolist() == [training.NEVER]
    for step in range(1, 5):
        state = run.advance(state, step)
        after.append(state.runs.params)
        if step == 1:
            assert jax.tree.all(jax.tree.map(np.array_equal, state.runs.evaluated, state.runs.params))
            state = state._replace(runs=state.runs._replace(since=jnp.array([1], jnp.int32)))
    means = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *after[1:])
    close = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-5, atol=1e-6), state.runs.evaluated, means)
    assert jax.tree.all(close)
    newest = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-3), state.runs.evaluated, state.runs.params)
    assert not jax.tree.all(newest)


def test_interrupted_while_it_averages_a_run_ends_the_same(tmp_path, monkeypatch, capsys):
    assert main(tmp_path / "whole", *COMMAND) == 0
    whole, folder = (tmp_path / part / "ptb_lstm-seed0" for part in ("whole", "stopped"))
    metrics = lines(whole)
    losses = [line["validation_loss"] for line in metrics[:-1]]
    stuck = next(n for n in range(1, 12) if loop.is_stuck(losses[:n], 1))  # random text cannot be learnt
    _, saved = checkpoint.read(whole)
    assert saved["0/runs/since"] == [2 * stuck]
    with monkeypatch.context() as during:
        stop(during, 2 * stuck + 1)
        assert main(tmp_path / "stopped", *COMMAND) == 143
    assert main(tmp_path / "stopped", *COMMAND) == 0
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert arrays(folder) == arrays(whole)
    # What is kept of the best epoch, and tested, are the averages that were validated there.
    epoch = metrics[-1]["epoch"]
    assert epoch > stuck
    run = quick_runs(configs.override(configs.get("ptb_lstm"), AVERAGED))
    like = run.start().runs.params
    with np.load(whole / "best.npz") as file:
        best = jax.tree.unflatten(jax.tree.structure(like), [file[name][np.newaxis] for name in networks.flat(like)])
    for split, line in (("validation", metrics[epoch - 1]), ("test", metrics[-1])):
        assert run.evaluate(best, getattr(run, split))["loss"] == [line[f"{split}_loss"]]


def test_in_16_bits_states_are_and_parameters_drives_and_losses_are_not():
    run = quick_runs(tiny("text_momentum_lstm", precision="bfloat16"))
    state = jax.eval_shape(run.start)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.runs.params)} == {jnp.dtype("float32")}
    assert all((layer.core.h.dtype, layer.drive.velocity.dtype) == (jnp.bfloat16, jnp.float32) for layer in state.runs.carry)
    assert jax.eval_shape(lambda state: run.advance(state, 1), state) == state


def test_an_epoch_of_fewer_windows_reads_the_whole_text_in_time():
    config = tiny("text_lstm", batch_size=2)
    task, data = tasks.load(config, None, None)
    columns, read = 45, set()
    for key in jax.random.split(jax.random.key(0), 40):
        starts, lengths = (np.asarray(part) for part in task.plan(data.train, key))
        assert len(starts) == task.steps_per_epoch == 2
        assert starts[1] == starts[0] + lengths[0]
        read |= {column for start, length in zip(starts, lengths, strict=True) for column in range(start, start + length)}
    assert read == set(range(columns))


def test_a_perplexity_that_float32_does_not_hold_is_that_of_88_nats():
    assert tasks.derived({"loss": jnp.float32(1147.0)}, "word")["perplexity"] == pytest.approx(math.exp(88), rel=1e-4)
    assert tasks.derived({"loss": jnp.float32(2.0)}, "word")["perplexity"] == pytest.approx(math.exp(2))
    assert tasks.derived({"loss": jnp.float32(2.0)}, None) == {}


def test_tokens_behind_the_end_of_a_window_do_not_count():
    logits = jnp.log(jnp.array([[[0.5, 0.5], [0.25, 0.75]], [[0.1, 0.9], [0.9, 0.1]]]))
    batch = Split(None, jnp.array([[0, 0], [1, 1]]), jnp.array([2, 1]))
    (total, count), *others = tasks.tokens(logits, batch).values()
    assert others == []
    np.testing.assert_allclose(total, [-math.log(0.5) - math.log(0.25), -math.log(0.9)], rtol=1e-6)
    assert count.tolist() == [2.0, 1.0]


def test_windows_are_no_longer_than_the_text():
    split = tasks.in_order(Split(np.arange(10), np.arange(1, 11)), rows=2, length=10**9)
    assert split.inputs.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
