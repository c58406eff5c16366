"""Cores of one gate: the simple recurrent network, and the orthogonal one."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations, orthogonal
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import HiddenState, KernelCore, Params, check_init, orthogonal_gates


class SimpleCore(KernelCore):
    """A core of one gate: `h_t = σ(h_{t-1} @ kernel + bias + d_t)`, with the bias left out where there is none."""

    num_gates: ClassVar[int] = 1
    activation: str

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, activations.named, "activation")
        _checks.elements("hidden_features", self.hidden_features, self.param_shapes())

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"kernel": (H, H), "bias": (H,)} | self.modrelu_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        check_init(key, dtype)
        kernel_key, modrelu_key = jax.random.split(key)
        H = self.hidden_features
        params = {"kernel": orthogonal_gates(kernel_key, H, H, 1, dtype), "bias": jnp.zeros(H, dtype)}
        return params | self.init_modrelu(modrelu_key, dtype)

    def update(self, params: Params, state: Any, *pre: Array) -> Any:
        (z,) = pre
        return HiddenState(self.activate(params, z))

    def activate(self, params: Params, z: Array) -> Array:
        """`σ(z)`, (..., H) -> (..., H)."""
        if self.activation == "modrelu":
            return activations.modrelu(z, params["modrelu_bias"])
        return activations.ELEMENTWISE[self.activation](z)

    def modrelu_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of modReLU's own parameter, where that is the activation."""
        return {"modrelu_bias": (self.hidden_features,)} if self.activation == "modrelu" else {}

    def init_modrelu(self, key: Array, dtype: Any) -> Params:
        """modReLU's parameter, uniform in (-0.01, 0.01), where that is the activation."""
        shapes = self.modrelu_shapes()
        return {name: jax.random.uniform(key, shape, dtype, -0.01, 0.01) for name, shape in shapes.items()}


@pytree_dataclass
class Elman(SimpleCore):
    """The paper's recurrent network: `h_t = σ(U h_{t-1} + b + d_t)`.

    Args:
      hidden_features: H, at least 1.
      activation: σ, one of "tanh", "sigmoid", "relu", "identity", "modrelu" (in any case). modReLU has a bias of its own,
        the parameter `modrelu_bias`.

    Parameters: `kernel` U (H, H), orthogonal at the start; `bias` b (H,), zero. One gate; state `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: MomentumRNN, arXiv 2006.06919.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.Elman(3)
    >>> prepared = core.prepare(core.init(jax.random.key(0)))
    >>> state, h = core.step(prepared, core.initial_state(prepared, (2,), jnp.float32), jnp.ones((2, 3)))
    >>> h.shape
    (2, 3)
    """

    hidden_features: int = static()
    activation: str = static(default="tanh")


@pytree_dataclass
class Orthogonal(SimpleCore):
    """A recurrent network with an orthogonal recurrent matrix: `h_t = σ(d_t + h_{t-1} B)`, `B = base · φ(skew(A))`.

    With the base left where it is, the identity, this is expRNN; with `rebase` called between optimiser steps it is DTRIV.
    `B` is built once per sequence, by `prepare`. The released initialisation: input kernel Kaiming-normal without a bias,
    `modrelu_bias` uniform in (-0.01, 0.01), `A` by `skew_init`.

    Args:
      hidden_features: H, at least 1.
      activation: σ, "modrelu" or one of "tanh", "sigmoid", "relu", "identity" (in any case).
      mapping: φ, "expm" (matrix exponential) or "cayley".
      skew_init: "henaff" or "cayley", how the angles of `A` start.

    Parameters: `A` (H, H), free; `base` (H, H), not trained: its gradient is zero, and an optimiser with weight decay must
    leave it out; `modrelu_bias` (H,) for modReLU. One gate; state `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: expRNN, arXiv 1901.08428; DTRIV, arXiv 1909.09501; agrees with the released code to rounding.

    >>> import jax, momentum_rnn_jax as mr
    >>> core = mr.Orthogonal(4)
    >>> B = core.prepare(core.init(jax.random.key(0)))["kernel"]
    >>> bool(abs(B @ B.T - jax.numpy.eye(4)).max() < 1e-6)
    True
    """

    hidden_features: int = static()
    activation: str = static(default="modrelu")
    mapping: str = static(default="expm")
    skew_init: str = static(default="henaff")

    input_bias: ClassVar[bool] = False
    untrained: ClassVar[tuple[str, ...]] = ("base",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.choice("mapping", self.mapping, orthogonal.MAPS)
        _checks.choice("skew_init", self.skew_init, orthogonal.SKEW_INITS)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"A": (H, H), "base": (H, H)} | self.modrelu_shapes()

    def init(self, key: Array, dtype: Any = float) -> Params:
        check_init(key, dtype)
        A_key, modrelu_key = jax.random.split(key)
        H = self.hidden_features
        A = orthogonal.SKEW_INITS[self.skew_init](A_key, H, dtype)
        return {"A": A, "base": jnp.eye(H, dtype=dtype)} | self.init_modrelu(modrelu_key, dtype)

    def init_input(self, key: Array, in_features: int, dtype: Any = float) -> Params:
        check_init(key, dtype, in_features)
        shape = self.input_shapes(in_features)["kernel"]
        return {"kernel": jax.nn.initializers.he_normal()(key, shape, dtype)}

    def prepare(self, params: Params) -> Params:
        kernel = orthogonal.orthogonal_matrix(params["A"], params["base"], self.mapping)
        return {"kernel": kernel} | {name: params[name] for name in self.modrelu_shapes()}

    def rebase(self, params: Params, *, project: bool = False) -> Params:
        """`momentum_rnn_jax.rebase` with this core's mapping: the base moves to where the matrix is, and A to zero."""
        _checks.arrays("params", params, self.param_shapes())
        return orthogonal.rebase(params, self.mapping, project=project)
