"""A kernel core in chunks of steps that fit the cache, with a backward pass written by hand.

The recurrence, for t = 1 … T. U and b are the core's kernel and bias, θ its other parameters and array leaves, r and s the states
of the drive and of the core; a reset step enters from the start, a padded step leaves with the state it entered with.

    u_t = x_t W + p_t v_0                                 all steps of a chunk at once
    (r_t, d_t) = drive(r_{t-1}, u_t)                      all steps of a chunk at once
    s' = start if reset_t else s_{t-1}                    step by step from here
    a_t = h' U + b                                        h' is the entry h of s'
    n_t = update(θ, s', a_t, d_t)
    s_t = n_t if valid_t else s'

Its tangent, a dot on a symbol. What stands in brackets needs no tangent of the state: it is one product per chunk.

    u̇_t = ẋ_t W + x_t Ẇ + ṗ_t v_0 + p_t v̇_0
    (ṙ_t, ḋ_t) = ∂drive · (ṙ_{t-1}, u̇_t)
    ṡ' = ṡtart if reset_t else ṡ_{t-1}
    ȧ_t = ḣ' U + [h' U̇ + ḃ]
    ṅ_t = ∂update · (θ̇, ṡ', ȧ_t, ḋ_t)
    ṡ_t = ṅ_t if valid_t else ṡ'

Its transpose, a bar on a symbol, for t = T … 1, is back-propagation through time. Products over a whole chunk stand in brackets.

    s̄_t = s̄_t + ȳ_t                                       ȳ_t enters at what is emitted
    n̄_t = s̄_t if valid_t else 0
    (θ̄, s̄', ā_t, d̄_t) += ∂updateᵀ · n̄_t ;  s̄' += 0 if valid_t else s̄_t
    h̄' += ā_t Uᵀ
    start̄ += s̄' if reset_t else 0 ;  s̄_{t-1} = 0 if reset_t else s̄'
    [Ū = Σ_t h'ᵀ ā_t ,  b̄ = Σ_t ā_t]
    [(r̄, ū) = ∂driveᵀ · (r̄, d̄)]
    [W̄ = Σ_t x_tᵀ ū_t ,  x̄_t = ū_t Wᵀ ,  v̄_0 = Σ_t p_t ū_t ,  p̄_t = v_0 · ū_t]

In an additive core a_t and d_t enter by their sum z_t, and ā_t = d̄_t = z̄_t. If there is also no drive after the projection
(the core is then *plain*), then z_t = [h', x_t, 1] [U; W; b], one product, and its gradient is one product too.

`linear_call` hands this transpose to JAX: forward mode, second derivatives and `vmap` work.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _compat, _masked
from momentum_rnn_jax._autodiff import linear_call
from momentum_rnn_jax.cell import CellState
from momentum_rnn_jax.cores import KernelCore
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.derivatives import combine, differentiable, floats, tangent, transpose
from momentum_rnn_jax.execution.front import Inputs, Weights
from momentum_rnn_jax.execution.resolve import Plan
from momentum_rnn_jax.execution.scan import Problem, Result
from momentum_rnn_jax.execution.steps import forward


def run(plan: Plan, problem: Problem) -> Result:
    """The sequence of a `Cell` with a `KernelCore`."""
    arranged = front.arrange(plan, problem)
    final, emitted = run_core(plan, arranged.weights, arranged.inputs, arranged.first, arranged.start)
    final = final._replace(drive=arranged.restore(final.drive))
    core = arranged.weights.core
    assert isinstance(core, KernelCore)
    outputs = getattr(emitted.core, core.output) if plan.return_states else emitted
    outputs = _masked.zero_padding(outputs, problem.masks)
    if not plan.return_states:
        return Result(final, outputs, None)
    return Result(final, outputs, emitted if arranged.drive_states is None else emitted._replace(drive=arranged.drive_states))


def run_core(plan: Plan, weights: Weights, inputs: Inputs, first: CellState, start: CellState | None) -> tuple[CellState, Any]:
    """The chunks, and then the rest of the sequence as a shorter chunk: the final state, and what every step emits."""
    time, chunk = inputs.x.shape[0], plan.chunk

    def piece(plan: Plan, inputs: Inputs, state: CellState) -> tuple[CellState, Any]:
        final, emitted = _run(plan, (weights, inputs, state, start))
        like = state if plan.return_states else inputs.x
        return _compat.from_floats((final, emitted), (state, like))

    if chunk is None or time % chunk == 0:
        return piece(plan, inputs, first)
    whole = time // chunk * chunk
    head, tail = (jax.tree.map(lambda leaf, part=part: leaf[part], inputs) for part in (slice(whole), slice(whole, None)))
    state, emitted = piece(plan, head, first)
    state, more = piece(dataclasses.replace(plan, chunk=time - whole), tail, state)
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), emitted, more)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(plan: Plan, args: Any) -> tuple[CellState, Any]:
    final, emitted, _ = forward(plan, "nothing", args)
    return _compat.as_floats((final, emitted))


@_run.defjvp
def _run_jvp(plan: Plan, primals: Any, tangents: Any) -> Any:
    (args,) = primals
    final, emitted, residuals = forward(plan, plan.residuals, args)
    tangents_out = linear_call(
        lambda given, tangents: tangent(plan, given[0], given[1], tangents),
        lambda given, cotangents: transpose(plan, given[0], given[1], *cotangents),
        (args, residuals),
        floats(differentiable(args), differentiable(tangents[0])),
    )
    outputs = _compat.as_floats((final, emitted))
    return outputs, combine(jax.tree.map(jnp.zeros_like, outputs), tangents_out)
