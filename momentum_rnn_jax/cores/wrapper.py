"""Cores that are made of another core."""

from typing import Any

from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import check_hyperparameters
from momentum_rnn_jax.cores.base import KernelCore, Params


def _of_the_core(name: str) -> Any:
    return property(lambda self: getattr(self.core, name), doc=f"`{name}` of the core.")


class Wrapper(KernelCore):
    """A kernel core that changes one thing about how another one works.

    A subclass, a `pytree_dataclass` with the field `core`, defines `update`, and as much else as it changes: whatever it does not
    define is the core's. A core that steps in a way of its own cannot be wrapped, because the wrapper uses its `update` alone.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> @mr.pytree_dataclass
    ... class Residual(mr.Wrapper):
    ...     core: mr.KernelCore
    ...     def update(self, params, state, *pre, noise=None):
    ...         new = self.core.advance(params, state, pre, noise)
    ...         return new._replace(h=new.h + state.h)
    >>> core = Residual(mr.LSTM(3))
    >>> core.num_gates, core.drive_features
    (4, 12)
    """

    core: KernelCore

    num_gates = _of_the_core("num_gates")
    hidden_features = _of_the_core("hidden_features")
    drive_features = _of_the_core("drive_features")
    output_features = _of_the_core("output_features")
    input_bias = _of_the_core("input_bias")
    untrained = _of_the_core("untrained")
    additive = _of_the_core("additive")
    output = _of_the_core("output")

    def __post_init__(self) -> None:
        _checks.instance("core", self.core, KernelCore)
        for method in ("step", "pre_activations", "advance", "project"):
            if getattr(type(self.core), method) is not getattr(KernelCore, method):
                raise TypeError(f"core must not have a `{method}` of its own, as {type(self.core).__name__} has.")
        check_hyperparameters(self)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.core.param_shapes()

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        return self.core.input_shapes(in_features)

    def init(self, key: Array, dtype: Any = float) -> Params:
        return self.core.init(key, dtype)

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        return self.core.init_input(key, in_features, dtype)

    def prepare(self, params: Params) -> Params:
        return self.core.prepare(params)

    def sample_noise(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Any:
        return self.core.sample_noise(key, shape, dtype)

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        return self.core.initial_state(prepared, batch_shape, dtype)

    def units_of(self, *path: str) -> int | None:
        return self.core.units_of(*path[1:]) if path[0] == "core" else self.hidden_features

    def start_of(self, state: Any) -> Any:
        return self.core.start_of(state) if self._has_the_cores_state else state

    def state_from(self, prepared: Params, start: Any) -> Any:
        return self.core.state_from(prepared, start) if self._has_the_cores_state else start

    @property
    def _has_the_cores_state(self) -> bool:
        return type(self).initial_state is Wrapper.initial_state


def check_outputs_h(core: KernelCore, reason: str) -> None:
    """Refuse a core whose output is not the h that enters its product."""
    if core.output != "h":
        raise ValueError(f"core must have h for its output, {type(core).__name__} has {core.output!r}: {reason}.")
