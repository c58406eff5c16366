"""The hand-written transpose is the adjoint of the tangent, ⟨w, T v⟩ = ⟨Tᵀ w, v⟩, and `linear_call` uses it in every mode."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax._autodiff import linear_call
from momentum_rnn_jax._masked import Masks
from momentum_rnn_jax.execution import front
from momentum_rnn_jax.execution.derivatives import differentiable, floats, tangent, transpose
from momentum_rnn_jax.execution.scan import Problem
from momentum_rnn_jax.execution.steps import forward
from tests.registry import CELLS, HIDDEN, assert_close, problem
from tests.user_cores import CORES

EACH = {
    "momentum-lstm": CELLS["momentum-lstm"],
    "adam-gru": CELLS["adam-gru"],
    "scheduled_restart-orthogonal": CELLS["scheduled_restart-orthogonal"],
    "projected": mr.Cell(mr.LSTM(HIDDEN, projection_features=3), mr.Momentum()),
    "starts_at_leaf": mr.Cell(CORES["starts_at_leaf"], mr.Momentum()),
}
RESIDUALS = ("pre_activations", "states", "checkpoints")
CASES = [
    (name, RESIDUALS[i % 3], masked, states)
    for i, (name, (masked, states)) in enumerate(itertools.product(EACH, [(False, False), (True, False), (True, True)]))
]


def random_like(tree, seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), tree)


def inner(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize(("name", "residuals", "masked", "states"), CASES)
def test_the_transpose_is_the_adjoint_of_the_tangent(float64, name, residuals, masked, states):
    cell = EACH[name]
    params, xs, state, _ = problem(cell, time=4)
    resets, valid = jnp.zeros((4, 3), bool).at[2, 1].set(True), jnp.arange(4)[:, None] < jnp.array([[4, 3, 0]])
    plan = mr.resolve(cell, params, xs, state, "chunked", return_states=states, resets=resets if masked else None).plan
    plan = dataclasses.replace(plan, chunk=2, residuals=residuals)

    @jax.jit
    def products(cell, params, xs, state):
        prepared = cell.prepare(params)
        masks = Masks(resets, valid) if masked else Masks()
        arranged = front.arrange(plan, Problem(cell, prepared, xs, state, cell.start(prepared, (3,)), None, masks))
        args = (arranged.weights, arranged.inputs, arranged.first, arranged.start)
        kept = forward(plan, args, plan.residuals)[1]
        v = random_like(floats(differentiable(args)), 1)
        out = tangent(plan, args, kept, v)
        w = random_like(out, 2)
        return inner(w, out), inner(transpose(plan, args, kept, *w), v)

    one, other = products(cell, params, xs, state)
    assert abs(one - other) <= 1e-12 * max(1.0, abs(one))


def scaled(factor):
    """`a ⊙ x`, whose transpose is said to be `factor` times what it is."""
    return lambda a, x: linear_call(lambda a, x: a * x, lambda a, ct: factor * a * ct, a, x)


def test_linear_call_uses_the_function_forwards_and_the_transpose_backwards(float64):
    a, x = jnp.array([2.0, 3.0]), jnp.array([0.5, 0.7])
    right, telling = scaled(1.0), scaled(10.0)
    assert_close(right(a, x), a * x, 0)
    assert_close(jax.jvp(lambda x: telling(a, x), (x,), (jnp.ones(2),))[1], a, 0)
    assert_close(jax.grad(lambda x: telling(a, x).sum())(x), 10 * a, 0)
    # With respect to the residuals, the function is differentiated.
    assert_close(jax.grad(lambda a: right(a, x).sum())(a), x, 0)
    assert_close(jax.jvp(lambda a: telling(a, x), (a,), (jnp.ones(2),))[1], x, 0)


def test_linear_call_has_second_derivatives_and_maps(float64):
    a, x = jnp.array([2.0, 3.0]), jnp.array([0.5, 0.7])

    def f(a, x):
        return jnp.sum(scaled(1.0)(jnp.sin(a), x) ** 2)

    def plain(a, x):
        return jnp.sum((jnp.sin(a) * x) ** 2)

    for outer in (jax.jacfwd, jax.jacrev):
        assert_close(outer(jax.grad(f, (0, 1)), (0, 1))(a, x), outer(jax.grad(plain, (0, 1)), (0, 1))(a, x), 1e-14)
    many = jnp.stack([x, 2 * x, 3 * x])
    for axes, arguments in (((None, 0), (a, many)), ((0, None), (many, x))):
        assert_close(jax.vmap(jax.grad(f, (0, 1)), axes)(*arguments), jax.vmap(jax.grad(plain, (0, 1)), axes)(*arguments), 1e-14)
