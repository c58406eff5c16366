# Written by `python -m tools.stubs`.
from typing import Any, Literal

from jax.typing import ArrayLike, DTypeLike

from momentum_rnn_jax.layer import Initializer
from momentum_rnn_jax.learnable import Learnable
from momentum_rnn_jax.linen.cells import RecurrentCell

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
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    def __init__(
        self,
        features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class MomentumRNNCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class AdamRNNCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class RMSPropRNNCell(RecurrentCell):
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class NesterovRNNCell(RecurrentCell):
    step_size: ArrayLike = ...
    restart: int | None = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "tanh",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class LSTMCell(RecurrentCell):
    forget_bias: float = ...
    init_scheme: Literal["default", "released"] = ...
    projection_features: int | None = ...
    peepholes: bool = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class MomentumLSTMCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    forget_bias: float = ...
    init_scheme: Literal["default", "released"] = ...
    projection_features: int | None = ...
    peepholes: bool = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class AdamLSTMCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    forget_bias: float = ...
    init_scheme: Literal["default", "released"] = ...
    projection_features: int | None = ...
    peepholes: bool = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
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
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class RMSPropLSTMCell(RecurrentCell):
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    forget_bias: float = ...
    init_scheme: Literal["default", "released"] = ...
    projection_features: int | None = ...
    peepholes: bool = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
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
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class NesterovLSTMCell(RecurrentCell):
    step_size: ArrayLike = ...
    restart: int | None = ...
    forget_bias: float = ...
    init_scheme: Literal["default", "released"] = ...
    projection_features: int | None = ...
    peepholes: bool = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        forget_bias: float = 1.0,
        init_scheme: Literal["default", "released"] = "default",
        projection_features: int | None = None,
        peepholes: bool = False,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class GRUCell(RecurrentCell):
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class MomentumGRUCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class AdamGRUCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class RMSPropGRUCell(RecurrentCell):
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class NesterovGRUCell(RecurrentCell):
    step_size: ArrayLike = ...
    restart: int | None = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh",
        gate_activation: Literal["tanh", "sigmoid", "relu", "identity"] = "sigmoid",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class OrthogonalCell(RecurrentCell):
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    mapping: Literal["expm", "cayley"] = ...
    skew_init: Literal["cayley", "henaff"] = ...
    def __init__(
        self,
        features: int,
        *,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class MomentumOrthogonalCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    mapping: Literal["expm", "cayley"] = ...
    skew_init: Literal["cayley", "henaff"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class AdamOrthogonalCell(RecurrentCell):
    mu: ArrayLike = ...
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    mapping: Literal["expm", "cayley"] = ...
    skew_init: Literal["cayley", "henaff"] = ...
    def __init__(
        self,
        features: int,
        *,
        mu: ArrayLike = 0.6,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.1,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class RMSPropOrthogonalCell(RecurrentCell):
    step_size: ArrayLike = ...
    beta: ArrayLike = ...
    eps: ArrayLike = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    mapping: Literal["expm", "cayley"] = ...
    skew_init: Literal["cayley", "henaff"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 0.6,
        beta: ArrayLike = 0.9,
        eps: ArrayLike = 1e-16,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...

class NesterovOrthogonalCell(RecurrentCell):
    step_size: ArrayLike = ...
    restart: int | None = ...
    activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = ...
    mapping: Literal["expm", "cayley"] = ...
    skew_init: Literal["cayley", "henaff"] = ...
    def __init__(
        self,
        features: int,
        *,
        step_size: ArrayLike = 1.0,
        restart: int | None = None,
        activation: Literal["tanh", "sigmoid", "relu", "identity", "modrelu"] = "modrelu",
        mapping: Literal["expm", "cayley"] = "expm",
        skew_init: Literal["cayley", "henaff"] = "henaff",
        parent: Any = ...,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = ...,
        learnable: Learnable = None,
        kernel_init: Initializer | None = None,
        recurrent_kernel_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        deterministic: bool | None = None,
    ) -> None: ...
