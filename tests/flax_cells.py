"""What the tests of the NNX and Linen modules share: every named cell, small inputs, any layer with its gradients."""

import contextlib

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.registry import split_floats

F, H, T = 3, 4, 6
TOLERANCE = 2e-5  # float32, sums in another order
NAMES = mnnx.named.__all__


def make(name, seed=0, **options):
    return getattr(mnnx, name)(F, H, rngs=nnx.Rngs(seed), **options)


def make_linen(name, **options):
    return getattr(mlinen, name)(H, **options)


def inputs(*shape, seed=5, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def random_like(tree):
    """Nothing zero, and positive, as some of a carry's entries are second moments; counts of steps differ."""
    random = np.random.default_rng(7)

    def entry(leaf):
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        return jnp.asarray(random.uniform(0.1, 0.6, leaf.shape), leaf.dtype)

    return jax.tree.map(entry, tree)


@contextlib.contextmanager
def standard_promotion():
    """Flax's layers and optax's optimisers rely on it; ours do without."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def params_of(layer):
    """An NNX layer's parameters, under the names that Linen has for them."""
    return nnx.to_pure_dict(nnx.state(layer, (nnx.Param, mnnx.Frozen)))


def function_of(layer):
    """A layer of either kind, ours or Flax's, as a function `(params, xs, **call) -> (carry, outputs)`."""
    if isinstance(layer, flax.linen.Module):

        def run(params, xs, **call):
            return layer.apply({"params": params}, xs, return_carry=True, **call)
    else:
        graph, state, rest = nnx.split(layer, (nnx.Param, mnnx.Frozen), ...)

        def run(params, xs, **call):
            moved = jax.tree.map(lambda leaf: leaf, state)
            nnx.replace_by_pure_dict(moved, params)
            return nnx.merge(graph, moved, rest, copy=True)(xs, return_carry=True, **call)

    return standard_promotion()(run) if type(layer).__module__.startswith("flax.") else run


def compiled(functions):
    """Every function with its gradients as one program: `(params, xs, carry, **arrays) -> {name: (results, gradients)}`."""

    def run(params, xs, carry, arrays):
        return {name: _with_gradients(f, params, xs, carry, **arrays) for name, f in functions.items()}

    # Run for a moment, and not worth optimising.
    jitted = jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})
    return lambda params, xs, carry=None, **arrays: jitted(params, xs, carry, arrays)


def _with_gradients(function, params, xs, carry, **call):
    """`(carry, outputs)`, and gradients for parameters, inputs and initial carry of a loss that tells all results apart."""
    floats, combine = split_floats(carry)

    def loss(params, xs, floats):
        results = function(params, xs, initial_carry=combine(floats), **call)
        return sum(jnp.vdot(leaf, jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype))) for leaf in split_floats(results)[0]), results

    (_, results), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(params, xs, floats)
    return results, gradients
