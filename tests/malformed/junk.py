"""Values that fit hardly any argument, and how an argument says which of them it takes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import nnx

import momentum_rnn_jax as mr


class Traced(NamedTuple):
    """An argument that has a dtype and a shape but no value: the call is traced."""

    dtype: Any
    shape: tuple[int, ...] = ()


class Vast(NamedTuple):
    """An argument that asks for more memory than there is: the call is traced, so that nothing is allocated."""

    value: Any


NONE, FLOATS = "none", {"half", "pair", "traced_float", "traced_integer"}
CALLABLE = {"function", "class", "flax_module", "variable"}
JUNK: dict[str, Any] = {
    NONE: None,
    "true": True,
    "one": 1,
    "half": 0.5,
    "minus_one": -1,
    "nan": float("nan"),
    "inf": float("inf"),
    "huge_float": 1e300,
    "huge_integer": 10**5000,
    "complex": 1j,
    "string": "three",
    "long_string": "x" * 10_000,
    "bytes": b"three",
    "list": [1.0, 2.0],
    "tuple": (1.0, 2.0),
    "set": {1.0},
    "dict": {"a": jnp.ones(50), "b": jnp.ones(50)},
    "mixed_dict": {"a": 1, 2: 3},
    "object": object(),
    "class": dict,
    "function": len,
    "module": np,
    "flax_module": nnx.Linear(40, 40, rngs=nnx.Rngs(0)),
    "variable": nnx.Param(jnp.ones(50)),
    "drive": mr.Momentum(mu=jnp.full(50, 0.5)),
    "key": jax.random.key(0),
    "keys": jax.random.split(jax.random.key(0), 3),
    "pair": np.array([0.25, 0.5], np.float32),
    "masked": np.ma.masked_array([0.25, 0.5], [True, False]),
    "masked_constant": np.ma.masked,
    "numpy_bool": np.True_,
    "bools": np.array([True, False]),
    "strings": np.array(["a", "b"]),
    "objects": np.array([None, 1], dtype=object),
    "float8": np.array([0.25, 0.5], ml_dtypes.float8_e4m3fn),
    "longdouble": np.array([0.25, 0.5], np.longdouble),
    "big_endian": np.array([0.25, 0.5], ">f4"),
    "empty": np.zeros(0, np.float32),
    "struct": jax.ShapeDtypeStruct((2,), jnp.float32),
    "traced_float": Traced(jnp.float32),
    "traced_integer": Traced(jnp.int32),
    "traced_complex": Traced(jnp.complex64),
    "traced_bool": Traced(jnp.bool_),
    "traced_float8": Traced(ml_dtypes.float8_e4m3fn),
}


def wrong(*fine: str, **more: Any) -> dict[str, Any]:
    """All junk but what is fine for this argument, and values that are wrong for it in particular."""
    assert set(fine) <= set(JUNK), fine
    return {label: value for label, value in JUNK.items() if label not in fine} | more


def size(*fine: str, but: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    sizes = {"zero": 0, "float": 3.0, "vast": Vast(2**31 - 1), "astronomic": Vast(10**20), "integers": np.array([3])}
    return wrong("one", *fine, **{label: value for label, value in sizes.items() if label not in but}, **more)


def misspelt(name: str, *fine: str, **more: Any) -> dict[str, Any]:
    return wrong(*fine, misspelt=name, empty_string="", names=(name,), **more)


def flag(*fine: str) -> dict[str, Any]:
    return wrong("true", "numpy_bool", *fine, zero=0, yes="yes", numpy_bool_array=np.array(True), numpy_integer=np.int32(1))


def function(*fine: str) -> dict[str, Any]:
    return wrong(*CALLABLE, *fine)


def with_leaf(tree: Any, number: int, leaf: Any) -> Any:
    """The tree with another leaf in the place of one."""
    leaves, structure = jax.tree.flatten(tree)
    return structure.unflatten([*leaves[:number], leaf, *leaves[number + 1 :]])


def tree_of(tree: Any, *fine: str, but: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Junk, and the tree itself with one leaf that is wrong, `but` without some."""
    leaf = jax.tree.leaves(tree)[0]
    leaves = {
        "longer": np.zeros((*leaf.shape[:-1], leaf.shape[-1] + 1), leaf.dtype),
        "stacked": np.zeros((3, *leaf.shape), leaf.dtype),
        "integers": np.zeros(leaf.shape, np.int32),
        "complexes": np.zeros(leaf.shape, np.complex64),
        "halves": np.zeros(leaf.shape, np.float16),
        "float8s": np.zeros(leaf.shape, ml_dtypes.float8_e5m2),
        "masked_zeros": np.ma.zeros(leaf.shape, leaf.dtype),
        "lists": np.zeros(leaf.shape).tolist(),
        "a_string": "zeros",
        "a_number": 0.0,
        "a_key": jax.random.key(0),
        "a_struct": jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        "nothing": None,
    }
    trees = {f"with_{name}": with_leaf(tree, 0, value) for name, value in leaves.items()}
    return wrong(*fine, **{label: value for label, value in trees.items() if label not in but}, **more)


def matrix(*fine: str) -> dict[str, Any]:
    return wrong(
        *fine, rectangle=np.zeros((2, 3), np.float32), stack=np.zeros((2, 3, 3), np.float32), integers=np.eye(3, dtype=int)
    )


def array(shape: tuple[int, ...], *fine: str, but: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Junk, and arrays with one thing wrong, `but` without some."""
    wider = (*shape[:-1], shape[-1] + 1)
    arrays = {
        "scalar": np.float32(1.0),
        "integers": np.ones(shape, np.int32),
        "complexes": np.ones(shape, np.complex64),
        "masked_ones": np.ma.ones(shape, np.float32),
        "lists": np.ones(shape).tolist(),
        "wider": np.ones(wider, np.float32),
        "traced_integers": Traced(jnp.int32, shape),
    }
    return wrong(*fine, **{label: value for label, value in arrays.items() if label not in but}, **more)
