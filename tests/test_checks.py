"""Argument checks: what they return and accept, and their messages. `test_malformed` has the calls of public names."""

import inspect

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import _checks, orthogonal
from momentum_rnn_jax._describe import describe, outline


def message(check, *args, **kwargs):
    with pytest.raises((TypeError, ValueError)) as error:
        check(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_lengths_are_clamped_before_they_are_converted(dtype):
    """In int32, 2**32 + 3 would count as 3; in int8, no number is larger than a time of 200."""
    info = np.iinfo(dtype)
    given = np.array([info.min, 0, 3, info.max // 2 + 4, info.max], dtype)
    if info.max > 2**32 + 3:
        given[3] = 2**32 + 3
    with jax.enable_x64(info.bits == 64):
        for time in (5, 200):
            for lengths in (
                _checks.clamped_lengths(given, time),
                jax.jit(_checks.clamped_lengths, static_argnums=1)(given, time),
            ):
                assert lengths.dtype == jnp.int32
                assert lengths.tolist() == [min(max(int(length), 0), time) for length in given]


def test_lengths_of_numpy_do_not_wrap_without_x64():
    assert _checks.clamped_lengths(np.array([2**32 + 3, -(2**40)]), 5).tolist() == [5, 0]


def test_concrete_values_are_checked_while_jax_traces():
    def trace(mu):
        return jax.eval_shape(lambda: mr.Momentum(mu=mu).mu + 0)

    assert trace(np.array([0.5])).dtype == jnp.float32
    with pytest.raises(ValueError, match=r"mu must be in \[0, 1\), got values from 0.5 to 1.5 in float64 of shape \(2,\)"):
        trace(np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match=r"mu must be in \[0, 1\), got NaN in float32 of shape \(2,\)"):
        trace(jnp.array([0.5, jnp.nan]))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8])
def test_traced_real_numbers_are_taken_as_they_are(dtype):
    assert jax.eval_shape(lambda mu: mr.Momentum(mu=mu).mu, jax.ShapeDtypeStruct((), dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.complex64, jnp.bool_, ml_dtypes.float8_e4m3fn])
def test_traced_values_of_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match=rf"mu must be a real number or an array of them, got traced {jnp.dtype(dtype)} of shape"):
        jax.eval_shape(lambda mu: mr.Momentum(mu=mu).mu, jax.ShapeDtypeStruct((), dtype))


def test_numbers_without_bounds_are_finite():
    assert _checks.scalar("bias", -3) == -3.0
    for value in (float("inf"), -float("inf"), float("nan"), 10**400, -(10**400), 1e300, -1e300):
        assert message(_checks.scalar, "bias", value).startswith("bias must be in (-inf, inf), got")


def test_one_number_is_not_an_array_of_one():
    assert message(_checks.scalar, "rate", np.zeros(1), low=0, high=1) == (
        "rate must be one number in [0, 1), got float64 of shape (1,)."
    )


def test_only_booleans_are_flags():
    assert _checks.boolean("flag", np.bool_(True)) is True
    assert _checks.boolean("flag", False) is False
    for value, got in [(1, "1"), ("yes", "'yes'"), (np.array(True), "bool of shape ()"), (None, "None")]:
        assert message(_checks.boolean, "flag", value) == f"flag must be True or False, got {got}."


def test_a_choice_is_a_plain_string():
    assert type(_checks.choice("mapping", np.str_("expm"), orthogonal.MAPS)) is str


def test_a_misspelt_choice_or_entry_is_guessed():
    assert message(mr.Elman, 3, activation="TAHN").endswith("got 'tahn'; did you mean 'tanh'?")
    assert message(mr.Elman, 3, activation="softmax").endswith("got 'softmax'.")
    params = {"input": {}, "cores": {}}
    assert message(_checks.names, "params", params, ("input", "core")) == (
        "params must have the entries ['core', 'input']; it lacks ['core'] and has unknown entries ['cores']; "
        "did you mean 'core'?"
    )


def test_arguments_that_do_not_fit_are_refused_with_the_names_that_do():
    def bind(*args, **kwargs):
        return _checks.bind("momentum_rnn", inspect.signature(mr.momentum_rnn), args, kwargs)

    names = "the signature is momentum_rnn(hidden_features, *, mu, step_size, activation)"
    assert bind(3, mu=0.5).arguments == {"hidden_features": 3, "mu": 0.5}
    assert message(bind, 3, stepsize=0.5) == (
        f"momentum_rnn: got an unexpected keyword argument 'stepsize'; {names}; did you mean 'step_size'?"
    )
    assert message(bind) == f"momentum_rnn: missing a required argument: 'hidden_features'; {names}."
    assert message(bind, 3, 0.5) == f"momentum_rnn: too many positional arguments; {names}."


def test_the_leaves_of_a_tree_are_arrays():
    tree = {"a": np.zeros(2), "b": (jnp.zeros(2), jax.random.key(0))}
    struct = jax.ShapeDtypeStruct((2,), jnp.float32)
    _checks.array_leaves("noise", tree)
    _checks.array_leaves("noise", tree | {"c": struct}, structs=True)
    assert message(_checks.array_leaves, "noise", tree | {"c": struct}) == (
        "noise['c'] must be an array, got a ShapeDtypeStruct, float32 of shape (2,)."
    )
    assert message(_checks.array_leaves, "noise", {1: 0, "a": 0}) == "noise must be a pytree of arrays, got dict of length 2."
    for leaf in (0.5, "a", np.array(["a"]), np.ma.zeros(2), np.zeros(2, np.longdouble), np.zeros(2, ">f4")):
        assert message(_checks.array_leaves, "noise", [leaf]) == f"noise[0] must be an array, got {describe(leaf)}."


def test_the_limits_of_a_hyperparameter_are_an_interval():
    assert message(mr.hyperparameter, low=1, high=0.5) == "low must be less than high, got 1.0 and 0.5."
    assert mr.hyperparameter(high=10**400).metadata["range"].high == float("inf")


def test_sizes_that_no_array_can_have_are_refused_with_their_bytes():
    _checks.elements("size", 10, {"kernel": (10, 20)})
    assert message(_checks.elements, "size", 10**5, {"bias": (10**5,), "kernel": (10**5, 4 * 10**5)}) == (
        "size must be small enough for arrays of at most 2147483647 elements, got 100000, with which kernel has shape "
        "(100000, 400000), 1.6e+11 bytes in float32."
    )
    assert message(_checks.integer, "restart", 2**31, low=1, high=_checks.INT32_MAX) == (
        "restart must be an integer of at most 2147483647, got 2147483648."
    )


@pytest.mark.parametrize("dtype", [float, "float16", jnp.bfloat16, np.dtype("float64"), np.float32])
def test_dtypes_of_parameters(dtype):
    assert _checks.float_dtype("dtype", dtype) == jnp.dtype(dtype)


def test_states_of_numpy_count_as_what_jax_makes_of_them():
    like = {"steps": jax.ShapeDtypeStruct((2,), jnp.int32), "v": jax.ShapeDtypeStruct((), jnp.float32)}
    _checks.same_structure("state", {"steps": np.zeros(2, np.int64), "v": np.float64(1)}, like)
    assert message(_checks.same_structure, "state", {"steps": jnp.zeros(2), "v": np.float64(1)}, like) == (
        "state['steps'] must be int32 of shape (2,), got float32 of shape (2,)."
    )


def test_an_orthogonal_matrix_needs_a_base_of_its_size():
    assert message(orthogonal.orthogonal_matrix, jnp.zeros((3, 3)), jnp.eye(4)) == (
        "base must have the shape of A, (3, 3), got (4, 4)."
    )


@pytest.mark.parametrize("mapping", orthogonal.MAPS.values())
def test_the_orthogonal_maps_work_in_16_bits(mapping):
    S = orthogonal.skew(jnp.array([[0.0, 0.5], [0.0, 0.0]], jnp.bfloat16))
    assert mapping(S).dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(mapping(S), float), np.asarray(mapping(S.astype(jnp.float32))), atol=2**-8)


def test_values_in_a_few_words():
    for value, words in [
        (10**5000, "an integer of 16610 bits"),
        (np.ones((2, 3)), "float64 of shape (2, 3)"),
        (np.ma.ones(3), "masked float64 of shape (3,)"),
        (jax.random.key(0), "key<fry> of shape ()"),
        (jax.ShapeDtypeStruct((2,), jnp.float32), "a ShapeDtypeStruct, float32 of shape (2,)"),
        ([1.0, jnp.ones(3)], "[1.0, float32 of shape (3,)]"),
        ((2,), "(2,)"),
        ([0] * 1000, "list of length 1000"),
        ({"a": jnp.ones(1000)}, "dict of length 1"),
        (mr.LSTM, "the class LSTM"),
        (jnp, "the module jax.numpy"),
        (len, "the function len"),
        (mr.Momentum(mu=np.full(99, 0.5)), f"{mr.Momentum.__module__}.Momentum"),
        ("x" * 1000, f"'{'x' * 70} … {'x' * 5}'"),
    ]:
        assert describe(value) == words


def test_trees_in_outline():
    assert outline(mr.CellState(mr.MomentumState(jnp.ones(3)), None)) == "CellState(drive=MomentumState(velocity), core=None)"
    assert len(outline([jnp.ones(1)] * 1000)) <= 160
