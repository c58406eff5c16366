"""The forward pass of a kernel core in chunks, and what the backward pass stores of it.

The symbols are those of `chunked`, which derives the recurrence and its derivatives.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _compat, _masked
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import KernelCore, WithoutProduct, affine, rest
from momentum_rnn_jax.drives import Identity
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.front import Inputs, Weights
from momentum_rnn_jax.execution.resolve import Plan


class Residuals(NamedTuple):
    """What the forward pass stores of every chunk: the drive's and the core's state before it, its core states, its gates."""

    drive: Any
    first: Any
    states: Any
    pre: Any


def forward(plan: Plan, args: Any, store: str) -> tuple[tuple[CellState, Any], Residuals | None]:
    """The final state and what every step emits (outputs or states), all as floats; and what the backward pass needs."""
    weights, inputs, state, start = args

    def chunk(state: CellState, inputs: Inputs) -> tuple[CellState, tuple[Residuals, Any]]:
        drive, d, drives = state.drive, None, state.drive if plan.return_states else None
        if not plan.merged:
            us = front.project(weights, inputs.x, inputs.p)
            drive, d, drives = front.apply_drive(plan, weights.drive, drive, us, start and start.drive, inputs.masks)
        last, (states, pre) = core_steps(plan, store, weights, state.core, inputs, d, start)
        return CellState(drive, last), (Residuals(state.drive, state.core, states, pre), drives)

    final, (kept, drives) = jax.lax.scan(chunk, state, chunks(plan, inputs))
    states = jax.tree.map(joined, kept.states)
    emitted = CellState(jax.tree.map(joined, drives), states) if plan.return_states else getattr(states, weights.core.output)
    outputs = _compat.as_floats((final, emitted))
    if store == "nothing":
        return outputs, None
    return outputs, kept._replace(states=None) if store == "checkpoints" else kept


def core_steps(
    plan: Plan, store: str, weights: Weights, state: Any, inputs: Inputs, d: Array | None, start: CellState | None
) -> tuple[Any, Any]:
    """The core over a chunk: its state after it, and of every step the state (or only its output) and the pre-activations."""
    core, params = weights.core, WithoutProduct(rest(weights.params))
    assert isinstance(core, KernelCore)
    every = plan.return_states or store in ("pre_activations", "states")
    source = inputs.x if d is None else d
    if d is None:  # the inputs are projected with the state
        merged = merged_params(weights)

    def step(carry: tuple[Any, Array], step_inputs: Any) -> tuple[Any, Any]:
        state, now = carry
        later, noise, masks = step_inputs
        state = _masked.enter(state, start and start.core, masks)
        if d is None:
            pre: tuple[Array, ...] = (affine(merged, jnp.concatenate([state.h, now], axis=-1)),)
        else:
            pre = core.pre_activations(affine(weights.params, state.h), now)
        new = core.update(params, state, *pre, **({} if noise is None else {"noise": noise}))
        new = _masked.leave(new, state, masks)
        emitted = new
        if not every:
            emitted = type(new)(*(y if name == core.output else None for name, y in zip(new._fields, new, strict=True)))
        following = jax.lax.dynamic_index_in_dim(source, later, keepdims=False)
        return (new, following), (emitted, pre if store == "pre_activations" else None)

    # XLA vectorises the element-wise code on the CPU only where it reads whole buffers: the next slice travels with the state.
    later = jnp.minimum(jnp.arange(1, source.shape[0] + 1), source.shape[0] - 1)
    (state, _), emitted = jax.lax.scan(step, (state, source[0]), (later, inputs.noise, inputs.masks))
    return state, emitted


def entering(
    plan: Plan, weights: Weights, inputs: Inputs, residuals: Residuals, d: Array, start: CellState | None
) -> tuple[Any, Any]:
    """Of every step of a chunk: the core's state s' that it enters with, and its pre-activations."""
    states, pre = residuals.states, residuals.pre
    if plan.residuals == "checkpoints":
        _, (states, pre) = core_steps(plan, "pre_activations", weights, residuals.first, inputs, d, start)
    states = jax.tree.map(lambda one, all: jnp.concatenate([one[jnp.newaxis], all[:-1]]), residuals.first, states)
    entered = states
    if start is not None:
        entered = _masked.enter(states, jax.tree.map(lambda leaf: leaf[jnp.newaxis], start.core), inputs.masks)
    if plan.residuals == "states":
        if is_plain(weights):
            z = affine(merged_params(weights), jnp.concatenate([entered.h, inputs.x], axis=-1))
            if inputs.p is not None and weights.velocity is not None:
                z = z + inputs.p * weights.velocity[jnp.newaxis]
            return entered, (z,)
        assert isinstance(weights.core, KernelCore)
        pre = weights.core.pre_activations(affine(weights.params, entered.h), d)
    return entered, pre


def merged_params(weights: Weights) -> dict[str, Array]:
    """The core's parameters with the kernel `[U; W]`, for one product with `[h', x_t]`."""
    return {**weights.params, "kernel": jnp.concatenate([weights.params["kernel"], weights.input])}


def is_plain(weights: Weights) -> bool:
    """Whether z_t = [h', x_t, 1] [U; W; b]."""
    assert isinstance(weights.core, KernelCore)
    return weights.core.additive and type(weights.drive) is Identity


def chunks(plan: Plan, tree: Any) -> Any:
    """(time, …) -> (chunks, chunk, …)."""
    if plan.chunk is None:
        return jax.tree.map(lambda leaf: leaf[jnp.newaxis], tree)
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] // plan.chunk, plan.chunk, *leaf.shape[1:]), tree)


def split(tree: Any, at: Any) -> tuple[Any, Any]:
    """The steps before `at`, and those from it on."""
    return jax.tree.map(lambda leaf: leaf[:at], tree), jax.tree.map(lambda leaf: leaf[at:], tree)


def joined(leaf: Array) -> Array:
    """(chunks, chunk, …) -> (time, …)."""
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])
