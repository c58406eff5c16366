"""Several drives, one after another."""

from typing import Any

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.drives.base import Drive


@pytree_dataclass
class Chain(Drive):
    """Drives in a row, each acting on the output of the one before: `d_t = drive_n(… drive_1(u_t))`, like `optax.chain`.

    Args:
      drives: at least one drive, each an argument of its own: `Chain(Momentum(0.9), RMSProp())`.

    State: a tuple with the state of each drive.

    Raises:
      TypeError: an argument is not a drive.
      ValueError: there is none.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> drive = mr.Chain(mr.Momentum(mu=0.5, step_size=1.0), mr.Momentum(mu=0.5, step_size=1.0))
    >>> impulse = jnp.array([[1.0], [0.0], [0.0]])
    >>> drive.unroll(drive.init(impulse[0]), impulse)[1][:, 0].tolist()  # (k + 1) 0.5^k
    [1.0, 1.0, 0.75]
    """

    drives: tuple[Drive, ...]

    def __init__(self, *drives: Drive):
        if not drives:
            raise ValueError("drives must be at least one drive, got none.")
        for number, drive in enumerate(drives):
            _checks.instance(f"drives[{number}]", drive, Drive)
        object.__setattr__(self, "drives", drives)

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.drives))})"

    def start(self, u: Array) -> Any:
        return tuple(drive.start(u) for drive in self.drives)

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        states = []
        for drive, one in zip(self.drives, state, strict=True):
            one, u = drive.update(one, u)
            states.append(one)
        return tuple(states), u
