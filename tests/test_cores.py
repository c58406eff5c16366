"""Each core against its equation in NumPy, its initialisation, and the orthogonal maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import momentum_rnn_jax as mr
from momentum_rnn_jax import activations, orthogonal
from tests.registry import CORES, FEATURES, assert_close

H = 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_step(core):
    """Random parameters, prepared; a random state; a drive; and what `step` makes of them, as NumPy arrays."""
    random = np.random.default_rng(0)
    params = {name: jnp.asarray(random.normal(size=shape)) for name, shape in core.param_shapes().items()}
    ready = core.prepare(params)
    zeros = core.initial_state(ready, (3,), jnp.float64)
    state = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), zeros)
    d = jnp.asarray(random.normal(size=(3, core.drive_features)))
    return (*jax.tree.map(np.asarray, (ready, state, d)), *core.step(ready, state, d))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda z: np.maximum(z, 0),
    "identity": lambda z: z,
}


def test_the_activations_tested_are_all_there_are():
    assert {*ACTIVATIONS, "modrelu"} == set(activations.NAMES)


@pytest.mark.parametrize("name", activations.NAMES)
def test_elman_and_orthogonal_equations(float64, name):
    for core in (mr.Elman(H, activation=name), mr.Orthogonal(H, activation=name)):
        ready, state, d, new, h = one_step(core)
        z = state.h @ ready["kernel"] + ready.get("bias", 0) + d
        expected = ACTIVATIONS[name](z) if name != "modrelu" else np.sign(z) * np.maximum(np.abs(z) + ready["modrelu_bias"], 0)
        assert_close((new.h, h), (expected, expected), 1e-13)


def test_lstm_equation(float64):
    ready, state, d, new, h = one_step(mr.LSTM(H))
    i, f, g, o = np.split(state.h @ ready["kernel"] + ready["bias"] + d, 4, axis=-1)
    c = sigmoid(f) * state.c + sigmoid(i) * np.tanh(g)
    assert_close((new.c, new.h, h), (c, sigmoid(o) * np.tanh(c), sigmoid(o) * np.tanh(c)), 1e-13)


def test_gru_equation(float64):
    ready, state, d, new, h = one_step(mr.GRU(H))
    a_r, a_z, a_n = np.split(state.h @ ready["kernel"] + ready["bias"], 3, axis=-1)
    d_r, d_z, d_n = np.split(d, 3, axis=-1)
    z = sigmoid(a_z + d_z)
    expected = (1 - z) * np.tanh(d_n + sigmoid(a_r + d_r) * a_n) + z * state.h
    assert_close((new.h, h), (expected, expected), 1e-13)


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_init_has_the_declared_names_shapes_and_dtype(name, dtype):
    cell = mr.Cell(CORES[name])
    params = cell.init(jax.random.key(0), FEATURES, dtype)
    assert {k: v.shape for k, v in params["core"].items()} == cell.core.param_shapes()
    assert {k: v.shape for k, v in params["input"].items()} == cell.core.input_shapes(FEATURES)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    again, other = cell.init(jax.random.key(0), FEATURES, dtype), cell.init(jax.random.key(1), FEATURES, dtype)
    assert_close(params, again, 0)
    assert not np.array_equal(params["input"]["kernel"], other["input"]["kernel"])


def test_released_lstm_init(float64):
    params = mr.lstm(H, init_scheme="released", forget_bias=-4.0).init(jax.random.key(0), 3)
    forget = np.repeat([0.0, -4.0, 0.0, 0.0], H)
    assert_close((params["input"]["bias"], params["core"]["bias"]), (forget, forget), 0)
    assert_close(params["core"]["kernel"], np.eye(H, 4 * H), 0)
    W = params["input"]["kernel"]
    assert_close(W @ W.T, np.eye(3), 1e-12)


def test_released_orthogonal_init(float64):
    params = mr.dtriv(400, skew_init="cayley").init(jax.random.key(0), 50)
    assert np.std(params["input"]["kernel"]) == pytest.approx(np.sqrt(2 / 50), rel=0.02)  # Kaiming
    bias = np.asarray(params["core"]["modrelu_bias"])
    assert 0.009 < np.abs(bias).max() < 0.01
    assert abs(bias.mean()) < 0.001
    assert_close(params["core"]["base"], np.eye(400), 0)


def test_the_default_input_kernel_has_variance_one_over_fan_in(float64):
    for cell in (mr.rnn(300), mr.lstm(100), mr.gru(100)):
        params = cell.init(jax.random.key(0), 50)
        assert np.std(params["input"]["kernel"]) == pytest.approx(np.sqrt(1 / 50), rel=0.02)


def test_input_and_core_are_drawn_from_different_keys(float64):
    cell, key = mr.lstm(H), jax.random.key(0)
    params = cell.init(key, 3)
    input_key, core_key = jax.random.split(key)
    assert_close(params, {"input": cell.core.init_input(input_key, 3), "core": cell.core.init(core_key)}, 0)


def test_default_lstm_init_keeps_the_forget_bias_out_of_the_drive(float64):
    params = mr.lstm(H, forget_bias=2.0).init(jax.random.key(0), 3)
    assert not params["input"]["bias"].any()
    assert_close(params["core"]["bias"], np.repeat([0.0, 2.0, 0.0, 0.0], H), 0)
    for U in np.split(np.asarray(params["core"]["kernel"]), 4, axis=1):
        assert_close(U @ U.T, np.eye(H), 1e-12)


class TestOrthogonal:
    A = np.random.default_rng(3).normal(size=(5, 5))

    def test_skew_uses_the_strict_upper_triangle(self, float64):
        S = orthogonal.skew(jnp.asarray(self.A))
        assert_close(S, np.triu(self.A, 1) - np.triu(self.A, 1).T, 0)

    def test_expm_is_scipys(self, float64):
        S = np.triu(self.A, 1) - np.triu(self.A, 1).T
        assert_close(orthogonal.orthogonal_matrix(jnp.asarray(self.A), jnp.eye(5)), scipy.linalg.expm(S), 1e-12)

    def test_cayley_is_its_definition(self, float64):
        S = np.triu(self.A, 1) - np.triu(self.A, 1).T
        expected = np.linalg.inv(np.eye(5) + S) @ (np.eye(5) - S)
        assert_close(orthogonal.orthogonal_matrix(jnp.asarray(self.A), jnp.eye(5), "cayley"), expected, 1e-12)

    @pytest.mark.parametrize("mapping", orthogonal.MAPS)
    @pytest.mark.parametrize("skew_init", orthogonal.SKEW_INITS)
    @pytest.mark.parametrize("size", [1, 5, 8])
    def test_the_matrix_is_orthogonal_and_keeps_norms(self, float64, mapping, skew_init, size):
        core = mr.Orthogonal(size, mapping=mapping, skew_init=skew_init, activation="identity")
        ready = core.prepare(core.init(jax.random.key(0)))
        B = ready["kernel"]
        assert_close(B @ B.T, np.eye(size), 1e-12)
        h = jnp.ones((1, size))
        for _ in range(10):
            _, h = core.step(ready, mr.HiddenState(h), jnp.zeros((1, size)))
        assert jnp.linalg.norm(h) == pytest.approx(np.sqrt(size), rel=1e-12)

    def test_henaff_init_rotates_by_angles_in_the_whole_circle(self, float64):
        B = orthogonal.expm_map(orthogonal.skew(orthogonal.henaff(jax.random.key(0), 400)))
        angles = np.arctan2(np.diag(np.asarray(B), 1)[::2], np.diag(np.asarray(B))[::2])
        assert np.abs(angles).max() > 0.95 * np.pi
        assert abs(np.mean(angles)) < 0.5
        assert np.std(angles) == pytest.approx(np.pi / np.sqrt(3), rel=0.1)

    def test_cayley_init_rotates_by_angles_in_a_quarter_circle_under_the_cayley_map(self, float64):
        A = orthogonal.cayley(jax.random.key(0), 400)
        B = np.asarray(orthogonal.cayley_map(orthogonal.skew(A)))
        angles = np.arctan2(np.diag(B, 1)[::2], np.diag(B)[::2])
        assert angles.min() > 0
        assert angles.max() < np.pi / 2
        assert np.mean(angles) == pytest.approx(np.pi / 4, rel=0.1)

    def test_odd_sizes_keep_a_last_row_of_zeros(self, float64):
        A = orthogonal.henaff(jax.random.key(0), 5)
        assert np.count_nonzero(A) == 2
        assert not A[4].any()

    @pytest.mark.parametrize("mapping", orthogonal.MAPS)
    @pytest.mark.parametrize("project", [False, True])
    def test_rebase_moves_the_base_and_leaves_the_network(self, float64, mapping, project):
        core = mr.Orthogonal(5, mapping=mapping)
        params = core.init(jax.random.key(0)) | {"A": jnp.asarray(self.A)}
        moved = core.rebase(core.rebase(params, project=project), project=project)
        assert not moved["A"].any()
        assert_close(moved["base"], core.prepare(params)["kernel"], 1e-12)
        assert_close(core.prepare(moved), core.prepare(params), 1e-12)

    def test_projection_is_scipys_polar_factor(self, float64):
        assert_close(orthogonal.nearest_orthogonal(jnp.asarray(self.A)), scipy.linalg.polar(self.A)[0], 1e-12)
        off = {"A": jnp.zeros((5, 5)), "base": jnp.asarray(self.A)}
        assert_close(mr.rebase(off, "expm", project=True)["base"], scipy.linalg.polar(self.A)[0], 1e-12)

    @pytest.mark.parametrize("mapping", orthogonal.MAPS)
    def test_gradients_of_the_maps_agree_with_finite_differences(self, float64, mapping):
        weights = jnp.asarray(np.random.default_rng(4).normal(size=(5, 5)))

        def loss(A):
            return jnp.sum(orthogonal.orthogonal_matrix(A, jnp.eye(5), mapping) * weights)

        A, direction = jnp.asarray(self.A), jnp.asarray(self.A.T[::-1])
        slope = jnp.vdot(jax.grad(loss)(A), direction)
        difference = (loss(A + 1e-6 * direction) - loss(A - 1e-6 * direction)) / 2e-6
        assert slope == pytest.approx(float(difference), rel=1e-7)

    def test_the_base_is_not_trained(self):
        core = mr.Orthogonal(4)
        grads = jax.grad(lambda params: jnp.sum(core.prepare(params)["kernel"] ** 3))(core.init(jax.random.key(0)))
        assert not grads["base"].any()
        assert grads["A"].any()

    def test_rebase_refuses_other_parameters(self):
        with pytest.raises(ValueError, match=r"params must have the entries \['A', 'base'\]; it lacks"):
            mr.rebase(mr.LSTM(3).init(jax.random.key(0)), "expm")
        stacked = jax.vmap(mr.Orthogonal(3).init)(jax.random.split(jax.random.key(0), 3))
        with pytest.raises(ValueError, match=r"params\['A'\] must have shape \(H, H\), got \(3, 3, 3\); use jax.vmap"):
            mr.rebase(stacked, "expm")
        with pytest.raises(ValueError, match=r"params\['A'\] must have shape \(4, 4\), got \(3, 3\)"):
            mr.Orthogonal(4).rebase(mr.Orthogonal(3).init(jax.random.key(0)))
        with pytest.raises(ValueError, match="mapping must be one of 'expm', 'cayley', got 'exp'"):
            mr.rebase(mr.Orthogonal(3).init(jax.random.key(0)), "exp")


def test_modrelu_and_its_gradient_are_zero_at_zero():
    for bias in (-0.5, 0.5):
        value, grad = jax.value_and_grad(lambda z, bias=bias: activations.modrelu(z, jnp.array([bias]))[0])(jnp.zeros(1))
        assert value == 0
        assert grad[0] == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.LSTM(0), ValueError, "hidden_features must be an integer of at least 1, got 0"),
        (lambda: mr.GRU(2.5), TypeError, "hidden_features must be an integer of at least 1, got 2.5"),
        (lambda: mr.Elman("8"), TypeError, "hidden_features must be an integer of at least 1, got '8'"),
        (lambda: mr.Elman(8, activation="tahn"), ValueError, "activation must be one of 'tanh'.*got 'tahn'"),
        (lambda: mr.Elman(8, activation=jnp.tanh), ValueError, "activation must be one of"),
        (lambda: mr.LSTM(8, forget_bias="1"), TypeError, "forget_bias must be a real number"),
        (lambda: mr.LSTM(8, forget_bias=-float("inf")), ValueError, "forget_bias must be in"),
        (lambda: mr.LSTM(8, forget_bias=float("nan")), ValueError, "forget_bias must be in"),
        (lambda: mr.LSTM(8, init_scheme="torch"), ValueError, "init_scheme must be one of 'default', 'released', got 'torch'"),
        (lambda: mr.Orthogonal(8, mapping="exp"), ValueError, "mapping must be one of 'expm', 'cayley', got 'exp'"),
        (lambda: mr.Orthogonal(8, skew_init="zeros"), ValueError, "skew_init must be one of 'henaff', 'cayley', got 'zeros'"),
    ],
)
def test_bad_structure_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_activation_names_are_read_in_any_case():
    assert mr.Elman(8, activation="modReLU") == mr.Elman(8, activation="modrelu")


KEY = jax.random.key(0)
MALFORMED = {
    "a seed for a key": ((3,), {}, "key must be one random key, such as jax.random.key\\(0\\), got 3"),
    "many keys": ((jax.random.split(KEY, 2),), {}, r"key must be one random key, .*, got .* of shape \(2,\)"),
    "an integer dtype": ((KEY,), {"dtype": jnp.int32}, "dtype must be a floating-point dtype, .*, got"),
    "a misspelt dtype": ((KEY,), {"dtype": "flaot32"}, "dtype must be a floating-point dtype, .*, got 'flaot32'"),
}


@pytest.mark.parametrize("name", CORES)
def test_malformed_keys_and_dtypes_are_refused_in_one_line(name):
    core = CORES[name]
    for args, options, message in MALFORMED.values():
        with pytest.raises(TypeError, match=f"^{message}[^\n]*$"):
            core.init(*args, **options)
        with pytest.raises(TypeError, match=f"^{message}[^\n]*$"):
            core.init_input(*args, 3, **options)
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"^in_features must be an integer of at least 1, got {size}"):
            core.init_input(KEY, size)
