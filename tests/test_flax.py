"""The NNX and Linen modules beside Flax's own layers, under Flax's and JAX's transformations."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import named
from momentum_rnn_jax import nnx as mnnx
from tests.registry import assert_close

F, H, T = 3, 4, 6
TOLERANCE = 2e-5  # float32, sums in another order
NAMES = [name for name in vars(mnnx) if name.endswith("Cell") and name not in ("Cell", "RecurrentCell")]
MODES = {
    "plain": {},
    "lengths": {"seq_lengths": jnp.array([6, 1])},
    "reverse": {"reverse": True},
    "reverse, order kept": {"reverse": True, "keep_order": True, "seq_lengths": jnp.array([2, 6])},
}


@pytest.fixture(autouse=True)
def flax_promotion():
    """Flax's layers rely on JAX's standard promotion."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def make(name, seed=0, **options):
    return getattr(mnnx, name)(F, H, rngs=nnx.Rngs(seed), **options)


def inputs(*shape, seed=5):
    return jax.random.normal(jax.random.key(seed), shape)


def valid(lengths, time):
    return (jnp.arange(time)[None] < lengths[:, None])[..., None]


def value_and_grads(layer, xs, mask=1.0, **call):
    """Outputs, carry, and gradients with respect to parameters and inputs, of a loss that sees all outputs."""
    graph, params, rest = nnx.split(layer, nnx.Param, ...)

    @jax.jit
    def run(params, xs):
        def loss(params, xs):
            carry, ys = nnx.merge(graph, params, rest, copy=True)(xs, return_carry=True, **call)
            ys = ys * mask
            return jnp.sum(jnp.sin(ys + 1.0)), (carry, ys)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, xs)

    (_, (carry, ys)), (param_grads, input_grads) = run(params, xs)
    return carry, ys, jax.tree.leaves(param_grads), input_grads


def test_every_named_cell_is_there_in_both():
    families = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "dtriv": "Orthogonal"}
    drives = {"": "", "momentum_": "Momentum", "adam_": "Adam", "rmsprop_": "RMSProp", "nesterov_": "Nesterov"}
    expected = {f"{d}{f}Cell": f"{snake}{core}" for snake, d in drives.items() for core, f in families.items()}
    assert set(NAMES) == set(expected)
    for name, function in expected.items():
        cell = getattr(named, function)(H)
        assert make(name).functional()[0].core == getattr(mlinen, name)(H).core == cell.core
        assert type(make(name).functional()[0].drive) is type(getattr(mlinen, name)(H).drive) is type(cell.drive)


CASES = [(name, "reverse, order kept") for name in NAMES] + [
    ("MomentumLSTMCell", mode) for mode in MODES if mode != "reverse, order kept"
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_our_layer_equals_flax_rnn(name, mode):
    call, xs = MODES[mode], inputs(2, T, F)
    # Flax leaves what it computed on padding in the outputs.
    mask = valid(call["seq_lengths"], T) if "seq_lengths" in call else 1.0
    ours = value_and_grads(mnnx.RNN(make(name)), xs, mask, **call)
    theirs = value_and_grads(nnx.RNN(make(name), rngs=False), xs, mask, **call)
    assert_close(ours, theirs, TOLERANCE)


def test_flax_selects_the_last_padded_step_for_length_zero_and_ours_the_initial_carry():
    lengths, xs = jnp.array([0, 3]), inputs(2, T, F)
    start = jax.tree.map(lambda z: z + 1, make("GRUCell").initialize_carry((2, F)))
    call = {"seq_lengths": lengths, "return_carry": True, "initial_carry": start}
    ours, outputs = mnnx.RNN(make("GRUCell"))(xs, **call)
    theirs, padded = nnx.RNN(make("GRUCell"), rngs=False)(xs, **call)
    assert_close(ours.core.h[0], start.core.h[0], 0)
    assert not jnp.allclose(theirs.core.h[0], start.core.h[0])
    assert_close(ours.core.h[1], theirs.core.h[1], TOLERANCE)
    assert not outputs[0].any()
    assert padded[0].any()


def test_two_batch_axes_with_lengths_are_right_here_and_wrong_in_flax():
    xs, lengths = inputs(2, 2, T, F), jnp.array([[1, 6], [3, 2]])
    carry, ys = mnnx.RNN(make("MomentumLSTMCell"))(xs, seq_lengths=lengths, return_carry=True)
    flat_carry, flat_ys = mnnx.RNN(make("MomentumLSTMCell"))(
        xs.reshape(4, T, F), seq_lengths=lengths.reshape(4), return_carry=True
    )
    assert_close(jax.tree.map(lambda z: z.reshape(4, *z.shape[2:]), (carry, ys)), (flat_carry, flat_ys), TOLERANCE)
    theirs, _ = nnx.RNN(make("MomentumLSTMCell"), rngs=False)(xs, seq_lengths=lengths, return_carry=True)
    assert theirs.core.h.shape != carry.core.h.shape == (2, 2, H)


def test_without_lengths_two_batch_axes_equal_flax():
    xs = inputs(2, 3, T, F)
    assert_close(
        value_and_grads(mnnx.RNN(make("AdamGRUCell")), xs), value_and_grads(nnx.RNN(make("AdamGRUCell"), rngs=False), xs), 1e-4
    )


def test_time_major():
    xs = inputs(2, T, F)
    rnn = mnnx.RNN(make("MomentumRNNCell"))
    lengths = jnp.array([2, 6])
    ys = rnn(xs, seq_lengths=lengths, reverse=True)
    assert_close(rnn(xs.swapaxes(0, 1), time_major=True, seq_lengths=lengths, reverse=True).swapaxes(0, 1), ys, 0)


@pytest.mark.parametrize("lengths", [None, jnp.array([6, 2])])
def test_bidirectional_equals_flax(lengths):
    xs = inputs(2, T, F)
    mask = 1.0 if lengths is None else valid(lengths, T)

    def both(bidirectional, rnn, **options):
        return bidirectional(rnn(make("MomentumLSTMCell", 0), **options), rnn(make("MomentumLSTMCell", 1), **options), **options)

    ours = value_and_grads(both(mnnx.Bidirectional, mnnx.RNN), xs, mask, seq_lengths=lengths)
    theirs = value_and_grads(both(nnx.Bidirectional, nnx.RNN, rngs=False), xs, mask, seq_lengths=lengths)
    assert_close(ours, theirs, TOLERANCE)
    stock = nnx.Bidirectional(mnnx.RNN(make("MomentumLSTMCell", 0)), mnnx.RNN(make("MomentumLSTMCell", 1)), rngs=False)
    assert_close(value_and_grads(stock, xs, mask, seq_lengths=lengths), ours, TOLERANCE)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.int8])
def test_traced_lengths_of_any_integer_dtype_end_with_the_sequence(dtype):
    rnn, xs = mnnx.RNN(make("RNNCell"), reverse=True, keep_order=True), inputs(2, 200, F)
    lengths = jnp.array([127, 100], dtype)
    expected = rnn(xs, seq_lengths=jnp.array([127, 100], jnp.int32))
    assert_close(rnn(xs, seq_lengths=lengths), expected, TOLERANCE)
    beyond = jax.jit(lambda lengths: rnn(xs[:, :50], seq_lengths=lengths))(lengths)
    assert_close(beyond, rnn(xs[:, :50]), TOLERANCE)


@pytest.mark.parametrize("reverse", [False, True])
def test_resets_pack_episodes_in_both_directions(reverse):
    rnn = mnnx.RNN(make("NesterovLSTMCell", restart=2), reverse=reverse, keep_order=True)
    xs = inputs(2, 8, F)
    lengths = jnp.array([8, 7])
    resets = jnp.zeros((2, 8), bool).at[0, 3].set(True).at[1, 5].set(True)
    packed = rnn(xs, resets=resets, seq_lengths=lengths)
    for row, start, stop in [(0, 0, 3), (0, 3, 8), (1, 0, 5), (1, 5, 7)]:
        assert_close(packed[row : row + 1, start:stop], rnn(xs[row : row + 1, start:stop]), TOLERANCE)
    assert not packed[1, 7:].any()


@pytest.mark.parametrize("name", NAMES)
def test_streaming_in_chunks_with_the_carry_saved_in_between(name, tmp_path):
    rnn, xs = mnnx.RNN(make(name), return_carry=True), inputs(2, T, F)
    run = nnx.jit(lambda rnn, xs, carry: rnn(xs, initial_carry=carry))
    final, whole = run(rnn, xs, rnn.cell.initialize_carry((2, F)))
    carry, pieces = rnn.cell.initialize_carry((2, F)), []
    for start, stop in ((0, 1), (1, 5), (5, 6)):
        np.savez(tmp_path / "carry.npz", *jax.tree.leaves(carry))
        with np.load(tmp_path / "carry.npz") as file:
            carry = jax.tree.unflatten(jax.tree.structure(carry), [jnp.asarray(file[key]) for key in file.files])
        carry, ys = run(rnn, xs[:, start:stop], carry)
        pieces.append(ys)
    assert_close((carry, jnp.concatenate(pieces, axis=1)), (final, whole), TOLERANCE)


class TestLearnable:
    @pytest.mark.parametrize("kind", ["scalar", "per_unit"])
    def test_starts_exactly_where_the_drive_is(self, kind):
        fixed, learnt = (
            make("MomentumLSTMCell", mu=0.37, step_size=0.83),
            make("MomentumLSTMCell", mu=0.37, step_size=0.83, learnable=kind),
        )
        assert np.all(learnt.functional()[0].drive.mu == np.float32(0.37))
        assert np.all(learnt.functional()[0].drive.step_size == np.float32(0.83))
        xs = inputs(2, T, F)
        assert_close(mnnx.RNN(learnt)(xs), mnnx.RNN(fixed)(xs), 0)

    @pytest.mark.parametrize("offset", [-1e4, -30.0, 30.0, 1e4])
    def test_stays_in_range_however_far_it_is_pushed(self, offset):
        cell = make("MomentumLSTMCell", learnable="per_unit")
        for name in ("mu", "step_size"):
            offsets = getattr(cell.learnt, name)
            offsets[...] = jnp.full_like(offsets[...], offset)
        drive = cell.functional()[0].drive
        assert np.all((drive.mu >= 0) & (drive.mu < 1))
        assert np.all((drive.step_size > 0) & np.isfinite(drive.step_size))
        grads = nnx.grad(lambda cell: mnnx.RNN(cell)(inputs(2, T, F)).sum())(cell)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))

    def test_is_a_sigmoid_and_an_exponential(self):
        cell = make("MomentumGRUCell", mu=0.3, step_size=2.0, learnable="scalar")
        cell.learnt.mu[...], cell.learnt.step_size[...] = jnp.array(0.7), jnp.array(-0.4)
        drive = cell.functional()[0].drive
        assert drive.mu == pytest.approx(1 / (1 + np.exp(-(np.log(0.3 / 0.7) + 0.7))), rel=1e-6)
        assert drive.step_size == pytest.approx(2.0 * np.exp(-0.4), rel=1e-6)

    def test_refusals(self):
        with pytest.raises(ValueError, match="learnable must be one of 'scalar', 'per_unit', got 'yes'"):
            make("MomentumLSTMCell", learnable="yes")
        with pytest.raises(ValueError, match="learnable must be None for Identity"):
            make("LSTMCell", learnable="scalar")
        with pytest.raises(ValueError, match=r"mu must start above 0 to be learnt, got 0.0"):
            make("MomentumLSTMCell", mu=0.0, learnable="scalar")


class TestTransformations:
    def test_jit_grad_and_training_step_change_only_parameters(self):
        import optax

        rnn = mnnx.RNN(make("MomentumOrthogonalCell"))
        optimizer = nnx.Optimizer(rnn, optax.adamw(1e-2, weight_decay=0.1), wrt=nnx.Param)
        before = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(rnn)))

        @nnx.jit
        def step(rnn, optimizer, xs):
            loss, grads = nnx.value_and_grad(lambda rnn: jnp.mean(rnn(xs) ** 2))(rnn)
            optimizer.update(rnn, grads)
            return loss

        losses = [float(step(rnn, optimizer, inputs(2, T, F))) for _ in range(5)]
        assert losses[-1] < losses[0]
        after = nnx.to_pure_dict(nnx.state(rnn))
        for name in ("A", "modrelu_bias"):
            assert not np.array_equal(after["cell"]["core"][name], before["cell"]["core"][name])
        assert_close(after["cell"]["core"]["base"], before["cell"]["core"]["base"], 0)
        assert_close(after["cell"]["drive"], before["cell"]["drive"], 0)
        outputs = rnn(inputs(2, T, F))
        rnn.cell.rebase()
        assert not rnn.cell.core.A[...].any()
        assert_close(rnn(inputs(2, T, F)), outputs, TOLERANCE)
        with pytest.raises(TypeError, match="rebase is for cells with an Orthogonal core"):
            make("LSTMCell").rebase()

    def test_changing_a_hyperparameter_does_not_recompile(self):
        rnn, count = mnnx.RNN(make("MomentumLSTMCell")), []

        @nnx.jit
        def run(rnn, xs):
            count.append(1)
            return rnn(xs)

        first = run(rnn, inputs(2, T, F))
        rnn.cell.drive.mu[...] = jnp.array(0.1, jnp.float32)
        assert not jnp.allclose(run(rnn, inputs(2, T, F)), first)
        assert len(count) == 1

    def test_vmap_over_seeds(self):
        xs = inputs(2, T, F)

        @nnx.vmap(in_axes=0, out_axes=0)
        def create(key):
            return mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(key)))

        keys = jax.random.split(jax.random.key(0), 3)
        together = nnx.vmap(lambda rnn, xs: rnn(xs), in_axes=(0, None))(create(keys), xs)
        alone = [mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(key)))(xs) for key in keys]
        assert_close(together, jnp.stack(alone), TOLERANCE)

    def test_remat(self):
        rnn, xs = mnnx.RNN(make("RMSPropLSTMCell")), inputs(2, T, F)

        def loss(rnn, xs):
            return rnn(xs).sum()

        plain = nnx.grad(loss)(rnn, xs)
        remat = nnx.grad(lambda rnn, xs: nnx.remat(loss)(rnn, xs))(rnn, xs)
        assert_close(jax.tree.leaves(remat), jax.tree.leaves(plain), TOLERANCE)

    def test_bfloat16_compute_keeps_float32_parameters_and_carry(self):
        rnn = mnnx.RNN(make("MomentumLSTMCell", dtype=jnp.bfloat16), return_carry=True)
        carry, ys = rnn(inputs(2, T, F), initial_carry=rnn.cell.initialize_carry((2, F)))
        assert ys.dtype == jnp.bfloat16
        assert_close(rnn(inputs(2, T, F)), (carry, ys), 0)
        assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(jnp.float32)}
        assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(rnn, nnx.Param))} == {jnp.dtype(jnp.float32)}
        expected = mnnx.RNN(make("MomentumLSTMCell"))(inputs(2, T, F))
        assert jnp.abs(ys.astype(jnp.float32) - expected).max() < 0.02 * jnp.abs(expected).max() + 0.01
        stock = nnx.RNN(make("MomentumLSTMCell", dtype=jnp.bfloat16), rngs=False)(inputs(2, T, F))
        assert stock.dtype == jnp.bfloat16

    def test_bfloat16_builds_the_orthogonal_matrix_from_float32_parameters(self):
        exact, rounded = make("MomentumOrthogonalCell"), make("MomentumOrthogonalCell", dtype=jnp.bfloat16)
        xs = inputs(2, T, F)
        ours, stock = mnnx.RNN(rounded)(xs), nnx.RNN(rounded, rngs=False)(xs)
        expected = mnnx.RNN(exact)(xs)
        assert jnp.abs(ours.astype(jnp.float32) - stock.astype(jnp.float32)).max() <= 0.01 * jnp.abs(expected).max()
        assert jnp.abs(ours.astype(jnp.float32) - expected).max() <= 0.02 * jnp.abs(expected).max()

    def test_weight_drop_and_learnable_cells_train_under_jit(self):
        cell = mnnx.WeightDrop(make("MomentumLSTMCell", learnable="per_unit"), 0.5, rngs=nnx.Rngs(dropout=0))
        rnn = mnnx.RNN(cell)
        grads = nnx.jit(nnx.grad(lambda rnn, xs: rnn(xs).sum()))(rnn, inputs(2, T, F))
        assert all(jnp.isfinite(g).all() and jnp.abs(g).max() > 0 for g in jax.tree.leaves(grads))
        kernel_grad = nnx.to_pure_dict(grads)["cell"]["cell"]["core"]["kernel"]
        assert 0.2 < np.mean(np.asarray(kernel_grad) == 0) < 0.8  # one mask for the whole sequence

    def test_parameter_names_are_readable(self):
        paths = {
            "/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(make("MomentumLSTMCell", learnable="scalar")))
        }
        assert paths == {
            *("input/kernel", "input/bias", "core/kernel", "core/bias"),
            *("drive/mu", "drive/step_size", "learnt/mu", "learnt/step_size"),
        }
        shown = repr(mnnx.RNN(make("MomentumLSTMCell")))
        for name in ("cell=MomentumLSTMCell(", "core=Group(", "kernel=Param(", "drive=Group(", "step_size=Hyperparameter("):
            assert name in shown
        assert "Total Parameters: 146" in nnx.tabulate(mnnx.RNN(make("MomentumLSTMCell")), inputs(2, T, F))

    def test_orbax_restores_bit_for_bit(self, tmp_path):
        import orbax.checkpoint as ocp

        rnn = mnnx.RNN(make("MomentumOrthogonalCell"))
        state = nnx.to_pure_dict(nnx.state(rnn))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "run", state)
            checkpointer.wait_until_finished()
            restored = checkpointer.restore(tmp_path / "run", state)
        other = mnnx.RNN(make("MomentumOrthogonalCell", seed=1))
        assert not np.array_equal(other(inputs(2, T, F)), rnn(inputs(2, T, F)))
        other_state = nnx.state(other)
        nnx.replace_by_pure_dict(other_state, restored)
        nnx.update(other, other_state)
        assert_close(other(inputs(2, T, F)), rnn(inputs(2, T, F)), 0)


class TestModules:
    def test_weight_drop_masks_the_recurrent_kernel_once_per_sequence(self):
        cell = mnnx.WeightDrop(make("MomentumLSTMCell"), 0.5, rngs=nnx.Rngs(dropout=0))
        kernel = cell.cell.core.kernel[...]
        dropped = cell.functional()[1]["core"]["kernel"]
        share = np.mean(np.asarray(dropped) == 0)
        assert 0.2 < share < 0.8
        assert_close(dropped[dropped != 0], 2 * kernel[dropped != 0], 1e-6)
        rnn, xs = mnnx.RNN(cell), inputs(2, T, F)
        assert not jnp.array_equal(rnn(xs), rnn(xs))
        rnn.eval()
        assert_close(rnn(xs), mnnx.RNN(cell.cell)(xs), 0)
        with pytest.raises(TypeError, match="an orthogonal core has none"):
            mnnx.WeightDrop(make("OrthogonalCell"), 0.5, rngs=nnx.Rngs(0))

    def test_locked_dropout_keeps_its_mask_over_time(self):
        for time_major, axis in ((False, -2), (True, 0)):
            y = mnnx.LockedDropout(0.5, time_major=time_major, rngs=nnx.Rngs(dropout=0))(jnp.ones((8, 5, 32)))
            assert_close(y, jnp.broadcast_to(jnp.take(y, jnp.array([0]), axis), y.shape), 0)
            assert set(np.unique(y)) == {0.0, 2.0}

    def test_stack(self):
        layers = [mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(0))), mnnx.RNN(mnnx.GRUCell(H, H, rngs=nnx.Rngs(1)))]
        dropout = mnnx.LockedDropout(0.5, rngs=nnx.Rngs(dropout=0))
        stack, xs = mnnx.Stack(layers, dropout=dropout, return_carry=True), inputs(2, T, F)
        assert not jnp.array_equal(stack(xs)[1], stack(xs)[1])
        stack.eval()
        carry, ys = stack(xs)
        assert_close(ys, layers[1](layers[0](xs)), 0)
        half, head = stack(xs[:, :2])
        final, tail = stack(xs[:, 2:], initial_carry=half)
        assert_close((final, jnp.concatenate([head, tail], axis=1)), (carry, ys), TOLERANCE)
        with pytest.raises(ValueError, match="initial_carry must be a tuple of 2 carries, one for each layer, got"):
            stack(xs, initial_carry=half[:1])
        with pytest.raises(ValueError, match="initial_carry must be a tuple of 2 carries"):
            stack(xs, initial_carry=half[0])
        with pytest.raises(ValueError, match="time_major must be the same"):
            mnnx.Stack([mnnx.RNN(make("LSTMCell"), time_major=True)])

    def test_a_stack_of_both_directions_packs_and_pads(self):
        layers = (
            mnnx.RNN(make("MomentumLSTMCell"), reverse=True),
            mnnx.Bidirectional(*(mnnx.RNN(mnnx.GRUCell(H, H, rngs=nnx.Rngs(seed))) for seed in (1, 2))),
            mnnx.RNN(mnnx.AdamRNNCell(2 * H, H, rngs=nnx.Rngs(3))),
        )
        stack, xs = mnnx.Stack(layer for layer in layers), inputs(2, 8, F)
        resets, lengths = jnp.zeros((2, 8), bool).at[0, 3].set(True).at[1, 5].set(True), jnp.array([8, 7])
        packed = stack(xs, resets=resets, seq_lengths=lengths)
        for row, start, stop in [(0, 0, 3), (0, 3, 8), (1, 0, 5), (1, 5, 7)]:
            assert_close(packed[row : row + 1, start:stop], stack(xs[row : row + 1, start:stop]), TOLERANCE)
        assert not packed[1, 7:].any()

    def test_refusals(self):
        with pytest.raises(
            TypeError, match=r"cell must be a RecurrentCell or a WeightDrop, got GRUCell; flax.nnx.RNN takes others"
        ):
            mnnx.RNN(nnx.GRUCell(F, H, rngs=nnx.Rngs(0)))
        with pytest.raises(TypeError, match="layers must be a sequence of at least one RNN"):
            mnnx.Stack([])
        with pytest.raises(TypeError, match="dropout must be a module"):
            mnnx.Stack([mnnx.RNN(make("LSTMCell"))], dropout=0.5)
        with pytest.raises(ValueError, match="bias_init must be None for Orthogonal"):
            make("OrthogonalCell", bias_init=jax.nn.initializers.ones)
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got 1.5"):
            mnnx.WeightDrop(make("LSTMCell"), 1.5, rngs=nnx.Rngs(0))
        with pytest.raises(TypeError, match="MomentumLSTMCell: got an unexpected keyword argument 'beta'"):
            make("MomentumLSTMCell", beta=0.5)
        with pytest.raises(ValueError, match=r"inputs has 5 features .* made for 3"):
            mnnx.RNN(make("LSTMCell"))(jnp.ones((2, T, 5)))
        with pytest.raises(
            ValueError, match=r"initial_carry must be CellState\(drive=MomentumState\(velocity\), core=LSTMState\(c, h\)\), got"
        ):
            mnnx.RNN(make("MomentumLSTMCell"))(inputs(2, T, F), initial_carry=make("LSTMCell").initialize_carry((2, F)))
        with pytest.raises(
            ValueError, match=r"initial_carry.drive.velocity must be float32 of shape \(2, 16\), got .* \(3, 16\)"
        ):
            mnnx.RNN(make("MomentumLSTMCell"))(inputs(2, T, F), initial_carry=make("MomentumLSTMCell").initialize_carry((3, F)))
        with pytest.raises(TypeError, match=r"dtype must be a floating-point dtype, .* got 'bf16'"):
            make("LSTMCell", dtype="bf16")
        with pytest.raises(ValueError, match="carry_init must be None"):
            make("LSTMCell").initialize_carry((2, F), carry_init=jax.nn.initializers.ones)
        with pytest.raises(ValueError, match="recurrent_kernel_init must be None for Orthogonal"):
            make("OrthogonalCell", recurrent_kernel_init=jax.nn.initializers.ones)

    def test_initialisers_are_used_gate_by_gate(self):
        cell = make("LSTMCell", recurrent_kernel_init=jax.nn.initializers.orthogonal(), bias_init=jax.nn.initializers.ones)
        for U in jnp.split(cell.core.kernel[...], 4, axis=1):
            assert_close(U @ U.T, jnp.eye(H), 1e-5)
        assert_close((cell.input.bias[...], cell.core.bias[...]), (jnp.ones(4 * H), jnp.ones(4 * H)), 0)


class TestLinen:
    @pytest.mark.parametrize("name", NAMES)
    def test_weights_move_both_ways_and_compute_the_same(self, name):
        nnx_rnn, linen_rnn, xs = mnnx.RNN(make(name)), mlinen.RNN(getattr(mlinen, name)(H)), inputs(2, T, F)
        variables = linen_rnn.init(jax.random.key(3), xs)
        held = nnx.to_pure_dict(nnx.state(nnx_rnn.cell))
        params = {part: held[part] for part in ("input", "core")}
        theirs = {"params": {"cell": params}}
        assert jax.tree.map(jnp.shape, theirs) == jax.tree.map(jnp.shape, variables)
        assert_close(linen_rnn.apply(theirs, xs), nnx_rnn(xs), TOLERANCE)

        for part in ("input", "core"):
            for key, value in variables["params"]["cell"][part].items():
                getattr(getattr(nnx_rnn.cell, part), key)[...] = value
        assert_close(nnx_rnn(xs), linen_rnn.apply(variables, xs), TOLERANCE)

    @pytest.mark.parametrize("name", ["MomentumLSTMCell", "AdamGRUCell", "NesterovOrthogonalCell"])
    def test_our_layer_equals_flax_rnn(self, name):
        xs, cell = inputs(2, T, F), getattr(mlinen, name)(H)
        ours, stock = mlinen.RNN(cell, return_carry=True), flax.linen.RNN(cell, return_carry=True)
        variables = ours.init(jax.random.key(0), xs)
        for call in MODES.values():
            mask = valid(call["seq_lengths"], T) if "seq_lengths" in call else 1.0
            (carry, ys), (their_carry, their_ys) = (layer.apply(variables, xs, **call) for layer in (ours, stock))
            assert_close((carry, ys * mask), (their_carry, their_ys * mask), TOLERANCE)

        def loss(params, layer):
            return jnp.sum(jnp.sin(layer.apply({**variables, "params": params}, xs)[1]))

        grad = jax.jit(jax.grad(loss), static_argnums=1)
        assert_close(grad(variables["params"], ours), grad(variables["params"], stock), TOLERANCE)

    def test_bidirectional(self):
        cells = [mlinen.MomentumLSTMCell(H, name=name) for name in ("forward", "backward")]
        xs = inputs(2, T, F)
        ours = flax.linen.Bidirectional(*(mlinen.RNN(cell) for cell in cells))
        stock = flax.linen.Bidirectional(*(flax.linen.RNN(cell) for cell in cells))
        variables = ours.init(jax.random.key(0), xs)
        assert_close(ours.apply(variables, xs), stock.apply(variables, xs), TOLERANCE)

    def test_learnable_and_initial_values(self):
        rnn, xs = mlinen.RNN(mlinen.MomentumLSTMCell(H, mu=0.37, learnable="per_unit")), inputs(2, T, F)
        variables = rnn.init(jax.random.key(0), xs)
        assert jax.tree.map(jnp.shape, variables["params"]["cell"]["learnt"]) == {"mu": (4 * H,), "step_size": (4 * H,)}
        fixed = mlinen.RNN(mlinen.MomentumLSTMCell(H, mu=0.37))
        start = {"params": {"cell": {k: v for k, v in variables["params"]["cell"].items() if k != "learnt"}}}
        assert_close(rnn.apply(variables, xs), fixed.apply(start, xs), 0)
        resets = jnp.zeros((2, T), bool).at[:, 2].set(True)
        packed = rnn.apply(variables, xs, resets=resets)
        assert_close(packed[:, 2:], rnn.apply(variables, xs[:, 2:]), TOLERANCE)
        grads = jax.grad(lambda v: rnn.apply(v, xs).sum())(variables)["params"]["cell"]["learnt"]
        assert all(jnp.abs(g).max() > 0 for g in grads.values())

    def test_refusals(self):
        with pytest.raises(TypeError, match="MomentumLSTMCell: got an unexpected keyword argument 'beta'"):
            mlinen.MomentumLSTMCell(H, beta=0.5)
        with pytest.raises(ValueError, match=r"mu must be in \[0, 1\)"):
            mlinen.MomentumLSTMCell(H, mu=1.5)
        with pytest.raises(TypeError, match="cell must be an instance of RecurrentCell"):
            mlinen.RNN(flax.linen.GRUCell(H)).init(jax.random.key(0), inputs(2, T, F))
