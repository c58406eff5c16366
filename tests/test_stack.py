"""A stack of cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax.stack import unroll_layers
from tests.new_cores import close, normal

STACK = mr.Stack(
    [
        mr.Cell(mr.LSTM(5, projection_features=3), mr.Momentum()),
        mr.Cell(mr.Zoneout(mr.GRU(4), 0.5)),
        mr.Cell(mr.MinGRU(2), mr.Nesterov(restart=2)),
    ]
)


@pytest.fixture
def problem(float64):
    params = normal(STACK.init(jax.random.key(0), in_features=3), 0)
    state = STACK.initial_state(params, (2,))
    return params, state, normal(jnp.zeros((4, 2, 3)), 1), STACK.sample_noise(jax.random.key(2), (4, 2))


def test_init_has_the_declared_shapes_and_sizes_follow_from_the_cells_below(problem):
    params, _, _, noise = problem
    assert jax.tree.map(lambda leaf: leaf.shape, params) == STACK.param_shapes(3)
    assert [p["input"]["kernel"].shape[0] for p in params] == [3, 3, 4]
    assert STACK.output_features == 2
    assert [n is None for n in noise] == [True, False, True]
    assert mr.Stack([mr.gru(3)]).sample_noise(jax.random.key(0), (4,)) is None
    kernels = [p["input"]["kernel"] for p in mr.Stack([mr.rnn(3), mr.rnn(3)]).init(jax.random.key(0), 3)]
    assert not np.array_equal(*kernels)


def test_a_step_is_a_step_of_each_cell_and_layers_are_run_one_after_another(problem):
    params, state, xs, noise = problem
    step, unroll = jax.jit(STACK.step), jax.jit(lambda *args, **more: unroll_layers(mr.unroll, STACK, *args, **more))
    for given in (noise, None):
        now, ys = state, []
        for t, x in enumerate(xs):
            now, y = step(params, now, x, jax.tree.map(lambda leaf, t=t: leaf[t], given))
            ys.append(y)
        close(unroll(params, xs, state, noise=given), (now, jnp.stack(ys)))
    close(unroll(params, xs), (now, jnp.stack(ys)))

    final, _, states = unroll_layers(mr.unroll, STACK, params, xs, return_states=True)
    close(jax.tree.map(lambda leaf: leaf[-1], states), final)

    s, y = state, xs[0]
    by_hand = []
    for cell, p, one in zip(STACK.cells, params, s, strict=True):
        one, y = cell.step(p, one, y)
        by_hand.append(one)
    close(step(params, state, xs[0], None), (tuple(by_hand), y), 1e-15)


def test_reset_state_goes_back_to_the_start_where_the_mask_says(problem):
    params, start, *_ = problem
    random = normal(jax.tree.map(jnp.asarray, [(s.core, s.drive.velocity) for s in start[::2]]), 3)
    state = (
        mr.CellState(start[0].drive._replace(velocity=random[0][1]), random[0][0]),
        start[1],
        mr.CellState(start[2].drive._replace(velocity=random[1][1]), random[1][0]),
    )
    reset = STACK.reset_state(params, state, jnp.array([True, False]))
    for index, expected in ((0, start), (1, state)):
        close(*(jax.tree.map(lambda leaf, i=index: leaf[i], tree) for tree in (reset, expected)), 0)


def test_a_stack_is_a_pytree_of_its_cells_hyper_parameters():
    assert jax.tree.leaves(STACK) == jax.tree.leaves(STACK.cells)
    assert jax.tree.map(lambda leaf: leaf, STACK) == STACK


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="cells must be a tuple or list of cells, got Cell"):
        mr.Stack(mr.gru(3))
    with pytest.raises(TypeError, match=r"cells\[1\] must be an instance of RecurrentCell"):
        mr.Stack([mr.gru(3), mr.GRU(3)])
    with pytest.raises(ValueError, match="cells must be at least one cell, got none"):
        mr.Stack([])
    stack = mr.Stack([mr.gru(3), mr.rnn(2)])
    params = stack.init(jax.random.key(0), 4)
    state, x = stack.initial_state(params), jnp.ones(4)
    other = mr.rnn(2).init(jax.random.key(0), 5)
    with pytest.raises(ValueError, match=r"params\[1\]\['input'\]\['kernel'\] must have shape \(3, 2\), got \(5, 2\)"):
        stack.step((params[0], other), state, x)
    with pytest.raises(ValueError, match="params must be a tuple with an entry for each of the 2 cells, got 1 entries"):
        stack.step(params[:1], state, x)
    with pytest.raises(ValueError, match="state must be a tuple with an entry for each of the 2 cells, got 3 entries"):
        stack.step(params, (*state, state[0]), x)
    with pytest.raises(ValueError, match="noise must be a tuple with an entry for each of the 2 cells, got dict"):
        stack.step(params, state, x, noise={})
    with pytest.raises(ValueError, match="x has 3 features"):
        stack.step(params, state, x[:3])
    with pytest.raises(TypeError, match="in_features must be an integer of at least 1"):
        stack.init(jax.random.key(0), None)
