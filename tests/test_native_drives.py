"""Drives that the native kernels run after the projection, against a scan of the steps."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import native
from momentum_rnn_jax.execution import native as execution
from momentum_rnn_jax.execution import native_call, resolve
from momentum_rnn_jax.execution.native_operands import GRADIENTS, HYPERPARAMETERS, OUTPUTS, RESIDUALS, Operands, Spec
from momentum_rnn_jax.execution.native_support import DRIVE_KINDS
from tests.registry import assert_close, split_floats
from tests.test_native import CORES, GATES, TOLERANCE, assert_near, loss, problem
from tests.test_native import instruction_set as instruction_set  # a fixture

pytestmark = pytest.mark.skipif(bool(native.why_not()), reason=f"there are no kernels here: {native.why_not()}")

KINDS = (mr.Adam, mr.RMSProp, mr.Momentum)


def make_drive(kind, gates):
    """A drive with hyper-parameters of its own for every gate, except a scalar step size."""
    random = np.random.default_rng(1)
    arrays = {"mu": (0.1, 0.9), "beta": (0.1, 0.9), "eps": (0.05, 0.2)}
    names = [field.name for field in dataclasses.fields(kind) if field.name in arrays]
    return kind(step_size=0.7, **{name: jnp.asarray(random.uniform(*arrays[name], gates)) for name in names})


@pytest.fixture
def blocks_of_four(monkeypatch):
    monkeypatch.setattr(execution, "MAX_BLOCK", 4)


# ---- the calls, against their reference ----


def random_call(random, core, kind, dtype, sizes, *, how, masked, keep, block):
    T, B, F, H = sizes
    G = GATES.get(core, 1) * H

    def normal(*shape, scale=1.0):
        return (scale * random.normal(size=shape)).astype(dtype)

    def between(low, high):
        return random.uniform(low, high, G).astype(dtype)

    states, names = DRIVE_KINDS[kind].states, [field.name for field in dataclasses.fields(kind)]
    given = {"kernel": normal(H, G, scale=H**-0.5), "bias": normal(G), "first_h": normal(B, H)}
    given |= {} if how == "d" else {"x": normal(T, B, F), "input": normal(F, G, scale=F**-0.5)}
    given |= {"d": given["x"] @ given["input"] if how == "ahead" else normal(T, B, G)} if how != "x" else {}
    ranges = {"mu": (0.0, 0.95), "step_size": (0.3, 1.0), "beta": (0.0, 0.95), "eps": (0.01, 0.3)}
    given |= {name: between(*ranges[name]) for name in names}
    given |= {f"first_{state}": normal(B, G) ** 2 for state in states}
    if masked:
        given |= {"resets": random.random((T, B)) < 0.2, "valid": random.random((T, B)) < 0.7, "start_h": normal(B, H)}
        given |= {f"start_{state}": normal(B, G) ** 2 for state in states}
    if core == "lstm":
        given |= {"first_c": normal(B, H)} | ({"start_c": normal(B, H)} if masked else {})
    if core == "modrelu":
        given["extra"] = normal(H)
    present = tuple(name for name in Operands._fields if name in given)
    spec = Spec(CORES[core](H), present, keep, keep, how == "ahead", kind, block)
    return [given[name][None] for name in present], spec


def check_call(random, core, kind, dtype, sizes, **how):
    arrays, spec = random_call(random, core, kind, dtype, sizes, **how)

    @functools.partial(jax.jit, static_argnums=0)
    def both(native_calls, arrays):
        forward, backward = (
            (native_call._forward_native, native_call._backward_native)
            if native_calls
            else (native_call._forward_in_jax, native_call._backward_in_jax)
        )
        found = dict(zip(OUTPUTS, forward(*arrays, spec=spec), strict=True))
        cotangents = [jnp.cos(jnp.arange(found[name].size, dtype=dtype)).reshape(found[name].shape) for name in spec.outputs]
        residuals = [found[name] for name in RESIDUALS]
        gradients = backward(*arrays, *residuals, *cotangents, spec=spec, wants_weights=True, wants_d=how["how"] != "x")
        return {name: found[name] for name in spec.outputs}, dict(zip(GRADIENTS, gradients, strict=True))

    (found, gradients), (expected, expected_gradients) = both(True, arrays), both(False, arrays)
    what = f"{core} {kind.__name__} {dtype} T, B, F, H = {sizes} {how}"
    for name in found:
        assert_near(found[name], np.asarray(expected[name]), 2 * TOLERANCE[dtype], f"{name} of {what}")
    wanted = [name for name in GRADIENTS if name in spec.present or name == "d"]
    assert {name for name in HYPERPARAMETERS if gradients[name].size} == set(HYPERPARAMETERS) & set(spec.present)
    for name in wanted:
        if gradients[name].size:
            assert_near(gradients[name], np.asarray(expected_gradients[name]), 20 * TOLERANCE[dtype], f"d{name} of {what}")


def check_one(seed, dtype, largest):
    random = np.random.default_rng(seed)
    core, kind, how = list(CORES)[seed % len(CORES)], KINDS[seed % 3], ("x", "ahead", "d")[seed // 3 % 3]
    T, B, F, H = (int(n) for n in 1 + random.integers(0, largest, 4) * random.random(4) ** 2)
    T = min(T, 40)
    more = {"masked": bool(random.random() < 0.5), "keep": str(random.choice(["states", "gates"]))}
    check_call(random, core, kind, dtype, (T, B, F, H), how=how, block=int(random.integers(1, 33)), **more)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_shapes_of_all_remainders(instruction_set, dtype):
    with jax.enable_x64(dtype == "float64"):
        for seed in (0, 4, 8):
            check_one(seed, dtype, 40)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_many_shapes(instruction_set, dtype):
    with jax.enable_x64(dtype == "float64"):
        for seed in range(100, 130):
            check_one(seed, dtype, 120)


@pytest.mark.parametrize("how", ["x", "ahead"])
def test_weights_beyond_the_cache(how):
    """Where threads share units and meet once a step, and the drive runs before and after all of them."""
    sizes = (5, 2, 3, 420)
    check_call(np.random.default_rng(0), "lstm", mr.Adam, "float32", sizes, how=how, masked=True, keep="states", block=2)


# ---- unroll ----


@pytest.mark.parametrize("kept", ["gates", "states", "checkpoints"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_stepwise_does(float64, monkeypatch, blocks_of_four, kind, kept):
    """From a given state, with resets and lengths, gradients of everything; of few features in the kernels, of many ahead."""
    if kept == "states":
        monkeypatch.setattr(resolve, "NATIVE_STORED_BYTES", 0)
    core, features = ("lstm", 2) if kind is not mr.RMSProp else ("gru", 12)
    cell, params, xs = problem(core, make_drive(kind, 5 * GATES[core]), features=features)
    masks = {"resets": jnp.zeros((6, 3), bool).at[2, 1].set(True).at[0, 0].set(True), "seq_lengths": jnp.array([6, 4, 0])}
    state = mr.unroll(cell, params, 2 * xs, method="stepwise")[0]
    floats, combine = split_floats((cell, params, xs, state))
    remat = 4 if kept == "checkpoints" else "auto"

    def of(method, remat="auto"):
        return jax.jit(jax.value_and_grad(lambda floats: loss(*combine(floats), method=method, remat=remat, **masks)))(floats)

    explained = mr.explain(cell, params, xs, state, remat=remat, **masks)
    assert explained.startswith("native: ")
    assert "the drive acts on the gates, after the projection, in the kernels" in explained
    assert (", with the projection;" in explained) == (features == 2)
    assert_close(of("auto", remat), of("stepwise"), 1e-11)


def test_every_mode_of_differentiation(float64):
    cell, params, xs = problem("lstm", mr.Adam(eps=0.1), time=3, hidden=3)

    def f(given, method):
        return loss(dataclasses.replace(cell, drive=mr.Adam(given[0], eps=0.1, beta=given[1])), params, xs, method=method)

    @functools.partial(jax.jit, static_argnames="method")
    def derivatives(given, method):
        g = functools.partial(f, method=method)
        return jax.jacfwd(g)(given), jax.hessian(g)(given), jax.grad(jax.checkpoint(g))(given)

    given = jnp.array([0.5, 0.3])
    assert_close(derivatives(given, "native"), derivatives(given, "stepwise"), 1e-10)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gradients_of_inputs_alone_under_vmap(float64, kind):
    """What is mapped over joins the batch, the drive's states with it."""
    cell, params, xs = problem(kind, mr.Adam(eps=0.1))
    many = jnp.stack([xs, 2 * xs])

    def gradient(method):
        return jax.jit(jax.vmap(jax.grad(lambda xs: loss(cell, params, xs, method=method))))

    assert "<1x6x6x" in gradient("native").lower(many).as_text()
    assert_close(gradient("native")(many), gradient("stepwise")(many), 1e-11)


@pytest.mark.parametrize("over", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)])
def test_vmap_over_hyperparameters_seeds_and_batches(float64, over):
    cell, params, xs = problem("lstm", mr.Adam(eps=0.1))
    scales = jnp.array([0.5, 0.8])
    many = [
        tree if axis is None else jax.tree.map(lambda leaf: jnp.stack([s * leaf for s in scales]), tree)
        for tree, axis in zip((cell, params, xs), over, strict=True)
    ]

    def gradient(method):
        return jax.jit(jax.vmap(jax.value_and_grad(functools.partial(loss, method=method), argnums=(0, 1, 2)), over))

    assert_close(gradient("native")(*many), gradient("stepwise")(*many), 1e-11)


def test_the_drive_and_the_recurrence_are_one_call():
    cell, params, xs = problem("lstm", mr.Adam(), dtype=jnp.float32)
    program = jax.jit(jax.grad(lambda params: loss(cell, params, xs, method="native"))).lower(params).as_text()
    assert [program.count(f"@{target}(") for target in native.TARGETS] == [1, 1]
    assert "6x3x20xf32" not in program  # neither the projected inputs nor the driven ones


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_number_and_infinity_pass_through(kind):
    cell, params, xs = problem("lstm", make_drive(kind, 20), dtype=jnp.float32)
    for value in (jnp.nan, jnp.inf, 1e30):  # the square of the last overflows
        bad = xs.at[2, 1].set(value)
        found, expected = (mr.unroll(cell, params, bad, method=method)[1] for method in ("native", "stepwise"))
        assert bool((jnp.isnan(found) == jnp.isnan(expected)).all())
        assert bool(jnp.isfinite(found[:, 0]).all())
        assert_close(jnp.nan_to_num(found), jnp.nan_to_num(expected), 1e-5)


def test_roots_of_all_sizes(instruction_set):
    """d = u / sqrt(u^2 + eps), from the smallest eps that is allowed to where u^2 is infinite."""
    drive = mr.RMSProp(step_size=1.0, beta=0.0, eps=1e-30)
    cell = mr.Cell(mr.Elman(64, activation="identity"), drive)
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), 1, dtype=jnp.float32))
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params["input"]["kernel"] = jnp.logspace(-17, 20, 64, dtype=jnp.float32)[jnp.newaxis]
    found, expected = (mr.unroll(cell, params, jnp.ones((2, 1, 1)), method=method)[1] for method in ("native", "stepwise"))
    np.testing.assert_allclose(found, expected, rtol=4e-7, atol=0)


def test_what_the_kernels_leave_to_jax():
    """The states of every step, and hyper-parameters of an example's own."""
    cell, params, xs = problem("gru", mr.Adam(), dtype=jnp.float32)
    assert "in the kernels" in mr.explain(cell, params, xs)
    assert "in the kernels" not in mr.explain(cell, params, xs, method="native", return_states=True)
    cell, params, xs = problem("gru", mr.Adam(mu=jnp.full((3, 15), 0.5)), dtype=jnp.float32)
    assert "in the kernels" not in mr.explain(cell, params, xs, method="native")
    assert mr.explain(cell, params, xs).startswith("chunked: ")
