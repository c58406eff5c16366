"""Any functional cell as a module, in NNX and in Linen: variables, noise, initial states, the states of every step, refusals."""

import dataclasses
from typing import ClassVar

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import TOLERANCE, F, H, T, inputs, make
from tests.registry import assert_close


@mr.pytree_dataclass
class Feedback(mr.RecurrentCell):
    """A cell whose drive sees the hidden state."""

    core: mr.Core
    gain: float = 0.3

    def initial_drive_state(self, u):
        return mr.IdentityState()

    def advance(self, prepared, state, x, noise=None):
        d = self.project(prepared, x) + mr.align("gain", self.gain, x) * state.core.h
        core_state, h = self.core.step(prepared["core"], state.core, d)
        return mr.CellState(state.drive, core_state), h


@mr.pytree_dataclass
class HalfTrained(mr.Elman):
    """A core that declares which of its parameters is not trained."""

    untrained: ClassVar[tuple[str, ...]] = ("bias",)


CHAIN = mr.Chain(mr.Momentum(0.1), mr.Momentum(0.9, 0.2))
CELLS = {
    "released": mr.ReleasedNesterovLSTM(mr.LSTM(H), step_size=0.5, restart=3),
    "feedback": Feedback(mr.Elman(H)),
    "chain": mr.Cell(mr.Leaky(H, activation="sigmoid"), CHAIN),
    "linear": mr.Cell(mr.MinGRU(H), mr.Momentum()),
    "trained start": mr.Cell(mr.LSTM(H), mr.Adam(eps=0.1), trainable_initial_state=True),
    "half trained": mr.Cell(HalfTrained(H), mr.RMSProp(eps=0.1)),
}


def nnx_cell(name, **options):
    cell = CELLS[name] if isinstance(name, str) else name
    return mnnx.RecurrentCell(cell, F, rngs=nnx.Rngs(0, dropout=1), **options)


def moved(params):
    """Parameters of which none is zero, so that a trained initial state is not."""
    return jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params)


@pytest.mark.parametrize("name", CELLS)
def test_a_module_computes_what_its_cell_does(name):
    """Outputs, carry, states and gradients, of a layer in NNX and in Linen and of `unroll`."""
    cell, xs = CELLS[name], inputs(2, T, F)
    module, in_linen = mnnx.RNN(nnx_cell(name)), mlinen.RNN(mlinen.RecurrentCell(cell))
    variables = jax.eval_shape(in_linen.init, jax.random.key(0), xs)
    params = moved(module.cell.functional()[1])
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, {part: {} for part in params} | variables["params"]["cell"])

    def of_module(params, xs):
        graph, state, rest = nnx.split(module, (nnx.Param, mnnx.Frozen), ...)
        state = nnx.clone(state)
        nnx.replace_by_pure_dict(state, {"cell": {part: values for part, values in params.items() if values}})
        return nnx.merge(graph, state, rest, copy=True)(xs, return_carry=True, return_states=True)

    def of_linen(params, xs):
        return in_linen.apply({"params": {"cell": params}}, xs, return_carry=True, return_states=True)

    def of_cell(params, xs):
        return mr.unroll(cell, params, xs, time_major=False, return_states=True)

    @jax.jit
    def run(params, xs):
        def with_gradients(f):
            def loss(params, xs):
                results = f(params, xs)
                return jnp.sum(jnp.cos(results[1])) + jnp.sum(results[2].core.h ** 2), results

            return jax.value_and_grad(loss, has_aux=True)(params, xs)

        return [with_gradients(f) for f in (of_module, of_linen, of_cell)]

    (*ours, expected), initial = run(params, xs), params.get("initial", {})
    for result in ours:
        assert_close(result, expected, TOLERANCE)
    assert all(np.abs(expected[1]["initial"][part]).min() > 0 for part in initial)


def test_variables_are_named_by_their_paths_in_the_cell():
    def named(name, kind):
        return {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(nnx_cell(name), kind))}

    drives = {"drive.drives.0.mu", "drive.drives.0.step_size", "drive.drives.1.mu", "drive.drives.1.step_size"}
    assert named("chain", mnnx.Hyperparameter) == {*drives, "core.tau", "core.dt"}
    assert named("released", mnnx.Hyperparameter) == {"step_size"}
    assert named("half trained", mnnx.Frozen) == {"core.bias"}
    assert named("half trained", nnx.Param) == {"input.kernel", "input.bias", "core.kernel"}
    assert {"initial.c", "initial.h"} < named("trained start", nnx.Param)
    cell = nnx_cell("chain")
    assert (cell.drive.drives[0].mu[...], cell.drive.drives[1].mu[...]) == (np.float32(0.1), np.float32(0.9))
    cell.drive.drives[1].mu[...] = jnp.array(0.3)
    assert [drive.mu.item() for drive in cell.effective.drive.drives] == [np.float32(0.1), np.float32(0.3)]


def test_named_linen_cells_are_classes_with_fields():
    cell = mlinen.MomentumLSTMCell(H, mu=0.3)
    assert type(cell) is mlinen.MomentumLSTMCell
    assert isinstance(cell, mlinen.RecurrentCell | flax.linen.RNNCellBase)
    assert (cell.features, cell.mu, cell.step_size, cell.cell.drive.mu) == (H, 0.3, 0.6, 0.3)
    assert {"features", "mu", "step_size", "learnable", "dtype"} < {field.name for field in dataclasses.fields(cell)}
    other = cell.copy(mu=0.5)
    assert (other.mu, other.cell.drive.mu, other.features) == (0.5, 0.5, H)
    assert isinstance(make("MomentumLSTMCell"), mnnx.RecurrentCell | nnx.RNNCellBase)


INITIAL = {"h": 0.5, "v": 0.0}  # of a leaky core with a sigmoid


def test_the_first_carry_is_the_initial_state():
    leaky, shape = CELLS["chain"], (2, F)
    for carry in (nnx_cell(leaky).initialize_carry(shape), mlinen.RecurrentCell(leaky).initialize_carry(None, shape)):
        assert_close(carry, leaky.initial_state(leaky.init(jax.random.key(0), F, jnp.float32), (2,)), 0)
        assert {name: leaf.max() for name, leaf in carry.core._asdict().items()} == INITIAL
    cell = nnx_cell("trained start")
    cell.initial.h[...] = jnp.arange(4.0)
    assert_close(cell.initialize_carry(shape).core.h, jnp.broadcast_to(jnp.arange(4.0), (2, H)), 0)
    # Linen's has no variables to take it from.
    assert not mlinen.RecurrentCell(CELLS["trained start"]).initialize_carry(None, shape).core.h.any()


def test_states_in_every_mode_of_a_layer():
    rnn, xs, lengths = mnnx.RNN(make("MomentumLSTMCell")), inputs(2, T, F), jnp.array([T, 3])
    other = mnnx.RNN(mnnx.GRUCell(H, H, rngs=nnx.Rngs(1)))
    both = mnnx.Bidirectional(rnn, mnnx.RNN(make("GRUCell")), merge_fn=lambda ahead, back: ahead)
    stack = mnnx.Stack([both, other])

    @nnx.jit
    def run(rnn, stack):
        options = {"return_carry": True, "return_states": True, "seq_lengths": lengths}
        modes = {"forwards": {}, "backwards": {"reverse": True}, "in order": {"reverse": True, "keep_order": True}}
        results = {mode: rnn(xs, **options, **more) for mode, more in modes.items()}
        results["time first"] = rnn(xs.swapaxes(0, 1), time_major=True, **options)
        return results, stack(xs, **options), stack(xs, return_states=True)

    results, (carry, ys, states), without_carry = run(rnn, stack)
    for mode, (final, outputs, states_of_rnn) in results.items():
        axis = 0 if mode == "time first" else 1
        assert_close(jnp.moveaxis(states_of_rnn.core.h, axis, 1)[0], jnp.moveaxis(outputs, axis, 1)[0], 0)
        last = -1 if mode != "in order" else 0
        assert_close(jnp.moveaxis(states_of_rnn.core.c, axis, 1)[0, last], final.core.c[0], 0)
    assert_close(results["time first"][2].drive.velocity.swapaxes(0, 1), results["forwards"][2].drive.velocity, TOLERANCE)
    assert_close(results["in order"][2].core.h[1, :3], results["backwards"][2].core.h[1, :3][::-1], 0)
    (ahead, _), above = states
    assert_close(ahead, results["forwards"][2], TOLERANCE)
    assert_close(above.core.h[0], ys[0], 0)
    assert jax.tree.structure(carry) == jax.tree.structure(states)
    assert len(without_carry) == 2


NOISY = mr.Cell(mr.Zoneout(mr.LSTM(H), rate=0.5), mr.Momentum())
QUIET = {"deterministic": True}


def test_noise_in_nnx():
    rnn, xs = mnnx.RNN(nnx_cell(NOISY)), inputs(2, T, F)
    cell, params = rnn.cell.functional()

    @nnx.jit
    def run(rnn, xs):
        return rnn(xs), rnn(xs), nnx.view(rnn, deterministic=True)(xs)

    one, other, viewed = run(rnn, xs)
    assert not np.array_equal(one, other)
    key = nnx.Rngs(0, dropout=1)["dropout"].fork()()
    noise = cell.sample_noise(key, (T, 2), jnp.float32)
    assert_close(one, mr.unroll(cell, params, xs.swapaxes(0, 1), noise=noise)[1].swapaxes(0, 1), TOLERANCE)
    quiet = mr.unroll(cell, params, xs, time_major=False)[1]
    assert_close(viewed, quiet, TOLERANCE)
    rnn.eval()
    assert_close(rnn(xs), quiet, TOLERANCE)
    carry = rnn.cell.initialize_carry((2, F))
    assert_close(rnn.cell(carry, xs[:, 0]), rnn.cell(carry, xs[:, 0]), 0)
    rnn.train()
    steps = [rnn.cell(carry, xs[:, 0])[1] for _ in range(2)]
    assert not np.array_equal(*steps)
    assert_close(mnnx.RNN(nnx_cell(NOISY, **QUIET))(xs), quiet, TOLERANCE)
    assert make("LSTMCell").rngs is None  # a cell without noise holds no random state


def test_a_step_by_itself_drops_other_units_for_every_example():
    """Recurrent dropout shares a mask along the first axis of its noise, which is time and must not be the batch."""
    cell = nnx_cell(mr.Cell(mr.RecurrentDropout(mr.Elman(64), rate=0.5)))
    carry, _ = cell(cell.initialize_carry((2, F)), jnp.ones((2, F)))
    dropped = carry.core.h == 0
    assert 0 < dropped.mean() < 1
    assert not np.array_equal(dropped[0], dropped[1])


def test_noise_in_linen():
    rnn, xs = mlinen.RNN(mlinen.RecurrentCell(NOISY)), inputs(2, T, F)
    variables = rnn.init(jax.random.key(0), xs, deterministic=True)
    cell, params = rnn.bind(variables).cell.functional(F)

    @jax.jit
    def run(variables, key):
        stack = mlinen.Stack([rnn.copy(name=None), mlinen.RNN(mlinen.GRUCell(H))])
        above = stack.init(key, xs, deterministic=True)
        return (
            [rnn.apply(variables, xs, deterministic=False, rngs={"dropout": k}) for k in jax.random.split(key)],
            rnn.apply(variables, xs, deterministic=True),
            [stack.apply(above, xs, deterministic=False, rngs={"dropout": k}) for k in jax.random.split(key)],
        )

    noisy, quiet, stacked = run(variables, jax.random.key(1))
    assert not np.array_equal(*noisy)
    assert not np.array_equal(*stacked)
    assert_close(quiet, mr.unroll(cell, params, xs, time_major=False)[1], TOLERANCE)
    silent = mlinen.RNN(mlinen.RecurrentCell(NOISY, **QUIET))
    assert_close(silent.apply(variables, xs), quiet, TOLERANCE)
    in_stock = flax.linen.RNN(mlinen.RecurrentCell(NOISY, deterministic=False), split_rngs={"params": False, "dropout": True})
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        one, other = (in_stock.apply(variables, xs, rngs={"dropout": jax.random.key(seed)}) for seed in (0, 1))
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match=r'"deterministic" must be passed to the constructor or at call time'):
        rnn.apply(variables, xs)


class Clipped(mnnx.CellModule):
    """A module of a user's own."""

    def __init__(self, cell):
        self.cell = cell

    def functional(self):
        cell, params = self.cell.functional()
        return cell, jax.tree.map(lambda leaf: jnp.clip(leaf, -0.1, 0.1), params)

    def noise_key(self):
        return self.cell.noise_key()

    @property
    def compute_dtype(self):
        return self.cell.compute_dtype


def test_a_module_of_a_users_own():
    module, xs = Clipped(nnx_cell(NOISY)), inputs(2, T, F)
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(module.functional()[1])) == np.float32(0.1)
    rnn = mnnx.RNN(module)
    assert not np.array_equal(rnn(xs), rnn(xs))
    table = nnx.tabulate(rnn, xs)
    assert "Total Parameters" in table
    assert "functional" not in table
    with pytest.raises(TypeError, match=r"abstract methods? .*functional"):
        type("Nothing", (mnnx.CellModule,), {})()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mnnx.RNN(make("LSTMCell"), remat="x"), ValueError, "remat must be one of 'auto', 'none', got 'x'"),
        (lambda: mlinen.RNN(mlinen.LSTMCell(H), remat="x"), ValueError, "remat must be one of 'auto', 'none', got 'x'"),
        (lambda: mlinen.RNN(mlinen.LSTMCell(H), method="fast"), ValueError, "method must be one of"),
        (lambda: mnnx.RNN(make("LSTMCell"), reverse=1), TypeError, "reverse must be True or False, got 1"),
        (lambda: mlinen.RNN(mlinen.LSTMCell(H), time_major="no"), TypeError, "time_major must be True or False, got 'no'"),
        (
            lambda: mnnx.RNN(make("LSTMCell"))(inputs(2, T, F), time_major=jnp.array(True)),
            TypeError,
            r"time_major must be True or False, got bool of shape \(\)",
        ),
        (
            lambda: mnnx.RNN(make("LSTMCell"))(inputs(2, T, F), return_carry=1),
            TypeError,
            "return_carry must be True or False, got 1",
        ),
        (
            lambda: make("LSTMCell", kernel_init=lambda key, shape, dtype: jnp.zeros(())),
            ValueError,
            r"kernel_init must return an array of the shape it is given, \(3, 4\), got float32 of shape \(\)",
        ),
        (
            lambda: make("LSTMCell", kernel_init=lambda key: None),
            TypeError,
            "kernel_init must be a function of a key, a shape and a dtype, or None, got the function <lambda>",
        ),
        (lambda: nnx_cell(mr.LSTM(H)), TypeError, "cell must be an instance of RecurrentCell, got .*LSTM"),
        (lambda: mlinen.RecurrentCell(mr.LSTM(H)), TypeError, "cell must be an instance of RecurrentCell, got .*LSTM"),
        (lambda: make("MomentumLSTMCell", muu=0.1), TypeError, r"unexpected keyword argument 'muu'; .* did you mean 'mu'\?"),
        (lambda: mlinen.MomentumLSTMCell(H, muu=0.1), TypeError, r"unexpected keyword argument 'muu'; .* did you mean 'mu'\?"),
        (lambda: mnnx.Stack([make("LSTMCell")]), TypeError, r"layers must be a sequence .*, got .momentum.*LSTMCell.\."),
        (
            lambda: mnnx.Stack([mnnx.RNN(make("LSTMCell"))])(inputs(2, T, F), reverse=True),
            TypeError,
            "reverse must be None for layers of layers, got True: it is an option of each RNN",
        ),
    ],
)
def test_refusals_are_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
