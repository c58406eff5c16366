"""The compiled part of a sweep: many runs of one cell in one program, each with its own key and hyper-parameters."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments import models
from experiments.configs import Config
from experiments.datasets import Split
from experiments.fit import trainer
from experiments.fit.problem import Problem
from experiments.fit.steps import State, Steps

# Every run is at the same step, which therefore has no axis: what depends on it alone, such as whether a base moves, is
# decided once and not computed for every case.
AXES: Any = State._make(None if name == "step" else 0 for name in State._fields)


class Runs(NamedTuple):
    """All runs between two steps: the state of each on a leading axis, and how many steps each has done before it stopped."""

    stacked: State
    done: Array

    @property
    def step(self) -> Array:
        """How many steps the sweep has done."""
        return self.stacked.step

    @property
    def params(self) -> models.Params:
        """Every run's parameters."""
        return self.stacked.params

    @property
    def finite(self) -> bool:
        """A sweep goes on, whatever becomes of its runs; `stacked.finite` is theirs."""
        return True


class Program:
    """A function that is compiled when it is first called with arguments of such shapes; `seconds` is how long that took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.seconds = 0.0
        self._jitted = jax.jit(function)
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        shapes = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if shapes not in self._compiled:
            start = time.monotonic()
            self._compiled[shapes] = self._jitted.lower(*arguments).compile(trainer.COMPILER_OPTIONS)
            self.seconds += time.monotonic() - start
        return self._compiled[shapes](*arguments)


class SweepTrainer:
    """One cell's runs on one problem: `seeds` has an entry for each, and so has every one of the `hyper_parameters`.

    The data is there once, for all of them. A run that is not finite stands still from then on.
    """

    def __init__(self, config: Config, problem: Problem, seeds: Sequence[int], hyper_parameters: Mapping[str, Sequence[float]]):
        self.problem = problem
        self._keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        self._hyper = {name: jnp.asarray(values, jnp.float32) for name, values in hyper_parameters.items()}

        def steps(hyper: dict[str, Array]) -> Steps:
            return Steps(config, problem, None, **hyper)

        def initial(keys: Array, hyper: dict[str, Array]) -> Runs:
            stacked = jax.vmap(lambda key, hyper: steps(hyper).initial(key), out_axes=AXES)(keys, hyper)
            return Runs(stacked, jnp.zeros(len(seeds), jnp.int32))

        def advance(runs: Runs, until: Array, train: Any, keys: Array, hyper: dict[str, Array]) -> Runs:
            plans = jax.vmap(lambda key, hyper: steps(hyper).plan(runs.step, train, key))(keys, hyper)

            def one(state: State, plan: Any, key: Array, hyper: dict[str, Array]) -> State:
                new = steps(hyper).one_step(state, train, plan, key)
                return jax.tree.map(partial(jnp.where, state.finite), new, state)._replace(step=new.step)

            def go_on(runs: Runs) -> Array:
                return (runs.step < until) & runs.stacked.finite.any()

            def one_each(runs: Runs) -> Runs:
                stacked = jax.vmap(one, in_axes=(AXES, 0, 0, 0), out_axes=AXES)(runs.stacked, plans, keys, hyper)
                return Runs(stacked, runs.done + runs.stacked.finite.astype(jnp.int32))

            runs = jax.lax.while_loop(go_on, one_each, runs)
            return runs._replace(stacked=runs.stacked._replace(step=until))  # also when no run is left

        def score(params: models.Params, split: Split, hyper: dict[str, Array]) -> dict[str, Array]:
            return jax.vmap(lambda params, hyper: steps(hyper).score_split(params, split))(params, hyper)

        self._initial = initial
        self._advance, self._score = Program(advance), Program(score)

    @property
    def compile_seconds(self) -> float:
        """How long it took so far to make the programs that train and evaluate."""
        return self._advance.seconds + self._score.seconds

    def start(self) -> Runs:
        """Every run before its first step."""
        return jax.jit(self._initial, compiler_options=trainer.COMPILER_OPTIONS)(self._keys, self._hyper)

    def template(self) -> Runs:
        """The shapes and dtypes of all runs, with nothing computed."""
        return jax.eval_shape(self._initial, self._keys, self._hyper)

    def advance(self, runs: Runs, until: int) -> Runs:
        """All runs after step `until`, of the same epoch; those that were not finite, where they stopped."""
        return self._advance(runs, np.asarray(until, np.int32), self.problem.train, self._keys, self._hyper)

    def evaluate(self, params: models.Params, split: Split) -> dict[str, np.ndarray]:
        """Every score's mean over a whole split, one for each run."""
        return {name: np.asarray(means) for name, means in self._score(params, split, self._hyper).items()}


def select(these: np.ndarray, new: models.Params, old: models.Params) -> models.Params:
    """Of these runs the new parameters, of the others the old ones."""
    return jax.tree.map(lambda new, old: jnp.where(these.reshape(-1, *[1] * (new.ndim - 1)), new, old), new, old)
