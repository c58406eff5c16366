"""All contact with parts of JAX that are internal, experimental or not documented as stable, and why each is needed.

Nothing else in the package imports such a part. When JAX changes one of them, this is the file to change.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# A primitive of our own, whose transpose is written by hand (`_autodiff`): `jax.custom_vjp` forbids forward mode, and
# `jax.custom_derivatives.linear_call` has neither a batching rule nor a JVP with respect to its residuals. Either of these would
# replace it, as would `jax.custom_jvp` with a transpose rule.
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir, partial_eval
from jax.sharding import AxisType, NamedSharding, PartitionSpec

__all__ = [
    "ClosedJaxpr",
    "Primitive",
    "ad",
    "allow_export",
    "as_floats",
    "batching",
    "cudnn_rnn",
    "from_floats",
    "jaxpr_as_fun",
    "matmul_precision",
    "mlir",
    "partial_eval",
    "replicated",
    "same_varying_axes",
    "shaped",
    "varies_over_devices",
    "with_leading_axis",
]


def cudnn_rnn() -> Any:
    """`jax.experimental.rnn`, the only way to cuDNN's LSTM from JAX; a stable module of JAX's would replace it."""
    from jax.experimental import rnn

    return rnn


def matmul_precision() -> Any:
    """The precision of products that the user set; there is no public attribute for a type checker to find."""
    return jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


def allow_export(targets: Sequence[str]) -> None:
    """Let `jax.export` take programs with these foreign calls, whose names have a version and never change meaning.

    Without it a user must pass `disabled_checks` at every export. A public way to declare a target stable would replace it.
    """
    from jax._src.export import _export

    _export._CUSTOM_CALL_TARGETS_GUARANTEED_STABLE.update(targets)


def as_floats(tree: Any) -> Any:
    """A tree whose integers, booleans and random keys are floats of the same bits; `from_floats` is the inverse.

    An integer output of `jax.custom_jvp` has a tangent of type float0, which cannot vary over the axes of `shard_map` as the
    output does; a floating-point one has a tangent of zeros that can. Symbolic zeros as tangents, which `jax.linearize` does not
    take from a rule yet, would replace it.
    """

    def encode(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype.itemsize < 4:
            leaf = leaf.astype(jnp.int32)
        return jax.lax.bitcast_convert_type(leaf, jnp.float32 if leaf.dtype.itemsize == 4 else jnp.float64)

    return jax.tree.map(encode, tree)


def from_floats(tree: Any, like: Any) -> Any:
    """The inverse of `as_floats`, where `like` has leaves of the original dtypes."""

    def decode(leaf: Array, like: Array) -> Array:
        if jnp.issubdtype(like.dtype, jnp.floating):
            return leaf
        if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jax.lax.bitcast_convert_type(leaf, jnp.uint32), impl=jax.random.key_impl(like))
        wide = jnp.int32 if like.dtype.itemsize < 4 else like.dtype
        return jax.lax.bitcast_convert_type(leaf, wide).astype(like.dtype)

    return jax.tree.map(decode, tree, like)


def varies_over_devices() -> bool:
    """Whether this is traced inside `shard_map`."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def same_varying_axes(tree: Any) -> Any:
    """Inside `shard_map`, what all devices share becomes each device's own, before a hand-written backward pass sees it.

    Without it the types of cotangents, which such a pass makes itself, would not be those of the arguments. A `custom_jvp` that
    inserts the casts, as JAX's own primitives do, would replace it.
    """

    def axes(leaf: Array) -> frozenset[Any]:
        return jax.typeof(leaf).manual_axis_type.varying

    every = frozenset().union(*map(axes, jax.tree.leaves(tree)))
    return jax.tree.map(
        lambda leaf: jax.lax.pcast(leaf, tuple(every - axes(leaf)), to="varying") if every - axes(leaf) else leaf, tree
    )


def shaped(like: Any, shape: tuple[int, ...]) -> Any:
    """The type of an array like another but for its shape, for a primitive's rule; it varies over the same axes of a mesh."""
    sharding = like.sharding.update(spec=PartitionSpec(*[None] * len(shape)))
    return like.update(shape=shape, weak_type=False, sharding=sharding)


def replicated(like: Array) -> NamedSharding | None:
    """Under explicit sharding, the sharding of an array that every device has whole; otherwise None."""
    mesh = jax.typeof(like).sharding.mesh
    return NamedSharding(mesh, PartitionSpec()) if AxisType.Explicit in mesh.axis_types else None


def with_leading_axis(arg: Array, size: int, spread: Any) -> Array:
    """`arg` repeated along a new first axis, which explicit sharding spreads over the mesh as the partition `spread` says."""
    here = jax.typeof(arg).sharding
    explicit = AxisType.Explicit in here.mesh.axis_types
    sharding = NamedSharding(here.mesh, PartitionSpec(spread, *here.spec)) if explicit else None
    return jnp.broadcast_to(arg, (size, *arg.shape), out_sharding=sharding)
