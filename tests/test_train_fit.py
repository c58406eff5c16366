"""What `experiments.train` trains: every config's step, each kind of cell and task, scores, optimiser and rebasing."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_rnn_jax as mr
from experiments import loop, networks, tasks, training
from experiments.configs import CONFIGS, get
from experiments.datasets import Split, mnist
from tests.train_command import (
    FILES,
    TINY_SYNTHETIC,
    Runs,
    changed,
    first,
    lines,
    main,
    quick,  # noqa: F401
    quick_runs,
    sizes,
    tiny,
)

pytestmark = pytest.mark.usefixtures("quick")

# Each cell and each task is trained by default: the others are the same programs with other numbers.
NAMES = {row.config.task: name for name, row in reversed(CONFIGS.items())}
NAMES |= {row.config.cell: name for name, row in CONFIGS.items() if row.config.cell not in {get(n).cell for n in NAMES.values()}}


@pytest.mark.parametrize(
    "name", [name if name in NAMES.values() else pytest.param(name, marks=pytest.mark.exhaustive) for name in CONFIGS]
)
def test_a_config_trains_from_the_command_to_the_test(name, tmp_path):
    assert main(tmp_path, "--config", name, "--set", *sizes(name)) == 0
    metrics = lines(tmp_path / f"{name}-seed0")
    assert [line["kind"] for line in metrics] == ["epoch", "epoch", "test"]
    loss_alone = CONFIGS[name].config.task in ("timit", "fsdd", "ptb", "text", "moving_frames", "tracking")
    assert {path.name for path in (tmp_path / f"{name}-seed0").iterdir()} == FILES
    for line in metrics:
        values = {key: value for key, value in line.items() if key.endswith(("loss", "accuracy"))}
        assert len(values) == (1 if loss_alone else 2) * (2 if line["kind"] == "epoch" else 1)
        assert all(math.isfinite(value) for value in values.values())


def test_the_test_is_of_the_parameters_of_the_best_epoch(tmp_path):
    """A learning rate at which the last epoch is not the best."""
    name, values = "digits_lstm", changed(sizes("digits_lstm"), "epochs=6", "learning_rate=0.3", "final_learning_rate=0.3")
    assert main(tmp_path, "--config", name, "--set", *values) == 0
    *epochs, test = lines(tmp_path / f"{name}-seed0")
    assert test["epoch"] < 6
    run = quick_runs(tiny(name, epochs=6, learning_rate=0.3, final_learning_rate=0.3))
    with np.load(tmp_path / f"{name}-seed0" / "best.npz") as file:
        best = {"cell": {"core": {}, "input": {}}, "head": {}}
        for entry, array in file.items():
            *path, last = entry.split("/")
            part = best
            for key in path:
                part = part[key]
            part[last] = array[np.newaxis]
    assert run.evaluate(best, run.test)["loss"] == [pytest.approx(test["test_loss"], rel=1e-5)]
    assert run.evaluate(best, run.validation)["loss"] == [pytest.approx(epochs[test["epoch"] - 1]["validation_loss"], rel=1e-5)]
    state = run.start()
    for epoch in range(test["epoch"]):
        state = run.advance(state, 2 * (epoch + 1))
    for one, other in zip(jax.tree.leaves(best), jax.tree.leaves(state.runs.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    last = run.advance(state, 12) if test["epoch"] == 5 else state
    assert test["epoch"] == 5 or last is state


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
    task, data = tasks.load(config, None, None)
    assert task.steps_per_epoch == 3
    orders = []
    for key in jax.random.split(jax.random.key(0), 2):
        plan = task.plan(data.train, key)
        rows = [task.batch(data.train, plan, jnp.asarray(index)).inputs for index in range(3)]
        orders.append(np.concatenate(rows)[:, 0, 0].tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(np.asarray(data.train.inputs)[:, 0, 0].tolist())
    assert orders[0] != orders[1]


def seen_by_steps(config, steps, monkeypatch):
    """What the given steps' minibatches are, and their dropout keys."""
    seen, run = [], quick_runs(config)

    def watched(program, one, setting, step, batch):
        seen.append((batch, step))
        return one._replace(done=one.done + 1)

    with monkeypatch.context() as patch, jax.disable_jit():
        patch.setattr(training, "train_step", watched)
        state = run.start()
        for until in steps:
            state = run.advance(state, until)
    return [(np.asarray(batch.inputs), int(step)) for batch, step in seen]


def test_every_epoch_has_an_order_of_its_own(monkeypatch):
    """In a run as it is trained, the demo's too; and wherever it was interrupted, the same."""
    config = tiny("digits_lstm", batch_size=3, steps_per_epoch=None)
    batches = seen_by_steps(config, (3, 6), monkeypatch)
    orders = [np.concatenate([inputs for inputs, _ in batches[i : i + 3]])[:, 0, 0].tolist() for i in (0, 3)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    pieces = seen_by_steps(config, (1, 3, 5, 6), monkeypatch)
    assert all(np.array_equal(a, b) and m == n for (a, m), (b, n) in zip(batches, pieces, strict=True))


def test_each_run_reads_permuted_pixels_in_the_order_of_its_seed():
    config = tiny("pmnist_lstm_128")
    run = Runs(config, seeds=[0, 3])
    assert np.array_equal(run.settings.order, [mnist.permutation(seed, 6) for seed in (0, 3)])
    fixed = Runs(dataclasses.replace(config, permutation_seed=5), seeds=[0, 3])
    assert np.array_equal(fixed.settings.order, [mnist.permutation(5, 6)] * 2)
    assert quick_runs(tiny("mnist_lstm_128")).settings.order is None
    params = run.start().runs.params
    found = run.evaluate(params, run.validation)["loss"]
    for number in (0, 1):
        inputs = np.asarray(run.validation.inputs)[:, run.settings.order[number]]
        outputs = run.model.apply(jax.tree.map(lambda leaf: leaf[number], params), inputs)  # noqa: B023
        expected = tasks.means(run.task.score(outputs, run.validation))["loss"]
        assert found[number] == pytest.approx(float(expected), rel=1e-5)


def test_a_split_is_scored_as_one_batch_of_all_its_examples():
    run = quick_runs(tiny("timit_rmsprop_lstm_158"))  # 5 examples in batches of 4
    params, split = run.start().runs.params, run.validation
    expected = tasks.means(run.task.score(run.model.apply(first(params), split.inputs), split))
    found = run.evaluate(params, split)
    assert found == {key: [pytest.approx(float(mean), rel=1e-5)] for key, mean in expected.items()}


def test_frames_behind_the_end_do_not_count():
    outputs = jnp.array([[[1.0, 3.0], [jnp.nan, 9.0]], [[1.0, 1.0], [2.0, 0.0]]])
    batch = Split(None, jnp.zeros((2, 2, 2)), jnp.array([1, 2]))
    means = tasks.means(tasks.frames(outputs, batch))
    assert means == {"loss": pytest.approx((1 + 9 + 1 + 1 + 4) / 6)}
    gradient = jax.grad(lambda outputs: tasks.means(tasks.frames(outputs, batch))["loss"])(outputs.at[0, 1, 0].set(5.0))
    assert gradient[0, 1].tolist() == [0, 0]


def test_sums_and_symbols_are_scored_by_hand():
    sums = tasks.means(tasks.addition(jnp.array([[1.0], [0.5]]), Split(None, jnp.array([1.03, 1.0]))))
    assert sums == {"loss": pytest.approx((0.03**2 + 0.25) / 2, rel=1e-5), "accuracy": 0.5}
    targets = jnp.arange(12)[jnp.newaxis] % 10
    logits = jnp.log(jnp.where(jax.nn.one_hot(targets, 10) > 0, 0.91, 0.01)).at[:, 0].set(0.0).at[:, -1].set(0.0)
    symbols = tasks.means(tasks.recall(logits, Split(None, targets)))
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


def updates_of(config, gradients, params=None, steps=1):
    """What the optimiser does, step by step, with the same gradient."""
    transformation = training.optimizer(config, 4)
    params = jax.tree.map(jnp.zeros_like, gradients) if params is None else params
    state, found = transformation.init(params), []
    for _ in range(steps):
        updates, state = transformation.update(gradients, state, params)
        found.append(updates)
    return found


def test_an_optimiser_has_a_rate_for_the_skew_parameter_and_none_for_the_base():
    params = first(quick_runs(tiny("adding_dtriv")).start().runs.params)
    config = dataclasses.replace(tiny("adding_dtriv"), clip_norm=None, optimizer="adam", weight_decay=0.5)
    (updates,) = updates_of(config, jax.tree.map(jnp.ones_like, params), params)
    assert not updates["cell"]["core"]["base"].any()
    assert jnp.allclose(updates["cell"]["core"]["A"], -1e-4 / math.sqrt(0.1), rtol=1e-3)  # RMSprop's first step
    assert jnp.allclose(updates["head"]["bias"], -1e-3, rtol=1e-3)  # Adam's


def test_eps_is_added_behind_the_root():
    """With a gradient as small as eps it matters where: `g / (sqrt(0.1 g²) + eps)`."""
    gradient = 1e-8
    (updates,) = updates_of(tiny("adding_lstm"), {"head": {"bias": jnp.full((), gradient)}})
    expected = -1e-3 * gradient / (math.sqrt(0.1) * gradient + 1e-8)
    assert updates["head"]["bias"] == pytest.approx(expected, rel=1e-4)
    adam = dataclasses.replace(tiny("adding_lstm"), optimizer="adam", learning_rate=0.5, adam_b1=0.5, adam_b2=0.75)
    one, two = updates_of(adam, {"head": {"bias": jnp.full((), gradient)}}, steps=2)
    assert one["head"]["bias"] == two["head"]["bias"] == pytest.approx(-0.25, rel=1e-3)


def test_rmsprop_and_adam_are_those_of_their_equations():
    gradients = [0.3, -0.2, 0.1]
    for name, values in {"rmsprop": {"rmsprop_decay": 0.7}, "adam": {"adam_b1": 0.5, "adam_b2": 0.75}}.items():
        config = dataclasses.replace(tiny("adding_lstm"), optimizer=name, learning_rate=0.1, clip_norm=None, **values)
        transformation = training.optimizer(config, 3)
        params = {"head": {"bias": jnp.zeros(())}}
        state, first_moment, second = transformation.init(params), 0.0, 0.0
        for step, gradient in enumerate(gradients, 1):
            updates, state = transformation.update({"head": {"bias": jnp.asarray(gradient)}}, state, params)
            b1, b2 = (0.0, 0.7) if name == "rmsprop" else (0.5, 0.75)
            first_moment, second = b1 * first_moment + (1 - b1) * gradient, b2 * second + (1 - b2) * gradient**2
            m, v = (first_moment, second) if name == "rmsprop" else (first_moment / (1 - b1**step), second / (1 - b2**step))
            assert updates["head"]["bias"] == pytest.approx(-0.1 * m / (math.sqrt(v) + 1e-8), rel=1e-5)


def test_a_learning_rate_falls_along_a_cosine_to_the_last_step():
    config = tiny("digits_lstm", optimizer="sgd", learning_rate=0.5, final_learning_rate=0.1, clip_norm=None)
    found = updates_of(config, {"head": {"kernel": jnp.ones(())}}, steps=5)
    rates = [-float(updates["head"]["kernel"]) for updates in found]
    assert rates == pytest.approx([0.1 + 0.4 * (1 + math.cos(math.pi * n / 4)) / 2 for n in range(5)], rel=1e-5)


def test_gradients_are_clipped_together():
    small, large = ({"head": {"kernel": scale * jnp.array([0.6, 0.8])}} for scale in (1.0, 100.0))
    config = tiny("adding_lstm", optimizer="sgd")
    ((one,), (other,)) = (updates_of(config, gradients) for gradients in (small, large))
    assert jnp.allclose(one["head"]["kernel"], -1e-3 * jnp.array([0.6, 0.8]))
    assert jnp.allclose(one["head"]["kernel"], other["head"]["kernel"])


def core_after(name, steps, **values):
    run = quick_runs(tiny(name, **values))
    state = run.start()
    after = run.advance(state, steps)
    return tuple(first(of.runs.params)["cell"]["core"] for of in (after, state))


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
    every_other, _ = core_after("adding_dtriv", 2, rebase_every=2)
    assert jnp.abs(every_other["A"]).max() > jnp.abs(often["A"]).max()


def test_every_hundredth_rebase_projects_the_base(monkeypatch):
    """A base that is far from orthogonal is brought back, and not before."""
    assert training.PROJECT_EVERY == 100
    monkeypatch.setattr(training, "PROJECT_EVERY", 3)
    run = quick_runs(tiny("adding_dtriv", rebase_every=2, steps_per_epoch=50))
    state = run.start()
    params = state.runs.params
    core = {**params["cell"]["core"], "base": 1.5 * params["cell"]["core"]["base"]}
    state = state._replace(runs=state.runs._replace(params={**params, "cell": {**params["cell"], "core": core}}))
    for step in range(1, 6):
        state = run.advance(state, step)
        base = first(state.runs.params)["cell"]["core"]["base"]
        scale = 1.0 if step == 5 else 1.5  # the third rebase is before the fifth step
        np.testing.assert_allclose(base @ base.T, scale**2 * np.eye(4), atol=1e-4)


def test_a_readout_starts_as_it_is_said():
    cell = mr.lstm(100)
    released, ours = (networks.Network(cell, 1, 50, False, readout_init=name) for name in ("released", "lecun_normal"))
    head = released.init(jax.random.key(0))["head"]
    for values in (head["kernel"], head["bias"]):  # uniform on ±1/√H
        assert np.abs(values).max() <= 0.1
        assert np.std(values) == pytest.approx(0.1 / math.sqrt(3), rel=0.25)
    head = ours.init(jax.random.key(0))["head"]
    assert not head["bias"].any()
    assert np.std(head["kernel"]) == pytest.approx(0.1, rel=0.05)
    assert np.abs(head["kernel"]).max() > 0.15


def test_a_step_is_one_of_the_optimiser_with_the_gradient_of_the_loss():
    """By hand, without any of the training code: the loss of the minibatch, clipped, RMSprop's first step."""
    config = tiny("mnist_momentum_lstm_128", clip_norm=0.01)
    run = quick_runs(config)
    state = run.start()
    params = first(state.runs.params)
    key = jax.random.fold_in(jax.random.split(jax.random.key(0))[1], 0)
    batch = run.task.batch(run.train, run.task.plan(run.train, key), jnp.asarray(0))

    def loss(params):
        hs = mr.unroll(config.make_cell(), params["cell"], batch.inputs.swapaxes(0, 1))[1]
        logits = hs[-1] @ params["head"]["kernel"] + params["head"]["bias"][jnp.newaxis]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), batch.targets])

    value, gradients = jax.value_and_grad(loss)(params)
    scale = 0.01 / optax.tree.norm(gradients)
    assert scale < 1
    expected = jax.tree.map(lambda p, g: p - 1e-3 * scale * g / (jnp.sqrt(0.1) * scale * jnp.abs(g) + 1e-8), params, gradients)
    new = run.advance(state, 1)
    assert float(new.runs.totals["loss"][0]) == pytest.approx(float(value), rel=1e-5)
    for one, other in zip(jax.tree.leaves(first(new.runs.params)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)
