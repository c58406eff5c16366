"""`jax.export`: a cell for any batch and any length, stored as bytes and loaded, gives the same results and states."""

import jax
import jax.export
import jax.numpy as jnp
import optax
import pytest

import momentum_rnn_jax as mr
from tests.flax_cells import random_like
from tests.registry import assert_close

F = 3
CELLS = {  # one of each kind of state, in front of one of each kind of core
    "lstm": mr.lstm(4),
    "momentum_lstm": mr.momentum_lstm(4),
    "adam_gru": mr.adam_gru(4, eps=0.1),
    "rmsprop_rnn": mr.rmsprop_rnn(4, eps=0.1),
    "nesterov_rnn": mr.nesterov_rnn(4),
    "momentum_dtriv": mr.momentum_dtriv(4),
    "released_nesterov": mr.ReleasedNesterovLSTM(mr.LSTM(4)),
}
SHAPES = {"batch": ("5", "b", (5, 2)), "time": ("t", "3", (7, 3)), "batch_and_time": ("t", "b", (6, 2))}


def arguments(cell, time, batch, masks):
    """For sizes that may be symbolic."""
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), F))
    state = jax.eval_shape(lambda params: cell.initial_state(params, (1,)), params)
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype), state)
    sequence = {"resets": jax.ShapeDtypeStruct((time, batch), bool), "seq_lengths": jax.ShapeDtypeStruct((batch,), jnp.int32)}
    return params, jax.ShapeDtypeStruct((time, batch, F), jnp.float32), state, sequence if masks else {}


def values(shapes):
    """Arrays of these shapes: floats positive, all lengths two, every other step a reset."""
    return random_like(jax.tree.map(lambda s: jnp.arange(s.size).reshape(s.shape) % 2 == 1 if s.dtype == bool else s, shapes))


def exported(function, *shapes):
    return jax.export.deserialize(jax.export.export(jax.jit(function))(*shapes).serialize())


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        pytest.param(name, sizes, marks=() if sizes == "batch_and_time" or name == "momentum_lstm" else pytest.mark.exhaustive)
        for name in CELLS
        for sizes in SHAPES
    ],
)
def test_unroll_with_symbolic_sizes(name, sizes):
    cell = CELLS[name]
    *symbols, concrete = SHAPES[sizes]
    time, batch = jax.export.symbolic_shape(",".join(symbols))
    masks = name in ("momentum_lstm", "nesterov_rnn")

    def run(params, xs, state, masks):
        return mr.unroll(cell, params, xs, state, **masks), mr.unroll(cell, params, xs, **masks)

    given = values(arguments(cell, *concrete, masks))
    assert_close(exported(run, *arguments(cell, time, batch, masks)).call(*given), jax.jit(run)(*given), 1e-5)


def test_an_associative_scan_of_symbolic_length_is_refused(monkeypatch):
    cell = mr.Cell(mr.MinGRU(4), mr.Momentum())
    time, batch = jax.export.symbolic_shape("t, b")
    params, xs, *_ = arguments(cell, time, batch, masks=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert mr.explain(cell, params, xs).startswith("stepwise: the number of steps is symbolic")
    with pytest.raises(ValueError, match="method must not be 'associative' here: the number of steps is symbolic"):
        mr.explain(cell, params, xs, method="associative")
    params, xs, *_ = arguments(cell, 5, batch, masks=False)
    assert mr.explain(cell, params, xs).startswith("associative: ")


def test_a_step_with_a_symbolic_batch():
    cell = mr.momentum_lstm(4)
    (batch,) = jax.export.symbolic_shape("b")
    params, xs, state, _ = arguments(cell, 1, batch, masks=False)
    loaded = exported(cell.step, params, state, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))
    params, xs, state, _ = values(arguments(cell, 1, 3, masks=False))
    assert_close(loaded.call(params, state, xs[0]), jax.jit(cell.step)(params, state, xs[0]), 1e-6)


def test_an_initial_state_of_a_symbolic_batch():
    cell = mr.momentum_lstm(4)
    (batch,) = jax.export.symbolic_shape("b")
    params, xs, _, _ = arguments(cell, 1, batch, masks=False)
    loaded = exported(lambda params, xs: cell.initial_state(params, xs.shape[1:-1]), params, xs)
    params, xs, _, _ = values(arguments(cell, 1, 3, masks=False))
    assert_close(loaded.call(params, xs), cell.initial_state(params, (3,)), 0)


def test_the_states_of_optax_are_a_users_to_register():
    cell = mr.Cell(mr.LSTM(4), mr.OptaxDrive(optax.trace(0.5)))
    (batch,) = jax.export.symbolic_shape("b")
    shapes = arguments(cell, 3, batch, masks=False)[:2]
    outputs = exported(lambda params, xs: mr.unroll(cell, params, xs)[1], *shapes)
    params, xs = values(arguments(cell, 3, 2, masks=False)[:2])
    assert_close(outputs.call(params, xs), mr.unroll(cell, params, xs)[1], 1e-5)
