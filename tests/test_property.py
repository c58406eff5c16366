"""Any drive in front of any core, a user's too, run in any way, is a loop over `cell.step`: in values and all gradients."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from momentum_rnn_jax.unroll import METHODS
from tests import registry, user_made, wrapped
from tests.flax_cells import function_of, random_like
from tests.registry import split_floats

DRIVES = registry.DRIVES | user_made.DRIVES
CORES = registry.CORES | user_made.CORES
CELLS = {f"{drive}-{core}": mr.Cell(CORES[core], DRIVES[drive]) for drive in DRIVES for core in CORES}
OTHERS = {name: cell for name, cell in registry.CELLS.items() if not isinstance(cell, mr.Cell)}
CELLS |= OTHERS
SEEDS = 2


@dataclasses.dataclass(frozen=True)
class Case:
    """A cell and how it is called: everything that a seed decides."""

    seed: int
    cell: str
    time: int
    batch: tuple[int, ...]
    features: int
    transform: str  # "jit", "vmap", "forward" (mode of differentiation) or "eager"
    per_gate: bool  # the drive's hyper-parameters are one for each gate
    from_state: bool
    resets: bool
    lengths: bool
    states: bool  # those of every step are returned
    noise: bool  # where the core draws some
    learnt_start: bool
    steps: int  # of a chunk
    in_step: bool  # few features, for the plan
    small: bool  # what is kept for the backward pass, for the plan

    def __str__(self):
        flags = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) is True]
        return "-".join([str(self.seed), self.cell, self.transform, str((self.time, *self.batch, self.features)), *flags])


def _features(random, cell):
    """Some number of input features, and the time; images have as many as in the registry, of whose shape they are."""
    features = int(random.choice([1, 2, registry.FEATURES]))
    return features + isinstance(cell, mr.TimedCell) if cell.core.feature_axes == 1 else registry.FEATURES


def draw(seed, cell, transform=None):
    random = np.random.default_rng(seed)
    coins = (bool(coin) for coin in random.integers(2, size=9))
    return Case(
        seed,
        cell,
        time=int(random.choice([0, 1, 6, 7], p=[0.05, 0.05, 0.3, 0.6])),
        batch=((), (3,), (2, 2))[random.choice(3, p=[0.1, 0.7, 0.2])],
        features=_features(random, CELLS[cell]),
        transform=transform or str(random.choice(["jit", "vmap", "forward"], p=[0.4, 0.4, 0.2])),
        per_gate=random.random() < 0.3,
        from_state=next(coins),
        resets=next(coins),
        lengths=next(coins),
        states=next(coins),
        noise=next(coins),
        learnt_start=next(coins),
        steps=int(random.integers(2, 5)),
        in_step=next(coins),
        small=next(coins),
    )


def cases(number, start, transforms=()):
    """Random cells, in which every drive and every core comes about equally often, users' first; and last those of no pair."""
    random = np.random.default_rng(start)

    def shuffled(users, ours):
        while True:
            yield from (*random.permutation(list(users)), *random.permutation(list(ours)))

    drives, cores = shuffled(user_made.DRIVES, registry.DRIVES), shuffled(user_made.CORES, registry.CORES)
    pairs = itertools.islice(zip(drives, cores, strict=False), number - len(OTHERS))
    names = [*(f"{drive}-{core}" for drive, core in pairs), *OTHERS]
    transforms = itertools.chain(transforms, itertools.repeat(None))
    return [draw(start + i, name, transform) for i, (name, transform) in enumerate(zip(names, transforms, strict=False))]


def set_plan(monkeypatch, case):
    """Several chunks in a short sequence, and each way to project and to keep what the backward pass needs."""
    rows = case.steps * int(np.prod(case.batch))
    for name, value in {
        "ROWS": rows,
        "DRIVE_ROWS": rows,
        "STORED_BYTES": (1 << 26) * case.small,
        "FEW_FEATURES": 8 * case.in_step,
    }.items():
        monkeypatch.setattr(f"momentum_rnn_jax.execution.resolve.{name}", value)


def problem(case):
    """Random leaves everywhere: `(cell, params, xs, state or None)`, and the other arrays that `unroll` takes."""
    random, time = np.random.default_rng(case.seed), case.time
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), CELLS[case.cell])

    def per_gate(leaf):
        return leaf * random.uniform(0.7, 1.1, cell.core.drive_features) if leaf.ndim == 0 else leaf

    def param(like):
        return jnp.asarray(0.5 * random.normal(size=like.shape), like.dtype)

    if case.per_gate and isinstance(cell, mr.Cell):
        cell = cell.replace(drive=jax.tree.map(per_gate, cell.drive))
    if isinstance(cell, mr.Cell):
        cell = cell.replace(trainable_initial_state=case.learnt_start)
    params = jax.tree.map(param, jax.eval_shape(lambda: cell.init(jax.random.key(0), case.features, float)))
    state = random_like(jax.eval_shape(lambda: cell.initial_state(params, case.batch))) if case.from_state else None
    xs = random.normal(size=(time, *case.batch, *cell.core.features_shape(case.features)))
    if isinstance(cell, mr.TimedCell):
        xs[..., 0] = 1 + np.cumsum(np.abs(xs[..., 0]), axis=0)  # times that grow, also from a state's
    others = {}
    noise = cell.sample_noise(jax.random.key(case.seed), (time, *case.batch)) if case.noise else None
    if noise is not None:
        others["noise"] = noise
    if case.resets:
        others["resets"] = jnp.asarray(random.random((time, *case.batch)) < 0.3)
    if case.lengths:
        others["seq_lengths"] = jnp.asarray(random.integers(0, time + 1, case.batch), jnp.int32)
        padding = np.arange(time).reshape(-1, *(1,) * len(case.batch)) >= np.asarray(others["seq_lengths"])
        xs[padding] = np.nan  # whatever stands there
    return (cell, params, jnp.asarray(xs), state), others


def reference(cell, params, xs, state, resets=None, seq_lengths=None, noise=None, return_states=False):
    """What `unroll` promises, in the simplest way: a loop over `cell.step` that says what resets and lengths are."""
    leading = cell.core.batch_shape(xs.shape)
    start = cell.initial_state(params, leading[1:])
    state = start if state is None else state
    resets = jnp.zeros(leading, bool) if resets is None else resets
    seq_lengths = jnp.full(leading[1:], len(xs)) if seq_lengths is None else seq_lengths.astype(int)

    def select(mask, chosen, other):
        return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b), chosen, other)

    def body(state, now):
        x, reset, noise, t = now
        valid = t < seq_lengths
        x = select(valid, x, jnp.zeros_like(x))
        new, y = cell.step(params, select(reset, start, state), x, noise)
        new = select(valid, new, state)
        return new, (select(valid, y, jnp.zeros_like(y)), new)

    final, (ys, states) = jax.lax.scan(body, state, (xs, resets, noise, jnp.arange(len(xs))))
    return (final, ys, states) if return_states else (final, ys)


def ways(cell, params, xs, state, steps, **options):
    """Every way in which `unroll` runs this cell: `{name: options}`; `explain` refuses the others."""
    found = {}
    for method, remat in itertools.product(METHODS, ("auto", "none", steps)):
        try:
            how = mr.explain(cell, params, xs, state, method=method, remat=remat, **options)
        except ValueError as error:
            assert str(error).startswith(("method must", "remat must"))  # noqa: PT017
            continue
        strategy = how.split(":")[0]
        found.setdefault(f"{strategy} remat={remat}", {"method": method, "remat": remat})
    return found


def with_gradients(run, floats, combine):
    """The final state, the outputs, and the gradient for every float of the cell, parameters, inputs and state."""

    def loss(floats):
        results = run(*combine(floats))
        told_apart = (jnp.vdot(leaf, jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype))) for leaf in split_floats(results)[0])
        return sum(told_apart), results

    (_, results), gradients = jax.value_and_grad(loss, has_aux=True)(floats)
    cell, params, xs, state = combine(gradients)
    return named(results) | {"gradient": {"cell": cell, "params": params, "xs": xs, "state": state}}


def with_tangents(run, floats, combine):
    """The final state, the outputs, and their derivatives along one direction, in forward mode."""
    direction = [jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape) for leaf in floats]

    def results(floats):
        all_of_them = run(*combine(floats))
        return split_floats(all_of_them)[0], all_of_them

    _, tangents, all_of_them = jax.jvp(results, (floats,), (direction,), has_aux=True)
    return named(all_of_them) | {"tangents": tangents}


def named(results):
    return dict(zip(("final", "outputs", "states"), results, strict=False))


def assert_same(actual, expected, rtol=1e-10):
    """Equal to `rtol`, relative to the largest entry of each leaf; says of every leaf that is not by how much."""
    expected_leaves, expected_tree = jax.tree_util.tree_flatten_with_path(expected)
    assert jax.tree.structure(actual) == expected_tree
    wrong = []
    for (path, e), a in zip(expected_leaves, jax.tree.leaves(actual), strict=True):
        a, e = np.asarray(a), np.asarray(e)
        where = jax.tree_util.keystr(path, simple=True, separator=".")
        if (a.shape, a.dtype) != (e.shape, e.dtype):
            wrong.append(f"{where}: {a.dtype}{a.shape} for {e.dtype}{e.shape}")
        elif e.size and not np.abs(a - e).max() <= rtol * max(1e-3, np.abs(e).max()):  # a NaN is wrong too
            wrong.append(f"{where}: error {np.abs(a - e).max():.2g} on a scale of {np.abs(e).max():.2g}")
    assert not wrong, "\n".join(wrong)


def check(case, choose=lambda found: found):
    """The reference and every chosen way as one program, and the results compared."""
    arguments, others = problem(case)
    others["return_states"] = case.states
    floats, combine = split_floats(arguments)
    found = choose(ways(*arguments, case.steps, **others))
    runs = {name: functools.partial(mr.unroll, **others, **options) for name, options in found.items()}
    derive = with_tangents if case.transform == "forward" else with_gradients

    def expected(floats):
        return derive(functools.partial(reference, **others), floats, combine)

    def actual(floats):
        return {name: derive(run, floats, combine) for name, run in runs.items()}

    if case.transform == "eager":
        results = jax.jit(expected)(floats), actual(floats)
    elif case.transform == "vmap":
        results = mapped(case, arguments, expected, actual)
    else:
        results = jax.jit(lambda floats: (expected(floats), actual(floats)))(floats)
    for name in runs:
        assert_same({name: results[1][name]}, {name: results[0]})


def mapped(case, arguments, expected, actual):
    """Over seeds of the parameters and, by chance, the other arguments: `vmap` of the ways, a loop of the reference."""
    random = np.random.default_rng(case.seed)
    flags = [random.random() < 0.4, True, random.random() < 0.4, random.random() < 0.4]
    axes = [0 if flag else None for part, flag in zip(arguments, flags, strict=True) for _ in split_floats(part)[0]]
    floats = split_floats(arguments)[0]
    several = [
        leaf if axis is None else jnp.stack([scale * leaf for scale in np.linspace(0.8, 1.0, SEEDS)])
        for leaf, axis in zip(floats, axes, strict=True)
    ]

    @jax.jit
    def run(several):
        def one(i):
            return expected([leaf if axis is None else leaf[i] for leaf, axis in zip(several, axes, strict=True)])

        return jax.lax.map(one, jnp.arange(SEEDS)), jax.vmap(actual, (axes,))(several)

    return run(several)


@pytest.mark.parametrize("case", cases(8, 100), ids=str)
def test_it_equals_a_loop_over_step(float64, monkeypatch, case):
    def two(found):
        names = sorted(found)
        return {name: found[name] for name in {names[case.seed % len(names)], names[-1 - case.seed % len(names)]}}

    set_plan(monkeypatch, case)
    check(case, two)


@pytest.mark.parametrize("case", cases(2, 200, ["eager", "eager"])[:1], ids=str)
def test_it_equals_a_loop_over_step_outside_of_jit(float64, monkeypatch, case):
    set_plan(monkeypatch, case)
    check(case, lambda found: dict(list(found.items())[:1]))


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", cases(100, 1000, itertools.cycle(["jit", "vmap", "forward", "vmap", "eager"])), ids=str)
def test_every_way_equals_a_loop_over_step(float64, monkeypatch, case):
    set_plan(monkeypatch, case)
    check(case)
    if case.seed % 20 == 0:
        jax.clear_caches()  # programs take memory maps, of which Linux allows a process 65530


def check_flax(case):
    """Layers of NNX and Linen that hold this cell, with gradients; and the cell and parameters that they say they hold."""
    (cell, params, xs, state), masks = problem(dataclasses.replace(case, noise=False))
    nnx_module, linen_module = (
        wrapped.nnx_cell(cell, case.features, param_dtype=float),
        wrapped.linen_cell(cell, param_dtype=float),
    )
    floats, combine = split_floats((None, params, xs, state))
    layers = {"nnx": function_of(mnnx.RNN(nnx_module)), "linen": function_of(mlinen.RNN(linen_module))}

    def unrolled(_, params, xs, state):
        return mr.unroll(cell, params, xs, state, **masks)

    def called(layer, _, params, xs, state):
        return layer({"cell": params}, xs, initial_carry=state, time_major=True, **masks)

    @jax.jit
    def run(floats):
        actual = {name: with_gradients(functools.partial(called, layer), floats, combine) for name, layer in layers.items()}
        return with_gradients(unrolled, floats, combine), actual

    expected, actual = run(floats)
    for name in layers:
        assert_same({name: actual[name]}, {name: expected})
    held = nnx_module.functional()
    assert_same({"nnx": held[0]}, {"nnx": cell}, 0)
    assert jax.tree.structure(held[1]) == jax.tree.structure(params)
    given = linen_module.apply({"params": params}, case.features, method="functional")
    assert_same({"linen": given}, {"linen": (cell, params)}, 0)


@pytest.mark.parametrize("case", cases(5, 300), ids=str)
def test_the_flax_layers_equal_unroll(float64, case):
    check_flax(case)


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", cases(30, 2000), ids=str)
def test_the_flax_layers_equal_unroll_for_many_more(float64, case):
    check_flax(case)
