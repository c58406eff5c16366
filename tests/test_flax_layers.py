"""Every named cell in Flax's own layers and in ours, in NNX and in Linen: the same outputs, carries and gradients."""

import functools

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import named
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import NAMES, TOLERANCE, F, H, T, compiled, function_of, inputs, make, make_linen, params_of, random_like
from tests.registry import assert_close

EXACT = 1e-12  # float64
# One named cell for each drive, and with them each core.
COVERING = {"RNNCell", "MomentumLSTMCell", "AdamGRUCell", "RMSPropOrthogonalCell", "NesterovRNNCell"}


def marked(names, often):
    """Names as parameters of a test, exhaustive but for some."""
    return [name if name in often else pytest.param(name, marks=pytest.mark.exhaustive) for name in names]


flax_nnx_rnn = functools.partial(nnx.RNN, rngs=False)


def test_every_named_cell_is_there_in_both():
    families = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "dtriv": "Orthogonal"}
    drives = {"": "", "momentum_": "Momentum", "adam_": "Adam", "rmsprop_": "RMSProp", "nesterov_": "Nesterov"}
    expected = {f"{d}{f}Cell": f"{snake}{core}" for snake, d in drives.items() for core, f in families.items()}
    assert set(NAMES) == set(expected)
    for name, function in expected.items():
        cell, (held, _) = getattr(named, function)(H), jax.eval_shape(lambda name=name: make(name).functional())
        assert held.core == make_linen(name).cell.core == cell.core
        assert type(held.drive) is type(make_linen(name).cell.drive) is type(cell.drive)


def in_both_directions(name, **options):
    """A cell for each direction in Flax's layers and in ours, and their parameters: names, shapes and dtypes are the same."""

    def pair(rnn, make):
        return [rnn(make(name, **options)) for _ in range(2)]

    ours = mnnx.Bidirectional(*pair(mnnx.RNN, make))
    in_linen = flax.linen.Bidirectional(*pair(mlinen.RNN, make_linen))
    layers = {
        "flax.nnx": nnx.Bidirectional(*pair(flax_nnx_rnn, make), rngs=False),
        "flax.linen": flax.linen.Bidirectional(*pair(flax.linen.RNN, make_linen)),
        "ours": ours,
        "ours in Linen": in_linen,
    }
    params = params_of(ours)
    variables = jax.eval_shape(in_linen.init, jax.random.key(0), inputs(1, T, F, dtype=float))
    assert outline(variables["params"]) == outline(params)
    return layers, params


def outline(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def masked(function):
    """A layer of Flax's, over one batch axis, without what it leaves in the outputs after the end of a sequence."""

    def run(params, xs, *, seq_lengths=None, time_major=False, **call):
        carry, ys = function(params, xs, seq_lengths=seq_lengths, time_major=time_major, **call)
        if seq_lengths is None:
            return carry, ys
        time_axis = 0 if time_major else 1
        steps = jax.lax.broadcasted_iota(seq_lengths.dtype, ys.shape, time_axis)
        return carry, jnp.where(steps < jnp.expand_dims(seq_lengths, (time_axis, 2)), ys, 0.0)

    return run


def mended(function):
    """A layer of Flax's without its faults with lengths: it gets one batch axis, padding is masked, length 0 keeps the carry."""

    def flat(leaf, axis=0):
        return leaf.reshape(*leaf.shape[:axis], -1, *leaf.shape[axis + 2 :])

    def run(params, xs, *, initial_carry, seq_lengths):  # time-major, two batch axes
        carry, lengths = jax.tree.map(flat, (initial_carry, seq_lengths))
        final, ys = masked(function)(params, flat(xs, 1), initial_carry=carry, seq_lengths=lengths, time_major=True)

        def kept_where_empty(new, old):
            empty = (seq_lengths == 0).reshape(seq_lengths.shape + (1,) * (old.ndim - 2))
            return jnp.where(empty, old, new.reshape(old.shape))

        return jax.tree.map(kept_where_empty, final, initial_carry), ys.reshape(*xs.shape[:-1], -1)

    return run


@pytest.mark.parametrize("name", marked([*NAMES, "AdamLSTMCell, learnable"], {*COVERING, "AdamLSTMCell, learnable"}))
def test_every_cell_gives_the_same_in_every_layer(name, float64):
    """Forwards and backwards, time-major, with two batch axes, lengths from 0 to full, and a carry to begin with."""
    options = {"param_dtype": jnp.float64}
    if name.endswith(", learnable"):
        name, options["learnable"] = name.removesuffix(", learnable"), "per_unit"
    if "Orthogonal" in name:
        options["mapping"] = "cayley"  # compiles in half the time
    layers, params = in_both_directions(name, **options)
    functions = {
        key: mended(function_of(layer)) if key.startswith("flax.") else functools.partial(function_of(layer), time_major=True)
        for key, layer in layers.items()
    }
    carry = random_like(jax.eval_shape(lambda: make(name, **options).initialize_carry((2, 2, F))))
    xs, lengths = inputs(T, 2, 2, F, dtype=float), jnp.array([[T, 2], [0, 3]])
    results = compiled(functions)(random_like(params), xs, (carry, carry), seq_lengths=lengths)
    expected = results.pop("flax.nnx")
    for result in results.values():
        assert_close(result, expected, EXACT)


LENGTHS = {"seq_lengths": jnp.array([T, 1, 3])}
MODES = {
    "lengths": ((3, T), {}, LENGTHS),
    "reverse": ((3, T), {"reverse": True}, LENGTHS),
    "reverse, order kept": ((3, T), {"reverse": True, "keep_order": True}, {}),
    "time-major": ((T, 3), {"time_major": True}, {}),
    "two batch axes": ((2, 3, T), {}, {}),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_option_is_that_of_flax_rnn(mode, float64):
    shape, options, arrays = MODES[mode]
    cell, cell_in_linen = (f("MomentumLSTMCell", param_dtype=jnp.float64) for f in (make, make_linen))
    functions = {
        "flax.nnx": functools.partial(masked(function_of(flax_nnx_rnn(cell))), **options),
        "flax.linen": functools.partial(masked(function_of(flax.linen.RNN(cell_in_linen))), **options),
        "ours": function_of(mnnx.RNN(cell, **options)),
        "ours in Linen": function_of(mlinen.RNN(cell_in_linen, **options)),
    }
    results = compiled(functions)(params_of(mnnx.RNN(cell)), inputs(*shape, F, dtype=float), **arrays)
    expected = results.pop("flax.nnx")
    for result in results.values():
        assert_close(result, expected, EXACT)


def test_our_layers_in_flax_bidirectional():
    def pair(rnn, make):
        return [rnn(make("NesterovGRUCell")) for _ in range(2)]

    ours = mnnx.Bidirectional(*pair(mnnx.RNN, make))
    functions = {
        "ours": function_of(ours),
        "in flax.nnx": function_of(nnx.Bidirectional(*pair(mnnx.RNN, make), rngs=False)),
        "in flax.linen": function_of(flax.linen.Bidirectional(*pair(mlinen.RNN, make_linen))),
    }
    results = compiled(functions)(random_like(params_of(ours)), inputs(2, T, F), seq_lengths=jnp.array([T, 0]))
    expected = results.pop("ours")
    for result in results.values():
        assert_close(result, expected, TOLERANCE)


@pytest.mark.parametrize("kind", ["nnx", "linen"])
def test_where_flax_is_wrong_with_lengths_and_ours_right(kind):
    cell, cell_in_linen = make("MomentumLSTMCell"), make_linen("MomentumLSTMCell")
    layers = {"nnx": (mnnx.RNN(cell), flax_nnx_rnn(cell)), "linen": (mlinen.RNN(cell_in_linen), flax.linen.RNN(cell_in_linen))}
    start = random_like(cell.initialize_carry((2, F)))
    xs, lengths = inputs(2, T, F), jnp.array([0, 3])
    two_axes, their_lengths = inputs(2, 2, T, F), jnp.array([[1, T], [3, 2]])

    @jax.jit
    def run(params, xs, lengths, two_axes, their_lengths):
        ours, theirs = map(function_of, layers[kind])
        one_axis, its_lengths = two_axes.reshape(4, T, F), their_lengths.reshape(4)
        return (
            [f(params, xs, initial_carry=start, seq_lengths=lengths) for f in (ours, theirs)],
            theirs(params, xs, initial_carry=start),
            [f(params, two_axes, seq_lengths=their_lengths) for f in (ours, theirs)],
            ours(params, one_axis, seq_lengths=its_lengths),
        )

    empty, (to_the_end, _), two, one = run(params_of(mnnx.RNN(cell)), xs, lengths, two_axes, their_lengths)

    # Length 0: Flax takes the carry of the last padded step. It leaves outputs on padding.
    (carry, ys), (their_carry, their_ys) = empty
    assert_close(their_carry.core.h[0], to_the_end.core.h[0], TOLERANCE)
    assert_close(carry.core.h[0], start.core.h[0], 0)
    assert their_ys[0].all()
    assert not ys[0].any()
    assert_close((carry.core.h[1], ys[1, :3]), (their_carry.core.h[1], their_ys[1, :3]), TOLERANCE)

    # Two batch axes: Flax's outputs are right, and its carry is of another shape.
    (carry, ys), (their_carry, their_ys) = two
    assert_close(jax.tree.map(lambda leaf: leaf.reshape(4, *leaf.shape[2:]), (carry, ys)), one, TOLERANCE)
    assert_close(their_ys[1, 0, :3], ys[1, 0, :3], TOLERANCE)
    assert carry.core.h.shape == (2, 2, H)
    assert their_carry.core.h.shape == (2, 2, 2, H)


def saved_and_loaded(carry, path):
    np.savez(path, *jax.tree.leaves(carry))
    with np.load(path) as file:
        return jax.tree.unflatten(jax.tree.structure(carry), [jnp.asarray(file[key]) for key in file.files])


@pytest.mark.parametrize("name", marked(NAMES, COVERING))
def test_streaming_step_by_step_and_in_chunks_with_the_carry_saved_in_between(name, tmp_path):
    rnn, xs = mnnx.RNN(make(name), return_carry=True), inputs(2, T, F)
    step = nnx.jit(lambda cell, carry, x: cell(carry, x))
    carries, ys = [rnn.cell.initialize_carry((2, F))], []
    for t in range(T):
        carry, y = step(rnn.cell, saved_and_loaded(carries[-1], tmp_path / "carry.npz"), xs[:, t])
        carries.append(carry)
        ys.append(y)

    @nnx.jit
    def run(rnn, start, later):
        return rnn(xs, initial_carry=start), rnn(xs[:, 2:], initial_carry=later)

    whole, rest = run(rnn, carries[0], carries[2])
    steps = jnp.stack(ys, axis=1)
    assert_close((carries[-1], steps), whole, TOLERANCE)
    assert_close(rest, (whole[0], whole[1][:, 2:]), TOLERANCE)


def test_streaming_in_linen():
    cell, xs = make_linen("NesterovGRUCell", restart=2), inputs(2, T, F)
    rnn = mlinen.RNN(cell, return_carry=True)
    variables = jax.jit(rnn.init)(jax.random.key(0), xs)
    step = jax.jit(cell.apply)
    carries, ys = [cell.initialize_carry(jax.random.key(0), (2, F))], []
    for t in range(T):
        carry, y = step({"params": variables["params"]["cell"]}, carries[-1], xs[:, t])
        carries.append(carry)
        ys.append(y)
    whole, rest = jax.jit(lambda later: (rnn.apply(variables, xs), rnn.apply(variables, xs[:, 2:], initial_carry=later)))(
        carries[2]
    )
    assert_close((carries[-1], jnp.stack(ys, axis=1)), whole, TOLERANCE)
    assert_close(rest, (whole[0], whole[1][:, 2:]), TOLERANCE)


RESETTING = functools.partial(make, "NesterovLSTMCell", restart=2)
PACKING = {
    "RNN": lambda: mnnx.RNN(RESETTING()),
    "RNN, reverse": lambda: mnnx.RNN(RESETTING(), reverse=True, keep_order=True),
    "Bidirectional": lambda: mnnx.Bidirectional(mnnx.RNN(RESETTING()), mnnx.RNN(RESETTING(1))),
    "RNN in Linen": lambda: mlinen.RNN(make_linen("NesterovLSTMCell", restart=2)),
    "RNN in Linen, reverse": lambda: mlinen.RNN(make_linen("NesterovLSTMCell", restart=2), reverse=True, keep_order=True),
    "Bidirectional in Linen": lambda: mlinen.Bidirectional(
        *(mlinen.RNN(make_linen("NesterovLSTMCell", restart=2)) for _ in "fb")
    ),
    "Stack in Linen": lambda: mlinen.Stack(
        [
            mlinen.RNN(make_linen("MomentumLSTMCell"), reverse=True),
            mlinen.Bidirectional(*(mlinen.RNN(make_linen("GRUCell")) for _ in "fb")),
            mlinen.RNN(make_linen("AdamRNNCell")),
        ]
    ),
    "Stack": lambda: mnnx.Stack(
        [
            mnnx.RNN(make("MomentumLSTMCell"), reverse=True),
            mnnx.Bidirectional(*(mnnx.RNN(mnnx.GRUCell(H, H, rngs=nnx.Rngs(seed))) for seed in (1, 2))),
            mnnx.RNN(mnnx.AdamRNNCell(2 * H, H, rngs=nnx.Rngs(3))),
        ]
    ),
}


@pytest.mark.parametrize("kind", marked(PACKING, {"RNN", "RNN in Linen, reverse", "Stack", "Stack in Linen"}))
def test_packed_episodes_are_those_run_one_by_one(kind):
    layer = PACKING[kind]()
    xs, lengths = inputs(2, 8, F), jnp.array([8, 7])
    params = random_like(jax.eval_shape(layer.init, jax.random.key(0), xs)["params"]) if "Linen" in kind else params_of(layer)
    resets = jnp.zeros((2, 8), bool).at[0, 3].set(True).at[1, 5].set(True)
    episodes = [(0, 0, 3), (0, 3, 8), (1, 0, 5), (1, 5, 7)]

    @jax.jit
    def run(params, xs, lengths, resets):
        function = function_of(layer)
        _, packed = function(params, xs, resets=resets, seq_lengths=lengths)
        _, time_major = function(params, xs.swapaxes(0, 1), resets=resets.T, seq_lengths=lengths, time_major=True)
        alone = [function(params, xs[row : row + 1, start:stop])[1][0] for row, start, stop in episodes]
        return packed, time_major.swapaxes(0, 1), alone

    packed, time_major, alone = run(params, xs, lengths, resets)
    for outputs in (packed, time_major):
        for (row, start, stop), expected in zip(episodes, alone, strict=True):
            assert_close(outputs[row, start:stop], expected, TOLERANCE)
        assert not outputs[1, 7:].any()


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.int8])
def test_traced_lengths_of_any_integer_dtype_end_with_the_sequence(dtype):
    rnn, xs = mnnx.RNN(make("RNNCell"), reverse=True, keep_order=True), inputs(2, 200, F)

    @jax.jit
    def run(lengths):
        return rnn(xs, seq_lengths=lengths), rnn(xs[:, :50], seq_lengths=lengths), rnn(xs[:, :50])

    lengths = jnp.array([127, 100])
    long, beyond, short = run(lengths.astype(dtype))
    assert_close(long, rnn(xs, seq_lengths=lengths), TOLERANCE)
    assert_close(beyond, short, TOLERANCE)


@pytest.mark.parametrize("kind", [kind for kind in PACKING if "Linen" not in kind])
def test_no_steps_with_resets(kind):
    xs, resets = inputs(2, 0, F), jnp.zeros((2, 0), bool)
    for lengths in (None, jnp.zeros(2, int)):
        outputs = PACKING[kind]()(xs, resets=resets, seq_lengths=lengths)
        assert outputs.shape[:2] == (2, 0)
