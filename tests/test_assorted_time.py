"""Assorted-time normalisation: what the released code computes, and laws of it."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from tests.new_cores import close, normal

H = 4


@functools.cache
def records():
    with np.load(pathlib.Path(__file__).parent / "reference" / "neighbours" / "atn.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
    cases = {}
    for name, array in arrays.items():
        family, case, group, *rest = name.split("/", 3)
        of = cases.setdefault(f"{family}/{case}", {})
        if group == "meta":
            of["meta"] = json.loads(str(array))
        else:
            of.setdefault(group, {})["/".join(rest)] = array
    return cases


CASES = list(records())


@functools.partial(jax.jit, static_argnames=("k", "order", "method"))
def run_lstm(param, given, cotangent, k, order, method, drive):
    def scalar(param, given):
        cell, params = mr.from_atn(param, k=k, drive=drive, order=order)
        start = cell.initial_state(params, given["xs"].shape[1:-1])
        if "h0" in given:
            core = cell.core.state_from(params["core"], mr.LSTMState(given["c0"], given["h0"]))
            start = start._replace(core=core)
        _, h, states = mr.unroll(cell, params, given["xs"], start, method, return_states=True)
        out = {"h": h, "c": cell.core.start_of(states.core).c}
        return sum(jnp.sum(out[name] * cotangent[name]) for name in out), out

    (_, out), grads = jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)(param, given)
    return out, grads[0] | grads[1]


@pytest.mark.parametrize("method", ["stepwise", "chunked"])
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("norm/")])
def test_released_lstm(float64, name, method):
    case = records()[name]
    meta = case["meta"]
    drive = mr.Momentum(meta["mu"], meta["step_size"]) if "mu" in meta else mr.Identity()
    order = name.removeprefix("composed/") if "mu" in meta else "drive_then_norm"
    out, grads = run_lstm(case["param"], case["input"], case["cotangent"], meta["k"], order, method, drive)
    close(out, case["out"], 1e-10)
    close(grads, case["grad"], 1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("norm/")])
def test_released_norm(float64, name):
    case = records()[name]

    def scalar(values):
        drive = mr.AssortedTimeNorm(case["meta"]["k"], values["weight"], values["bias"])
        ys = drive.unroll(drive.init(values["xs"][0]), values["xs"])[1]
        return jnp.sum(ys * case["cotangent"]["ys"]), ys

    (_, ys), grads = jax.value_and_grad(scalar, has_aux=True)(case["param"] | case["input"])
    close(ys, case["out"]["ys"], 1e-10)
    close(grads, case["grad"], 1e-10)


def problem(cell, time=5, batch=()):
    params = normal(jax.eval_shape(lambda: cell.init(jax.random.key(0), 3)), 0, 0.5)
    return params, normal(jnp.zeros((time, *batch, 3)), 1)


PAIRS = {
    "gru": (mr.Normalized(mr.GRU(H), mr.AssortedTime(1)), mr.LayerNorm(mr.GRU(H))),
    "per_gate": (mr.Normalized(mr.GRU(H), mr.AssortedTime(1, per_gate=True)), mr.LayerNorm(mr.GRU(H), per_gate=True)),
    "lstm": (mr.Normalized(mr.LSTM(H), mr.AssortedTime(1), cell_norm=False), mr.LayerNorm(mr.LSTM(H))),
    "cell": (mr.Normalized(mr.LSTM(H), mr.AssortedTime(1)), mr.LayerNormLSTM(H)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_one_step_is_layer_normalisation_exactly(float64, name):
    one, other = (mr.Cell(core, mr.Momentum()) for core in PAIRS[name])
    params, xs = problem(one)
    assert one.param_shapes(3) == other.param_shapes(3)
    close(mr.unroll(one, params, xs), mr.unroll(other, params, xs), 0)


def test_a_window_of_one_step_is_its_own_statistics(float64):
    drive, us = mr.AssortedTimeNorm(1), normal(jnp.zeros((3, 2, 6)), 0)
    state, ds = drive.unroll(drive.init(us[0]), us)
    assert state.mean.shape == (2, 0)
    close(ds, (us - us.mean(-1, keepdims=True)) / jnp.sqrt(us.var(-1, keepdims=True) + 1e-5))


def windows_of_a_list(k, us, stop=False):
    """The definition: all numbers of the last k steps, in a list."""
    ds = []
    for t in range(len(us)):
        past = us[max(0, t - k + 1) : t]
        window = jnp.concatenate([jax.lax.stop_gradient(past) if stop else past, us[t : t + 1]])
        ds.append((us[t] - window.mean()) / jnp.sqrt(window.var() + 1e-5))
    return jnp.stack(ds)


@pytest.mark.parametrize("k", [2, 4, 9])
def test_gradients_flow_through_the_window(float64, k):
    drive, us = mr.AssortedTimeNorm(k), normal(jnp.zeros((6, 5)), 0)
    weights = normal(us, 1)
    ours, defined = (
        jax.value_and_grad(lambda us, run=run: jnp.sum(weights * run(us)))(us)
        for run in (lambda us: drive.unroll(drive.init(us[0]), us)[1], functools.partial(windows_of_a_list, k))
    )
    close(ours, defined)
    detached = jax.value_and_grad(lambda us: jnp.sum(weights * windows_of_a_list(k, us, stop=True)))(us)
    close(detached[0], defined[0])
    assert abs(detached[1] - defined[1]).max() > 0.1 * abs(defined[1]).max()


def test_the_scale_of_the_weights_changes_nothing_but_divides_their_gradient(float64):
    cell = mr.Cell(mr.Normalized(mr.LSTM(H), mr.AssortedTime(3, eps=1e-30), inner_bias=True), mr.Momentum())
    params, xs = problem(cell)
    weights = normal(jnp.zeros((5, H)), 2)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params):
        hs = mr.unroll(cell, params, xs)[1]
        return jnp.sum(hs * weights), hs

    product = {name: params["core"][name] for name in ("kernel", "bias")}
    large = {"input": jax.tree.map(lambda w: 7 * w, params["input"])}
    large["core"] = params["core"] | {name: 3 * w for name, w in product.items()}
    (_, hs), grads = run(params)
    (_, hs_large), grads_large = run(large)
    close(hs_large, hs)
    close(jax.tree.map(lambda g: 7 * g, grads_large["input"]), grads["input"], 1e-11)
    for name in product:
        close(3 * grads_large["core"][name], grads["core"][name], 1e-11)


def test_drive_then_norm_cancels_the_step_size_and_norm_then_drive_does_not(float64):
    core, xs = mr.Normalized(mr.Elman(H), mr.AssortedTime(3, eps=1e-30)), None
    params, xs = problem(mr.Cell(core))
    norm = mr.AssortedTimeNorm(3, eps=1e-30)

    def after(drive, core=core, params=params):
        return mr.unroll(mr.Cell(core, drive), params, xs)[1]

    close(after(mr.Momentum(0.9, 0.1)), after(mr.Momentum(0.9, 1.0)))
    bare = mr.Normalized(core.core, core.norm, input_norm=False)
    without = {**params, "core": {name: w for name, w in params["core"].items() if not name.startswith("d_")}}
    small, large = (after(mr.Chain(norm, mr.Momentum(0.9, s)), bare, without) for s in (0.1, 1.0))
    assert abs(small - large).max() > 0.1

    # As a drive after the drive, with the same gain and shift, the norm is that of the core.
    gain, shift = params["core"]["d_gain"], params["core"]["d_shift"]
    chained = mr.Chain(mr.Momentum(0.9, 0.1), mr.AssortedTimeNorm(3, gain, shift, eps=1e-30))
    close(after(chained, bare, without), after(mr.Momentum(0.9, 0.1)))


def test_the_gain_on_a_constant_input_cancels(float64):
    us = jnp.broadcast_to(normal(jnp.zeros(6), 0), (300, 6))
    drive = mr.Chain(mr.Momentum(0.9, 0.3), mr.AssortedTimeNorm(4, eps=1e-30))
    ds = drive.unroll(drive.init(us[0]), us)[1]
    close(ds[-1], (us[0] - us[0].mean()) / us[0].std(), 1e-11)


def test_the_start_of_a_normalised_core_is_the_cores():
    cell = mr.Cell(mr.Normalized(mr.LSTM(H), mr.AssortedTime(3)), trainable_initial_state=True)
    params = cell.init(jax.random.key(0), 3)
    assert set(params["initial"]) == {"c", "h"}
    params["initial"] = normal(params["initial"], 0)
    state = cell.initial_state(params, (2,)).core
    close(state.h, jnp.broadcast_to(params["initial"]["h"], (2, H)), 0)
    assert {name: window.filled.shape for name, window in state.windows.items()} == dict.fromkeys("adc", (2, 2))
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.windows))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mr.Normalized(mr.GRU(8), 3), TypeError, "norm must be an instance of AssortedTime"),
        (lambda: mr.Normalized(mr.LayerNormLSTM(8), mr.AssortedTime(2)), ValueError, "core must not be normalised already"),
        (lambda: mr.Normalized(mr.Normalized(mr.GRU(8), mr.AssortedTime(2)), mr.AssortedTime(2)), ValueError, "already"),
        (lambda: mr.Normalized(mr.Orthogonal(8), mr.AssortedTime(2), inner_bias=True), ValueError, "inner_bias must be False"),
        (
            lambda: mr.Normalized(mr.RecurrentDropout(mr.GRU(8), 0.1), mr.AssortedTime(2)),
            ValueError,
            "core must have h for its output.*RecurrentDropout goes around Normalized",
        ),
        (lambda: mr.Zoneout(mr.Normalized(mr.GRU(8), mr.AssortedTime(2)), 0.1), ValueError, "Zoneout goes inside"),
        (lambda: mr.AssortedTime(0), ValueError, "k must be"),
        (lambda: mr.AssortedTime(2, eps=jnp.ones(8)), ValueError, "eps must be one number for all units"),
        (lambda: mr.from_atn({}, k=2, order="norm"), ValueError, "order must be"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_dropout_goes_around_and_zoneout_inside(float64):
    core = mr.RecurrentDropout(mr.Normalized(mr.Zoneout(mr.LSTM(H), 0.2), mr.AssortedTime(3)), 0.3)
    cell = mr.Cell(core, mr.Momentum())
    params, xs = problem(cell)
    noise = cell.sample_noise(jax.random.key(0), (5,))
    runs = [mr.unroll(cell, params, xs, method=method, noise=noise) for method in ("stepwise", "chunked")]
    close(*runs)
