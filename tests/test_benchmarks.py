"""The benchmark suite at tiny sizes: what it checks, counts, writes and refuses. No time is asserted."""

import gc
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

import momentum_rnn_jax as mr
from benchmarks import chart, floor, jax_peers, memory, peers, problem, report, run, settings, suites, sweep, table, timing
from benchmarks.check import MismatchError, check, compare
from benchmarks.jax_contestant import JaxContestant
from benchmarks.peers import PEERS
from benchmarks.problem import CELLS, Shape
from benchmarks.results import Results
from benchmarks.settings import INSTRUCTION_SETS, Settings
from momentum_rnn_jax import native

TINY = Shape(batch=3, time=6, features=2, hidden=4)
SETTINGS = Settings({})


@pytest.fixture(autouse=True)
def as_a_user_finds_jax():
    cache = jax.config.jax_enable_compilation_cache  # a run of the suite turns it off
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_enable_compilation_cache", cache)
    if not native.why_not():
        native.use_instruction_set(settings._best_instruction_set())


@pytest.fixture
def without_torch(monkeypatch):
    for module in (peers, settings):
        monkeypatch.setattr(module, "torch_installed", lambda: False)


needs_torch = pytest.mark.skipif(
    not settings.torch_installed(), reason="torch is a peer of the benchmarks, and no dependency of the tests"
)
needs_kernels = pytest.mark.skipif(bool(native.why_not()), reason="the native kernels are not installed")


def contestants(names):
    problems = {PEERS[name].computes: problem.make(PEERS[name].computes, TINY) for name in names}
    return {name: PEERS[name].make(problems[PEERS[name].computes], SETTINGS) for name in names}, problems


# The check


@pytest.mark.parametrize("kind", CELLS)
def test_jax_peers_compute_the_same(kind):
    names = [name for name, peer in PEERS.items() if peer.computes == kind and not peer.needs]
    found = check(*contestants(names), SETTINGS)
    assert {name for one in found for name in one["peers"]} >= set(names)
    assert all(one["outputs"] < 1e-5 and one["gradients"] < 1e-5 for one in found)


@needs_torch
@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if "torch" in peer.needs])
def test_torch_peers_compute_the_same(name):
    (found,) = check(*contestants([name]), SETTINGS)
    assert found["peers"] == ["ours", name]
    assert max(found["outputs"], found["gradients"]) < 1e-5


@needs_torch
@pytest.mark.parametrize("name", ["torch-lstm", "torch-gru", "torch-rnn"])
def test_a_torch_contestant_begins_with_its_own_weights_again(name):
    (contestant,) = contestants([name])[0].values()
    before = contestant.outputs()
    contestant.ready("training step").call()
    contestant.ready("inference").call()
    assert np.array_equal(contestant.outputs(), before)


def test_ours_of_another_path_is_checked_against_ours_by_itself():
    found = check(*contestants(["lstm-chunked"]), SETTINGS)
    assert [one["peers"] for one in found] == [["ours", "lstm-chunked"], ["ours", "unroll(method='stepwise'), both in float64"]]
    made = contestants(["lstm-chunked"])[0]["lstm-chunked"]
    program = jax.jit(made.model.apply).lower(made.model.params, made.model.xs).as_text()
    assert "momentum_rnn_jax_forward" not in program


def test_weights_of_cudnn_are_laid_out_as_jax_documents(monkeypatch):
    """cuDNN itself needs a GPU; JAX's reference of the same call does not."""

    def lstm(xs, h, c, weights, lengths, *sizes):
        parts = rnn.unpack_lstm_weights(weights, *sizes[:3], sizes[4])
        return rnn.lstm_ref(xs, h, c, *parts, lengths, *sizes)

    monkeypatch.setattr(rnn, "lstm", lstm)
    (found,) = check(*contestants(["jax-cudnn-lstm"]), SETTINGS)
    assert found["peers"] == ["ours", "jax-cudnn-lstm"]


def no_input_bias(made):
    weights = made.params | {"input": made.params["input"] | {"bias": 0 * made.params["input"]["bias"]}}
    return jax_peers.ours(made._replace(params=weights))


def last_step_repeated(made):
    model = jax_peers.ours(made)
    return model._replace(apply=lambda params, xs: jnp.roll(model.apply(params, xs), 1, axis=0))


def twice_the_core_gradient(made):
    return jax_peers.ours(made)._replace(to_ours=lambda g: g | {"core": jax.tree.map(lambda leaf: 2 * leaf, g["core"])})


def no_core_bias(made):
    return jax_peers.ours(made)._replace(to_ours=lambda g: g | {"core": {"kernel": g["core"]["kernel"]}})


def not_a_number(made):
    return jax_peers.ours(made._replace(xs=np.full_like(made.xs, np.nan)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (no_input_bias, "outputs differ by"),
        (last_step_repeated, "outputs differ by"),
        (twice_the_core_gradient, r"gradients\['core'\]\['bias'\] differ by 1.0e\+00 of the largest entry, 0.0002 is allowed"),
        (no_core_bias, "are different trees"),
        (not_a_number, "outputs differ by nan"),
    ],
)
def test_a_wrong_peer_is_found(monkeypatch, wrong, message):
    made = PEERS["flax-nnx-lstm"]._replace(make=lambda one, settings: JaxContestant(wrong(one), settings))
    monkeypatch.setitem(PEERS, "flax-nnx-lstm", made)
    with pytest.raises(MismatchError, match=message) as error:
        check(*contestants(["lstm", "flax-nnx-lstm"]), SETTINGS)
    assert "lstm and flax-nnx-lstm" in str(error.value)


def test_compare_by_hand():
    assert compare("x", [np.array([1.0, -4.0])], [np.array([1.5, -4.0])], 0.2) == 0.125
    assert compare("x", [np.zeros(2)], [np.zeros(2)], 0.1) == 0
    with pytest.raises(MismatchError, match="shapes"):
        compare("x", np.zeros(2), np.zeros((2, 1)), 0.1)


def test_training_changes_weights_and_inference_does_not():
    model = jax_peers.ours(problem.make("momentum_lstm", TINY))
    contestant = JaxContestant(model, SETTINGS)
    before = contestant.outputs()
    contestant.ready("training step").call()
    contestant.ready("inference").call()
    assert np.array_equal(contestant.outputs(), before)  # each mode begins with the same weights, none of them consumed


# Timing and memory


def test_contestants_take_turns():
    calls = []
    seconds = timing.interleaved({name: (lambda name=name: calls.append(name)) for name in "abc"}, 4)
    assert [sorted(calls[3 * i : 3 * i + 3]) for i in range(5)] == 5 * [["a", "b", "c"]]
    assert len({tuple(calls[3 * i : 3 * i + 3]) for i in range(5)}) > 1
    assert {name: len(one) for name, one in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert gc.isenabled()


@pytest.mark.skipif(not memory.STATUS.exists(), reason="resident memory is read from Linux")
def test_peak_memory_is_what_a_call_touches_and_frees():
    peak = memory._peak_resident(lambda: np.ones(25_000_000).sum())
    assert 195e6 < peak < 230e6
    assert memory._peak_resident(lambda: None) < 20e6


@pytest.mark.skipif(not memory.STATUS.exists(), reason="resident memory is read from Linux")
def test_peak_memory_in_a_process_of_its_own():
    # The backward pass needs the hidden states of all steps.
    assert memory.peak("elman", Shape(64, 400, 1, 256), SETTINGS) > 400 * 64 * 256 * 4


def test_a_process_that_fails_is_no_measurement(monkeypatch):
    monkeypatch.setattr(memory.sys, "executable", shutil.which("false"))
    with pytest.raises(memory.NotMeasuredError, match="ended with status 1"):
        memory.peak("lstm", TINY, SETTINGS)


def test_many_runs_by_vmap_are_the_runs_alone(monkeypatch):
    monkeypatch.setattr(sweep, "SHAPE", TINY)
    for runs in (sweep.many(3), sweep.grid()):
        found = sweep.check(runs, SETTINGS)
        assert max(found["outputs"], found["gradients"]) < 1e-5
    right, mus = sweep._model, iter([0.1, 0.9])
    monkeypatch.setattr(sweep, "_model", lambda hyper, xs: right(hyper | {"mu": jnp.array(next(mus))}, xs))
    with pytest.raises(MismatchError, match="a run by vmap and alone: outputs differ by"):
        sweep.check(sweep.many(3), SETTINGS)


def test_the_grid_crosses_seeds_step_sizes_and_mu(monkeypatch):
    monkeypatch.setattr(sweep, "SHAPE", TINY)
    hyper, params, _ = sweep.grid()
    kernels = [kernel.tobytes() for kernel in np.asarray(params["input"]["kernel"])]
    assert len(set(kernels)) == 2
    assert len(set(zip(kernels, hyper["mu"].tolist(), hyper["step_size"].tolist(), strict=True))) == 8


def test_runs_by_vmap_and_one_after_another_train_alike(monkeypatch):
    monkeypatch.setattr(sweep, "SHAPE", TINY)
    trained = []
    waited = jax.block_until_ready
    monkeypatch.setattr(
        sweep.jax, "block_until_ready", lambda result: trained.append(jax.device_get(result[0])) or waited(result)
    )
    together, in_turn = sweep.together(sweep.grid(), SETTINGS), sweep.in_turn(sweep.grid(), SETTINGS)
    for call in (together, together, in_turn, in_turn):
        call()
    _, by_vmap, *alone = trained
    assert len(alone) == 16
    for i, params in enumerate(alone[8:]):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6), by_vmap, params)


# What is set alike


@pytest.fixture
def another_instruction_set():
    if native.why_not() or settings._best_instruction_set() == "baseline":
        pytest.skip("there is only one set of instructions")
    return "baseline"


def test_an_instruction_set_lasts_until_settings_without(another_instruction_set):
    best = native.instruction_set()
    settings.apply(Settings({}, instruction_set=another_instruction_set))
    assert settings.native_kernels() == {"instruction_set": another_instruction_set, "default": best}
    settings.apply(SETTINGS)
    assert settings.native_kernels() == {"instruction_set": best, "default": best}


@needs_kernels
def test_an_instruction_set_that_the_processor_lacks_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(settings, "_best_instruction_set", lambda: "x86-64-v3")
    with pytest.raises(SystemExit):
        run.main(["--instruction-set", "x86-64-v4"])
    message = "error: --instruction-set must be one of x86-64-v3, baseline on this processor, got 'x86-64-v4'\n"
    assert capsys.readouterr().err == message


def test_without_kernels_an_instruction_set_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(native, "why_not", lambda: "the native kernels are not installed")
    with pytest.raises(SystemExit):
        run.main(["--instruction-set", INSTRUCTION_SETS[-1]])
    assert capsys.readouterr().err == "error: --instruction-set baseline: the native kernels are not installed\n"
    assert settings.native_kernels() == {"absent": "the native kernels are not installed"}


IN_A_NEW_PROCESS = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
from benchmarks import results, settings
settings.apply(settings.Settings({}, torch_denormals=sys.argv[2] == "kept"))
print(results.device()["cpu_cores"], settings.torch_on_cpu())
"""


@needs_torch
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity of a process")
@pytest.mark.parametrize("denormals", ["flushed", "kept"])
@pytest.mark.parametrize("cpus", range(1, min(2, settings.cpus()) + 1))
def test_threads_of_torch_are_as_many_as_cpus_and_all_flush_denormals(cpus, denormals):
    # Of threads that are there already, those of other tests, PyTorch sets the calling one alone.
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(cpus), denormals]
    printed = subprocess.run(
        command, cwd=pathlib.Path(run.__file__).parents[1], capture_output=True, text=True, check=True
    ).stdout
    assert printed == f"{cpus} { {'threads': cpus, 'flushes_denormals': denormals == 'flushed'} }\n"


# A run


def start(out, *arguments):
    return run.main(["--out", str(out), *arguments])


def test_a_run_writes_what_it_measured(tmp_path, capsys, without_torch):
    arguments = ["--shapes", "3,6,2,4", "--repeats", "2", "--only", "lstm", "momentum-lstm", "flax-linen-lstm"]
    assert start(tmp_path, *arguments, "--xla-options", "xla_cpu_experimental_ynn_fusion_type=") == 0
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("quick-")
    assert path.name.endswith("-xla_cpu_experimental_ynn_fusion_type=.json")
    data = json.loads(path.read_text())
    assert data["complete"]
    assert data["command"].startswith(f"python -m benchmarks.run --out {tmp_path} --shapes 3,6,2,4")
    assert data["settings"] == {
        "xla_options": {"xla_cpu_experimental_ynn_fusion_type": ""},
        "precision": "float32",
        "instruction_set": None,
        "torch_denormals": False,
        "repeats": 2,
    }
    assert data["native_kernels"] == settings.native_kernels()
    assert data["torch_on_cpu"] is None
    assert data["device"]["cpu_cores"] == settings.cpus()
    assert data["versions"]["jax"] == jax.__version__
    assert data["versions"]["momentum_rnn_jax"] == mr.__version__
    assert data["device"]["platform"] == jax.default_backend()
    assert [one["peers"] for one in data["checks"]] == [
        ["lstm", "flax-linen-lstm"],
        ["momentum-lstm", "unroll(method='stepwise'), both in float64"],
    ]
    counts = {(m["quantity"], m["peer"]): len(m["samples"]) for m in data["measurements"]}
    names = ("lstm", "momentum-lstm", "flax-linen-lstm")
    expected = {(quantity, name): 2 for quantity in ("training step", "inference") for name in names}
    expected |= {(f"compiling: {quantity}", name): 1 for quantity in ("training step", "inference") for name in names}
    assert counts == expected
    assert all(m["case"] == TINY._asdict() and min(m["samples"]) > 0 for m in data["measurements"])
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == path.with_suffix(".md").read_text().rstrip("\n")
    assert "| ours, MomentumLSTM / flax.linen.RNN, OptimizedLSTMCell |" in printed
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_without_torch_its_peers_are_marked_as_absent(tmp_path, capsys, without_torch, monkeypatch):
    monkeypatch.setattr(suites, "LSTMS", ("torch-lstm", "jax-cudnn-lstm", "lstm"))
    assert start(tmp_path, "--shapes", "3,6,2,4", "--repeats", "1") == 0
    data = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert set(data["absent"]) == {"torch-lstm", "jax-cudnn-lstm"}
    printed = capsys.readouterr()
    assert printed.err.count("left out: torch.nn.LSTM: torch is not installed") == 1
    assert "Absent: torch-lstm: torch is not installed" in printed.out


def test_a_mismatch_stops_the_run_before_anything_is_timed(tmp_path, capsys, monkeypatch):
    wrong = PEERS["flax-nnx-lstm"]._replace(make=lambda one, settings: JaxContestant(no_input_bias(one), settings))
    monkeypatch.setitem(PEERS, "flax-nnx-lstm", wrong)
    assert start(tmp_path, "--shapes", "3,6,2,4", "--only", "lstm", "flax-nnx-lstm") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: contestants do not compute the same: 3×6×2×4: lstm and flax-nnx-lstm: outputs differ by")
    (path,) = tmp_path.iterdir()
    data = json.loads(path.read_text())
    assert data["measurements"] == []
    assert not data["complete"]


def test_growth_goes_on_with_the_two_fastest_peers(tmp_path, monkeypatch, without_torch):
    monkeypatch.setattr(suites, "GROWTH", TINY)
    monkeypatch.setattr(suites, "TIMES", (2, 3, 4))
    monkeypatch.setattr(suites, "WIDTHS", (2, 3, 4))
    begun = []

    def timed(bench, section, names, shape, modes):
        begun.append((section, tuple(names), shape))
        if section == "all peers":
            slow = {"torch-lstm": [3.0], "flax-nnx-lstm": [2.0], "flax-linen-lstm": [1.0], "lstm": [0.5]}
            bench.results.add(section, shape, modes[0], slow)

    monkeypatch.setattr(suites, "timed", timed)
    suites.growth(suites.Bench(SETTINGS, results(tmp_path), 1, print))
    followers = ("flax-linen-lstm", "flax-nnx-lstm", "lstm", "momentum-lstm")
    assert begun[1:] == [("growth in time", followers, TINY._replace(time=t)) for t in (2, 3, 4)] + [
        ("growth in hidden units", followers, TINY._replace(hidden=h)) for h in (2, 3, 4)
    ]


def test_no_case_begins_after_the_deadline(tmp_path):
    found = results(tmp_path)
    suites.quick(suites.Bench(SETTINGS, found, 1, print, shapes=(TINY,), only=("lstm",), deadline=0.0))
    suites.runs_by_vmap(suites.Bench(SETTINGS, found, 1, print, deadline=0.0))
    assert found.data["measurements"] == []
    assert found.data["left_out"] == ["shapes, 3×6×2×4: the time was up", "sweep: the time was up"]


@pytest.mark.parametrize(
    ("suite", "sections", "cases"),
    [("compile", {"compile"}, 2), ("sweep", {"sweep", "sweep over a grid"}, 4), ("cores", {"cores"}, 1)],
)
def test_other_suites_run(tmp_path, monkeypatch, suite, sections, cases):
    monkeypatch.setattr(sweep, "SHAPE", TINY)
    monkeypatch.setattr(sweep, "RUNS", (1, 2, 3))
    arguments = {
        "compile": ["--shapes", "3,6,2,4", "--only", "lstm"],
        "cores": ["--shapes", "3,6,2,4", "--only", "gru", "flax-nnx-gru", "elman"],
    }
    assert start(tmp_path, "--suite", suite, "--repeats", "1", *arguments.get(suite, [])) == 0
    data = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert {m["section"] for m in data["measurements"]} == sections
    assert len({json.dumps(m["case"]) for m in data["measurements"]}) == cases
    assert data["checks"]
    assert data["complete"]


def test_a_sweep_has_eight_runs_by_vmap_relative_to_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "SHAPE", TINY)
    monkeypatch.setattr(sweep, "RUNS", (1, 2))
    assert start(tmp_path, "--suite", "sweep", "--repeats", "2") == 0
    data = json.loads(next(tmp_path.glob("*.json")).read_text())
    by_vmap, in_turn, ratio = (
        next(m for m in data["measurements"] if m["quantity"] == quantity)
        for quantity in (sweep.BY_VMAP, sweep.IN_TURN, sweep.RATIO)
    )
    assert ratio["case"] == {**TINY._asdict(), "runs": 8}
    assert ratio["samples"] == [a / b for a, b in zip(by_vmap["samples"], in_turn["samples"], strict=True)]
    assert "**Ratio of the training step by vmap to one after another**: median (quartiles)" in capsys.readouterr().out


def test_cores_are_run_at_two_shapes_and_orthogonal_ones_at_one(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(suites, "timed", lambda bench, section, names, shape: begun.append((shape, names)))
    suites.cores(suites.Bench(SETTINGS, results(tmp_path), 1, print))
    suites.cores(suites.Bench(SETTINGS, results(tmp_path), 1, print, shapes=(TINY,)))
    (mnist, gated), *others = begun
    assert mnist == (128, 784, 1, 128)
    assert others == [((32, 200, 129, 158), suites.CORES), (TINY, suites.CORES)]
    assert set(suites.CORES) - set(gated) == {"flax-nnx-momentum-dtriv", "momentum-dtriv"}


# The report


def results(folder, suite="quick"):
    return Results(folder, suite, "python -m benchmarks.run", SETTINGS, 3)


def test_the_report_has_the_right_numbers(tmp_path):
    found = results(tmp_path)
    found.add("shapes", TINY, "training step", {"momentum-lstm": [1.0, 2.0, 3.0], "lstm": [1.0, 1.0, 1.0]})
    found.add("shapes", TINY, "training step", {"torch-lstm": [2.0, 2.0, 2.0], "adam-lstm": [0.5, 4.0, 1.0]})
    found.add("shapes", TINY, "compiling: training step", {"lstm": [0.25]})
    found.add("memory", TINY, memory.QUANTITY, {"momentum-lstm": [3.0 * 2**20], "torch-lstm": [6.0 * 2**20]})
    text = report.markdown(found.data)
    rows = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("|"))
    assert rows["(batch, time, features, hidden)"] == "3×6×2×4"
    assert "| ours, MomentumLSTM | 2000 (1500–2500) |" in text
    assert "| torch.nn.LSTM | 2000 |" in text
    assert "| ours, MomentumLSTM / torch.nn.LSTM | 1 (0.75–1.25) |" in text
    assert "| ours, AdamLSTM / ours, LSTM | 1 (0.75–2.5) |" in text
    assert "| ours, MomentumLSTM / ours, LSTM | 2 (1.5–2.5) |" in text
    assert "| ours, LSTM | 0.25 |" in text
    assert "| ours, MomentumLSTM | 3 |" in text
    assert "| ours, MomentumLSTM / torch.nn.LSTM | 0.5 |" in text
    assert text.index("Training step, ms") < text.index("Compiling: training step, s") < text.index("## Memory")
    assert "did not come to its end" in text


def test_growth_is_a_line_and_runs_are_relative_to_one(tmp_path):
    found = results(tmp_path, "sweep")
    for runs, samples in ((1, [1.0, 2.0]), (4, [1.5, 2.0]), (16, [2.0, 8.0])):
        found.add("sweep", TINY, "training step", {"momentum-lstm": samples}, runs=runs)
    (only,) = table.tables(found.data)
    assert only.axis == 4
    assert only.fixed_sizes == "batch 3, time 6, features 2, hidden 4"
    text = report.markdown(found.data)
    assert "| batch 3, time 6, features 2, hidden 4 | runs by vmap 1 | runs by vmap 4 | runs by vmap 16 |" in text
    assert "| so many runs / one | 1 | 1.25 (1.12–1.38) | 3 (2.5–3.5) |" in text
    chart.draw(found.data, [only], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("native_kernels", "torch_on_cpu", "lines"),
    [
        (
            {"instruction_set": "x86-64-v3", "default": "x86-64-v4"},
            {"threads": 2, "flushes_denormals": True},
            [
                "CPUs: 3; instruction set of our native kernels: x86-64-v3 (by default x86-64-v4).",
                "PyTorch on the CPU: threads: 2; denormal numbers: flushed to zero, as by XLA.",
            ],
        ),
        (
            {"absent": "they are not installed"},
            {"threads": 1, "flushes_denormals": False},
            [
                "CPUs: 3; instruction set of our native kernels: not used: they are not installed.",
                "PyTorch on the CPU: threads: 1; denormal numbers: kept, while XLA flushes them to zero.",
            ],
        ),
        ({"absent": "JAX runs on a GPU"}, None, ["CPUs: 3; instruction set of our native kernels: not used: JAX runs on a GPU."]),
    ],
)
def test_the_report_says_what_was_set(tmp_path, native_kernels, torch_on_cpu, lines):
    found = results(tmp_path)
    found.data |= {"native_kernels": native_kernels, "torch_on_cpu": torch_on_cpu}
    found.data["device"]["cpu_cores"] = 3
    said = report.markdown(found.data).splitlines()
    assert [line for line in said if line.startswith(("CPUs", "PyTorch"))] == lines


def test_results_under_other_settings_have_files_of_their_own(tmp_path):
    names = {
        Results(tmp_path, "quick", "", one, 3).path.name
        for one in (SETTINGS, Settings({}, instruction_set="baseline"), Settings({}, torch_denormals=True))
    }
    assert len(names) == 3


@pytest.mark.parametrize("path", sorted(run.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_of_before_can_still_be_read(path):
    data = json.loads(path.read_text())
    assert report.markdown(data).startswith(f"# Benchmarks: {data['suite']}\n")


def test_the_report_can_be_written_again(tmp_path):
    found = results(tmp_path)
    found.add("cores", TINY, "inference", {"elman": [1.0], "flax-nnx-elman": [4.0]})
    found.data["left_out"].append("memory: the time was up")
    found.save()
    assert report.main([str(found.path)]) == 0
    text = found.path.with_suffix(".md").read_text()
    assert "| ours, Elman / flax.nnx.RNN, SimpleCell | 0.25 |" in text
    assert "Left out: memory: the time was up." in text


def test_a_run_that_measured_nothing_has_a_text_and_no_chart(tmp_path):
    found = results(tmp_path)
    found.save()
    assert report.write(found.path) == [found.path.with_suffix(".md")]


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "all"], "argument --suite: invalid choice: 'all'"),
        (["--shapes", "32,200"], "argument --shapes: must be batch,time,features,hidden, such as 32,200,129,158, got '32,200'"),
        (["--shapes", "3,0,2,4"], "argument --shapes: must be batch,time,features,hidden"),
        (["--repeats", "0"], "argument --repeats: must be a whole number from 1 to 1000, got '0'"),
        (["--only", "keras"], "argument --only: invalid choice: 'keras'"),
        (["--only", "elman"], "--only elman: --suite quick has torch-lstm,"),
        (["--suite", "sweep", "--shapes", "1,2,3,4"], "--shapes does not go with --suite sweep"),
        (["--suite", "sweep", "--only", "lstm"], "--only lstm: --suite sweep has one contestant alone"),
        (["--only", "torch-lstm"], "--only torch-lstm: torch is not installed (pip install '.[bench]')"),
        (["--torch-denormals"], "--torch-denormals: torch is not installed (pip install '.[bench]')"),
        (["--instruction-set", "avx"], "argument --instruction-set: invalid choice: 'avx'"),
        (["--xla-options", "fast"], "argument --xla-options: must be name=value, got 'fast'"),
        (["--xla-options", "xla_nonsense=1"], "--xla-options: XLA refuses them:"),
        (["--out", str(pathlib.Path(__file__))], "no results can be written there"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys, without_torch):
    with pytest.raises(SystemExit) as end:
        run.main(arguments)
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


@pytest.mark.skipif(settings.on_gpu(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "gpu"], "--suite gpu needs a CUDA GPU that JAX can use"),
        (["--precision", "tf32"], "--precision tf32 is for a GPU; JAX runs on cpu here"),
        (["--only", "jax-cudnn-lstm"], "--only jax-cudnn-lstm: it is cuDNN's, and JAX runs on no NVIDIA GPU here"),
    ],
)
def test_what_needs_a_gpu_is_refused_without(arguments, message, capsys):
    test_a_wrong_command_is_one_line_and_status_2(arguments, message, capsys, None)


def test_every_suite_says_what_it_does_and_who_takes_part():
    for suite in suites.SUITES.values():
        assert suite.run.__doc__
        assert set(suite.peers) <= set(PEERS)


def test_the_floor_is_a_table(capsys):
    floor.main([TINY], rounds=1)
    *_, eigen = capsys.readouterr().out.splitlines()
    assert eigen.startswith(f"| {TINY} | Eigen | ")
    assert eigen.count("|") == 7
