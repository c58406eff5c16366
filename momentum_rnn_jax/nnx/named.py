"""The named NNX cells: each a subclass of `RecurrentCell`, made from the functional constructor of its core and drive.

Their signatures are in `named.pyi`, which `python -m tools.stubs` writes.
"""

from typing import Any

from momentum_rnn_jax.layer.names import CONSTRUCTORS, NamedCell
from momentum_rnn_jax.nnx.cells import RecurrentCell


def _named_cell(name: str) -> type[RecurrentCell]:
    """The NNX class of a named cell: `Name(in_features, hidden_features, *, <its options>, <RecurrentCell's>, rngs)`."""
    named_cell = NamedCell(name, ("in_features", "hidden_features"), RecurrentCell.__init__)

    def initialize(self: RecurrentCell, *args: Any, **kwargs: Any) -> None:
        given = named_cell.bind(args, kwargs)
        options = {name: given[name] for name in named_cell.generic if name in given}
        RecurrentCell.__init__(self, named_cell.make(given), given["in_features"], **options)

    example = f"""
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from momentum_rnn_jax import nnx as mnnx
    >>> cell = mnnx.{name}(3, 8, rngs=nnx.Rngs(0))
    >>> carry, h = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> h.shape
    (2, 8)
"""
    doc = named_cell.describe("an NNX cell", "in_features, hidden_features: F and H.", example)
    members = {"__init__": initialize, "__doc__": doc, "__module__": __name__, "__signature__": named_cell.signature}
    return type(name, (RecurrentCell,), members)


globals().update({name: _named_cell(name) for name in CONSTRUCTORS})
__all__ = [*CONSTRUCTORS]
