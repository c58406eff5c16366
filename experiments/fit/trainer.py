"""The compiled part of a run: from one optimiser step to a later one of the same epoch, and a whole split evaluated."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from experiments import models
from experiments.configs import Config
from experiments.datasets import Split
from experiments.fit import meshes
from experiments.fit.problem import Problem
from experiments.fit.steps import State, Steps

# For tests, which run programs for a moment: {"xla_backend_optimization_level": 0}.
COMPILER_OPTIONS: dict[str, Any] | None = None


class Trainer:
    """One network on one problem; all of it is decided by the config, the data and the state.

    Each device of the mesh has all of the state and the data, and computes its part of each minibatch.
    """

    def __init__(self, config: Config, problem: Problem, mesh: Mesh) -> None:
        self._mesh = mesh
        splits = {name: self.put(getattr(problem, name)) for name in ("train", "validation", "test")}
        self.problem = dataclasses.replace(problem, **splits)
        steps = Steps(config, self.problem, mesh)
        self.network = steps.network
        self._initial = steps.initial
        how: dict[str, Any] = {"out_shardings": meshes.everywhere(mesh), "compiler_options": COMPILER_OPTIONS}
        self._key = jax.jit(lambda: jax.random.key(config.seed), **how)()
        self._start = jax.jit(steps.initial, **how)
        self._advance = jax.jit(steps.advance, **how)
        self._evaluate = jax.jit(steps.score_split, **how)

    def put(self, tree: Any) -> Any:
        """Arrays of this process on each device."""
        return meshes.put_everywhere(self._mesh, tree)

    def start(self) -> State:
        """The state before the first step."""
        return self._start(self._key)

    def template(self) -> State:
        """The shapes and dtypes of a state, with nothing computed."""
        return jax.eval_shape(self._initial, self._key)

    def advance(self, state: State, until: int) -> State:
        """The state after step `until`, of the same epoch; or sooner, after a step that was not finite."""
        return self._advance(state, np.int32(until), self.problem.train, self._key)

    def evaluate(self, params: models.Params, split: Split) -> dict[str, float]:
        """Every score's mean over a whole split."""
        return {name: float(mean) for name, mean in self._evaluate(params, split).items()}

    def forget_totals(self, state: State) -> State:
        """The state at the start of an epoch."""
        return state._replace(totals=jax.tree.map(jnp.zeros_like, state.totals))
