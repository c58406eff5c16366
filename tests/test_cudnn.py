"""cuDNN's LSTM without a GPU: JAX's two primitives get a lowering for the CPU, by JAX's reference of what they compute."""

import functools
import itertools

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.experimental import rnn
from jax.interpreters import mlir
from jax.sharding import PartitionSpec

import momentum_rnn_jax as mr
from momentum_rnn_jax.execution import cudnn, cudnn_support, native_support
from tests.registry import CELLS, assert_close, problem

CELL_NAMES = ["identity-lstm", "momentum-lstm", "adam-lstm", "stateless"]
ONE_DEVICE = pytest.mark.skipif(jax.device_count() > 1, reason="auto leaves cuDNN to programs on one device")


SCALE = optax.scale(0.5)  # a transformation without state


def reference(x, h, c, flat, lengths, *, input_size, hidden_size, num_layers, dropout, bidirectional, cudnn_allow_tf32):
    weights = rnn.unpack_lstm_weights(flat, input_size, hidden_size, num_layers, bidirectional)
    return rnn.lstm_ref(x, h, c, *weights, lengths, input_size, hidden_size, num_layers, dropout, bidirectional)


def forward(*args, **sizes):
    return [*reference(*args, **sizes), jnp.arange(7, dtype=jnp.float32)]


def backward(dys, dh, dc, x, h, c, flat, ys, reserve, lengths, **sizes):
    outputs, pull = jax.vjp(lambda *args: reference(*args, lengths, **sizes), x, h, c, flat)
    right = jnp.allclose(ys, outputs[0], atol=1e-5) & jnp.array_equal(reserve, jnp.arange(7, dtype=jnp.float32))
    return [jnp.where(right, leaf, jnp.nan) for leaf in pull((dys, dh, dc))]


@pytest.fixture
def imitated(monkeypatch):
    """JAX's own primitives of cuDNN, with a lowering for the CPU."""
    workspace = lambda *sizes: (0, 7)  # noqa: E731
    monkeypatch.setattr(rnn.gpu_rnn, "compute_rnn_workspace_reserve_space_sizes", workspace, raising=False)
    for primitive, function in ((rnn.rnn_fwd_p, forward), (rnn.rnn_bwd_p, backward)):
        mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True), platform="cpu")
    here = lambda *args, cuda, default: jax.lax.platform_dependent(*args, cpu=cuda, default=default)  # noqa: E731
    monkeypatch.setattr(cudnn_support, "on_cuda", lambda: True)
    monkeypatch.setattr(native_support, "on_cpu", lambda: False)
    monkeypatch.setattr(cudnn, "_by_platform", here)
    jax.clear_caches()  # of what was traced with the functions above, or without
    yield
    jax.clear_caches()


def calls(function, *args, **how):
    """Whether a program calls cuDNN's forward and its backward pass."""
    jaxpr = str(jax.make_jaxpr(function)(*args, **how))
    return "rnn_fwd[" in jaxpr, "rnn_bwd[" in jaxpr


def small(name, **sizes):
    cell = mr.Cell(mr.LSTM(5), mr.OptaxDrive(SCALE)) if name == "stateless" else CELLS[name]
    return cell, *problem(cell, jnp.float32, **sizes)[:2]


def loss(cell, params, xs, state=None, **how):
    final, hs = mr.unroll(cell, params, xs, state, **how)
    weights = jnp.cos(jnp.arange(hs.size, dtype=hs.dtype)).reshape(hs.shape)
    return (hs * weights).sum() + (final.core.c**2).sum() + sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(final.drive))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        pytest.param(*case, marks=() if case in (("momentum-lstm", True), ("stateless", False)) else pytest.mark.exhaustive)
        for case in itertools.product(CELL_NAMES, (False, True))
    ],
)
def test_it_computes_what_stepwise_does(imitated, name, given):
    cell, params, xs = small(name, batch=(2, 3))
    state = jax.jit(lambda xs: mr.unroll(cell, params, xs, method="stepwise")[0])(2 * xs) if given else None
    gradients = jax.grad(loss, argnums=(0, 1, 2, 3) if given else (0, 1, 2))

    @functools.partial(jax.jit, static_argnames="method")
    def run(*given, method):
        return mr.unroll(*given, method), gradients(*given, method=method)

    assert calls(functools.partial(gradients, method="cudnn"), cell, params, xs, state) == (True, True)
    results, derivatives = run(cell, params, xs, state, method="cudnn")
    expected, expected_derivatives = run(cell, params, xs, state, method="stepwise")
    assert_close(results, expected, 1e-5)
    assert_close(derivatives, expected_derivatives, 1e-4)


@pytest.mark.parametrize("name", ["momentum-lstm", pytest.param("adam-lstm", marks=pytest.mark.exhaustive)])
def test_forward_mode_and_second_derivatives(imitated, name):
    cell, params, xs = small(name, time=3, batch=(1,))
    xs = xs[..., :1]
    params["input"]["kernel"] = params["input"]["kernel"][:1]

    def f(bias, method):
        return loss(cell, {**params, "core": {**params["core"], "bias": bias}}, xs, method=method)

    @functools.partial(jax.jit, static_argnames="method")
    def derivatives(bias, method):
        g = functools.partial(f, method=method)
        return jax.jacfwd(g)(bias), jax.hessian(g)(bias), jax.jacrev(jax.jacrev(g))(bias)

    bias = params["core"]["bias"]
    assert_close(derivatives(bias, "cudnn"), derivatives(bias, "stepwise"), 1e-4)


def test_under_vmap_the_chunks_run(imitated):
    cell, params, xs = small("momentum-lstm")
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    gradient = jax.grad(functools.partial(loss, method="cudnn"), 1)
    mapped = jax.vmap(gradient, (None, 0, None))
    assert calls(gradient, cell, params, xs) == (True, True)
    assert calls(mapped, cell, many, xs) == (False, False)
    together = mapped(cell, many, xs)
    for i in range(2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), jax.grad(loss, 1)(cell, one, xs, method="stepwise"), 1e-4)
    over_inputs = jax.vmap(lambda xs: mr.unroll(cell, params, xs, method="cudnn")[1], 1, 1)(xs)
    assert_close(over_inputs, mr.unroll(cell, params, xs, method="stepwise")[1], 1e-5)


@ONE_DEVICE
def test_auto_takes_it_where_it_can(imitated):
    cell, params, xs = small("momentum-lstm")
    explained = {method: mr.explain(cell, params, xs, method=method) for method in ("auto", "cudnn", "chunked")}
    assert explained["auto"] == explained["cudnn"]
    assert explained["cudnn"].startswith("cudnn: NVIDIA's LSTM after the projection and the drive; the drive filters the input")
    assert mr.explain(cell, params, xs, seq_lengths=jnp.array([2, 3, 1])).startswith("chunked: ")
    assert explained["chunked"].startswith("chunked: ")
    assert calls(lambda: mr.unroll(cell, params, xs)) == (True, False)
    gru = mr.momentum_gru(5)
    for other in (
        lambda: mr.unroll(cell, params, xs, seq_lengths=jnp.array([2, 3, 1])),
        lambda: mr.unroll(cell, params, xs, remat=2),
        lambda: mr.unroll(gru, gru.init(jax.random.key(0), xs.shape[-1]), xs),
    ):
        assert calls(other) == (False, False)


@ONE_DEVICE
def test_inside_shard_map_the_chunks_run(imitated):
    cell, params, xs = small("momentum-lstm")
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec(None, "data")
    split = jax.shard_map(
        lambda params, xs: mr.unroll(cell, params, xs)[1], mesh=mesh, in_specs=(PartitionSpec(), spec), out_specs=spec
    )
    assert_close(jax.jit(split)(params, xs), mr.unroll(cell, params, xs, method="stepwise")[1], 1e-5)


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (mr.momentum_gru(4), {}, "its core is GRU, and cuDNN supports only the LSTM"),
        (mr.lstm(4), {"dtype": jnp.bfloat16}, "it computes in bfloat16, and cuDNN's LSTM in float32"),
        (mr.lstm(4), {"seq_lengths": jnp.array([1, 2])}, "cuDNN supports neither resets nor masked steps"),
        (mr.lstm(4), {"remat": 2}, "remat must be 'auto'"),
        (mr.ReleasedNesterovLSTM(mr.LSTM(4)), {}, "contains the hidden state"),
    ],
)
def test_refusals(imitated, cell, options, message):
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=message):
        mr.unroll(cell, params, jnp.ones((5, 2, 3)), method="cudnn", **options)


def test_other_reasons(imitated):
    params, xs = mr.lstm(4).init(jax.random.key(0), 3), jnp.ones((5, 0, 3))
    with pytest.raises(ValueError, match="the batch is empty"):
        mr.unroll(mr.lstm(4), params, xs, method="cudnn")
    for precision in cudnn_support.PRECISIONS:
        with jax.default_matmul_precision(precision):
            mr.unroll(mr.lstm(4), params, jnp.ones((5, 2, 3)), method="cudnn")
    with jax.default_matmul_precision("bfloat16"), pytest.raises(ValueError, match="jax_default_matmul_precision is 'bfloat16'"):
        mr.unroll(mr.lstm(4), params, jnp.ones((5, 2, 3)), method="cudnn")


class Device:
    class client:  # noqa: N801
        platform_version = "PJRT C API\ncuda 13000"


def test_cuda_is_known_by_the_platform(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Device])
    assert cudnn_support.on_cuda()
    monkeypatch.setattr(Device.client, "platform_version", "PJRT C API\nrocm 70000")
    assert not cudnn_support.on_cuda()


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="says what is refused without a GPU")
def test_without_cuda_it_is_refused():
    params = mr.lstm(4).init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="method must not be 'cudnn' here: JAX runs on cpu, not on CUDA"):
        mr.unroll(mr.lstm(4), params, jnp.ones((5, 2, 3)), method="cudnn")


def test_elsewhere_than_on_cuda_a_program_runs_the_chunks(imitated, monkeypatch):
    """A program may be compiled for the CPU on a machine with a GPU."""
    monkeypatch.setattr(cudnn, "_by_platform", jax.lax.platform_dependent)
    cell, params, xs = small("momentum-lstm")
    gradient = jax.jit(jax.grad(functools.partial(loss, method="cudnn"), 1))
    assert_close(gradient(cell, params, xs), jax.grad(loss, 1)(cell, params, xs, method="stepwise"), 1e-4)
