"""Several runs of one small training step as one program: `jax.vmap` over seeds, μ and step sizes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import momentum_rnn_jax as mr
from benchmarks import problem
from benchmarks.check import TOLERANCE, compare
from benchmarks.jax_contestant import OPTIMIZER, JaxModel, compile_timed, loss, training_step
from benchmarks.problem import Shape
from benchmarks.settings import Settings

SHAPE, RUNS = Shape(batch=32, time=100, features=8, hidden=32), (1, 4, 16, 25)
PEER = "momentum-lstm"


def _model(hyper: dict[str, jax.Array], xs: jax.Array) -> JaxModel:
    cell = mr.momentum_lstm(SHAPE.hidden, mu=hyper["mu"], step_size=hyper["step_size"])
    return JaxModel(None, lambda params, xs: mr.unroll(cell, params, xs, method="chunked")[1], xs)


def _setting(runs: int) -> tuple[dict[str, jax.Array], Any, jax.Array]:
    """Hyper-parameters and weights, with one row for each run, and the inputs they share."""
    hyper = {"mu": jnp.linspace(0.3, 0.9, runs), "step_size": jnp.linspace(1.0, 0.4, runs)}
    params = jax.vmap(lambda key: mr.lstm(SHAPE.hidden).init(key, SHAPE.features))(jax.random.split(jax.random.key(0), runs))
    return hyper, params, jnp.asarray(problem.make("momentum_lstm", SHAPE).xs)


def check(settings: Settings) -> dict[str, Any]:
    """The last of many runs is the same run by itself: what `check.check` notes of a comparison.

    Raises:
      MismatchError: its outputs or its gradients differ.
    """

    def both(hyper: Any, params: Any, xs: jax.Array) -> Any:
        model = _model(hyper, xs)
        return model.apply(params, xs), jax.grad(lambda params: loss(model, params, xs))(params)

    hyper, params, xs = _setting(RUNS[-1])
    last = jax.tree.map(lambda leaf: leaf[-1], (hyper, params))
    together, _ = compile_timed(jax.vmap(both, in_axes=(0, 0, None)), settings, hyper, params, xs)
    alone, _ = compile_timed(both, settings, *last, xs)
    of_all = jax.tree.map(lambda leaf: leaf[-1], together(hyper, params, xs))
    pairs = zip(TOLERANCE.items(), alone(*last, xs), of_all, strict=True)
    errors = {name: compare(f"a run by vmap and alone: {name}", a, b, allowed) for (name, allowed), a, b in pairs}
    return {"kind": PEER, "peers": ["alone", "by vmap"], **errors}


def call(runs: int, settings: Settings) -> Callable[[], None]:
    """One training step of all the runs."""
    hyper, params, xs = _setting(runs)

    def step(hyper: Any, params: Any, state: Any, xs: jax.Array) -> Any:
        return training_step(_model(hyper, xs))(params, state, xs)

    state = jax.vmap(OPTIMIZER.init)(params)
    compiled, _ = compile_timed(jax.vmap(step, (0, 0, 0, None)), settings, hyper, params, state, xs, donate=(1, 2))

    def train() -> None:
        nonlocal params, state
        params, state, value = compiled(hyper, params, state, xs)
        jax.block_until_ready((params, state, value))

    return train
