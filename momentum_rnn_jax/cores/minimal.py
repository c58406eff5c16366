"""Linear recurrences whose gates see the input alone: minGRU and minLSTM."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import LinearCore, Params, check_init


def positive(z: Array) -> Array:
    """`z + 0.5` for `z ≥ 0`, `σ(z)` otherwise: the candidate of the paper's log-space version, which must not be negative."""
    return jnp.where(z >= 0, z + 0.5, jax.nn.sigmoid(z))


CANDIDATES: dict[str, Callable[[Array], Array]] = activations.ELEMENTWISE | {"positive": positive}


class MinimalCore(LinearCore):
    """A linear core without parameters: its gates and its candidate are the driven input."""

    activation: str

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, lambda name, value: activations.named(name, value, CANDIDATES), "activation")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def init(self, key: Array, dtype: Any = float) -> Params:
        check_init(key, dtype)
        return {}

    def candidate(self, z: Array) -> Array:
        """`g(z)`, (..., H) -> (..., H)."""
        return CANDIDATES[self.activation](z)


@pytree_dataclass
class MinGRU(MinimalCore):
    """The minimal gated recurrent unit: `h_t = (1 - σ(z)) h_{t-1} + σ(z) g(n)`, `(z, n) = d_t`.

    Args:
      hidden_features: H, at least 1.
      activation: g, "identity", or "positive" for that of the paper's log-space version, `n + 0.5` for `n ≥ 0` and `σ(n)`
        otherwise; also "tanh", "sigmoid" or "relu". In any case.

    No parameters: all of them are the input's, (F, 2H), gate order (z, n). State `HiddenState(h)`, zero at the start.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Feng et al., arXiv 2410.01201.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.MinGRU(1)
    >>> state = core.initial_state({}, (), jnp.float32)
    >>> core.step({}, state, jnp.array([0.0, 3.0]))[1].tolist()
    [1.5]
    """

    hidden_features: int = static()
    activation: str = static(default="identity")

    num_gates: ClassVar[int] = 2

    def coefficients(self, prepared: Params, d: Array) -> tuple[Array, Array]:
        z, n = jnp.split(d, 2, axis=-1)
        return jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * self.candidate(n)  # 1 - σ(z) = σ(-z), to full precision


@pytree_dataclass
class MinLSTM(MinimalCore):
    """The minimal LSTM: `h_t = f' h_{t-1} + i' g(n)`, `f' = σ(f) / (σ(f) + σ(i))`, `i' = 1 - f'`, `(f, i, n) = d_t`.

    Args:
      hidden_features: H, at least 1.
      activation: g, as in `MinGRU`.
      normalized: whether the gates are made to sum to one, as above; otherwise `f' = σ(f)` and `i' = σ(i)`.

    No parameters: all of them are the input's, (F, 3H), gate order (f, i, n). State `HiddenState(h)`, zero at the start.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Feng et al., arXiv 2410.01201.

    >>> import jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.MinLSTM(1)
    >>> state = core.initial_state({}, (), jnp.float32)
    >>> core.step({}, state, jnp.array([-1.0, -1.0, 3.0]))[1].tolist()
    [1.5]
    """

    hidden_features: int = static()
    activation: str = static(default="identity")
    normalized: bool = static(default=True)

    num_gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, _checks.boolean, "normalized")

    def coefficients(self, prepared: Params, d: Array) -> tuple[Array, Array]:
        f, i, n = jnp.split(d, 3, axis=-1)
        if self.normalized:  # σ(f) / (σ(f) + σ(i)) = σ(log σ(f) - log σ(i)), which does not divide zero by zero
            f = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
            i = -f
        return jax.nn.sigmoid(f), jax.nn.sigmoid(i) * self.candidate(n)
