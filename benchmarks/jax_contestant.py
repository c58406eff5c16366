"""JAX models as contestants: each is compiled in the same way, whoever wrote it."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.contestant import DECAY, INFERENCE, LEARNING_RATE, TRAINING, Ready
from benchmarks.settings import Settings

OPTIMIZER = optax.rmsprop(LEARNING_RATE, DECAY)


class JaxModel(NamedTuple):
    """`apply(params, xs)` gives the hidden states; `to_ours` turns gradients of its params into gradients of the library's.

    `time_axis` is where inputs and outputs have time: every peer is fed the layout it likes best.
    """

    params: Any
    apply: Callable[[Any, jax.Array], jax.Array]
    xs: jax.Array
    to_ours: Callable[[Any], dict[str, dict[str, Any]]] = lambda gradients: gradients
    time_axis: int = 0


def loss(model: JaxModel, params: Any, xs: jax.Array) -> jax.Array:
    """The mean square of the last hidden state."""
    last = jax.lax.index_in_dim(model.apply(params, xs), -1, model.time_axis, keepdims=False)
    return jnp.mean(last**2)


def training_step(model: JaxModel) -> Callable[[Any, Any, jax.Array], tuple[Any, Any, jax.Array]]:
    """`(params, optimiser state, xs) -> (params, optimiser state, loss)`."""

    def step(params: Any, state: Any, xs: jax.Array) -> tuple[Any, Any, jax.Array]:
        value, gradients = jax.value_and_grad(lambda params: loss(model, params, xs))(params)
        updates, state = OPTIMIZER.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    return step


def compile_timed(function: Callable[..., Any], settings: Settings, *arguments: Any, donate: Any = ()) -> tuple[Any, float]:
    """The compiled function, and the seconds that tracing and compiling took; arrays may be `jax.ShapeDtypeStruct`s."""
    start = time.perf_counter()
    compiled = jax.jit(function, donate_argnums=donate).lower(*arguments).compile(compiler_options=settings.xla_options)
    return compiled, time.perf_counter() - start


class JaxContestant:
    """A JAX model under `jax.jit`, with parameters and optimiser state donated to the training step."""

    def __init__(self, model: JaxModel, settings: Settings):
        self.model, self.settings = model, settings

    def ready(self, mode: str) -> Ready:
        return {TRAINING: self._ready_to_train, INFERENCE: self._ready_to_infer}[mode]()

    def outputs(self) -> np.ndarray:
        hs = self._inference[0](self.model.params, self.model.xs)
        return np.moveaxis(np.asarray(hs), self.model.time_axis, 0)

    def gradients(self) -> dict[str, dict[str, Any]]:
        gradient = jax.grad(lambda params, xs: loss(self.model, params, xs))
        compiled, _ = compile_timed(gradient, self.settings, self.model.params, self.model.xs)
        return jax.device_get(self.model.to_ours(compiled(self.model.params, self.model.xs)))

    def compile_training(self, time_steps: int) -> float:
        """The seconds it takes to compile the training step for a sequence of that length."""
        shape = list(self.model.xs.shape)
        shape[self.model.time_axis] = time_steps
        xs = jax.ShapeDtypeStruct(shape, self.model.xs.dtype)
        params, state = self.model.params, jax.eval_shape(OPTIMIZER.init, self.model.params)
        return compile_timed(training_step(self.model), self.settings, params, state, xs, donate=(0, 1))[1]

    @cached_property
    def _inference(self) -> tuple[Any, float]:
        return compile_timed(lambda params, xs: self.model.apply(params, xs), self.settings, self.model.params, self.model.xs)

    def _ready_to_infer(self) -> Ready:
        compiled, seconds = self._inference
        return Ready(lambda: jax.block_until_ready(compiled(self.model.params, self.model.xs)), seconds)

    def _ready_to_train(self) -> Ready:
        params = jax.tree.map(jnp.copy, self.model.params)  # the step consumes what it is given
        state, xs = OPTIMIZER.init(params), self.model.xs
        compiled, seconds = compile_timed(training_step(self.model), self.settings, params, state, xs, donate=(0, 1))

        def call() -> None:
            nonlocal params, state
            params, state, value = compiled(params, state, xs)
            jax.block_until_ready((params, state, value))

        return Ready(call, seconds)
