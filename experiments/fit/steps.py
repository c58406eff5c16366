"""A run as pure functions: its first state, the optimiser's steps to a later one of the same epoch, and a split's scores."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

import momentum_rnn_jax as mr
from experiments import models
from experiments.configs import Config
from experiments.configs.base import REGULARIZERS
from experiments.datasets import Split
from experiments.fit import averaging, meshes, optimizer, scores
from experiments.fit.problem import Problem
from experiments.language_model import LanguageModel
from experiments.networks import Network

PROJECT_EVERY = 100  # rebases, as in the authors' code


class State(NamedTuple):
    """A run between two optimiser steps.

    `step` counts the steps done; `totals` sum the scores of this epoch's minibatches; `finite` is False once a loss, a gradient
    or a parameter was not, and then nothing goes on. `carry` is what the network keeps of the last minibatch, `average` an
    `averaging.Average`; both are empty where there is none.
    """

    params: models.Params
    optimizer: Any
    step: Array
    totals: dict[str, Array]
    finite: Array
    carry: Any = ()
    average: Any = ()

    @property
    def evaluated(self) -> models.Params:
        """The parameters to validate and test."""
        return self.average.params if isinstance(self.average, averaging.Average) else self.params


class Steps:
    """One network on one problem. A run's `key` decides its initial parameters and the order of its examples.

    Args:
      config: all that is not given here.
      problem: the data, how it is read and scored.
      mesh: the devices that share each minibatch, of which `batch_size` is a multiple.
      hyper_parameters: of the cell, in the place of the config's; they may be traced.
    """

    def __init__(self, config: Config, problem: Problem, mesh: Mesh | None = None, **hyper_parameters: Array) -> None:
        self.problem = problem
        self._mesh = mesh
        self.network = _network(config, problem, config.make_cell(**hyper_parameters))
        self._optimizer = optimizer.make(config, config.epochs * problem.steps_per_epoch)
        self._rebase_every = config.rebase_every
        self._batch_size = config.batch_size
        self._evaluation_rows = config.evaluation_rows
        self._averages = config.nonmonotone is not None

    def initial(self, key: Array) -> State:
        """The state before the first step."""
        params = self.network.init(_initial_key(key))
        if self._rebase_every is None:
            params = self.network.rebase(params)
        totals = {name: jnp.zeros((), jnp.float32) for name in self._score_names(params)}
        return State(
            params,
            self._optimizer.init(params),
            jnp.zeros((), jnp.int32),
            totals,
            jnp.ones((), bool),
            self.network.initial_carry(params, self._batch_size),
            averaging.start(params) if self._averages else (),
        )

    def _score_names(self, params: models.Params) -> list[str]:
        def example(params: models.Params) -> scores.Scores:
            batch = jax.tree.map(lambda array: array[:1], self.problem.validation)
            return self._scores(params, self.network.initial_carry(params, 1), batch)[1]

        return list(jax.eval_shape(example, params))

    def _scores(self, params: models.Params, carry: Any, batch: Split) -> tuple[Any, scores.Scores]:
        carry, outputs, _ = self.network.run(params, carry, batch)
        return carry, self.problem.kind.score(outputs, batch)

    def advance(self, state: State, until: Array, train: Any, key: Array) -> State:
        """The state after step `until`, of the same epoch; or sooner, after a step that was not finite."""
        plan = self.plan(state.step, train, key)

        def go_on(state: State) -> Array:
            return (state.step < until) & state.finite

        return jax.lax.while_loop(go_on, lambda state: self.one_step(state, train, plan, key), state)

    def plan(self, step: Array, train: Any, key: Array) -> Any:
        """What decides the minibatches of the epoch that `step` is in."""
        return self.problem.plan(train, jax.random.fold_in(_data_key(key), step // self.problem.steps_per_epoch))

    def one_step(self, state: State, train: Any, plan: Any, key: Array) -> State:
        """The state after one step more; `plan` is that of its epoch."""
        batch = self.problem.batch(train, plan, state.step % self.problem.steps_per_epoch)
        return self._step(state, meshes.share(self._mesh, batch), jax.random.fold_in(_dropout_key(key), state.step))

    def _step(self, state: State, batch: Split, key: Array) -> State:
        before = self._carry(state)

        def objective(params: models.Params) -> tuple[Array, tuple[Any, dict[str, Array]]]:
            carry, outputs, penalty = self.network.run(params, before, batch, key)
            means = scores.means(self.problem.kind.score(outputs, batch))
            return means["loss"] + penalty, (carry, means)

        params = self._rebased(state.params, state.step)
        gradients, (carry, means) = jax.grad(objective, has_aux=True)(params)
        updates, optimizer_state = self._optimizer.update(gradients, state.optimizer, params)
        if self.problem.rate is not None:
            rate = self.problem.rate(batch)
            updates = jax.tree.map(lambda update: rate.astype(update.dtype) * update, updates)
        params = optax.apply_updates(params, updates)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((means["loss"], gradients, params))]).all()
        totals = jax.tree.map(jnp.add, state.totals, means)
        step = state.step + 1
        average = averaging.update(state.average, params, step) if self._averages else ()
        return State(params, optimizer_state, step, totals, finite, carry, average)

    def _carry(self, state: State) -> Any:
        """Of the last minibatch, or fresh at the start of an epoch."""
        first = state.step % self.problem.steps_per_epoch == 0
        fresh = self.network.initial_carry(state.params, self._batch_size)
        return jax.tree.map(lambda new, old: jnp.where(first, new, old), fresh, state.carry)

    def _rebased(self, params: models.Params, step: Array) -> models.Params:
        """Before every K-th step the base moves to where the matrix is."""
        if self._rebase_every is None:
            return params
        number = step // self._rebase_every + 1
        project = number % PROJECT_EVERY == 0
        choice = jnp.where(step % self._rebase_every == 0, 1 + project.astype(jnp.int32), 0)
        branches = [lambda params: params, self.network.rebase, lambda params: self.network.rebase(params, project=True)]
        return jax.lax.switch(choice, branches, params)

    def score_split(self, params: models.Params, split: Split) -> dict[str, Array]:
        """Every score of a whole split, batch by batch in order; the last one is filled up with examples that do not count."""
        examples = len(split.targets)
        devices = 1 if self._mesh is None else self._mesh.size
        size = min(self._evaluation_rows, -(-examples // devices) * devices)
        indices = jnp.arange(-(-examples // size) * size).reshape(-1, size)

        def add(so_far: Any, rows: Array) -> tuple[Any, None]:
            sums, carry = so_far
            counts = (rows < examples).astype(jnp.float32)
            batch = jax.tree.map(lambda array: array[jnp.minimum(rows, examples - 1)], split)
            carry, each = self._scores(params, carry, meshes.share(self._mesh, batch))
            parts = jax.tree.map(lambda part: (part * counts).sum(), each)
            return (jax.tree.map(jnp.add, sums, parts), carry), None

        zero = jnp.zeros((), jnp.float32)
        zeros = {name: (zero, zero) for name in self._score_names(params)}
        (sums, _), _ = jax.lax.scan(add, (zeros, self.network.initial_carry(params, size)), indices)
        means = scores.means(sums)
        return {**means, **self.problem.kind.derived(means)}


def _network(config: Config, problem: Problem, cell: mr.Cell) -> Network | LanguageModel:
    if config.layers is None:
        every_step = problem.kind.every_step
        return Network(cell, problem.in_features, problem.outputs, every_step, config.input_scale, jnp.dtype(config.precision))
    options: dict[str, Any] = {name: getattr(config, name) or 0.0 for name in REGULARIZERS}
    assert config.embedding_features is not None  # so says the config
    sizes = (config.layers, problem.outputs, config.embedding_features)
    return LanguageModel(cell, *sizes, dtype=jnp.dtype(config.precision), **options)


def _initial_key(key: Array) -> Array:
    return jax.random.split(key)[0]


def _data_key(key: Array) -> Array:
    return jax.random.split(key)[1]


def _dropout_key(key: Array) -> Array:
    return jax.random.fold_in(key, 2)
