"""A run as pure functions: its first state, the optimiser's steps to a later one of the same epoch, and a split's scores."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from experiments import models
from experiments.configs import Config
from experiments.datasets import Split
from experiments.fit import optimizer, scores
from experiments.fit.problem import Problem
from experiments.networks import Network

PROJECT_EVERY = 100  # rebases, as in the authors' code


class State(NamedTuple):
    """A run between two optimiser steps.

    `step` counts the steps done; `totals` sum the scores of this epoch's minibatches; `finite` is False once a loss, a gradient
    or a parameter was not, and then nothing goes on.
    """

    params: models.Params
    optimizer: Any
    step: Array
    totals: dict[str, Array]
    finite: Array


class Steps:
    """One network on one problem. A run's `key` decides its initial parameters and the order of its examples.

    Args:
      config: all that is not given here.
      problem: the data, how it is read and scored.
      hyper_parameters: of the cell, in the place of the config's; they may be traced.
    """

    def __init__(self, config: Config, problem: Problem, **hyper_parameters: Array) -> None:
        self.problem = problem
        cell = config.make_cell(**hyper_parameters)
        self.network = Network(cell, problem.in_features, problem.outputs, problem.kind.every_step, config.input_scale)
        self._optimizer = optimizer.make(config)
        self._rebase_every = config.rebase_every
        self._batch_size = config.batch_size

    def initial(self, key: Array) -> State:
        """The state before the first step."""
        params = self.network.init(_initial_key(key))
        if self._rebase_every is None:
            params = self.network.rebase(params)
        totals = {name: jnp.zeros((), jnp.float32) for name in self._score_names(params)}
        return State(params, self._optimizer.init(params), jnp.zeros((), jnp.int32), totals, jnp.ones((), bool))

    def _score_names(self, params: models.Params) -> list[str]:
        example = jax.tree.map(lambda array: array[:1], self.problem.validation)
        return list(jax.eval_shape(self._scores, params, example))

    def _scores(self, params: models.Params, batch: Split) -> scores.Scores:
        return self.problem.kind.score(self.network.apply(params, batch.inputs), batch)

    def advance(self, state: State, until: Array, train: Any, key: Array) -> State:
        """The state after step `until`, of the same epoch; or sooner, after a step that was not finite."""
        steps_per_epoch = self.problem.steps_per_epoch
        epoch_key = jax.random.fold_in(_data_key(key), state.step // steps_per_epoch)
        plan = self.problem.plan(train, epoch_key)

        def go_on(state: State) -> Array:
            return (state.step < until) & state.finite

        def one_step(state: State) -> State:
            return self._step(state, self.problem.batch(train, plan, state.step % steps_per_epoch))

        return jax.lax.while_loop(go_on, one_step, state)

    def _step(self, state: State, batch: Split) -> State:
        def loss(params: models.Params) -> tuple[Array, dict[str, Array]]:
            means = scores.means(self._scores(params, batch))
            return means["loss"], means

        params = self._rebased(state.params, state.step)
        gradients, means = jax.grad(loss, has_aux=True)(params)
        updates, optimizer_state = self._optimizer.update(gradients, state.optimizer, params)
        params = optax.apply_updates(params, updates)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((means["loss"], gradients, params))]).all()
        totals = jax.tree.map(jnp.add, state.totals, means)
        return State(params, optimizer_state, state.step + 1, totals, finite)

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
        """Every score's mean over a whole split, batch by batch; the last one is filled up with examples that do not count."""
        examples = len(split.targets)
        size = min(self._batch_size, examples)
        indices = jnp.arange(-(-examples // size) * size).reshape(-1, size)

        def add(sums: Any, rows: Array) -> tuple[Any, None]:
            counts = (rows < examples).astype(jnp.float32)
            batch = jax.tree.map(lambda array: array[jnp.minimum(rows, examples - 1)], split)
            parts = jax.tree.map(lambda part: (part * counts).sum(), self._scores(params, batch))
            return jax.tree.map(jnp.add, sums, parts), None

        zero = jnp.zeros((), jnp.float32)
        sums, _ = jax.lax.scan(add, {name: (zero, zero) for name in self._score_names(params)}, indices)
        return scores.means(sums)


def _initial_key(key: Array) -> Array:
    return jax.random.split(key)[0]


def _data_key(key: Array) -> Array:
    return jax.random.split(key)[1]
