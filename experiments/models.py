"""A sequence classifier: a recurrent cell, and a linear map of its last hidden state."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

import momentum_rnn_jax as mr
from momentum_rnn_jax.cores import affine

Params = dict[str, Any]


def init(cell: mr.Cell, key: Array, in_features: int, num_classes: int) -> Params:
    """New parameters, `{"cell": …, "head": {"kernel": (H, classes), "bias": (classes,)}}`."""
    cell_key, head_key = jax.random.split(key)
    kernel = jax.nn.initializers.lecun_normal()(head_key, (cell.core.hidden_features, num_classes))
    return {"cell": cell.init(cell_key, in_features), "head": {"kernel": kernel, "bias": jnp.zeros(num_classes)}}


def apply(cell: mr.Cell, params: Params, inputs: Array) -> Array:
    """The logits of a batch: (batch, time, features) -> (batch, classes)."""
    _, hs = mr.unroll(cell, params["cell"], jnp.swapaxes(inputs, 0, 1))
    return logits(params, hs[-1])


def logits(params: Params, h: Array) -> Array:
    """The head: last hidden states (batch, H) -> (batch, classes)."""
    return affine(params["head"], h)


def num_parameters(params: Params) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def flat(tree: Params) -> dict[str, Any]:
    """The leaves of nested dicts by their names, joined with slashes."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
