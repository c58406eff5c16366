"""The names of the Flax cells, the same in NNX and Linen, and how a named cell takes its arguments."""

import inspect
from collections.abc import Callable
from typing import Any

from momentum_rnn_jax import _checks, named
from momentum_rnn_jax.cell import Cell

_DRIVES = {"": "", "Momentum": "momentum_", "Adam": "adam_", "RMSProp": "rmsprop_", "Nesterov": "nesterov_"}
_CORES = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru", "Orthogonal": "dtriv"}
CONSTRUCTORS: dict[str, Callable[..., Cell]] = {
    f"{drive}{core}Cell": getattr(named, f"{prefix}{name}") for core, name in _CORES.items() for drive, prefix in _DRIVES.items()
}
"""The name of every Flax cell, and the function that makes its core and drive."""


class NamedCell:
    """How a named Flax cell takes its arguments: its sizes, the options of its functional constructor, the generic cell's.

    Args:
      name: one of `CONSTRUCTORS`.
      sizes: the names of the sizes, hidden features last.
      generic: the generic Flax cell, whose options the named one has too.
    """

    def __init__(self, name: str, sizes: tuple[str, ...], generic: Callable[..., Any]):
        self.name, self.constructor, self.sizes = name, CONSTRUCTORS[name], sizes
        parameters = inspect.signature(self.constructor).parameters
        self.own = {n: p for n, p in parameters.items() if n != "hidden_features"}
        self.generic = {
            n: p.replace(kind=p.KEYWORD_ONLY)
            for n, p in inspect.signature(generic).parameters.items()
            if n not in ("self", "cell", *sizes)
        }
        positional = [inspect.Parameter(size, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int) for size in sizes]
        self.signature = inspect.Signature([*positional, *self.own.values(), *self.generic.values()])

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call, by name, less those that are left to their defaults."""
        return _checks.bind(self.name, self.signature, args, kwargs).arguments

    def make(self, given: dict[str, Any]) -> Cell:
        """The functional cell of a call's arguments."""
        hidden_features = _checks.size(self.sizes[-1], given[self.sizes[-1]])
        return self.constructor(hidden_features, **{name: given[name] for name in self.own if name in given})

    def describe(self, kind: str, sizes: str, example: str) -> str:
        """The docstring of a named cell."""
        options = ", ".join(name for name in self.generic if name not in ("parent", "name"))
        return f"""`{self.constructor.__name__}` as {kind}.

    Args:
      {sizes}
      {", ".join(self.own) or "(nothing)"}: as in `momentum_rnn_jax.{self.constructor.__name__}`.
      {options}: as in `RecurrentCell`.

    Raises:
      TypeError, ValueError: as there.

{example}    """
