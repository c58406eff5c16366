"""Any optax gradient transformation as a drive."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from momentum_rnn_jax._describe import cut, describe
from momentum_rnn_jax._pytree import pytree_dataclass, static
from momentum_rnn_jax.drives.base import Drive


@pytree_dataclass
class OptaxDrive(Drive):
    """Any optax gradient transformation as a drive: `d_t, state = tx.update(u_t, state)`, for each example by itself.

    `u_t` of one example, of shape (G·H,), is handed over as the gradient; the update that comes back is the drive. Use the
    `scale_by_…` transformations: optimisers such as `optax.sgd` also flip the sign. There are neither parameters nor a loss
    to hand over, so transformations that need them are refused. Every example starts from the same state, so one that draws
    random numbers draws the same for all. optax's transformations are seldom differentiated through; some (`scale_by_radam`)
    have gradients that are not finite.

    The transformation is static, and two calls of the same optax factory compare unequal: build it once and keep it, or
    each new one recompiles. `optax.inject_hyperparams` turns its hyper-parameters into state.

    Args:
      tx: an `optax.GradientTransformation`; a `chain` is one too.

    Raises:
      TypeError: `tx` is not a gradient transformation.
      ValueError: `tx` cannot work on a gradient alone.

    Source: optax (https://optax.readthedocs.io).

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr, optax
    >>> drive = mr.OptaxDrive(optax.trace(decay=0.5))
    >>> impulse = jnp.array([[1.0], [0.0], [0.0]])
    >>> drive.unroll(drive.init(impulse[0]), impulse)[1][:, 0].tolist()
    [1.0, 0.5, 0.25]
    """

    tx: optax.GradientTransformation = static()

    def __post_init__(self) -> None:
        if not isinstance(self.tx, optax.GradientTransformation):
            raise TypeError(f"tx must be an optax.GradientTransformation, got {describe(self.tx)}.")
        probe = jax.ShapeDtypeStruct((2,), jnp.float32)
        try:
            jax.eval_shape(lambda u: self._update_one(self._start_one(u), u), probe)
        except Exception as error:  # whatever a third party's transformation raises, the cause is kept
            said = cut(" ".join(f"{type(error).__name__}: {error}".split()), 200)
            raise ValueError(f"tx must work on a gradient alone, without parameters or a loss, got {said}") from error

    def start(self, u: Array) -> Any:
        return _per_example(self._start_one, u.ndim - 1)(jnp.zeros_like(u))

    def update(self, state: Any, u: Array) -> tuple[Any, Array]:
        return _per_example(self._update_one, u.ndim - 1)(state, u)

    def _start_one(self, u: Array) -> Any:
        with _standard_promotion():
            return jax.tree.map(jnp.asarray, self.tx.init(u))

    def _update_one(self, state: Any, u: Array) -> tuple[Any, Array]:
        with _standard_promotion():
            d, new = self.tx.update(u, state, None)
        # A scan needs dtypes to stay as they were; some transformations promote theirs.
        return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, state), d.astype(u.dtype)


@contextlib.contextmanager
def _standard_promotion() -> Iterator[None]:
    """optax mixes dtypes and ranks as JAX does by default; a caller's stricter settings are for the caller's own code."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _per_example(function: Callable[..., Any], batch_ndim: int) -> Callable[..., Any]:
    for _ in range(batch_ndim):
        function = jax.vmap(function)
    return function
