"""What `experiments.train` trains: every config's step, each kind of cell and task, scores, optimiser and rebasing."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from experiments import fit, networks
from experiments.configs import CONFIGS
from experiments.datasets import Split
from experiments.fit import loop, optimizer, problem, scores
from tests.train_command import FILES, TINY_SYNTHETIC, lines, main, quick, quick_trainer, sizes, stand_in, tiny  # noqa: F401

pytestmark = pytest.mark.usefixtures("quick")

# Numbers change no program, and data of one shape neither.
NUMBERS = {"learning_rate": 1e-3, "skew_learning_rate": 1e-4, "input_scale": 1.0}
NUMBERS |= dict.fromkeys(("forget_bias", "mu", "step_size", "beta", "eps"))
SAME_SHAPE = {"permuted_mnist": "mnist", "timit": "fsdd"}


def like(name):
    """A tiny config, the same one for all names whose programs differ in nothing but numbers."""
    config = tiny(name)
    task = SAME_SHAPE.get(config.task, config.task)
    return dataclasses.replace(config, task=task, permutation_seed=None, **NUMBERS)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_trains_from_the_command_to_the_test(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "Trainer", lambda config, loaded, mesh: quick_trainer(like(name)))
    assert main(tmp_path, "--config", name, "--set", *sizes(name)) == 0
    metrics = lines(tmp_path / f"{name}-seed0")
    assert [line["kind"] for line in metrics] == ["epoch", "epoch", "test"]
    loss_alone = CONFIGS[name].config.task in ("timit", "fsdd", "ptb", "text")
    assert {path.name for path in (tmp_path / f"{name}-seed0").iterdir()} == FILES
    for line in metrics:
        values = {key: value for key, value in line.items() if key.endswith(("loss", "accuracy"))}
        assert len(values) == (1 if loss_alone else 2) * (2 if line["kind"] == "epoch" else 1)
        assert all(math.isfinite(value) for value in values.values())


def test_the_number_of_steps_at_a_time_changes_nothing(tmp_path, monkeypatch):
    ends = []
    for seconds in (0.0, 100.0):
        monkeypatch.setattr(loop, "CALL_SECONDS", seconds)
        assert main(tmp_path / str(seconds), "--config", "adding_dtriv", "--set", *TINY_SYNTHETIC) == 0
        folder = tmp_path / str(seconds) / "adding_dtriv-seed0"
        ends.append(((folder / "metrics.jsonl").read_bytes(), (folder / "best.npz").read_bytes()))
    assert ends[0] == ends[1]


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    config = dataclasses.replace(tiny("mnist_lstm_128"), batch_size=3, steps_per_epoch=None)
    task = problem.load(config, None, None)
    assert task.steps_per_epoch == 3
    orders = []
    for key in jax.random.split(jax.random.key(0), 2):
        plan = task.plan(task.train, key)
        rows = [task.batch(task.train, plan, jnp.asarray(index)).inputs for index in range(3)]
        orders.append(np.concatenate(rows)[:, 0, 0].tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(np.asarray(task.train.inputs)[:, 0, 0].tolist())
    assert orders[0] != orders[1]


def test_a_split_is_scored_as_one_batch_of_all_its_examples():
    run = quick_trainer(tiny("timit_rmsprop_lstm_158"))  # 5 examples in batches of 4
    params, split = run.start().params, run.problem.validation
    outputs = run.network.apply(params, split.inputs)
    expected = scores.means(run.problem.kind.score(outputs, split))
    assert run.evaluate(params, split) == pytest.approx({key: float(mean) for key, mean in expected.items()}, rel=1e-5)


def test_frames_behind_the_end_do_not_count():
    outputs = jnp.array([[[1.0, 3.0], [jnp.nan, 9.0]], [[1.0, 1.0], [2.0, 0.0]]])
    batch = Split(None, jnp.zeros((2, 2, 2)), jnp.array([1, 2]))
    means = scores.means(scores.frames(outputs, batch))
    assert means == {"loss": pytest.approx((1 + 9 + 1 + 1 + 4) / 6)}
    gradient = jax.grad(lambda outputs: scores.means(scores.frames(outputs, batch))["loss"])(outputs.at[0, 1, 0].set(5.0))
    assert gradient[0, 1].tolist() == [0, 0]


def test_sums_and_symbols_are_scored_by_hand():
    sums = scores.means(scores.addition(jnp.array([[1.0], [0.5]]), Split(None, jnp.array([1.03, 1.0]))))
    assert sums == {"loss": pytest.approx((0.03**2 + 0.25) / 2, rel=1e-5), "accuracy": 0.5}
    targets = jnp.arange(12)[jnp.newaxis] % 10
    logits = jnp.log(jnp.where(jax.nn.one_hot(targets, 10) > 0, 0.91, 0.01)).at[:, 0].set(0.0).at[:, -1].set(0.0)
    symbols = scores.means(scores.recall(logits, Split(None, targets)))
    assert symbols["loss"] == pytest.approx((-10 * math.log(0.91) + 2 * math.log(10)) / 12, rel=1e-5)
    assert symbols["accuracy"] == pytest.approx(0.9)  # of the last ten, all but the one step where everything is equal


def test_a_network_reads_the_last_state_or_every_one_of_its_scaled_input():
    cell = mr.momentum_lstm(3)
    last, every = (networks.Network(cell, 2, 4, every_step, input_scale=0.5) for every_step in (False, True))
    shapes = jax.eval_shape(last.init, jax.random.key(0))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes)
    inputs = random.normal(size=(2, 5, 2)).astype(np.float32)

    def all_three(params, inputs):
        hs = mr.unroll(cell, params["cell"], inputs.swapaxes(0, 1) / 2)[1]
        return last.apply(params, inputs), every.apply(params, inputs), hs

    read_last, read_every, hs = jax.jit(all_three, compiler_options={"xla_backend_optimization_level": 0})(params, inputs)
    outputs = np.swapaxes(hs @ params["head"]["kernel"] + params["head"]["bias"].reshape(1, 1, 4), 0, 1)
    np.testing.assert_allclose(read_every, outputs, atol=1e-5)
    np.testing.assert_allclose(read_last, outputs[:, -1], atol=1e-5)


def test_an_optimiser_has_a_rate_for_the_skew_parameter_and_none_for_the_base():
    run = quick_trainer(tiny("adding_dtriv"))
    params = run.start().params
    transformation = optimizer.make(dataclasses.replace(tiny("adding_dtriv"), clip_norm=None, optimizer="adam"), 1)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = transformation.update(ones, transformation.init(params), params)
    assert not updates["cell"]["core"]["base"].any()
    assert jnp.allclose(updates["cell"]["core"]["A"], -1e-4 / math.sqrt(0.1), rtol=1e-3)  # RMSprop's first step
    assert jnp.allclose(updates["head"]["kernel"], -1e-3, rtol=1e-3)  # Adam's


def test_a_learning_rate_falls_along_a_cosine_to_the_last_step():
    config = dataclasses.replace(tiny("digits_lstm"), optimizer="sgd", learning_rate=0.5, final_learning_rate=0.1, clip_norm=None)
    transformation = optimizer.make(config, 4)
    params = {"head": {"kernel": jnp.zeros(())}}
    state, rates = transformation.init(params), []
    for _ in range(5):
        updates, state = transformation.update({"head": {"kernel": jnp.ones(())}}, state, params)
        rates.append(-float(updates["head"]["kernel"]))
    assert rates == pytest.approx([0.1 + 0.4 * (1 + math.cos(math.pi * n / 4)) / 2 for n in range(5)], rel=1e-5)


def test_gradients_are_clipped_together():
    transformation = optimizer.make(tiny("adding_lstm"), 1)
    params = {"head": {"kernel": jnp.zeros(2)}}
    small, large = ({"head": {"kernel": scale * jnp.array([0.6, 0.8])}} for scale in (1.0, 100.0))
    first, second = (transformation.update(g, transformation.init(params), params)[0] for g in (small, large))
    assert jnp.allclose(first["head"]["kernel"], second["head"]["kernel"])


def core_after(name, steps, **values):
    run = quick_trainer(dataclasses.replace(tiny(name), **values))
    return run.advance(run.start(), steps).params["cell"]["core"], run.start().params["cell"]["core"]


def test_the_base_moves_every_k_steps_or_once_before_the_first():
    once, start = core_after("adding_dtriv", 2)
    assert not start["A"].any()
    assert jnp.array_equal(once["base"], start["base"])
    often, start = core_after("adding_dtriv", 2, rebase_every=1)
    assert jnp.array_equal(start["base"], jnp.eye(4))
    assert not jnp.allclose(often["base"], start["base"], atol=1e-3)
    # What is left in A is the update of the last step.
    assert jnp.abs(often["A"]).max() < 5e-4
    assert jnp.abs(often["base"] @ often["base"].T - jnp.eye(4)).max() < 1e-5
