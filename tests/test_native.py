"""The native CPU kernels: shapes against NumPy, derivatives against stepwise, and what happens where there are none."""

import concurrent.futures
import functools
import itertools
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import momentum_rnn_jax as mr
from momentum_rnn_jax import native
from momentum_rnn_jax.execution import native_call
from momentum_rnn_jax.execution.native_operands import DRIVE_STATES, GRADIENTS, HYPERPARAMETERS, Spec
from tests import native_reference
from tests.registry import assert_close, split_floats

pytestmark = pytest.mark.skipif(bool(native.why_not()), reason=f"there are no kernels here: {native.why_not()}")

CORES = {
    "lstm": mr.LSTM,
    "gru": mr.GRU,
    "tanh": mr.Elman,
    "sigmoid": functools.partial(mr.Elman, activation="sigmoid"),
    "relu": functools.partial(mr.Elman, activation="relu"),
    "identity": functools.partial(mr.Elman, activation="identity"),
    "modrelu": mr.Orthogonal,
}
GATES = {"lstm": 4, "gru": 3}
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture(params=["baseline", "x86-64-v3", "x86-64-v4"])
def instruction_set(request):
    before = native.instruction_set()
    try:
        native.use_instruction_set(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    yield request.param
    native.use_instruction_set(before)


def random_call(random, kind, dtype, sizes, *, projected, masked, keep):
    """Operands of a native call, its spec, and cotangents."""
    T, B, F, H = sizes
    G = GATES.get(kind, 1) * H

    def normal(*shape, scale=1.0):
        return (scale * random.normal(size=shape)).astype(dtype)

    has_cell, state = kind == "lstm", (B, H)
    operands = {
        "x": None if projected else normal(T, B, F),
        "d": normal(T, B, G) if projected else None,
        "input": None if projected else normal(F, G, scale=F**-0.5),
        "kernel": normal(H, G, scale=H**-0.5),
        "bias": normal(G) if random.random() < 0.8 else None,
        "extra": normal(H) if kind == "modrelu" else None,
        "first_h": normal(*state),
        "first_c": normal(*state) if has_cell else None,
        "resets": random.random((T, B)) < 0.2 if masked else None,
        "valid": random.random((T, B)) < 0.7 if masked else None,
        "start_h": normal(*state) if masked else None,
        "start_c": normal(*state) if masked and has_cell else None,
    }
    present = tuple(name for name, value in operands.items() if value is not None)
    spec = Spec(CORES[kind](H), present, keep, keep, False)
    return operands, spec, normal(T, B, H), normal(*state) if has_cell else None


@functools.partial(jax.jit, static_argnames="spec")
def both(arrays, cotangents, spec):
    """The forward and the backward call, compiled once for all instruction sets."""
    outputs = native_call._forward.bind(*arrays, spec=spec)
    return outputs, native_call._backward.bind(
        *arrays, outputs[0], *outputs[4:], *cotangents, spec=spec, wants_weights=True, wants_d=True
    )


def run(operands, spec, dhs, dlast_c):
    """The outputs and the gradients, by name, of one run."""
    arrays = [operands[name][None] for name in spec.present]
    cotangents = [dhs[None]] if dlast_c is None else [dhs[None], dlast_c[None]]
    outputs, gradients = both(arrays, cotangents, spec)
    named = dict(zip(GRADIENTS, gradients, strict=True))
    return [one[0] for one in outputs[:2] if one.size], {name: one[0] for name, one in named.items() if one.size}


def check_one(seed, dtype, largest):
    random = np.random.default_rng(seed)
    kind = list(CORES)[seed % len(CORES)]
    T, B, F, H = (int(n) for n in 1 + random.integers(0, largest, 4) * random.random(4) ** 2)
    T = min(T, 40)  # what matters of time is that there is a first, a middle and a last step, and more than one block of sums
    how = {"projected": random.random() < 0.3, "masked": random.random() < 0.5, "keep": random.choice(["states", "gates"])}
    operands, spec, dhs, dlast_c = random_call(random, kind, dtype, (T, B, F, H), **how)
    outputs, gradients = run(operands, spec, dhs, dlast_c)
    wide = {
        name: value.astype(np.float64) if value is not None and value.dtype != bool else value for name, value in operands.items()
    }
    expected, expected_gradients = native_reference.run(
        kind, wide, dhs.astype(float), None if dlast_c is None else dlast_c.astype(float)
    )
    what = f"{kind} {dtype} T, B, F, H = {T, B, F, H} {how}"
    for i, output in enumerate(outputs):
        assert_near(output, expected[i], TOLERANCE[dtype], f"output {i} of {what}")
    for name, gradient in gradients.items():
        assert_near(gradient, expected_gradients[name], 5 * TOLERANCE[dtype], f"d{name} of {what}")


def assert_near(actual, expected, tolerance, what):
    """Near relative to the largest entry, as is fit for sums over many steps."""
    error = np.abs(np.asarray(actual, float) - expected).max()
    assert error <= tolerance * max(1, np.abs(expected).max()), f"{what}: {error}"


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_shapes_of_all_remainders(instruction_set, dtype):
    with jax.enable_x64(dtype == "float64"):
        for seed in range(14):
            check_one(seed, dtype, 70)


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_hundreds_of_shapes(instruction_set, dtype, part):
    with jax.enable_x64(dtype == "float64"):
        for seed in range(100 + 30 * part, 130 + 30 * part):
            check_one(seed, dtype, 200)


@pytest.mark.parametrize(("kind", "hidden", "batch"), [("lstm", 420, 2), ("gru", 430, 9), ("tanh", 900, 3)])
def test_weights_beyond_the_cache(kind, hidden, batch):
    """Where threads share units and meet once a step."""
    random = np.random.default_rng(0)
    operands, spec, dhs, dlast_c = random_call(
        random, kind, "float32", (5, batch, 3, hidden), projected=False, masked=True, keep="states"
    )
    outputs, gradients = run(operands, spec, dhs, dlast_c)
    expected, expected_gradients = native_reference.run(kind, operands, dhs, dlast_c)
    assert_near(outputs[0], expected[0], 2e-5, "hs")
    for name, gradient in gradients.items():
        assert_near(gradient, expected_gradients[name], 1e-4, name)


# ---- unroll ----


def problem(kind, drive=None, *, time=6, batch=(3,), features=2, hidden=5, dtype=float):
    cell = mr.Cell(CORES[kind](hidden), mr.Momentum(0.6, 0.7) if drive is None else drive)
    random = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), features, dtype=dtype))
    params = jax.tree.map(lambda leaf: jnp.asarray(0.4 * random.normal(size=leaf.shape), leaf.dtype), shapes)
    xs = jnp.asarray(random.normal(size=(time, *batch, features)), dtype)
    return cell, params, xs


def loss(cell, params, xs, state=None, **options):
    final, hs = mr.unroll(cell, params, xs, state, **options)
    weights = jnp.cos(jnp.arange(hs.size, dtype=hs.dtype)).reshape(hs.shape)
    return jnp.sum(hs * weights) + sum(jnp.sum(jnp.sin(leaf)) for leaf in split_floats(final)[0])


DRIVES = {"momentum": None, "adam": mr.Adam(eps=0.1), "nesterov": mr.Nesterov(step_size=0.7)}


REMATS = ("auto", "none", 4)


def every_way():
    """Kinds, drives and remats: any two of them often, all three exhaustively."""
    for (i, kind), (j, drive), (k, remat) in itertools.product(
        enumerate(("lstm", "gru", "tanh", "modrelu")), enumerate(DRIVES), enumerate(REMATS)
    ):
        yield pytest.param(kind, drive, remat, marks=() if (i + j + k) % 3 == 0 else pytest.mark.exhaustive)


@pytest.mark.parametrize(("kind", "drive", "remat"), list(every_way()))
def test_it_computes_what_stepwise_does(float64, kind, drive, remat):
    """From a given state, with resets and lengths, gradients of everything; a projection ahead for every other kind of cell."""
    features = 2 if kind in ("lstm", "tanh") else 170
    cell, params, xs = problem(kind, DRIVES[drive], features=features)
    masks = {"resets": jnp.zeros((6, 3), bool).at[2, 1].set(True).at[0, 0].set(True), "seq_lengths": jnp.array([6, 4, 0])}
    state = mr.unroll(cell, params, 2 * xs, method="stepwise")[0]
    floats, combine = split_floats((cell, params, xs, state))

    def of(method, remat="auto"):
        return jax.jit(jax.value_and_grad(lambda floats: loss(*combine(floats), method=method, remat=remat, **masks)))(floats)

    explained = mr.explain(cell, params, xs, state, "native", remat=remat, **masks)
    assert explained.startswith("native: compiled kernels for this CPU, ")
    assert ("stores the states between chunks" if remat == 4 else "stores the states and gates of every step") in explained
    assert_close(of("native", remat), of("stepwise"), 1e-11)


@pytest.mark.parametrize("kind", ["gru", "tanh"])
def test_states_of_every_step(float64, kind):
    cell, params, xs = problem(kind)
    for state in (None, mr.unroll(cell, params, 2 * xs, method="stepwise")[0]):
        one, other = (mr.unroll(cell, params, xs, state, method=m, return_states=True) for m in ("native", "stepwise"))
        assert_close(one, other, 1e-12)
        assert_close(one[2].core.h, one[1], 0)


@pytest.mark.parametrize("kind", ["lstm", "gru", "modrelu"])
def test_every_mode_of_differentiation(float64, kind):
    cell, params, xs = problem(kind, time=3, hidden=3)
    kernel = params["input"]["kernel"]

    def f(row, method):
        changed = {**params, "input": {**params["input"], "kernel": kernel.at[0].set(row)}}
        return loss(cell, changed, xs, method=method)

    @functools.partial(jax.jit, static_argnames="method")
    def derivatives(row, method):
        g = functools.partial(f, method=method)
        return jax.jacfwd(g)(row), jax.hessian(g)(row), jax.jacrev(jax.jacrev(g))(row), jax.grad(jax.checkpoint(g))(row)

    assert_close(derivatives(kernel[0], "native"), derivatives(kernel[0], "stepwise"), 1e-10)


AXES = {"batch": (None, None, 0, None), "weights": (None, 0, None, None), "both": (0, 0, 0, 0), "state": (None, None, None, 0)}


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_vmap(float64, kind, over):
    """Over the batch, weights, hyper-parameters and states, once and nested; values and gradients."""
    cell, params, xs = problem(kind)
    state = mr.unroll(cell, params, xs, method="stepwise")[0]
    given, axes = (cell, params, xs, state), AXES[over]
    scales = jnp.array([0.5, 0.8])
    many = [
        tree if axis is None else jax.tree.map(lambda leaf: jnp.stack([s * leaf for s in scales]), tree)
        for tree, axis in zip(given, axes, strict=True)
    ]

    def gradient(method):
        return jax.value_and_grad(lambda *given: loss(*given, method=method), argnums=(0, 1, 2, 3))

    mapped = jax.jit(jax.vmap(gradient("native"), axes))(*many)
    assert_close(mapped, jax.jit(jax.vmap(gradient("stepwise"), axes))(*many), 1e-11)
    if over == "weights":
        inner = jax.vmap(gradient("native"), axes)
        nested = jax.jit(jax.vmap(inner, (None, None, 0, None)))(cell, many[1], jnp.stack([xs, 2 * xs]), state)
        assert_close(jax.tree.map(lambda leaf: leaf[0], nested), mapped, 1e-11)
        twice = jax.jit(jax.vmap(gradient("stepwise"), axes))(cell, many[1], 2 * xs, state)
        assert_close(jax.tree.map(lambda leaf: leaf[1], nested), twice, 1e-11)


def test_vmap_over_nothing():
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    run = lambda params, xs: mr.unroll(cell, params, xs, method="native")  # noqa: E731
    gradient = jax.grad(lambda params, xs: loss(cell, params, xs, method="native"))
    for axes, given in (((None, 0), (params, xs[None][:0])), ((0, None), (jax.tree.map(lambda a: a[None][:0], params), xs))):
        for function in (run, gradient):
            whole = jax.eval_shape(function, params, xs)
            found = jax.vmap(function, axes)(*given)
            assert jax.tree.map(lambda a: a.shape, found) == jax.tree.map(lambda a: (0, *a.shape), whole)


def test_gradients_of_inputs_alone_under_vmap_are_one_call_without_weights(float64):
    cell, params, xs = problem("lstm")
    gradient = jax.vmap(jax.grad(lambda xs, method: loss(cell, params, xs, method=method)), (0, None))
    many = jnp.stack([xs, 2 * xs])
    (line,) = (
        line
        for line in jax.jit(gradient, static_argnums=1).lower(many, "native").as_text().splitlines()
        if f"@{native.BACKWARD}(" in line
    )
    assert "tensor<1x6x6x20xf64>" in line.split("->")[-1]  # both in one batch
    assert "5x20" not in line.split("->")[-1]
    assert_close(gradient(many, "native"), gradient(many, "stepwise"), 1e-11)


def test_without_jit():
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    with jax.disable_jit():
        found = mr.unroll(cell, params, xs, method="native")
    assert_close(found, mr.unroll(cell, params, xs, method="stepwise"), 1e-5)


@functools.partial(jax.jit, static_argnames="method")
def last_of_5000(bias, method):
    """What an LSTM of one unit keeps of c = 1, and its gradient for the bias."""

    def run(bias):
        cell, zeros = mr.lstm(1), functools.partial(jnp.zeros, dtype=bias.dtype)
        params = jax.tree.map(lambda leaf: zeros(leaf.shape), jax.eval_shape(lambda: cell.init(jax.random.key(0), 1)))
        state = mr.CellState(mr.IdentityState(), mr.LSTMState(c=zeros((1, 1)) + 1, h=zeros((1, 1))))
        given = {**params, "core": {**params["core"], "bias": bias}}
        return mr.unroll(cell, given, zeros((5000, 1, 1)), state, method)[0].core.c[0, 0]

    return run(bias), jax.grad(run)(bias)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gates_close(instruction_set, dtype):
    """A small error that has one sign adds up over many steps: closed gates must be closed, and open ones open."""
    with jax.enable_x64(dtype == "float64"):
        for bias in ((-40.0, 40.0, 0.0, 0.0), (-18.0, 40.0, 1.0, 0.0), (-25.0, 40.0, 0.5, 40.0)):
            of_native, of_stepwise = (last_of_5000(np.array(bias, dtype), method) for method in ("native", "stepwise"))
            for found, expected in zip(of_native, of_stepwise, strict=True):
                # The sum of 5000 equal terms is exact to 5000 roundings.
                assert np.all(np.abs(found - expected) <= 5000 * np.finfo(dtype).eps * np.abs(expected) + 1e-30), (
                    bias,
                    found,
                    expected,
                )


def test_weights_under_vmap_are_one_call():
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    program = jax.jit(jax.vmap(jax.grad(lambda params: loss(cell, params, xs, method="native")))).lower(many).as_text()
    assert [program.count(f"@{target}(") for target in native.TARGETS] == [1, 1]


def test_only_what_is_asked_for_is_computed():
    """Without a derivative nothing is kept; without a derivative of the inputs theirs is not computed."""
    cell, params, xs = problem("lstm", dtype=jnp.float32)

    def results(function, target, *args):
        (line,) = (line for line in jax.jit(function).lower(*args).as_text().splitlines() if f"@{target}(" in line)
        return line.split("->")[-1]

    of_params = lambda params, xs: loss(cell, params, xs, method="native")  # noqa: E731
    assert results(of_params, native.FORWARD, params, xs).count("tensor<0xf32>") == 5
    assert results(jax.grad(of_params), native.FORWARD, params, xs).count("tensor<0xf32>") == 3
    assert "tensor<1x6x3x20xf32>" not in results(jax.grad(of_params), native.BACKWARD, params, xs)
    assert "tensor<1x5x20xf32>" in results(jax.grad(of_params), native.BACKWARD, params, xs)
    assert "tensor<1x6x3x20xf32>" in results(jax.grad(of_params, 1), native.BACKWARD, params, xs)
    assert "tensor<1x5x20xf32>" not in results(jax.grad(of_params, 1), native.BACKWARD, params, xs)


def test_on_several_devices():
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
    code = "from tests import test_native; test_native.sharded_gradients()"
    root = pathlib.Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"XLA_FLAGS": flags}, cwd=root, check=True)


def sharded_gradients():
    for drive in (None, mr.Adam(eps=0.1)):
        _sharded_gradients(drive)


def _sharded_gradients(drive):
    """In `shard_map` each device calls the kernels; elsewhere auto leaves them aside, because a call cannot be split."""
    devices = jax.device_count()
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    cell, params, xs = problem("lstm", drive, batch=(2 * devices,), dtype=jnp.float32)
    gradient = jax.grad(lambda params, xs, method: loss(cell, params, xs, method=method))

    def local(params, xs):
        return jax.lax.psum(gradient(jax.lax.pcast(params, "data", to="varying"), xs, "native"), "data")

    specs = (PartitionSpec(), PartitionSpec(None, "data"))
    found = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec()))(params, xs)
    parts = [gradient(params, xs[:, 2 * i : 2 * i + 2], "stepwise") for i in range(devices)]
    assert_close(found, functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts), 1e-4)
    assert mr.explain(cell, params, xs).startswith("chunked: ")
    sharded = jax.device_put(xs, jax.sharding.NamedSharding(mesh, specs[1]))
    whole = jax.jit(gradient, static_argnums=2)
    assert_close(whole(params, sharded, "native"), gradient(params, xs, "stepwise"), 1e-4)


def test_an_exported_program_runs_in_a_process_that_imports_the_package(tmp_path):
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    run = jax.jit(lambda params, xs: mr.unroll(cell, params, xs, method="native"))
    exported = jax.export.export(run)(params, xs)
    assert native.FORWARD in exported.mlir_module()
    (tmp_path / "program").write_bytes(exported.serialize())
    np.savez(tmp_path / "arrays.npz", *jax.tree.leaves((params, xs)))
    code = """
import pathlib, sys
import jax, jax.export, numpy as np
import momentum_rnn_jax
folder = pathlib.Path(sys.argv[1])
exported = jax.export.deserialize((folder / "program").read_bytes())
args, _ = jax.tree.unflatten(exported.in_tree, list(np.load(folder / "arrays.npz").values()))
np.save(folder / "outputs.npy", exported.call(*args)[1])
"""
    root = pathlib.Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=True)
    assert_close(jnp.asarray(np.load(tmp_path / "outputs.npy")), run(params, xs)[1], 1e-6)


def test_for_another_platform_the_reference_is_lowered():
    cell, params, xs = problem("gru", dtype=jnp.float32)
    gradient = jax.jit(jax.grad(lambda params, xs: loss(cell, params, xs, method="native")))
    exported = jax.export.export(gradient, platforms=["cuda"])(params, xs)
    assert not any(target in exported.mlir_module() for target in native.TARGETS)


def test_the_reference_computes_what_the_kernels_do(float64, monkeypatch):
    """What is lowered for another platform, run here."""
    cell, params, xs = problem("lstm")
    masks = {"resets": jnp.zeros((6, 3), bool).at[2, 1].set(True)}
    gradient = jax.value_and_grad(lambda params, xs: loss(cell, params, xs, method="native", **masks), argnums=(0, 1))
    expected = jax.jit(gradient)(params, xs)
    monkeypatch.setattr(native_call._forward, "bind", lambda *arrays, spec: native_call._forward_in_jax(*arrays, spec=spec))
    monkeypatch.setattr(native_call._backward, "bind", lambda *arrays, **params: native_call._backward_in_jax(*arrays, **params))
    assert_close(jax.jit(lambda *args: gradient(*args))(params, xs), expected, 1e-11)


def test_not_a_number_and_infinity_pass_through():
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    for value in (jnp.nan, jnp.inf, -jnp.inf):
        bad = xs.at[2, 1].set(value)
        found, expected = (mr.unroll(cell, params, bad, method=method)[1] for method in ("native", "stepwise"))
        assert bool((jnp.isnan(found) == jnp.isnan(expected)).all())
        assert bool(jnp.isfinite(found[:, 0]).all())
        assert_close(jnp.nan_to_num(found), jnp.nan_to_num(expected), 1e-5)


def test_denormal_numbers_are_left_alone_after_a_call():
    cell, params, xs = problem("tanh", dtype=jnp.float32)
    mr.unroll(cell, params, xs, method="native")[1].block_until_ready()
    assert np.float32(1e-40) * np.float32(0.5) > 0


@pytest.mark.parametrize(("time", "batch", "hidden"), [(50, 16, 40), (6, 2, 420)])  # threads share examples, or units
def test_several_calls_at_once(time, batch, hidden):
    cell, params, xs = problem("lstm", time=time, batch=(batch,), hidden=hidden, dtype=jnp.float32)
    gradient = jax.jit(jax.grad(lambda params, xs: loss(cell, params, xs, method="native")))
    inputs = [(1 + i) * xs for i in range(5)]
    expected = [gradient(params, xs) for xs in inputs]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, found in enumerate(pool.map(lambda i: gradient(params, inputs[i % 5]), range(30))):
            assert_close(found, expected[i % 5], 0)


def test_donated_arguments():
    cell, params, xs = problem("lstm", dtype=jnp.float32)
    state = cell.initial_state(params, (3,))
    expected = mr.unroll(cell, params, xs, state, "native")
    donating = jax.jit(lambda state, xs: mr.unroll(cell, params, xs, state, "native"), donate_argnums=0)
    assert_close(donating(jax.tree.map(jnp.copy, state), xs), expected, 0)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_h": np.zeros((1, 3, 6), np.float32)}, "first_h has the wrong shape"),
        ({"kernel": np.zeros((1, 5, 19), np.float32)}, "kernel has the wrong shape"),
        ({"kernel": np.zeros((1, 5, 20), np.int32)}, "the dtype must be float32 or float64"),
        ({"x": np.zeros((1, 6, 3, 2), np.float64)}, "x has the wrong dtype"),
        ({"resets": np.zeros((1, 6, 3), np.float32)}, "resets has the wrong dtype"),
        ({"bias": np.zeros((2, 20), np.float32)}, "bias has the wrong number of runs"),
        ({"first_c": np.zeros(0, np.float32)}, "first_c has the wrong shape"),
        ({"input": np.zeros(0, np.float32)}, "input or d must be given"),
        ({"cell": np.int64(7)}, "the cell is unknown"),
        ({"cell": np.int64(-1)}, "the cell is unknown"),
        ({"drive": np.int64(3)}, "the drive is unknown"),
        ({"drive": np.int64(0)}, "mu has the wrong shape"),
        ({"block": np.int64(33)}, "block must be from 1 to 32"),
        ({"runs": np.int64(0)}, "runs must be at least 1"),
        ({"runs": np.int64(3)}, "hs has the wrong number of runs"),
    ],
)
def test_the_handler_checks_what_it_gets(change, message):
    """An error of the call, whatever Python had let through."""
    random = np.random.default_rng(0)
    operands, _, _, _ = random_call(random, "lstm", "float32", (6, 3, 2, 5), projected=False, masked=True, keep="states")
    given = {name: np.zeros(0, np.float32) if value is None else value[None] for name, value in operands.items()}
    given |= {name: np.zeros(0, np.float32) for name in (*HYPERPARAMETERS, *DRIVE_STATES)}
    attributes = {name: np.int64(value) for name, value in {"cell": 0, "drive": -1, "block": 1, "runs": 1}.items()}
    attributes |= {k: v for k, v in change.items() if k in attributes}
    given |= {k: v for k, v in change.items() if k in given}
    f32 = jnp.float32
    shapes = [jax.ShapeDtypeStruct(s, f32) for s in ((1, 6, 3, 5), (1, 3, 5), (0,), (0,), (1, 6, 3, 16), (0,), (0,))]
    call = jax.ffi.ffi_call(native.FORWARD, shapes)
    with jax.enable_x64(True), pytest.raises(Exception, match=message):
        jax.block_until_ready(call(*given.values(), **attributes))


@pytest.mark.parametrize(
    ("cell", "options", "reason"),
    [
        (mr.Cell(mr.LSTM(4, peepholes=True)), {}, "support LSTM, GRU, Elman and Orthogonal"),
        (mr.Cell(mr.Leaky(4)), {}, "its core is Leaky"),
        (mr.lstm(4), {"return_states": True}, "do not return the cell states of every step"),
        (mr.lstm(4), {"dtype": jnp.bfloat16}, "computes in bfloat16"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(cell, options, reason):
    params, xs = cell.init(jax.random.key(0), 2), jnp.ones((3, 1, 2))
    with pytest.raises(ValueError, match=f"method must not be 'native' here: .*{reason}"):
        mr.unroll(cell, params, xs, method="native", **options)
    assert mr.resolve(cell, params, xs, **options).strategy == "chunked"


def test_objects_of_one_instruction_set_share_no_function_with_others(tmp_path):
    """A function that the linker could take from another object might hold instructions that a processor does not have."""
    source = pathlib.Path(__file__).parent.parent / "native"
    if not (shutil.which("g++") and shutil.which("nm") and source.exists()):
        pytest.skip("g++, nm and the source are needed to look into an object file")
    compiled = tmp_path / "kernels.o"
    command = [
        "g++",
        "-std=c++17",
        "-O0",
        "-fPIC",
        "-DREAL=float",
        "-DKERNELS=kernels",
        "-c",
        str(source / "kernels.cc"),
        "-o",
        str(compiled),
    ]
    subprocess.run(command, check=True)
    symbols = [
        line.split()[-2:]
        for line in subprocess.run(["nm", str(compiled)], check=True, capture_output=True, text=True).stdout.splitlines()
    ]
    shared = [name for kind, name in symbols if kind in "WVu"]
    undefined = [name for kind, name in symbols if kind == "U"]
    assert not shared
    assert not [name for name in undefined if name.startswith("_ZSt") or name.startswith("_ZNS")]
