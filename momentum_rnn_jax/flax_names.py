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
        own = [p for p in inspect.signature(self.constructor).parameters.values() if p.name != "hidden_features"]
        others = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in inspect.signature(generic).parameters.values()
            if p.name not in ("self", "core", "drive", *sizes)
        ]
        positional = [inspect.Parameter(size, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int) for size in sizes]
        self.signature = inspect.Signature([*positional, *own, *others])
        self.own, self.generic = tuple(p.name for p in own), tuple(p.name for p in others)

    def bind(self, args: Any, kwargs: Any) -> tuple[Cell, dict[str, Any], dict[str, Any]]:
        """The functional cell, the sizes and the generic cell's options."""
        given = named.bind(self.name, self.signature, args, kwargs).arguments
        hidden = _checks.integer(self.sizes[-1], given[self.sizes[-1]], low=1)
        cell = self.constructor(hidden, **{name: given[name] for name in self.own if name in given})
        options = {name: given[name] for name in self.generic if name in given}
        return cell, {name: given[name] for name in self.sizes}, options

    def describe(self, kind: str, sizes: str, example: str) -> str:
        """The docstring of a named cell."""
        return f"""`{self.constructor.__name__}` as {kind}.

    Args:
      {sizes}
      {", ".join(self.own) or "(nothing)"}: as in `momentum_rnn_jax.{self.constructor.__name__}`.
      {", ".join(self.generic)}: as in `RecurrentCell`.

    Raises:
      TypeError, ValueError: as there.

{example}    """
