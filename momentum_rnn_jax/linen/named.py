"""The named Linen cells: each a subclass of `RecurrentCell`, made from the functional constructor of its core and drive.

Their signatures are in `named.pyi`, which `python -m tools.stubs` writes.
"""

import dataclasses
import functools
import inspect
from typing import Any

import jax
from jax import Array

from momentum_rnn_jax.cell import RecurrentCell as FunctionalCell
from momentum_rnn_jax.layer.names import CONSTRUCTORS, NamedCell
from momentum_rnn_jax.linen.cells import RecurrentCell, as_numpy


def _named_cell(name: str) -> type[RecurrentCell]:
    """The Linen class of a named cell, with the fields `features, *, <the cell's options>, <RecurrentCell's>`."""
    named_cell = NamedCell(name, ("features",), RecurrentCell)

    def post_init(self: RecurrentCell) -> None:
        for option in named_cell.own:
            if isinstance(value := getattr(self, option), Array):
                object.__setattr__(self, option, as_numpy(value))
        with jax.ensure_compile_time_eval():  # Linen makes modules anew while JAX traces, where an array would become a tracer
            object.__setattr__(self, "cell", named_cell.make(vars(self)))
        RecurrentCell.__post_init__(self)

    example = f"""
    >>> import jax, jax.numpy as jnp
    >>> from momentum_rnn_jax import linen as mlinen
    >>> cell = mlinen.{name}(8)
    >>> carry = cell.initialize_carry(jax.random.key(0), (2, 3))
    >>> (carry, h), variables = cell.init_with_output(jax.random.key(1), carry, jnp.ones((2, 3)))
    >>> h.shape
    (2, 8)
"""
    members: dict[str, Any] = {
        "__doc__": named_cell.describe("a Linen cell", "features: H.", example),
        "__module__": __name__,
        "__post_init__": post_init,
        "__annotations__": {"cell": FunctionalCell, "features": int},
        "cell": dataclasses.field(init=False, default=None),
        "features": dataclasses.field(),
    }
    for option in named_cell.own.values():
        members["__annotations__"][option.name] = option.annotation
        members[option.name] = dataclasses.field(default=option.default, kw_only=True)
    cls = type(name, (RecurrentCell,), members)
    _check_arguments(cls, named_cell)
    return cls


def _check_arguments(cls: Any, named_cell: NamedCell) -> None:
    """Have the constructor say which option was meant, where one does not exist."""
    construct = cls.__init__

    @functools.wraps(construct)
    def initialize(self: RecurrentCell, *args: Any, **kwargs: Any) -> None:
        named_cell.bind(args, kwargs)
        construct(self, *args, **kwargs)

    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [first, *named_cell.signature.parameters.values()]
    initialize.__signature__ = named_cell.signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    cls.__init__ = initialize


globals().update({name: _named_cell(name) for name in CONSTRUCTORS})
__all__ = [*CONSTRUCTORS]
