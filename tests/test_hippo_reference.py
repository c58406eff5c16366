"""Every recorded case of the released HiPPO code, in float64: outputs, states and all gradients."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import hippo
from tests.registry import assert_close

TOLERANCE = 1e-10  # relative to the largest entry
with np.load(pathlib.Path(__file__).parent / "reference" / "neighbours" / "hippo.npz") as file:
    RECORD = {key: value for key, value in file.items() if key != "meta"}
CASES = sorted({"/".join(key.split("/")[:2]) for key in RECORD})


def load(case):
    """The options of a case, and its arrays by group and name."""
    groups = {}
    for key, value in RECORD.items():
        if key.startswith(f"{case}/") and key != f"{case}/meta":
            group, name = key.removeprefix(f"{case}/").split("/", 1)
            groups.setdefault(group, {})[name] = value
    return json.loads(str(RECORD[f"{case}/meta"])), groups


def of_kind(kind):
    return [case for case in CASES if case.startswith(f"{kind}/")]


def test_every_kind_of_case_has_a_test():
    assert {case.split("/")[0] for case in CASES} == {"transition", "discretise", "operator", "cell", "composed"}


@pytest.mark.parametrize("case", of_kind("transition"))
def test_transition(case):
    meta, groups = load(case)
    assert_close(hippo.transition(meta["N"], meta["measure"]), (groups["out"]["A"], groups["out"]["B"]), TOLERANCE)


@pytest.mark.parametrize("case", of_kind("discretise"))
def test_discretization_of_legs(case):
    meta, groups = load(case)
    steps = [hippo.discretize(meta["N"], "legs", case.split("/")[1], dt=1 / (t + 1)) for t in range(meta["T"])]
    assert_close(tuple(map(np.stack, zip(*steps, strict=True))), (groups["out"]["A"], groups["out"]["B"]), TOLERANCE)


@pytest.mark.parametrize("case", of_kind("operator"))
def test_memory_of_a_sequence(float64, case):
    meta, groups = load(case)
    options = {"measure": meta["measure"], "dt": meta["dt"]} if "dt" in meta else {"init_t": 1}
    drive = mr.HiPPO(meta["N"], discretization=meta["discretisation"], **options)

    def loss(f):
        _, cs = drive.unroll_coefficients(drive.init(f[0]), f)
        return jnp.sum(cs * groups["cotangent"]["c"]), cs

    (_, cs), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(groups["input"]["f"])
    assert_close(cs, groups["out"]["c"], TOLERANCE)
    assert_close(gradient, groups["grad"]["f"], TOLERANCE)
    if "dt" in meta:
        matrices = hippo.discretize(meta["N"], meta["measure"], meta["discretisation"], dt=meta["dt"])
        assert_close(matrices, (groups["out"]["A"], groups["out"]["B"]), TOLERANCE)
    else:
        points = np.linspace(0, 1, meta["T"])
        assert_close(hippo.basis(points, meta["N"]), groups["out"]["eval_matrix"], TOLERANCE)
        assert_close(hippo.reconstruct(cs[-1], points), groups["out"]["reconstruct_last"], TOLERANCE)


@pytest.mark.parametrize("case", of_kind("cell") + of_kind("composed"))
def test_cell(float64, case):
    meta, groups = load(case)
    names = ("measure", "init_t", "max_length", "memory_activation", "dt", "theta")
    options = {name: meta[name] for name in names if name in meta and not (meta["measure"] != "legs" and name == "init_t")}
    options |= {"discretization": meta["discretisation"], "timestamps": case.endswith("timestamps")}
    if "mu" in meta:
        options["drive"] = mr.Momentum(meta["mu"], meta["step_size"])

    def loss(arrays, xs):
        cell, params = mr.from_hippo(arrays, **options)
        assert (cell.core.memory_size, cell.core.gate) == (meta["memory_size"], meta["gate"] is not None)
        _, hs, states = mr.unroll(cell, params, xs, return_states=True)
        cs = cell.core.coefficients(states.core)
        return jnp.sum(hs * groups["cotangent"]["h"]) + jnp.sum(cs * groups["cotangent"]["m"]), (hs, cs)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, (hs, cs)), (gradients, gradient) = run(groups["param"], groups["input"]["xs"])
    assert_close(hs, groups["out"]["h"], TOLERANCE)
    assert_close(cs, groups["out"]["m"], TOLERANCE)
    assert set(groups["grad"]) == {"xs", *gradients}
    assert_close(gradient, groups["grad"]["xs"], TOLERANCE)
    for name in gradients:
        assert_close(gradients[name], groups["grad"][name], TOLERANCE)
