"""The gated recurrent unit."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, static
from momentum_rnn_jax.cores.base import HiddenState, KernelCore, Params, check_init, orthogonal_gates


@pytree_dataclass
class GRU(KernelCore):
    """Gated recurrent unit: `h_t = (1 - σ(z)) n + σ(z) h_{t-1}`, `n = tanh(d_n + σ(r) a_n)`.

    Here `a = U h_{t-1} + b`, `r = a_r + d_r` and `z = a_z + d_z`: the reset gate is applied after the recurrent product, as in
    cuDNN, PyTorch and Flax.

    Args:
      hidden_features: H, at least 1.
      activation: in place of tanh: "tanh", "sigmoid", "relu" or "identity", in any case.
      gate_activation: instead of σ, in both gates, of the same form.

    Parameters: `kernel` U (H, 3H), orthogonal for each gate at the start; `bias` b (3H,), zero; gate order (r, z, n). State
    `HiddenState(h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Cho et al., arXiv 1406.1078, in the variant of cuDNN. With a drive it is the natural analogue of the paper's LSTM
    cells; the paper has no GRU.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> core = mr.GRU(3)
    >>> prepared = core.prepare(core.init(jax.random.key(0)))
    >>> state, h = core.step(prepared, core.initial_state(prepared, (), jnp.float32), jnp.zeros(9))
    >>> h.tolist()
    [0.0, 0.0, 0.0]
    """

    hidden_features: int = static()
    activation: str = static(default="tanh")
    gate_activation: str = static(default="sigmoid")

    num_gates: ClassVar[int] = 3
    additive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, activations.elementwise, "activation", "gate_activation")
        _checks.elements("hidden_features", self.hidden_features, self.param_shapes())

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.hidden_features
        return {"kernel": (H, 3 * H), "bias": (3 * H,)}

    def init(self, key: Array, dtype: Any = float) -> Params:
        check_init(key, dtype)
        H = self.hidden_features
        return {"kernel": orthogonal_gates(key, H, H, 3, dtype), "bias": jnp.zeros(3 * H, dtype)}

    def update(self, params: Params, state: HiddenState, *pre: Array) -> HiddenState:
        (a_r, a_z, a_n), (d_r, d_z, d_n) = (jnp.split(part, 3, axis=-1) for part in pre)
        gate, squash = activations.ELEMENTWISE[self.gate_activation], activations.ELEMENTWISE[self.activation]
        z = gate(a_z + d_z)
        return HiddenState((1 - z) * squash(d_n + gate(a_r + d_r) * a_n) + z * state.h)
