"""The NNX modules: learnable hyper-parameters, JAX's and NNX's transformations, checkpoints, dropout, stacks, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import TOLERANCE, F, H, T, inputs, make, standard_promotion
from tests.registry import assert_close


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
        # The same method for both: fast paths differ in rounding between one μ and one for each unit.
        assert_close(mnnx.RNN(learnt, method="stepwise")(xs), mnnx.RNN(fixed, method="stepwise")(xs), 0)

    def test_stays_in_range_however_far_it_is_pushed(self):
        cell = make("MomentumLSTMCell", learnable="per_unit")
        gradients = nnx.jit(nnx.grad(lambda cell: mnnx.RNN(cell)(inputs(2, T, F)).sum()))
        for offset in (-1e4, -30.0, 30.0, 1e4):
            for name in ("mu", "step_size"):
                offsets = getattr(cell.learnt.drive, name)
                offsets[...] = jnp.full_like(offsets[...], offset)
            drive = cell.functional()[0].drive
            assert np.all((drive.mu >= 0) & (drive.mu < 1))
            assert np.all((drive.step_size > 0) & np.isfinite(drive.step_size))
            assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients(cell)))

    def test_the_effective_values_are_one_attribute_away(self):
        cell = make("MomentumGRUCell", mu=0.3, step_size=2.0, learnable="scalar")
        cell.learnt.drive.mu[...], cell.learnt.drive.step_size[...] = jnp.array(0.7), jnp.array(-0.4)
        assert cell.effective.drive.mu == pytest.approx(np.tanh(np.arctanh(0.3) + 0.7), rel=1e-6)
        assert cell.effective.drive.step_size == pytest.approx(2.0 * np.exp(-0.4), rel=1e-6)
        assert cell.drive.mu[...] == np.float32(0.3)  # where it started

    def test_refusals(self):
        with pytest.raises(
            ValueError, match=r"learnable must be None, 'scalar', 'per_unit', 'each', a tuple of names, .*, got 'yes'"
        ):
            make("MomentumLSTMCell", learnable="yes")
        with pytest.raises(ValueError, match="learnable must be None or names for Identity"):
            make("LSTMCell", learnable="scalar")


class TestTransformations:
    def test_jit_grad_and_training_step_change_only_parameters(self):
        rnn = mnnx.RNN(make("MomentumOrthogonalCell"))
        optimizer = nnx.Optimizer(rnn, optax.adamw(1e-2, weight_decay=0.1), wrt=nnx.Param)
        before = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(rnn)))

        @nnx.jit
        def step(rnn, optimizer, xs):
            loss, grads = nnx.value_and_grad(lambda rnn: jnp.mean(rnn(xs) ** 2))(rnn)
            with standard_promotion():
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

        @nnx.jit
        def run(keys):
            rnns = create(keys)
            return rnns, nnx.vmap(lambda rnn, xs: rnn(xs), in_axes=(0, None))(rnns, xs)

        keys = jax.random.split(jax.random.key(0), 3)
        rnns, together = run(keys)
        kernels = rnns.cell.core.kernel[...]
        alone = nnx.jit(lambda rnn: rnn(xs))
        for key, kernel, ys in zip(keys, kernels, together, strict=True):
            rnn = mnnx.RNN(mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(key)))
            assert_close(kernel, rnn.cell.core.kernel[...], TOLERANCE)
            assert_close(ys, alone(rnn), TOLERANCE)

    def test_remat(self):
        rnn, xs = mnnx.RNN(make("RMSPropLSTMCell")), inputs(2, T, F)

        def loss(rnn, xs):
            return rnn(xs).sum()

        plain, remat = nnx.jit(lambda rnn, xs: (nnx.grad(loss)(rnn, xs), nnx.grad(nnx.remat(loss))(rnn, xs)))(rnn, xs)
        assert_close(jax.tree.leaves(remat), jax.tree.leaves(plain), TOLERANCE)

    def test_bfloat16_compute_keeps_float32_parameters_and_carry(self):
        rnn, exact = (mnnx.RNN(make("MomentumLSTMCell", **options)) for options in ({"dtype": jnp.bfloat16}, {}))
        stock, start, xs = nnx.RNN(rnn.cell, rngs=False), rnn.cell.initialize_carry((2, F)), inputs(2, T, F)

        @nnx.jit
        def run(rnn, exact, stock):
            from_start, anew = rnn(xs, initial_carry=start, return_carry=True), rnn(xs, return_carry=True)
            return from_start, anew, exact(xs), stock(xs)

        (carry, ys), anew, expected, in_stock = run(rnn, exact, stock)
        assert ys.dtype == in_stock.dtype == jnp.bfloat16
        assert_close(anew, (carry, ys), 0)
        assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(jnp.float32)}
        assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(rnn, nnx.Param))} == {jnp.dtype(jnp.float32)}
        for outputs in (ys, in_stock):
            assert jnp.abs(outputs.astype(jnp.float32) - expected).max() < 0.02 * jnp.abs(expected).max() + 0.01

    def test_bfloat16_builds_the_orthogonal_matrix_from_float32_parameters(self):
        exact, rounded = make("MomentumOrthogonalCell"), make("MomentumOrthogonalCell", dtype=jnp.bfloat16)
        xs = inputs(2, T, F)
        layers = mnnx.RNN(exact), mnnx.RNN(rounded), nnx.RNN(rounded, rngs=False)
        expected, ours, stock = (ys.astype(jnp.float32) for ys in nnx.jit(lambda layers: [layer(xs) for layer in layers])(layers))
        assert jnp.abs(ours - stock).max() <= 0.01 * jnp.abs(expected).max()
        assert jnp.abs(ours - expected).max() <= 0.02 * jnp.abs(expected).max()

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
            *("drive/mu", "drive/step_size", "learnt/drive/mu", "learnt/drive/step_size"),
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


class Echo(mnnx.CellModule):
    """A cell that hands on its inputs."""

    compute_dtype = jnp.float32

    def functional(self):
        core = mr.Elman(H, activation="identity")
        params = core.init(jax.random.key(0), jnp.float32)
        return mr.Cell(core), {
            "input": {"kernel": jnp.eye(H), "bias": jnp.zeros(H)},
            "core": jax.tree.map(jnp.zeros_like, params),
        }


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
        one, other = nnx.jit(lambda stack: (stack(xs)[1], stack(xs)[1]))(stack)
        assert not jnp.array_equal(one, other)
        stack.eval()

        @nnx.jit
        def run(stack):
            half, head = stack(xs[:, :2])
            final, tail = stack(xs[:, 2:], initial_carry=half)
            return half, stack(xs), (final, jnp.concatenate([head, tail], axis=1)), layers[1](layers[0](xs))

        half, whole, in_chunks, by_hand = run(stack)
        assert_close(in_chunks, whole, TOLERANCE)
        assert_close(whole[1], by_hand, TOLERANCE)
        with pytest.raises(ValueError, match="initial_carry must be a tuple of 2 carries, one for each layer, got"):
            stack(xs, initial_carry=half[:1])
        with pytest.raises(ValueError, match="initial_carry must be a tuple of 2 carries"):
            stack(xs, initial_carry=half[0])
        with pytest.raises(ValueError, match="time_major must be the same"):
            mnnx.Stack([mnnx.RNN(make("LSTMCell"), time_major=True)])
        with pytest.raises(ValueError, match=r"dropout\.time_major must be that of the call, True, got False"):
            stack(xs, time_major=True)

    def test_dropout_in_a_stack_with_time_first_is_locked_over_time(self):
        layers = [mnnx.RNN(mnnx.LSTMCell(F, H, rngs=nnx.Rngs(0)), time_major=True), mnnx.RNN(Echo(), time_major=True)]
        dropout = mnnx.LockedDropout(0.5, time_major=True, rngs=nnx.Rngs(dropout=0))
        xs = inputs(T, 8, F)
        kept = mnnx.Stack(layers, dropout=dropout, time_major=True)(xs) != 0
        assert (kept == kept[:1]).all()
        assert 0.2 < kept.mean() < 0.8

    def test_bidirectional_merges_as_it_is_told(self):
        forward, backward = (mnnx.RNN(make("LSTMCell", seed=seed)) for seed in (0, 1))
        xs = inputs(2, T, F)
        both = mnnx.Bidirectional(forward, backward, merge_fn=lambda a, b: a - 2 * b, rngs=nnx.Rngs(0))(xs)
        assert_close(both, forward(xs) - 2 * backward(xs, reverse=True, keep_order=True), 1e-6)
        with pytest.raises(TypeError, match="merge_fn must be a function of the two outputs, got 3"):
            mnnx.Bidirectional(forward, backward, merge_fn=3)
        with pytest.raises(ValueError, match="initial_carry must be a tuple of 2 carries, one for each direction"):
            mnnx.Bidirectional(forward, backward)(xs, initial_carry=())

    def test_a_layer_keeps_what_it_is_told_to(self):
        xs, cell = inputs(2, T, F), make("MomentumLSTMCell")
        assert_close(mnnx.RNN(cell, remat=2)(xs), mnnx.RNN(cell)(xs), TOLERANCE)
        with pytest.raises(ValueError, match="remat must be an integer of at least 1, got 0"):
            mnnx.RNN(cell, remat=0)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"param_dtype": jnp.int32}, TypeError, "param_dtype must be a floating-point dtype"),
            ({"kernel_init": 3}, TypeError, "kernel_init must be a function of a key, a shape and a dtype, or None, got 3"),
            (
                {"learnable": True},
                ValueError,
                "learnable must be None, 'scalar', 'per_unit', 'each', a tuple of names, .* got True",
            ),
        ],
    )
    def test_a_cell_refuses(self, change, error, message):
        with pytest.raises(error, match=message):
            make("LSTMCell", **change)

    def test_a_carry_of_integers_is_refused(self):
        cell, xs = make("MomentumLSTMCell"), inputs(2, T, F)
        carry = jax.tree.map(lambda leaf: leaf.astype(jnp.int32), cell.initialize_carry((2, F)))
        with pytest.raises(TypeError, match=r"initial_carry\.drive\.velocity must be like float32, got int32"):
            mnnx.RNN(cell)(xs, initial_carry=carry)
        with pytest.raises(TypeError, match=r"carry\.drive\.velocity must be like float32, got int32"):
            cell(carry, xs[:, 0])

    def test_refusals(self):
        with pytest.raises(
            TypeError, match=r"cell must be a RecurrentCell or a WeightDrop, got .*GRUCell; flax.nnx.RNN takes others"
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
        with pytest.raises(
            ValueError,
            match="method must be one of 'auto', 'stepwise', 'chunked', 'associative', 'cudnn', 'native', 'hoisted', got 'fast'",
        ):
            mnnx.RNN(make("LSTMCell"), method="fast")
        with pytest.raises(ValueError, match="hidden_features must be an integer of at least 1, got 0"):
            mnnx.LSTMCell(F, 0, rngs=nnx.Rngs(0))
        with pytest.raises(TypeError, match="rngs must be an instance of Rngs, got None"):
            mnnx.WeightDrop(make("LSTMCell"), 0.5, rngs=None)
        with pytest.raises(ValueError, match=r"rate must be one number in \[0, 1\)"):
            mnnx.LockedDropout(jnp.array([0.5, 0.1]), rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match="input_shape must be an integer of at least 0, got -2"):
            make("LSTMCell").initialize_carry((-2, F))
        with pytest.raises(ValueError, match=r"input_shape must have at least 1 sizes, got \(\)"):
            make("LSTMCell").initialize_carry(())
        with pytest.raises(ValueError, match="carry_init must be None"):
            make("LSTMCell").initialize_carry((2, F), carry_init=jax.nn.initializers.ones)
        with pytest.raises(ValueError, match="recurrent_kernel_init must be None for Orthogonal"):
            make("OrthogonalCell", recurrent_kernel_init=jax.nn.initializers.ones)

    def test_initialisers_are_used_gate_by_gate(self):
        cell = make("LSTMCell", recurrent_kernel_init=jax.nn.initializers.orthogonal(), bias_init=jax.nn.initializers.ones)
        for U in jnp.split(cell.core.kernel[...], 4, axis=1):
            assert_close(U @ U.T, jnp.eye(H), 1e-5)
        assert_close((cell.input.bias[...], cell.core.bias[...]), (jnp.ones(4 * H), jnp.ones(4 * H)), 0)
