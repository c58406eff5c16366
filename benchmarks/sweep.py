"""Several runs of one small training step as one program: `jax.vmap` over seeds, μ and step sizes."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import momentum_rnn_jax as mr
from benchmarks import problem
from benchmarks.check import TOLERANCE, compare
from benchmarks.contestant import TRAINING
from benchmarks.jax_contestant import OPTIMIZER, JaxModel, compile_timed, loss, training_step
from benchmarks.problem import Shape
from benchmarks.settings import Settings

SHAPE, RUNS = Shape(batch=32, time=100, features=8, hidden=32), (1, 4, 16, 25)
GRID = tuple(itertools.product((0, 1), (0.3, 0.9), (0.4, 1.0)))  # seed, μ, step size
SECTION, GRID_SECTION = "sweep", "sweep over a grid"
BY_VMAP, IN_TURN = f"{TRAINING}, by vmap", f"{TRAINING}, one after another"
RATIO = "ratio of the training step by vmap to one after another"
PEER = "momentum-lstm"


class Runs(NamedTuple):
    """Hyper-parameters and weights, with one row for each run, and the inputs they share."""

    hyper: dict[str, jax.Array]
    params: Any
    xs: jax.Array

    def run(self, i: int) -> "Runs":
        """One of them alone, without an axis for the runs."""
        hyper, params = jax.tree.map(lambda leaf: leaf[i], (self.hyper, self.params))
        return self._replace(hyper=hyper, params=params)


def many(runs: int) -> Runs:
    """So many runs, each with a seed, μ and step size of its own."""
    return _runs(range(runs), jnp.linspace(0.3, 0.9, runs), jnp.linspace(1.0, 0.4, runs))


def grid() -> Runs:
    """The runs of `GRID`."""
    seeds, mus, step_sizes = zip(*GRID, strict=True)
    return _runs(seeds, jnp.array(mus), jnp.array(step_sizes))


def _runs(seeds: Any, mus: jax.Array, step_sizes: jax.Array) -> Runs:
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    params = jax.vmap(lambda key: mr.lstm(SHAPE.hidden).init(key, SHAPE.features))(keys)
    return Runs({"mu": mus, "step_size": step_sizes}, params, jnp.asarray(problem.make("momentum_lstm", SHAPE).xs))


def _model(hyper: dict[str, jax.Array], xs: jax.Array) -> JaxModel:
    cell = mr.momentum_lstm(SHAPE.hidden, mu=hyper["mu"], step_size=hyper["step_size"])
    return JaxModel(None, lambda params, xs: mr.unroll(cell, params, xs)[1], xs)


def check(runs: Runs, settings: Settings) -> dict[str, Any]:
    """The last of many runs is the same run by itself: what `check.check` notes of a comparison.

    Raises:
      MismatchError: its outputs or its gradients differ.
    """

    def both(hyper: Any, params: Any, xs: jax.Array) -> Any:
        model = _model(hyper, xs)
        return model.apply(params, xs), jax.grad(lambda params: loss(model, params, xs))(params)

    last = runs.run(-1)
    together, _ = compile_timed(jax.vmap(both, in_axes=(0, 0, None)), settings, *runs)
    alone, _ = compile_timed(both, settings, *last)
    of_all = jax.tree.map(lambda leaf: leaf[-1], together(*runs))
    pairs = zip(TOLERANCE.items(), alone(*last), of_all, strict=True)
    errors = {name: compare(f"a run by vmap and alone: {name}", a, b, allowed) for (name, allowed), a, b in pairs}
    return {"kind": PEER, "peers": ["alone", "by vmap"], **errors}


def _step(hyper: Any, params: Any, state: Any, xs: jax.Array) -> Any:
    return training_step(_model(hyper, xs))(params, state, xs)


def together(runs: Runs, settings: Settings) -> Callable[[], None]:
    """One training step of all the runs, by `jax.vmap`."""
    hyper, params, xs = runs
    state = jax.vmap(OPTIMIZER.init)(params)
    compiled, _ = compile_timed(jax.vmap(_step, (0, 0, 0, None)), settings, hyper, params, state, xs, donate=(1, 2))

    def train() -> None:
        nonlocal params, state
        params, state, value = compiled(hyper, params, state, xs)
        jax.block_until_ready((params, state, value))

    return train


def in_turn(runs: Runs, settings: Settings) -> Callable[[], None]:
    """One training step of each run, one after another: one program, called so many times and waited for each time."""
    alone = [runs.run(i) for i in range(len(runs.hyper["mu"]))]
    now = [(one.params, OPTIMIZER.init(one.params)) for one in alone]
    compiled, _ = compile_timed(_step, settings, alone[0].hyper, *now[0], runs.xs, donate=(1, 2))

    def train() -> None:
        for i, one in enumerate(alone):
            params, state, value = compiled(one.hyper, *now[i], runs.xs)
            now[i] = jax.block_until_ready((params, state, value))[:2]

    return train
