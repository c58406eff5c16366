"""The reciprocal gated cell, and its variant with the settings that a search found."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax._pytree import pytree_dataclass, set_fields, state_type, static
from momentum_rnn_jax.cores.base import Params
from momentum_rnn_jax.cores.convolution import ConvCore, Separable, exactly, plus_bias, window


@state_type
class ReciprocalState(NamedTuple):
    """`c`: the cell, (..., height, width, C_cell); `h`: the output, (..., height, width, C)."""

    c: Array
    h: Array


class _Reciprocal(ConvCore):
    """What both have: two images that gate each other."""

    cell_features: int

    def __post_init__(self) -> None:
        set_fields(self, _checks.size, "hidden_features", "cell_features")
        super().__post_init__()

    def initial_state(self, prepared: Params, batch_shape: tuple[int, ...], dtype: Any) -> ReciprocalState:
        c, h = (jnp.zeros((*batch_shape, *self.features_shape(n)), dtype) for n in (self.cell_features, self.hidden_features))
        return ReciprocalState(c, h)


@pytree_dataclass
class ReciprocalGated(_Reciprocal):
    """The reciprocal gated cell: a cell c and an output h, each kept and gated by the other.

    `c_t = elu(σ(-K_cc ∗ c) c + σ(-K_hc ∗ h) d^c)`, `h_t = elu(σ(-K_hh ∗ h) h + σ(-(K_ch ∗ c + d^g)) d^h)`, with the old c and h
    on the right, and `σ(-a) = 1 - σ(a)`. The drive is `[d^c | d^h | d^g]`, of `u = [K_xc ∗ x | x | K_r ∗ r]`: x enters h as it
    is, so it has the channels of h, and is itself a layer's feature map. There are no biases.

    Args:
      hidden_features: C, the channels of x and h.
      image, kernel_size, padding: as in `ConvElman`.
      cell_features: C_cell, the channels of c.
      residual_features: the channels of r, a second input which is given behind x, as `[x | r]`: what the layer's feature map was
        computed from. 0 for none: `d^g` is then left out.

    Parameters: `tau_cell_kernel` K_cc, `gate_cell_kernel` K_hc, `tau_output_kernel` K_hh, `gate_output_kernel` K_ch, each (kernel
    height, kernel width, in, out). Input projection: `kernel` K_xc, and `residual_kernel` K_r. State `ReciprocalState(c, h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed. By a cell's `init`: `in_features` is not the sum
        of C and `residual_features`.

    Source: Nayebi et al., arXiv 1807.00053; agrees with the released code to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.ReciprocalGated(4, image=(6, 5), cell_features=3, residual_features=2), mr.Momentum())
    >>> params = cell.init(jax.random.key(0), in_features=6)
    >>> x, residual = jnp.ones((3, 8, 6, 5, 4)), jnp.ones((3, 8, 6, 5, 2))
    >>> mr.unroll(cell, params, jnp.concatenate([x, residual], axis=-1))[1].shape
    (3, 8, 6, 5, 4)
    """

    cell_features: int = static(kw_only=True)
    residual_features: int = static(default=0, kw_only=True)

    num_gates: ClassVar[int] = 2
    affine_projection: ClassVar[bool] = True

    def __post_init__(self) -> None:
        set_fields(self, lambda name, value: _checks.integer(name, value, low=0, high=_checks.INT32_MAX), "residual_features")
        super().__post_init__()

    @property
    def drive_features(self) -> int:
        return self.cell_features + self.hidden_features * (2 if self.residual_features else 1)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        cell, out = self.cell_features, self.hidden_features
        sizes = {"tau_cell": (cell, cell), "gate_cell": (out, cell), "tau_output": (out, out), "gate_output": (cell, out)}
        return {f"{name}_kernel": self.kernel_shape(*size) for name, size in sizes.items()}

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        residual, out = self.residual_features, self.hidden_features
        exactly(self, in_features, out + residual, "hidden_features and residual_features together")
        shapes: dict[str, Any] = {"kernel": self.kernel_shape(out, self.cell_features)}
        return shapes | ({"residual_kernel": self.kernel_shape(residual, out)} if residual else {})

    def in_features(self, params: Params) -> int:
        return self.hidden_features + self.residual_features

    def project(self, params: Params, x: Array) -> Array:
        x, residual = x[..., : self.hidden_features], x[..., self.hidden_features :]
        parts = [self.convolve(x, params["kernel"]), x]
        if self.residual_features:
            parts.append(self.convolve(residual, params["residual_kernel"]))
        return jnp.concatenate(parts, axis=-1)

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[ReciprocalState, Array]:
        cell, out = self.cell_features, self.hidden_features
        d_c, d_h, d_g = d[..., :cell], d[..., cell : cell + out], d[..., cell + out :]

        def keep(x: Array, name: str, more: Array | None = None) -> Array:
            a = self.convolve(x, prepared[f"{name}_kernel"])
            return jax.nn.sigmoid(-(a if more is None else a + more))

        c = jax.nn.elu(keep(state.c, "tau_cell") * state.c + keep(state.h, "gate_cell") * d_c)
        gate = keep(state.c, "gate_output", d_g if self.residual_features else None)
        h = jax.nn.elu(keep(state.h, "tau_output") * state.h + gate * d_h)
        return ReciprocalState(c, h), h


@pytree_dataclass
class SeparableReciprocalGated(_Reciprocal):
    """The reciprocal gated cell as a search over settings has it ("median"): separable gates, scaled, and projected inputs.

    `c_t = elu(τ(1 - σ(S_cc ∗ c)) c + γ(1 - tanh(S_hc ∗ h)) d^c)`, `h_t = elu(τ(1 - σ(S_hh ∗ h)) h + γ(1 - tanh(S_ch ∗ c)) d^h)`,
    with the old c and h on the right, and depth-separable convolutions S with biases. The drive is `[d^c | d^h]`, of
    `u = [K_xc ∗ y + b | K_xh ∗ y + b' + r]`, where `y = elu(x + elu(S_f ∗ f))`. The projection is not linear in x, so a drive
    always acts after it.

    Args:
      hidden_features: C, the channels of h and of r.
      image, padding: as in `ConvElman`.
      kernel_size: of K_xc.
      cell_features: C_cell, the channels of c.
      output_kernel_size, tau_kernel_size, gate_kernel_size, feedback_kernel_size: of K_xh; of S_cc and S_hh; of S_hc and S_ch; of
        S_f.
      tau_scale, gate_scale: τ and γ.
      residual: whether there is an input r, added to h's input.
      feedback_features: the channels of an input f, such as the output of a later layer; 0 for none. The inputs are given side by
        side, `[x | r | f]`.

    Parameters: `tau_cell_…` S_cc, `gate_cell_…` S_hc, `tau_output_…` S_hh, `gate_output_…` S_ch, each `…depthwise` (kernel
    height, kernel width, 1, in), `…pointwise` (in, out) and `…bias` (out,). Input projection: `kernel` K_xc, `bias`,
    `output_kernel` K_xh, `output_bias`, and `feedback_…` S_f. State `ReciprocalState(c, h)`.

    Raises:
      TypeError, ValueError: an argument is of the wrong kind, or not allowed.

    Source: Nayebi et al., Neural Computation 34, 2022, as its code is configured, where offsets of τ and gates have no effect;
    agrees with it to rounding.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.Cell(mr.SeparableReciprocalGated(4, image=(6, 5), cell_features=3), mr.Momentum())
    >>> mr.unroll(cell, cell.init(jax.random.key(0), in_features=2), jnp.ones((3, 8, 6, 5, 2)))[1].shape
    (3, 8, 6, 5, 4)
    """

    kernel_size: tuple[int, int] = static(default=(2, 2))
    cell_features: int = static(default=64, kw_only=True)
    output_kernel_size: tuple[int, int] = static(default=(3, 3), kw_only=True)
    tau_kernel_size: tuple[int, int] = static(default=(7, 7), kw_only=True)
    gate_kernel_size: tuple[int, int] = static(default=(7, 7), kw_only=True)
    feedback_kernel_size: tuple[int, int] = static(default=(3, 3), kw_only=True)
    tau_scale: float = static(default=0.9219348064291611, kw_only=True)
    gate_scale: float = static(default=0.7006566684988862, kw_only=True)
    residual: bool = static(default=False, kw_only=True)
    feedback_features: int = static(default=0, kw_only=True)

    num_gates: ClassVar[int] = 2
    affine_projection: ClassVar[bool] = False

    def __post_init__(self) -> None:
        set_fields(self, window, *(f"{name}_kernel_size" for name in ("output", "tau", "gate", "feedback")))
        set_fields(self, _checks.scalar, "tau_scale", "gate_scale")
        set_fields(self, _checks.boolean, "residual")
        set_fields(self, lambda name, value: _checks.integer(name, value, low=0, high=_checks.INT32_MAX), "feedback_features")
        super().__post_init__()

    @property
    def drive_features(self) -> int:
        return self.cell_features + self.hidden_features

    @property
    def _other_inputs(self) -> int:
        return self.hidden_features * self.residual + self.feedback_features

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        cell, out, tau, gate = self.cell_features, self.hidden_features, self.tau_kernel_size, self.gate_kernel_size
        sizes = {"tau_cell": (tau, cell, cell), "gate_cell": (gate, out, cell)}
        sizes |= {"tau_output": (tau, out, out), "gate_output": (gate, cell, out)}
        shapes: Any = {}
        for name, (size, ins, outs) in sizes.items():
            shapes |= Separable.shapes(size, ins, outs).named(name)
        return shapes

    def input_shapes(self, in_features: int | None) -> dict[str, tuple[int | None, ...]]:
        cell, out = self.cell_features, self.hidden_features
        other = self._other_inputs
        if in_features is not None and in_features <= other:
            name = type(self).__name__
            raise ValueError(f"in_features must be more than {other} for {name}, of which {other} are not x, got {in_features}.")
        x = None if in_features is None else in_features - self._other_inputs
        shapes: Any = {"kernel": self.kernel_shape(x, cell), "bias": (cell,)}
        shapes |= {"output_kernel": (*self.output_kernel_size, x, out), "output_bias": (out,)}
        if self.feedback_features:
            shapes |= Separable.shapes(self.feedback_kernel_size, self.feedback_features, x).named("feedback")
        return shapes

    def in_features(self, params: Params) -> int:
        return super().in_features(params) + self._other_inputs

    def project(self, params: Params, x: Array) -> Array:
        features = params["kernel"].shape[-2]
        end = x.shape[-1] - self.feedback_features
        x, residual, feedback = x[..., :features], x[..., features:end], x[..., end:]
        if self.feedback_features:
            x = x + jax.nn.elu(Separable.of(params, "feedback")(feedback, self.padding))
        y = jax.nn.elu(x)
        u_h = plus_bias(self.convolve(y, params["output_kernel"]), params["output_bias"])
        u_h = u_h + residual if self.residual else u_h
        return jnp.concatenate([super().project(params, y), u_h], axis=-1)

    def step(self, prepared: Params, state: Any, d: Array, noise: Any = None) -> tuple[ReciprocalState, Array]:
        d_c, d_h = d[..., : self.cell_features], d[..., self.cell_features :]

        def of(x: Array, name: str) -> Array:
            return Separable.of(prepared, name)(x, self.padding)

        def kept(x: Array, name: str) -> Array:
            return self.tau_scale * (1 - jax.nn.sigmoid(of(x, name))) * x

        def gate(x: Array, name: str) -> Array:
            return self.gate_scale * (1 - jnp.tanh(of(x, name)))

        c = jax.nn.elu(kept(state.c, "tau_cell") + gate(state.h, "gate_cell") * d_c)
        h = jax.nn.elu(kept(state.h, "tau_output") + gate(state.c, "gate_output") * d_h)
        return ReciprocalState(c, h), h
