"""Layers made of layers: both directions, and layers on top of each other. They only call what they hold, NNX or Linen."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax.layer.options import carries
from momentum_rnn_jax.layer.run import packed

Layer = Callable[..., Any]


def concatenate(forward: Array, backward: Array) -> Array:
    """The outputs of both directions side by side."""
    return jnp.concatenate([forward, backward], axis=-1)


def bidirectional(
    forward_rnn: Layer,
    backward_rnn: Layer,
    merge_fn: Callable[[Array, Array], Array],
    inputs: Array,
    *,
    initial_carry: Any,
    return_carry: bool,
    return_states: bool,
    **options: Any,
) -> Any:
    """Two layers over the same sequences, one of them backwards; outputs in the order of the inputs, the rest in pairs."""
    forward_carry, backward_carry = carries(initial_carry, 2, "direction")
    options |= {"return_carry": True, "return_states": return_states}
    ahead = forward_rnn(inputs, initial_carry=forward_carry, reverse=False, **options)
    back = backward_rnn(inputs, initial_carry=backward_carry, reverse=True, keep_order=True, **options)
    carry, outputs, *states = zip(ahead, back, strict=True)
    return packed(carry if return_carry else None, merge_fn(*outputs), *states)


def stacked(
    layers: Sequence[tuple[Layer, bool]],
    dropout: Callable[[Array], Array] | None,
    inputs: Array,
    *,
    initial_carry: Any,
    return_carry: bool,
    return_states: bool,
    **options: Any,
) -> Any:
    """Layers on top of each other, with dropout between them; carries and states in tuples, one for each layer.

    Args:
      layers: each with whether it may run backwards: below another layer such a one keeps the order of its inputs, which the
        resets and the padding have too.
      dropout: None, or what is called between two layers.
      inputs, initial_carry, return_carry, return_states, options: of the call.
    """
    options |= {"return_carry": True, "return_states": return_states}
    finals, series = [], []
    for number, ((one, reversible), carry) in enumerate(zip(layers, carries(initial_carry, len(layers), "layer"), strict=True)):
        if number and dropout is not None:
            inputs = dropout(inputs)
        inner = {"keep_order": True} if reversible and number < len(layers) - 1 else {}
        final, inputs, *states = one(inputs, initial_carry=carry, **options, **inner)
        finals.append(final)
        series.extend(states)
    return packed(tuple(finals) if return_carry else None, inputs, tuple(series) if return_states else None)
