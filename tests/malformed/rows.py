"""The public callables: how each is called, with which valid arguments, and where it refuses other values than `REFUSED` says."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import momentum_rnn_jax as mr
from momentum_rnn_jax import analysis, hippo, interop, orthogonal
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import NAMES as FLAX_NAMES
from tests.malformed.arguments import (
    CELL,
    DTRIV,
    FLAX_CELL,
    NOISE,
    NOTHING,
    PARAMS,
    RATE,
    REFUSED,
    RELEASED,
    RNN_PARAMS,
    TORCH,
    XS,
    ZONED,
    B,
    F,
    H,
    T,
    state,
)
from tests.malformed.junk import FLOATS, NONE, array, flag, misspelt, size, tree_of, wrong

Valid = Callable[[], dict[str, Any]]


class Row(NamedTuple):
    """A public callable. `valid` makes its arguments anew for each call; `call` runs it where that takes more than calling it."""

    function: Callable[..., Any]
    valid: Valid = dict
    refused: Mapping[str, dict[str, Any]] = types.MappingProxyType({})
    call: Callable[..., Any] | None = None

    def arguments(self) -> list[str]:
        """The names in the signature, and those that stand for its `**kwargs`."""
        made_up = getattr(self.function, "__signature__", None)  # NNX's metaclass hides the one of `__init__`
        function = self.function.__init__ if inspect.isclass(self.function) else self.function  # type: ignore[misc]
        parameters = (made_up or inspect.signature(function)).parameters.values()
        named = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        return named + [name for name in self.valid() if name not in named]

    def wrong(self, argument: str) -> dict[str, Any]:
        """The values that an argument must refuse."""
        return self.refused[argument] if argument in self.refused else REFUSED[argument]

    def run(self, arguments: dict[str, Any]) -> Any:
        """Call it."""
        return (self.call or self.function)(**arguments)


@functools.cache
def nnx_cell() -> Any:
    return mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(0))


@functools.cache
def layer(kind: str = "RNN") -> Any:
    rnn = mnnx.RNN(nnx_cell())
    return {"RNN": rnn, "Bidirectional": mnnx.Bidirectional(rnn, rnn), "Stack": mnnx.Stack([rnn])}[kind]


def linen_layer(kind: str = "RNN") -> Any:
    rnn = mlinen.RNN(mlinen.MomentumLSTMCell(H))
    return {"RNN": rnn, "Bidirectional": mlinen.Bidirectional(rnn, rnn.clone()), "Stack": mlinen.Stack([rnn])}[kind]


@functools.cache
def linen_variables(kind: str) -> Any:
    shapes = jax.eval_shape(lambda: linen_layer(kind).init(jax.random.key(0), INPUTS))
    return jax.tree.map(lambda s: np.full(s.shape, 0.1, np.float32), shapes)


def linen_cell(module: Callable[..., Any]) -> Callable[..., Any]:
    """A Linen module may check its fields when it is used: this makes one and takes a step."""

    def call(**fields: Any) -> Any:
        cell = module(**fields)
        return cell.init(jax.random.key(0), cell.initialize_carry(jax.random.key(0), (B, F)), XS[0])

    return call


def linen_sequence(module: Callable[..., Any]) -> Callable[..., Any]:
    """Likewise for a layer."""
    return lambda **fields: module(**fields).init(jax.random.key(0), INPUTS)


def linen_call(kind: str) -> Callable[..., Any]:
    """The call of a layer with variables."""
    return lambda **arguments: linen_layer(kind).apply(linen_variables(kind), **arguments)


def given(**arguments: Any) -> Valid:
    return lambda: dict(arguments)


def with_rngs(**arguments: Any) -> Valid:
    return lambda: {**arguments, "rngs": nnx.Rngs(0)}


KEY = jax.random.key(0)
INPUTS, GATES = XS.swapaxes(0, 1), np.ones((T, B, 4 * H), np.float32)
MASK = np.ones(B, bool)
BATCH_FIRST = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), NOISE)
CORE, STACK = CELL.core, mr.Stack([CELL])
STACK_REFUSED = {
    "params": tree_of((PARAMS,), bare=PARAMS, two=(PARAMS, PARAMS)),
    "state": tree_of((state(B),), bare=state(B), two=(state(B),) * 2, unbatched=(state(),)),
    "noise": wrong(NONE),
}
NO_NOISE = {"noise": wrong(NONE)}  # an LSTM's steps are not random
ONE = given(cell=CELL, params=PARAMS, xs=XS[:, 0], state=state())
ONE_REFUSED = {
    "state": tree_of(state(), NONE, batch=state(B)),
    "xs": array((T, F), no_steps=np.zeros((0, F), np.float32), batch=XS, with_nan=np.full((T, F), np.nan, np.float32)),
}
FIXED_POINTS = {
    "x": array((F,), batch=XS[0], with_nan=np.full(F, np.nan, np.float32)),
    "wrt": misspelt("cor", hidden="hidden"),
    "max_steps": size(but=("vast",)),
}


def at_once(**arguments: Any) -> Any:
    """Fixed points, which are never traced."""
    with jax.ensure_compile_time_eval():
        return analysis.fixed_points(**arguments)


STRUCTS = {  # `resolve` takes shapes for arrays
    "params": tree_of(PARAMS, but=("with_a_struct",), another_cells=RNN_PARAMS),
    "state": tree_of(state(B), NONE, but=("with_a_struct",), unbatched=state()),
}
INIT = {"dtype": REFUSED["param_dtype"]}  # None is no dtype
DRIVE = {"u": array((B, 4 * H), "pair", "empty", but=("wider",)), "us": array((T, B, 4 * H), but=("wider",))}
DRIVE |= {"state": tree_of(state(B).drive)}
STEP = wrong(NONE, "one", "half", zero=0.0, zeros=np.zeros(1))
NO_STEP = wrong(NONE)  # where t is counted
MEMORY = mr.HiPPO(3)
MEMORIES = mr.HiPPOState(np.zeros((B, 4 * H, 3), np.float32), np.zeros(B, np.int32))
HALVES = ("with_halves", "with_stacked")  # any dtype, any leading axes
TIMED_CORE = REFUSED["core"] | {"no_time": mr.HiPPORNN(H, measure="lmu"), "clamped": mr.HiPPORNN(H, max_length=3)}
TIMED_DRIVE = REFUSED["drive"] | {"no_time": mr.Adam()}
HIPPO = {"W_uxh.weight": np.ones((1, F + H), np.float32), "W_hxm.weight": np.ones((H, F + 4), np.float32)}
LIKE = {"u": array((B, 4 * H), "pair", "empty", "struct", but=("wider",))}
ATN = {"weight_ih": np.ones((F, 4 * H), np.float32), "weight_hh": np.ones((H, 4 * H), np.float32)}
ATN |= {name: np.ones(4 * H, np.float32) for name in ("bias_x", "bias_h")}
ATN |= {
    f"norm_{part}.{kind}": np.ones(size, np.float32)
    for part, size in (("ih", 4 * H), ("hh", 4 * H), ("c", H))
    for kind in ("weight", "bias")
}
NO_KERNEL = {"hidden_features": size(but=("vast",))}
WRAPPED = {"core": wrong(name="lstm", uncalled=mr.LSTM, linear=mr.MinGRU(H))}
CONV = given(hidden_features=H, image=(3, 2))
CONV_CELL = mr.Cell(mr.ConvGRU(H, (3, 2)))
NETWORK = mr.Network([CONV_CELL])
NETWORK_PARAMS = NETWORK.init(KEY, F)
NETWORK_XS = np.ones((T, B, 3, 2, F), np.float32)
NETWORK_STATE = NETWORK.initial_state(NETWORK_PARAMS, (B,))
NETWORK_REFUSED = {
    "params": wrong(none=(), another_cells=(PARAMS,)),
    "state": wrong(NONE, another_cells=state()),
    "x": array((B, 3, 2, F)),
    "xs": array((T, B, 3, 2, F)),
}
CONVRNN = {"ConvLSTMCell/weights": np.ones((3, 3, F + H, 4 * H), np.float32), "ConvLSTMCell/bias": np.ones(4 * H, np.float32)}
MODULE = {"name": NOTHING, "deterministic": flag(NONE), "cell": wrong(name="lstm", core=CORE, flax_cell=FLAX_CELL)}
FUNCTIONAL = MODULE | {"cell": wrong(core=CORE, module=FLAX_CELL)}
FLAGS = {name: flag(NONE) for name in ("return_carry", "time_major", "reverse", "keep_order", "deterministic")}
ANY_FLOAT = ("with_halves",)  # a Flax carry keeps a dtype of its own
CALL = FLAGS | {"initial_carry": tree_of(state(B), NONE, but=ANY_FLOAT, unbatched=state()), "rngs": NOTHING}
PAIR = CALL | {"initial_carry": wrong(NONE, one=state(B), three=(state(B),) * 3, unbatched=(state(), state()))}
SINGLE = CALL | {"initial_carry": wrong(NONE, one=state(B), two=(state(B),) * 2, unbatched=(state(),))}
LINEN_INPUTS = {"inputs": array((B, T, F), but=("wider",))}  # Linen itself compares the shapes of its parameters
STEP = {"carry": tree_of(state(B), but=ANY_FLOAT, unbatched=state()), "inputs": REFUSED["x"]}
THEOREM = {"cell": REFUSED["cell"] | {"relu": mr.momentum_rnn(H, activation="relu"), "adam": mr.adam_rnn(H, mu=jnp.full(H, 0.5))}}
THEOREM |= {"params": tree_of(RNN_PARAMS), "state": wrong(NONE, another_cells=state())}

# From one table each, so that one of them is tried with everything, and the others with a part of it.
NAMED = [name for name in mr.named.__all__ if name != "momentum_lstm"]
FLAX_NAMED = [name for name in FLAX_NAMES if name != "MomentumLSTMCell"]
TWINS = {*NAMED, *(f"{kind}.{name}" for kind in ("nnx", "linen") for name in FLAX_NAMED)}
# The rows that are tried with one value in so many, because others run the same checks; it is the same one at every run.
SAMPLED = dict.fromkeys(TWINS, 10) | dict.fromkeys(
    ["linen.RecurrentCell", *(f"{kind}.{name}.__call__" for kind in ("nnx", "linen") for name in ("Bidirectional", "Stack"))], 4
)

ROWS: dict[str, Row] = {
    "pytree_dataclass": Row(mr.pytree_dataclass, given(cls=type("Empty", (), {}))),
    "hyperparameter": Row(mr.hyperparameter, given(low=0.0, high=1.0), {"default": NOTHING}),
    # drives
    "Identity": Row(mr.Identity),
    "Momentum": Row(mr.Momentum),
    "Nesterov": Row(mr.Nesterov),
    "Adam": Row(mr.Adam),
    "RMSProp": Row(mr.RMSProp),
    "Chain": Row(mr.Chain, given(drives=[CELL.drive]), {"positional": NOTHING, "drives": wrong(nothing=(), cores=[mr.LSTM(H)])}),
    "Chain, drive by drive": Row(lambda drives: mr.Chain(CELL.drive, drives), given(drives=CELL.drive)),
    "HiPPO": Row(mr.HiPPO, given(order=2), {"dt": NO_STEP}),
    "HiPPO, lmu": Row(mr.HiPPO, given(order=2, measure="lmu"), {"dt": STEP, "init_t": wrong(), "max_length": wrong(NONE)}),
    "HiPPO.coefficients": Row(MEMORY.coefficients, given(state=MEMORIES), {"state": tree_of(MEMORIES, but=HALVES)}),
    "HiPPO.unroll_coefficients": Row(
        MEMORY.unroll_coefficients, given(state=MEMORIES, us=GATES), DRIVE | {"state": tree_of(MEMORIES)}
    ),
    "Momentum.resampled": Row(CELL.drive.resampled, given(dt=0.5), {"dt": wrong(*FLOATS, "one")}),
    "AssortedTime": Row(mr.AssortedTime, given(k=2)),
    "AssortedTimeNorm": Row(mr.AssortedTimeNorm, given(k=2)),
    "OptaxDrive": Row(mr.OptaxDrive, given(tx=optax.trace(0.5))),
    "Drive.init": Row(CELL.drive.init, given(u=GATES[0]), DRIVE),
    "Drive.step": Row(CELL.drive.step, given(state=state(B).drive, u=GATES[0]), DRIVE),
    "Drive.unroll": Row(CELL.drive.unroll, given(state=state(B).drive, us=GATES), DRIVE),
    "Drive.fixed_point": Row(CELL.drive.fixed_point, given(u=GATES[0]), DRIVE),
    "align": Row(mr.align, given(name="hyperparameter", hyperparameter=0.5, u=GATES[0]), DRIVE | {"name": NOTHING} | LIKE),
    # cores
    "Elman": Row(mr.Elman, given(hidden_features=H)),
    "LSTM": Row(mr.LSTM, given(hidden_features=H)),
    "GRU": Row(mr.GRU, given(hidden_features=H)),
    "Orthogonal": Row(mr.Orthogonal, given(hidden_features=H)),
    "Leaky": Row(mr.Leaky, given(hidden_features=H), {"noise": wrong(NONE, *FLOATS, "one", negatives=np.full(H, -1.0))}),
    "MinGRU": Row(mr.MinGRU, given(hidden_features=H), NO_KERNEL),
    "MinLSTM": Row(mr.MinLSTM, given(hidden_features=H), NO_KERNEL),
    "HiPPORNN": Row(mr.HiPPORNN, given(hidden_features=H), {"dt": NO_STEP}),
    "HiPPORNN, lmu": Row(
        mr.HiPPORNN, given(hidden_features=H, measure="lmu"), {"dt": STEP, "init_t": wrong(), "max_length": wrong(NONE)}
    ),
    "hippo.transition": Row(hippo.transition, given(order=3)),
    "hippo.discretize": Row(hippo.discretize, given(order=3, dt=0.5), {"dt": STEP | {NONE: None}}),
    "hippo.basis": Row(hippo.basis, given(points=np.zeros(3), order=3)),
    "hippo.reconstruct": Row(hippo.reconstruct, given(c=np.ones((B, 3)), points=np.zeros(3))),
    "LayerNormLSTM": Row(mr.LayerNormLSTM, given(hidden_features=H)),
    "LayerNorm": Row(mr.LayerNorm, given(core=CORE), WRAPPED),
    "Normalized": Row(
        mr.Normalized,
        given(core=CORE, norm=mr.AssortedTime(2)),
        WRAPPED | {"norm": wrong(name="assorted", uncalled=mr.AssortedTime)},
    ),
    "RecurrentDropout": Row(mr.RecurrentDropout, given(core=CORE, rate=0.5), WRAPPED | {"rate": RATE}),
    "Zoneout": Row(
        mr.Zoneout, given(core=CORE, rate=0.5), WRAPPED | {"rate": RATE | {"no_entry": {"z": 0.5}, "above": {"h": 1.5}}}
    ),
    "ConvElman": Row(mr.ConvElman, CONV),
    "ConvGRU": Row(mr.ConvGRU, CONV),
    "ConvLSTM": Row(mr.ConvLSTM, CONV),
    "ConvUGRNN": Row(mr.ConvUGRNN, CONV),
    "ConvIntersection": Row(mr.ConvIntersection, CONV),
    "ReciprocalGated": Row(mr.ReciprocalGated, given(hidden_features=H, image=(3, 2), cell_features=H)),
    "SeparableReciprocalGated": Row(mr.SeparableReciprocalGated, CONV),
    "Orthogonal.rebase": Row(mr.Orthogonal(3).rebase, given(params=DTRIV), {"params": tree_of(DTRIV)}),
    # orthogonal matrices
    "rebase": Row(mr.rebase, given(params=DTRIV, mapping="expm"), {"params": tree_of(DTRIV, nothing={})}),
    "orthogonal.skew": Row(orthogonal.skew, given(A=DTRIV["A"])),
    "orthogonal.expm_map": Row(orthogonal.expm_map, given(S=DTRIV["A"])),
    "orthogonal.cayley_map": Row(orthogonal.cayley_map, given(S=DTRIV["A"])),
    "orthogonal.orthogonal_matrix": Row(orthogonal.orthogonal_matrix, given(A=DTRIV["A"], base=DTRIV["base"])),
    "orthogonal.nearest_orthogonal": Row(orthogonal.nearest_orthogonal, given(B=DTRIV["base"])),
    "orthogonal.henaff": Row(orthogonal.henaff, given(key=KEY, size=3), INIT),
    "orthogonal.cayley": Row(orthogonal.cayley, given(key=KEY, size=3), INIT),
    # cells
    "Cell": Row(mr.Cell, given(core=CORE)),
    "Cell.init": Row(CELL.init, given(key=KEY, in_features=F), INIT),
    "Cell.initial_state": Row(CELL.initial_state, given(params=PARAMS)),
    "Cell.reset_state": Row(CELL.reset_state, given(params=PARAMS, state=state(B), mask=MASK), {"state": tree_of(state(B))}),
    "Cell.sample_noise": Row(ZONED.sample_noise, given(key=KEY, shape=(T, B)), INIT),
    "Cell.step": Row(
        CELL.step, given(params=PARAMS, state=state(B), x=XS[0]), NO_NOISE | {"state": tree_of(state(B), unbatched=state())}
    ),
    "Cell.replace": Row(CELL.replace, given(mu=0.5, hidden_features=H)),
    "ReleasedNesterovLSTM": Row(mr.ReleasedNesterovLSTM, given(core=CORE), {"core": wrong(gru=mr.GRU(H))}),
    "TimedCell": Row(mr.TimedCell, given(core=CORE), {"core": TIMED_CORE, "drive": TIMED_DRIVE}),
    "TimedCell.init": Row(mr.TimedCell(CORE).init, given(key=KEY, in_features=F), INIT | {"in_features": size() | {"one": 1}}),
    "Stack": Row(mr.Stack, given(cells=[CELL])),
    "Stack.init": Row(STACK.init, given(key=KEY, in_features=F), INIT),
    "Stack.initial_state": Row(STACK.initial_state, given(params=(PARAMS,)), STACK_REFUSED),
    "Stack.reset_state": Row(STACK.reset_state, given(params=(PARAMS,), state=(state(B),), mask=MASK), STACK_REFUSED),
    "Stack.sample_noise": Row(mr.Stack([ZONED]).sample_noise, given(key=KEY, shape=(T, B)), INIT),
    "Stack.step": Row(STACK.step, given(params=(PARAMS,), state=(state(B),), x=XS[0]), STACK_REFUSED),
    "Network": Row(mr.Network, given(cells=[CONV_CELL])),
    "Network.init": Row(NETWORK.init, given(key=KEY, in_features=F), INIT),
    "Network.initial_state": Row(NETWORK.initial_state, given(params=NETWORK_PARAMS), NETWORK_REFUSED),
    "Network.step": Row(NETWORK.step, given(params=NETWORK_PARAMS, state=NETWORK_STATE, x=NETWORK_XS[0]), NETWORK_REFUSED),
    "Network.unroll": Row(NETWORK.unroll, given(params=NETWORK_PARAMS, xs=NETWORK_XS), NETWORK_REFUSED),
    "momentum_lstm": Row(mr.momentum_lstm, given(hidden_features=H)),
    **{name: Row(getattr(mr, name), given(hidden_features=H)) for name in NAMED},
    # sequences
    "unroll": Row(mr.unroll, given(cell=CELL, params=PARAMS, xs=XS, state=state(B)), NO_NOISE),
    "unroll, batch first": Row(
        lambda xs, resets, noise: mr.unroll(ZONED, PARAMS, xs, time_major=False, resets=resets, noise=noise),
        given(xs=INPUTS, resets=np.zeros((B, T), bool), noise=NOISE),
        {"xs": REFUSED["inputs"], "noise": tree_of(NOISE, NONE, batch_first=BATCH_FIRST)},
    ),
    "unroll with noise": Row(
        lambda noise: mr.unroll(ZONED, PARAMS, XS, noise=noise), given(noise=NOISE), {"noise": tree_of(NOISE, NONE)}
    ),
    "unroll of a stack": Row(
        lambda params, xs, state=None: mr.unroll(STACK, params, xs, state),
        given(params=(PARAMS,), xs=XS, state=(state(B),)),
        STACK_REFUSED | {"state": STACK_REFUSED["state"] | {NONE: 1}},
    ),
    "resolve": Row(mr.resolve, given(cell=CELL, params=PARAMS, xs=XS), NO_NOISE | STRUCTS),
    "explain": Row(mr.explain, given(cell=CELL, params=PARAMS, xs=XS), STRUCTS),
    # analysis
    "analysis.step_jacobians": Row(analysis.step_jacobians, ONE, ONE_REFUSED),
    "analysis.jacobian_product": Row(analysis.jacobian_product, ONE, ONE_REFUSED),
    "analysis.singular_spectrum": Row(analysis.singular_spectrum, ONE, ONE_REFUSED),
    "analysis.jacobian_log_norms": Row(analysis.jacobian_log_norms, ONE, ONE_REFUSED),
    "analysis.input_sensitivity": Row(analysis.input_sensitivity, ONE, ONE_REFUSED),
    "analysis.lyapunov_spectrum": Row(analysis.lyapunov_spectrum, ONE, ONE_REFUSED),
    "analysis.fixed_points": Row(
        analysis.fixed_points, given(cell=CELL, params=PARAMS, x=XS[0, 0], starts=state(B)), FIXED_POINTS, at_once
    ),
    "analysis.flossing": Row(analysis.flossing, lambda: ONE() | {"leading": 1}, ONE_REFUSED | {"leading": size()}),
    "analysis.gradient_norms": Row(analysis.gradient_norms, lambda: {"loss_fn": jnp.sum} | ONE(), ONE_REFUSED),
    "analysis.gradient_flow": Row(analysis.gradient_flow, ONE, ONE_REFUSED | {"loss_fn": REFUSED["loss_fn"] | {NONE: jnp.sin}}),
    "analysis.theorem_product": Row(
        analysis.theorem_product, given(cell=mr.momentum_rnn(H), params=RNN_PARAMS, xs=XS[:, 0]), ONE_REFUSED | THEOREM
    ),
    # interop
    "from_flax": Row(interop.from_flax, given(cell_module=FLAX_CELL)),
    "from_torch": Row(interop.from_torch, given(weights=TORCH)),
    "from_torch_layers": Row(interop.from_torch_layers, given(weights=TORCH)),
    "from_torch_lstm": Row(interop.from_torch_lstm, given(arrays=TORCH)),
    "to_torch_lstm": Row(interop.to_torch_lstm, given(params=PARAMS)),
    "from_convrnn": Row(
        interop.from_convrnn,
        given(name="lstm", arrays=CONVRNN, image=(3, 2), forget_bias=1.0),
        {"name": misspelt("lsmt"), "arrays": tree_of(CONVRNN, nothing={})},
    ),
    "from_released": Row(
        interop.from_released,
        given(name="momentum_lstm", arrays=RELEASED, mu=0.5, epsilon=0.5),
        {"arrays": tree_of(RELEASED, nothing={}, torch=TORCH)},
    ),
    "from_hippo": Row(
        interop.from_hippo,
        given(arrays=HIPPO),
        {
            "arrays": tree_of(HIPPO, but=("with_longer",), nothing={}, torch=TORCH),
            "dt": NO_STEP,
            "discretization": misspelt("zho", NONE),
            "theta": wrong(NONE),
        },
    ),
    "from_atn": Row(
        interop.from_atn,
        given(arrays=ATN, k=2),
        {
            "arrays": tree_of(ATN, nothing={}, torch=TORCH),
            "drive": REFUSED["drive"] | {NONE: mr.LSTM(H)},
            "order": misspelt("drive_than_norm"),
        },
    ),
    "load_nnx": Row(
        interop.load_nnx,
        given(params=PARAMS, module=...),
        call=lambda module, params: interop.load_nnx(
            mnnx.MomentumLSTMCell(F, H, rngs=nnx.Rngs(0)) if module is ... else module, params
        ),
    ),
    "load_linen": Row(interop.load_linen, given(module=mlinen.MomentumLSTMCell(H), params=PARAMS)),
    # NNX
    "nnx.RecurrentCell": Row(mnnx.RecurrentCell, with_rngs(cell=CELL, in_features=F), {"cell": FUNCTIONAL["cell"]}),
    **{
        f"nnx.{name}": Row(getattr(mnnx, name), with_rngs(in_features=F, hidden_features=H))
        for name in ("MomentumLSTMCell", *FLAX_NAMED)
    },
    "nnx.RecurrentCell.__call__": Row(nnx_cell().__call__, given(carry=state(B), inputs=XS[0]), STEP),
    "nnx.RecurrentCell.initialize_carry": Row(nnx_cell().initialize_carry, given(input_shape=(B, F)), {"rngs": NOTHING}),
    "nnx.RecurrentCell.rebase": Row(
        mnnx.RecurrentCell.rebase, call=lambda **options: mnnx.OrthogonalCell(F, H, rngs=nnx.Rngs(0)).rebase(**options)
    ),
    "nnx.WeightDrop": Row(mnnx.WeightDrop, lambda: with_rngs(cell=nnx_cell(), rate=0.5)()),
    "nnx.LockedDropout": Row(mnnx.LockedDropout, with_rngs(rate=0.5)),
    "nnx.RNN": Row(mnnx.RNN, lambda: {"cell": nnx_cell()}, {"rngs": NOTHING}),
    "nnx.RNN.__call__": Row(layer().__call__, given(inputs=INPUTS, initial_carry=state(B)), CALL),
    "nnx.Bidirectional": Row(mnnx.Bidirectional, lambda: {"forward_rnn": layer(), "backward_rnn": layer()}, {"rngs": NOTHING}),
    "nnx.Bidirectional.__call__": Row(layer("Bidirectional").__call__, given(inputs=INPUTS), PAIR),
    "nnx.Stack": Row(mnnx.Stack, lambda: {"layers": [layer()]}, {"rngs": NOTHING}),
    "nnx.Stack.__call__": Row(layer("Stack").__call__, given(inputs=INPUTS), SINGLE),
    # Linen
    "linen.RecurrentCell": Row(mlinen.RecurrentCell, given(cell=CELL), FUNCTIONAL, linen_cell(mlinen.RecurrentCell)),
    **{
        f"linen.{name}": Row(getattr(mlinen, name), given(features=H), MODULE, linen_cell(getattr(mlinen, name)))
        for name in ("MomentumLSTMCell", *FLAX_NAMED)
    },
    "linen.RecurrentCell.initialize_carry": Row(mlinen.MomentumLSTMCell(H).initialize_carry, given(rng=KEY, input_shape=(B, F))),
    "linen.WeightDrop": Row(
        mlinen.WeightDrop,
        given(cell=mlinen.MomentumLSTMCell(H), rate=0.0, deterministic=True),
        MODULE,
        linen_cell(mlinen.WeightDrop),
    ),
    "linen.LockedDropout": Row(mlinen.LockedDropout, given(rate=0.5), MODULE | {"deterministic": NOTHING}),
    "linen.RNN": Row(mlinen.RNN, given(cell=mlinen.MomentumLSTMCell(H)), MODULE, linen_sequence(mlinen.RNN)),
    "linen.RNN.__call__": Row(mlinen.RNN.__call__, given(inputs=INPUTS), CALL | LINEN_INPUTS, linen_call("RNN")),
    "linen.Bidirectional": Row(
        mlinen.Bidirectional,
        lambda: {"forward_rnn": linen_layer(), "backward_rnn": linen_layer()},
        MODULE,
        linen_sequence(mlinen.Bidirectional),
    ),
    "linen.Bidirectional.__call__": Row(
        mlinen.Bidirectional.__call__, given(inputs=INPUTS), PAIR | LINEN_INPUTS, linen_call("Bidirectional")
    ),
    "linen.Stack": Row(
        mlinen.Stack, lambda: {"layers": [linen_layer()]}, MODULE | {"dropout": wrong(NONE)}, linen_sequence(mlinen.Stack)
    ),
    "linen.Stack.__call__": Row(mlinen.Stack.__call__, given(inputs=INPUTS), SINGLE | LINEN_INPUTS, linen_call("Stack")),
}

UNCHECKED = {
    "static": "the options of dataclasses.field",
    "Execution": "made by resolve",
    "Hyperparameter": "a kind of Flax variable",
    "Frozen": "a kind of Flax variable",
    "Group": "made by the modules only",
    "CellModule": "a base class",
    "FixedPoints": "a result",
    "GradientFlow": "a result",
}
