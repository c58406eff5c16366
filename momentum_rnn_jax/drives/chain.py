"""Several drives, one after another."""

from collections.abc import Sequence
from typing import Any

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._describe import describe
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.drives.base import Drive


@pytree_dataclass
class Chain(Drive):
    """Drives in a row, each acting on the output of the one before: `d_t = drive_n(… drive_1(u_t))`, like `optax.chain`.

    Args:
      drives: at least one drive, each an argument of its own, `Chain(Momentum(0.9), RMSProp())`, or a tuple or list of them by
        the keyword, `Chain(drives=[Momentum(0.9), RMSProp()])`.

    State: a tuple with the state of each drive. Between two drives, values keep at least float32.

    Raises:
      TypeError: an argument is not a drive, or drives are given in both ways.
      ValueError: there is none.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Chain(mr.Momentum(mu=0.5, step_size=1.0), mr.Momentum(mu=0.5, step_size=1.0))
    >>> impulse = jnp.array([[1.0], [0.0], [0.0]])
    >>> drive.unroll(drive.init(impulse[0]), impulse)[1][:, 0].tolist()  # (k + 1) 0.5^k
    [1.0, 1.0, 0.75]
    """

    drives: tuple[Drive, ...]

    def __init__(self, *positional: Drive, drives: Sequence[Drive] | None = None):
        if positional and drives is not None:
            raise TypeError("drives must be arguments of their own or given by the keyword, got both.")
        if drives is None:
            drives = positional
        if not isinstance(drives, tuple | list):
            raise TypeError(f"drives must be a tuple or list of drives, got {describe(drives)}.")
        if not drives:
            raise ValueError("drives must be at least one drive, got none.")
        for number, drive in enumerate(drives):
            _checks.instance(f"drives[{number}]", drive, Drive)
        object.__setattr__(self, "drives", tuple(drives))

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.drives))})"

    def start(self, u: Array) -> Any:
        return tuple(drive.init(u) for drive in self.drives)

    def fixed_point(self, u: Array) -> Any:
        """The fixed point of each drive under what the one before hands on, a constant too."""
        states = []
        for drive in self.drives:
            states.append(drive.fixed_point(u))
            u = drive.advance(states[-1], u)[1]
        return tuple(states)

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        states = []
        for drive, one in zip(self.drives, state, strict=True):
            one, u = drive.advance(one, u)  # not `update`: a drive may override either
            states.append(one)
        return tuple(states), u
