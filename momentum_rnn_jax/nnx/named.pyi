# Written by `python -m tools.stubs`.
from typing import Literal

from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from momentum_rnn_jax.layer import Initializer
from momentum_rnn_jax.learnable import Learnable
from momentum_rnn_jax.nnx.cells import RecurrentCell

__all__ = [
    "AdamGRUCell",
    "AdamLSTMCell",
    "AdamOrthogonalCell",
    "AdamRNNCell",
    "GRUCell",
    "LSTMCell",
    "MomentumGRUCell",
    "MomentumLSTMCell",
    "MomentumOrthogonalCell",
    "MomentumRNNCell",
    "NesterovGRUCell",
    "NesterovLSTMCell",
    "NesterovOrthogonalCell",
    "NesterovRNNCell",
    "OrthogonalCell",
    "RMSPropGRUCell",
    "RMSPropLSTMCell",
    "RMSPropOrthogonalCell",
    "RMSPropRNNCell",
    "RNNCell",
]

class RNNCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class MomentumRNNCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class AdamRNNCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class RMSPropRNNCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class NesterovRNNCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class LSTMCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class MomentumLSTMCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class AdamLSTMCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class RMSPropLSTMCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class NesterovLSTMCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class GRUCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class MomentumGRUCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class AdamGRUCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class RMSPropGRUCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class NesterovGRUCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class OrthogonalCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class MomentumOrthogonalCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class AdamOrthogonalCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class RMSPropOrthogonalCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...

class NesterovOrthogonalCell(RecurrentCell):
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None: ...
