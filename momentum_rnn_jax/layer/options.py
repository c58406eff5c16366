"""The options of the layers: their types, and checks where they enter."""

from collections.abc import Iterable
from typing import Any, TypedDict

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe, outline


class CallOptions(TypedDict, total=False):
    """The options of a layer's call, for a type checker; the call's docstring explains them."""

    initial_carry: Any
    seq_lengths: Array | None
    resets: Array | None
    time_major: bool | None
    reverse: bool | None
    keep_order: bool | None


def flag(name: str, value: Any, default: bool | None = None) -> bool:
    """True or False; None stands for the default, where there is one.

    >>> from momentum_rnn_jax import layer
    >>> layer.flag("reverse", None, default=True)
    True
    """
    return default if value is None and default is not None else _checks.boolean(name, value)


def optional_flag(name: str, value: Any) -> bool | None:
    """True, False, or None where that is left open."""
    return None if value is None else _checks.boolean(name, value)


def only_for_rnn(**options: Any) -> None:
    """Refuse options that are for an `RNN` alone."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{name} must be None for layers of layers, got {describe(value)}: it is an option of each RNN.")


def locked_over_time(dropout_time_major: bool, time_major: bool) -> None:
    """Refuse a locked dropout whose time axis is another one than the call's."""
    if dropout_time_major != time_major:
        raise ValueError(f"dropout.time_major must be that of the call, {time_major}, got {dropout_time_major}.")


def layers_of(value: Any, kinds: Any) -> tuple[Any, ...]:
    """A sequence of at least one layer, as a tuple."""
    layers = tuple(value) if isinstance(value, Iterable) and not hasattr(value, "dtype") else ()
    if not layers or not all(isinstance(one, kinds) for one in layers):
        raise TypeError(f"layers must be a sequence of at least one RNN or Bidirectional, got {describe(value)}.")
    return layers


def same_time_axis(layers: Iterable[Any], time_major: bool) -> None:
    """Refuse layers whose `time_major` differs from that of what holds them."""
    if any(one.time_major != time_major for one in layers):
        raise ValueError(
            f"time_major must be the same for a layer and what holds it: it is {time_major} here, and not in a layer."
        )


def carries(initial_carry: Any, number: int, what: str) -> tuple[Any, ...]:
    """One carry for each of the layers in a layer."""
    if initial_carry is None:
        return (None,) * number
    is_state = hasattr(initial_carry, "_fields")  # a single carry is a named tuple
    if is_state or not isinstance(initial_carry, tuple | list) or len(initial_carry) != number:
        raise ValueError(f"initial_carry must be a tuple of {number} carries, one for each {what}, got {outline(initial_carry)}.")
    return tuple(initial_carry)
