"""What each argument refuses, by its name."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
from flax import nnx

import momentum_rnn_jax as mr
from tests.malformed.junk import FLOATS, NONE, Traced, Vast, array, flag, function, matrix, misspelt, size, tree_of, wrong

T, B, F, H = 4, 2, 3, 2

CELL = mr.momentum_lstm(H)
PARAMS = jax.tree.map(lambda s: np.full(s.shape, 0.1, np.float32), jax.eval_shape(lambda: CELL.init(jax.random.key(0), F)))
XS = np.linspace(-1, 1, T * B * F, dtype=np.float32).reshape(T, B, F)


def state(*batch: int) -> mr.CellState:
    gates, units = np.zeros((*batch, 4 * H), np.float32), np.zeros((*batch, H), np.float32)
    return mr.CellState(mr.MomentumState(gates), mr.LSTMState(units, units))


FLAX_CELL = nnx.GRUCell(F, H, rngs=nnx.Rngs(0))
RNN_PARAMS = jax.tree.map(
    lambda s: np.full(s.shape, 0.1, np.float32), jax.eval_shape(lambda: mr.rnn(H).init(jax.random.key(0), F))
)
ZONED = mr.Cell(mr.Zoneout(mr.LSTM(H), rate=0.5))
NOISE = mr.WrapperNoise(None, {name: np.ones((T, B, H), bool) for name in ("c", "h")})
ANOTHER = mr.CellState(mr.IdentityState(), mr.HiddenState(np.zeros((B, H), np.float32)))
DTRIV = {"A": np.zeros((3, 3), np.float32), "base": np.eye(3, dtype=np.float32), "modrelu_bias": np.zeros(3, np.float32)}
TORCH = {"weight_ih_l0": np.ones((4 * H, F), np.float32), "weight_hh_l0": np.ones((4 * H, H), np.float32)} | {
    f"bias_{kind}_l0": np.ones(4 * H, np.float32) for kind in ("ih", "hh")
}
RELEASED = {"x2h.weight": TORCH["weight_ih_l0"], "h2h.weight": TORCH["weight_hh_l0"]} | {
    f"{kind}.bias": np.ones(4 * H, np.float32) for kind in ("x2h", "h2h")
}

MU = wrong(*FLOATS, too_large=1.0, one_in_float32=0.99999999999, array=np.array([0.5, 1.5]), with_nan=jnp.array([0.5, jnp.nan]))
STEP_SIZE = wrong(*FLOATS, "one", zero=0.0, zero_in_float32=1e-50, array=np.array([0.5, 0.0]))
RATE = wrong(*FLOATS, one_float=1.0, above=np.array([0.5, 1.5]))
SHAPE = wrong(number=2, negative=(-1,), float=(2.0,), bool=(True,), vast=Vast((2**16, 2**16)), string=("2",))
DTYPE = wrong("none", integers=jnp.int32, float8="float8_e4m3fn", another=ml_dtypes.float8_e5m2, bf16="bf16", complexes=complex)
PAIR_OF_SIZES = wrong(one_size=(3,), three=(3, 3, 3), nothing_high=(0, 3), floats=(3.0, 2.0))
PARAMS_REFUSED = tree_of(
    PARAMS,
    no_core={"input": PARAMS["input"]},
    misspelt={"inputs": PARAMS["input"], "core": PARAMS["core"]},
    no_kernel={"input": PARAMS["input"], "core": {"bias": PARAMS["core"]["bias"]}},
    another_cells=RNN_PARAMS,
    swapped={"input": PARAMS["core"], "core": PARAMS["input"]},
)
LENGTHS = wrong(
    NONE,
    too_long=np.array([1, T + 1]),
    negative=np.array([-1, 1]),
    many=np.arange(200),
    column=np.ones((B, 1), int),
    masked_lengths=np.ma.array([1, 2]),
    floats=np.ones(B),
    traced_floats=Traced(jnp.float32, (B,)),
    traced_bools=Traced(jnp.bool_, (B,)),
)
RESETS = wrong(
    NONE,
    integers=np.zeros((T, B), int),
    floats=np.zeros((T, B)),
    features=np.zeros((T, B, F), bool),
    masked_bools=np.ma.zeros((T, B), bool),
    traced_floats=Traced(jnp.float32, (T, B)),
)
INITIALIZER = wrong(
    NONE, "class", "variable", of_one_argument=jnp.sin, of_another_shape=lambda key, shape, dtype: jnp.zeros(3, dtype)
)
GAIN = wrong(*FLOATS, "one", "minus_one")
NOTHING: dict[str, Any] = {}  # accepted as it is, because another library hands it over: never read

REFUSED: dict[str, dict[str, Any]] = {
    # numbers
    "mu": MU,
    "beta": MU,
    "step_size": STEP_SIZE,
    "epsilon": STEP_SIZE,
    "eps": wrong(*FLOATS, "one", zero=0.0),
    "readout": wrong(NONE, *FLOATS, "one", "minus_one", another=np.ones(3), units=np.ones((3, 2)), stack=np.ones((2, 1, 1))),
    "order": size(),
    "memory_size": size(),
    "memory_order": size(NONE),
    "init_t": wrong("one", two=2, float=1.0, negative=-2),
    "max_length": size(NONE, but=("vast",)),
    "theta": wrong(NONE, "one", "half", zero=0.0, zeros=np.zeros(1)),
    "tau": wrong("traced_float", "traced_integer", zero=0.0, below_dt=19.0),
    "dt": STEP_SIZE | {"above_tau": 101.0},
    "low": wrong("half", "minus_one", "huge_float", array=np.zeros(1)),
    "high": wrong("one", "half", "inf", "huge_float", "huge_integer", array=np.zeros(1)),
    "forget_bias": wrong("one", "half", "minus_one", zeros=np.zeros(1), array=jnp.zeros((1, 2))),
    "rate": wrong("half", one_float=1.0, zeros=np.zeros(1)),
    "k": size(but=("vast",)),
    "gain": GAIN,
    "shift": GAIN,
    "hidden_features": size(),
    "in_features": size(),
    "features": size(),
    "size": size(),
    "projection_features": size(NONE),
    "restart": wrong("none", "one", zero=0, float=2.5, not_int32=2**31),
    "leading": size(NONE, beyond=8 + 2 * H + 1),
    "tolerance": wrong(NONE, "one", "half", zero=0.0),
    "distance": wrong(NONE, "one", "half", zero=0.0),
    "warmup": wrong("one", all=T, float=1.0),
    "start": wrong("one", float=1.0, beyond=T + 1),
    "stop": wrong("none", "one", float=1.0, beyond=T + 1),
    "batch_shape": SHAPE,
    "shape": SHAPE,
    "input_shape": wrong(nothing=(), number=2, negative=(-1, F), float=(2.0, F)),
    # choices and flags
    "activation": misspelt("tahn"),
    "memory_activation": misspelt("tahn"),
    "measure": misspelt("lags"),
    "discretization": misspelt("bilinera"),
    "gate_activation": misspelt("sigmod"),
    "mapping": misspelt("expn"),
    "skew_init": misspelt("henaf"),
    "init_scheme": misspelt("relased"),
    "method": misspelt("chunkd"),
    "remat": misspelt("nne", "one", "huge_integer") | {"zero": 0, "float": 2.0},
    "learnable": misspelt("scaler", "none"),
    "wrt": misspelt("hiden"),
    "norm": misspelt("spectrall"),
    "name": misspelt("momentum_lstmm"),
    "prefix": wrong("string", no_match="nothing.", bytes=b""),
    "nonlinearity": misspelt("tahn", NONE),
    "time_major": flag(),
    "return_carry": flag(),
    "reverse": flag(),
    "keep_order": flag(),
    "project": flag(),
    "return_states": flag(),
    "deterministic": flag(),
    "trainable_initial_state": flag(),
    "peepholes": flag(),
    "gate": flag(),
    "memory_feedback": flag(),
    "hidden_feedback": flag(),
    "input_bias": flag(),
    "timestamps": flag(),
    "layer_norm": flag(),
    "residual": flag(),
    "image": PAIR_OF_SIZES,
    "kernel_size": PAIR_OF_SIZES,
    "output_kernel_size": PAIR_OF_SIZES,
    "tau_kernel_size": PAIR_OF_SIZES,
    "gate_kernel_size": PAIR_OF_SIZES,
    "feedback_kernel_size": PAIR_OF_SIZES,
    "padding": misspelt("SMAE"),
    "cell_features": size(),
    "residual_features": size(but=("zero",)),
    "feedback_features": size(but=("zero",)),
    "edges": wrong(of_one_cell=[(0,)], of_no_cell=[(0, 9)], no_pairs=[0]),
    **dict.fromkeys(
        ("reset_bias", "update_bias", "tau_scale", "gate_scale"), wrong("one", "half", "minus_one", zeros=np.zeros(1))
    ),
    "normalized": flag(),
    "per_gate": flag(),
    "input_norm": flag(),
    "cell_norm": flag(),
    "inner_bias": flag(),
    "variational": flag(),
    "low_open": flag(),
    "by_name": flag(),
    # parts and functions
    "core": wrong(name="lstm", uncalled=mr.LSTM),
    "drive": wrong("drive", name="momentum", uncalled=mr.Momentum, core=mr.LSTM(H)),
    "drives": wrong("drive", name="momentum", uncalled=mr.Momentum, core=mr.LSTM(H)),
    "cells": wrong(nothing=[], name="lstm", cores=[mr.LSTM(H)], one=CELL),
    "module": wrong(functional=CELL, flax_cell=FLAX_CELL),
    "variables": wrong(NONE),
    "cell": wrong(name="lstm", uncalled=mr.lstm, core=mr.LSTM(H), flax_cell=FLAX_CELL),
    "cell_module": wrong(ours=CELL, another=nnx.RNN(FLAX_CELL)),
    "tx": wrong(needs_params=optax.add_decayed_weights(0.1), not_functions=optax.GradientTransformation(None, None)),
    "cls": wrong("class"),
    "loss_fn": function() | {"vector": jnp.sin, "integer": lambda hs: 1, "nothing": lambda hs: None},
    "merge_fn": function(),
    "kernel_init": INITIALIZER,
    "recurrent_kernel_init": INITIALIZER,
    "bias_init": INITIALIZER,
    "rngs": wrong(seed=0),
    "layers": wrong(nothing=[], cells=[FLAX_CELL]),
    "dropout": wrong(NONE, "flax_module"),
    "forward_rnn": wrong(),
    "backward_rnn": wrong(),
    "carry_init": wrong(NONE),
    # arrays
    "key": wrong("key", seed=0, numpy_key=np.zeros(2, np.uint32), another=jnp.zeros(3, jnp.uint32)),
    "dtype": DTYPE,
    "param_dtype": DTYPE | {NONE: None},
    "params": PARAMS_REFUSED,
    "xs": array((T, B, F)),
    "x": array((B, F)),
    "inputs": array((B, T, F)),
    "us": array((T, B, 4 * H)),
    "u": array((B, 4 * H)),
    "hyperparameter": wrong(*FLOATS, "one", "minus_one", "inf", "nan", "huge_float", "huge_integer", array=np.ones(5)),
    "state": tree_of(state(B), NONE, another_cells=ANOTHER, unbatched=state(), list=[*state(B)]),
    "noise": tree_of(NOISE, NONE),
    "starts": tree_of(state(B), another_cells=ANOTHER, list=[*state(B)], no_states=state(0)),
    "mask": wrong("bools", "numpy_bool", "traced_bool", integers=np.ones(B, int), masked_bools=np.ma.ones(B, bool)),
    "seq_lengths": LENGTHS,
    "resets": RESETS,
    "frame": matrix(NONE) | {"singular": np.zeros((8 + 2 * H,) * 2, np.float32), "nan": np.full((8 + 2 * H,) * 2, np.nan)},
    "A": matrix(),
    "S": matrix(),
    "c": array((B, 3), "pair", but=("wider",)),
    "points": array(
        (3,),
        "pair",
        "empty",
        but=("wider",),
        above=np.full(3, 1.5),
        negatives=np.full(3, -0.1),
        rows=np.zeros((3, 1)),
        traced=Traced(jnp.float32, (3,)),
    ),
    "B": matrix(),
    "base": matrix() | {"another_size": np.eye(4, dtype=np.float32)},
    "arrays": tree_of(TORCH, nothing={}, misspelt={"weight_ih_lO": 1.0}),
    "weights": tree_of(TORCH, nothing={}, pickle="weights.pt", number_names={1: TORCH["bias_ih_l0"]}),
    # handed over by or to Flax, and not read
    "parent": NOTHING,
    "broadcast_dims": NOTHING,
    "rng_collection": NOTHING,
    "init_key": NOTHING,
    "rng": NOTHING,
}
