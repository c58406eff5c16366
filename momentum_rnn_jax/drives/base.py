"""What every drive does.

A drive turns `u_t = W x_t + b_x` into the pre-activation `d_t` that a core adds to its recurrent term. It never sees the
hidden state, so it can run over the whole sequence before the core starts. Every leaf of a drive's state begins with the
batch shape of `u`, so a state can be indexed, stacked and reset example by example. Drives compute and keep their states in at
least float32, because 16 bits cannot hold a decay such as 0.999 or add small steps to a large sum; `d` has the dtype of `u`.

Hyper-parameters are pytree leaves: scalars, or arrays that broadcast against `u` (shape `(G·H,)` gives every unit of every
gate its own). They are checked when the drive is constructed; a traced value has no value yet and only its dtype is checked.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._dtypes import at_least_float32
from momentum_rnn_jax._fixed_point import fixed_state, moving_entry
from momentum_rnn_jax._pytree import check_hyperparameters, is_pytree


class Drive(abc.ABC):
    """What every drive does: `init`, one `step`, and `unroll` over a sequence that is known in advance.

    These three check their arguments, compute in at least float32 and give `d` the dtype of `u`. A subclass, a
    `pytree_dataclass`, defines the mathematics alone: `start` and `update`. Both act on each example of a batch by itself, and
    treat any number of leading axes alike.
    """

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def init(self, u: Array) -> Any:
        """The state before the first step, for inputs like `u`, of shape (..., G·H), floating point."""
        return self.start(_widen(u))

    def step(self, state: Any, u: Array) -> tuple[Any, Array]:
        """One time step: `(state, u_t) -> (new state, d_t)`, with `d_t` like `u_t`, (..., G·H)."""
        _checks.same_structure("state", state, jax.eval_shape(self.start, _widen(u)))
        return self.advance(state, u)

    def unroll(self, state: Any, us: Array) -> tuple[Any, Array]:
        """Every time step of `us`, of shape (time, ..., G·H): `(final state, ds)`, with `ds` like `us`."""
        us = _checks.floating("us", us, min_ndim=2, layout="(time, ..., gates)")
        _checks.same_structure("state", state, jax.eval_shape(lambda us: self.init(us[0]), us))
        return (_unroll_compiled if is_pytree(self) else _unroll)(self, state, us)

    def fixed_point(self, u: Array) -> Any:
        """The state at rest under a constant input: `step(state, u) = (state, d)`; momentum's is `step_size u / (1 - mu)`.

        In closed form where the drive has one in `at_rest`, and otherwise by Newton's method on its step, from where a few steps
        lead. Where several states are at rest it is one of them, and it need not be stable.

        Args:
          u: (..., G·H), floating point. A batch is solved as one system: use `jax.vmap` for a large one.

        Raises:
          TypeError: `u` is not such an array.
          ValueError: no state at rest was found, as for drives that count steps. Where values are traced, NaN stands for it.

        >>> import jax.numpy as jnp, momentum_rnn_jax as mr
        >>> mr.Momentum(mu=0.5, step_size=2.0).fixed_point(jnp.ones(1)).velocity.tolist()
        [4.0]
        """
        u = _widen(u)
        guess = self.at_rest(u)
        if guess is not None and not _is_finite(guess):
            guess = None
        if guess is not None and self._moving(guess, u) == "":
            return guess
        state = fixed_state(lambda state: self.advance(state, u)[0], self.start(u), guess)
        if moving := self._moving(state, u):
            raise ValueError(
                f"{type(self).__name__} must have a state at rest under a constant u, but has none that was found: "
                f"a step changes the entry {moving!r} of its state."
            )
        return state

    def _moving(self, state: Any, u: Array) -> str | None:
        """The name of an entry that a step changes, "" if there is none, None where values are traced."""
        after = self.advance(state, u)[0]
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(after)):
            return None
        return moving_entry(state, after, 1000 * float(jnp.finfo(u.dtype).eps))

    def at_rest(self, u: Array) -> Any:
        """The fixed point in closed form, or None for a drive without.

        `fixed_point` checks that a step does not change it beyond rounding, which a wrong form of a very slow drive may pass.
        """
        return None

    def advance(self, state: Any, u: Array) -> tuple[Any, Array]:
        """`step` for arguments that are known to fit."""
        state, d = self.update(state, u.astype(at_least_float32(u.dtype)))
        return state, d.astype(u.dtype)

    @abc.abstractmethod
    def start(self, u: Array) -> Any:
        """The state before the first step: a named tuple of arrays, each with the leading axes of `u`; mostly zeros."""

    @abc.abstractmethod
    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        """The drive's equation: `(state, u_t) -> (new state, d_t)`, with nothing to check."""


def _unroll(drive: Drive, state: Any, us: Array) -> tuple[Any, Array]:
    return jax.lax.scan(drive.step, state, us)


_unroll_compiled = jax.jit(_unroll)  # outside of a user's jit, compiled once for a structure and shapes


def _is_finite(state: Any) -> bool:
    """False where an entry is known to be NaN or infinite; traced values are not known."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if not isinstance(leaf, jax.core.Tracer)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def _widen(u: Array) -> Array:
    u = _checks.floating("u", u, min_ndim=1, layout="(..., gates)")
    return u.astype(at_least_float32(u.dtype))


def align(name: str, hyperparameter: Any, u: Array | jax.ShapeDtypeStruct) -> Array:
    """A hyper-parameter in the dtype of `u`, with leading axes of one so that it broadcasts against `u`, or an array like it.

    Raises:
      ValueError: its shape does not broadcast against that of `u`; the message names it.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> mr.align("mu", jnp.array([0.1, 0.9]), jnp.ones((5, 2))).shape
    (1, 2)
    """
    if not isinstance(u, jax.ShapeDtypeStruct):
        u = _checks.floating("u", u, min_ndim=1, layout="(..., gates)")
    array = jnp.asarray(_checks.real(name, hyperparameter)).astype(u.dtype)
    padded = (1,) * (u.ndim - array.ndim) + array.shape
    if array.ndim > u.ndim or any(p not in (1, n) for p, n in zip(padded, u.shape, strict=True)):
        raise ValueError(
            f"{name} must be a scalar or broadcast against the gates, here of shape {u.shape}, got shape {array.shape}."
        )
    return array if array.ndim == 0 else array.reshape(padded)
