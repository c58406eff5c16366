"""Runs as pure functions: their initial state, the training step, and the scores of a split.

All runs of a program are trained side by side, on the leading axis of every array that differs between them. They differ in the
seed and, if asked for, in μ and step size; everything else belongs to the program.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh

from experiments import devices, tasks
from experiments.configs.base import Config, Language, Sequences, Text
from experiments.datasets import Split
from experiments.language_model import LanguageModel
from experiments.networks import Network, Params
from experiments.tasks import Stored

PROJECT_EVERY = 100  # rebases, as in the authors' code
NEVER = np.iinfo(np.int32).max
# Parameters of an orthogonal core; nothing else has parameters of these names. Only rebasing changes the base.
GROUPS = {"A": "skew", "base": "fixed"}


class Setting(NamedTuple):
    """How runs differ: the seed, the cell's μ and step size, and the order in which pixels are read, or None."""

    seed: Array
    hyper: dict[str, Array]
    order: Array | None

    @property
    def key(self) -> Array:
        """Determines the initial parameters, the order of the examples and the dropout masks."""
        return jax.random.key(self.seed)


class Run(NamedTuple):
    """A run between two optimiser steps.

    `totals` are sums of the scores of this epoch's minibatches; `finite` turns False when a loss, a gradient or a parameter is
    not finite, and the run is not updated from then on; `done` counts its steps. `carry` is the network's state after the last
    minibatch.

    `average` is the mean of the parameters after all steps since step `since`, or the newest parameters while `since` is `NEVER`;
    both are empty unless the program averages. Polyak and Juditsky 1992, triggered as in Merity et al., arXiv 1708.02182.
    """

    params: Params
    optimizer: Any
    totals: dict[str, Array]
    finite: Array
    done: Array
    carry: Any
    average: Any
    since: Any

    @property
    def evaluated(self) -> Params:
        """The parameters to validate and test."""
        return self.average if jax.tree.leaves(self.average) else self.params


class State(NamedTuple):
    """All runs, on the leading axis of each array, and the number of steps done."""

    runs: Run
    step: Array


@dataclasses.dataclass(frozen=True)
class Program:
    """The static part of a compiled program, by which JAX caches it. The config's seed, μ and step size are ignored."""

    config: Config
    task: Stored
    mesh: Mesh

    def model(self, setting: Setting) -> Network | LanguageModel:
        """The network of a run."""
        config, task = self.config, self.task
        cell, dtype = config.make_cell(**setting.hyper), jnp.dtype(config.precision)
        if isinstance(config, Language):
            names = ("embedding", "input", "hidden", "output", "weight")
            options: dict[str, float] = {f"{name}_dropout": getattr(config, f"{name}_dropout") for name in names}
            options |= {name: getattr(config, name) for name in ("activation_regularization", "temporal_regularization")}
            if isinstance(config, Text):
                options["input_scale"] = config.input_scale
            return LanguageModel(cell, config.layers, task.outputs, config.embedding_features, dtype=dtype, **options)
        assert isinstance(config, Sequences)
        return Network(cell, task.in_features, task.outputs, task.every_step, config.input_scale, config.readout_init, dtype)

    @property
    def averages(self) -> bool:
        """Whether parameters may be averaged."""
        return isinstance(self.config, Language) and self.config.nonmonotone is not None


def optimizer(config: Config, num_updates: int) -> optax.GradientTransformation:
    """Clipping by the global norm, then one rule each for the skew-symmetric parameter, the base and the rest."""
    rate: Any = config.learning_rate
    if config.final_learning_rate is not None:
        rate = optax.cosine_decay_schedule(rate, num_updates, alpha=config.final_learning_rate / config.learning_rate)
    # As in the authors' framework, eps is added outside the square root.
    rmsprop = partial(optax.rmsprop, decay=config.rmsprop_decay, eps=config.optimizer_eps, eps_in_sqrt=False)
    rest = {
        "rmsprop": rmsprop,
        "adam": partial(optax.adam, b1=config.adam_b1, b2=config.adam_b2, eps=config.optimizer_eps),
        "sgd": optax.sgd,
    }[config.optimizer](rate)
    decayed = optax.chain(optax.add_decayed_weights(config.weight_decay or 0.0), rest)
    groups = {"skew": rmsprop(config.skew_learning_rate or 0.0), "fixed": optax.set_to_zero(), "rest": decayed}

    def labels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(lambda path, _: GROUPS.get(path[-1].key, "rest"), params)

    grouped = optax.partition(groups, labels)
    return grouped if config.clip_norm is None else optax.chain(optax.clip_by_global_norm(config.clip_norm), grouped)


def each_run(function: Callable[..., Any], *trees: Any) -> Any:
    """The function mapped over the runs; a single run is computed without a batch axis."""
    if len(jax.tree.leaves(trees)[0]) > 1:
        return jax.vmap(function)(*trees)
    return jax.tree.map(lambda leaf: leaf[jnp.newaxis], function(*jax.tree.map(lambda leaf: leaf[0], trees)))


def initial_params(model: Network | LanguageModel, key: Array) -> Params:
    """The parameters with which a run starts; `key` is that of its `Setting`."""
    return model.init(jax.random.split(key)[0])


def start(program: Program, settings: Setting) -> State:
    """All runs before the first step; not jitted, because compiling takes longer than running the operations one by one."""

    def one(setting: Setting) -> Run:
        model = program.model(setting)
        params = initial_params(model, setting.key)
        if program.config.rebase_every is None:
            params = model.rebase(params)
        totals = {name: jnp.zeros((), jnp.float32) for name in program.task.score_names}
        transformation = optimizer(program.config, program.config.epochs * program.task.steps_per_epoch)
        average, since = (params, jnp.array(NEVER, jnp.int32)) if program.averages else ((), ())
        carry = model.initial_carry(params, program.config.batch_size)
        return Run(
            params, transformation.init(params), totals, jnp.ones((), bool), jnp.zeros((), jnp.int32), carry, average, since
        )

    return State(each_run(one, settings), jnp.zeros((), jnp.int32))


def train_step(program: Program, run: Run, setting: Setting, step: Array, batch: Split) -> Run:
    """One optimiser step on one minibatch; a run that is no longer finite is not changed."""
    config, task, model = program.config, program.task, program.model(setting)
    first = step % task.steps_per_epoch == 0
    fresh = model.initial_carry(run.params, config.batch_size)
    before = jax.tree.map(lambda new, old: jnp.where(first, new, old), fresh, run.carry)
    key = jax.random.fold_in(jax.random.fold_in(setting.key, 2), step)

    def loss(params: Params) -> tuple[Array, tuple[Any, dict[str, Array]]]:
        carry, outputs, penalty = model.run(params, before, batch, key)
        means = tasks.means(task.score(outputs, batch))
        return means["loss"] + penalty, (carry, means)

    params = run.params
    if config.rebase_every is not None:  # before every K-th step
        number = step // config.rebase_every + 1
        due = jnp.where(step % config.rebase_every == 0, 1 + (number % PROJECT_EVERY == 0).astype(jnp.int32), 0)
        params = jax.lax.switch(due, [lambda p: p, model.rebase, partial(model.rebase, project=True)], params)
    gradients, (carry, means) = jax.grad(loss, has_aux=True)(params)
    transformation = optimizer(config, config.epochs * task.steps_per_epoch)
    updates, optimizer_state = transformation.update(gradients, run.optimizer, params)
    if (rate := task.rate(batch)) is not None:
        updates = jax.tree.map(lambda update: rate.astype(update.dtype) * update, updates)
    params = optax.apply_updates(params, updates)

    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((means["loss"], gradients, params))]).all()
    average = run.average
    if program.averages:
        count = step + 1 - run.since

        def mean(old: Array, new: Array) -> Array:
            return jnp.where(count <= 1, new, old + (new - old) / jnp.maximum(count, 1).astype(new.dtype))

        average = jax.tree.map(mean, run.average, params)
    totals = jax.tree.map(jnp.add, run.totals, means)
    new = Run(params, optimizer_state, totals, finite, run.done + 1, carry, average, run.since)
    return jax.tree.map(partial(jnp.where, run.finite), new, run)


@partial(jax.jit, static_argnums=0)
def advance(program: Program, state: State, until: Array, train: Any, settings: Setting) -> State:
    """All runs after step `until`, in the same epoch; runs that diverge stay at the step where they did."""
    task, alone = program.task, len(settings.seed) == 1

    def plan(setting: Setting) -> Any:
        return task.plan(train, jax.random.fold_in(jax.random.split(setting.key)[1], state.step // task.steps_per_epoch))

    plans = each_run(plan, settings)

    def one_step(state: State) -> State:
        def one(run: Run, setting: Setting, plan: Any) -> Run:
            batch = task.batch(train, plan, state.step % task.steps_per_epoch)
            batch = devices.share(program.mesh, in_order(batch, setting.order))
            step = partial(train_step, program, run, setting, state.step)
            if not (task.pads and alone):  # of several runs, both branches would be computed
                return step(batch)
            short = tasks.first_half(batch)
            return jax.lax.cond(jnp.max(batch.lengths) <= short.inputs.shape[1], lambda: step(short), lambda: step(batch))

        return State(each_run(one, state.runs, settings, plans), state.step + 1)

    state = jax.lax.while_loop(lambda state: (state.step < until) & state.runs.finite.any(), one_step, state)
    return devices.everywhere(program.mesh, state._replace(step=jnp.asarray(until, jnp.int32)))  # even if no run is left


def in_order(batch: Split, order: Array | None) -> Split:
    """The batch with its time steps in the run's order, if there is one."""
    return batch if order is None else batch._replace(inputs=batch.inputs[:, order])


@partial(jax.jit, static_argnums=0)
def evaluate(program: Program, params: Params, split: Split, settings: Setting) -> dict[str, Array]:
    """All scores of a whole split, for each run, batch by batch in order; padding in the last batch has weight zero."""
    examples, parts = len(split.targets), program.mesh.size
    size = min(program.config.evaluation_rows, -(-examples // parts) * parts)
    indices = jnp.arange(-(-examples // size) * size).reshape(-1, size)

    def one(params: Params, setting: Setting) -> dict[str, Array]:
        def add(carry: Any, rows: Array) -> tuple[Any, dict[str, tuple[Array, Array]]]:
            counts = (rows < examples).astype(jnp.float32)
            batch = jax.tree.map(lambda array: array[jnp.minimum(rows, examples - 1)], split)
            batch = devices.share(program.mesh, in_order(batch, setting.order))
            carry, outputs, _ = model.run(params, carry, batch)
            return carry, jax.tree.map(lambda part: (part * counts).sum(), program.task.score(outputs, batch))

        model = program.model(setting)
        _, sums = jax.lax.scan(add, model.initial_carry(params, size), indices)
        means = tasks.means(sums)
        return {**means, **tasks.derived(means, program.task.unit)}

    return devices.everywhere(program.mesh, each_run(one, params, settings))
