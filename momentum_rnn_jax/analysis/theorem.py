"""The paper's theorem on the gradients of the momentum RNN: its product, the plain product, and the complete one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks, activations
from momentum_rnn_jax.analysis._run import Run, checked, compiled
from momentum_rnn_jax.analysis._scaled import NORMS, Blocks, product_log_norms, rescale
from momentum_rnn_jax.cell import Cell, CellState, Params, RecurrentCell
from momentum_rnn_jax.cores import Elman, Orthogonal, SimpleCore, affine
from momentum_rnn_jax.drives import Momentum, align

INVERTIBLE = ("tanh", "sigmoid", "identity")


class TheoremProduct(NamedTuple):
    """log10 norms for t = 1 … T, each (T,), entry t - 1 for t; see `theorem_product`."""

    paper: Array
    plain: Array
    complete: Array


def theorem_product(
    cell: Any, params: Params | None, xs: Array, state: CellState | None = None, norm: str = "spectral"
) -> TheoremProduct:
    """The paper's product `∏ D_k (U + μ Σ_{k-1})` and the plain `∏ D_k U`, over k = t+1 … T: log10 of their norms, side by side.

    The momentum RNN is `v_t = μ v_{t-1} + s u_t`, `h_t = σ(z_t)`, `z_t = U h_{t-1} + b + v_t`, with u_t the projected input.
    Below, `D_t = diag σ'(z_t)` and `Σ_t = D_t⁻¹ = diag (σ⁻¹)'(h_t)`. The paper's factors are transposed: `D_k (Uᵀ + μ Σ_{k-1})`.

    *Plain: the velocity is given.* v depends on the inputs alone, so with the inputs given it is given too, and
    `∂h_t/∂h_{t-1} = D_t U`, as in the RNN without momentum. These are the factors that backpropagation through time multiplies:
    `∂h_T/∂h_t = D_T U … D_{t+1} U`, exactly. The joint map of (h, v) has the Jacobian `J_t = [[D_t U, μ D_t], [0, μ I]]`.

    *Complete: the same map in other coordinates.* By the step before, `v_{t-1} = σ⁻¹(h_{t-1}) - b - U h_{t-2}`. Put into z_t,

        z_t = U h_{t-1} + b + μ (σ⁻¹(h_{t-1}) - b - U h_{t-2}) + s u_t,

    it makes (h_{t-1}, h_{t-2}) go to (h_t, h_{t-1}) with the Jacobian `M_t = [[D_t (U + μ Σ_{t-1}), -μ D_t U], [I, 0]]`. With the
    change of coordinates `C_t = ∂(h_t, v_t)/∂(h_t, h_{t-1}) = [[I, 0], [Σ_t, -U]]` this is `C_t M_t = J_t C_{t-1}`, so that in a
    product all the C but those at its two ends cancel: the complete product changes with distance as that of the J does.

    *Paper: h_{t-2} is given* while h_{t-1} varies, and so the velocity varies with it. That is one of the two partial
    derivatives, the upper left block of M_t. A product of these blocks leaves out every path through `-μ D_t U`, and is no
    gradient of the network.

    Args:
      cell: a `Cell`, or an NNX cell, with the drive `Momentum` and an `Elman` or `Orthogonal` core with activation "tanh",
        "sigmoid" or "identity": σ must have an inverse. μ is a scalar, or one number per unit and then a diagonal matrix.
      params, xs, state: as in `step_jacobians`.
      norm: "spectral" or "frobenius".

    Returns:
      `TheoremProduct(paper, plain, complete)`, the last of (2H, 2H) matrices. They start at t = 1, because there is no h_{-1}.
      Where a unit saturates so far that σ' rounds to zero, Σ is infinite, and `paper` and `complete` are NaN.

    Raises:
      TypeError, ValueError: as `step_jacobians`; the cell has another drive, core or activation; `norm` is unknown.

    Source: MomentumRNN, arXiv 2006.06919, the theorem on vanishing gradients.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_rnn(2, mu=0.6, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["core"]["kernel"] = 0.5 * jnp.eye(2)
    >>> products = analysis.theorem_product(cell, params, jnp.ones((1001, 1)))
    >>> [round(float(10 ** (product[0] / 1000)), 2) for product in products]  # a step: 0.5 + 0.6, 0.5, and 0.6, the velocity's
    [1.1, 0.5, 0.6]
    """
    cell, params, xs, state = checked(cell, params, xs, state)
    _checks.choice("norm", norm, NORMS)
    wrong = why_not(cell)
    if wrong:
        names = ", ".join(map(repr, INVERTIBLE))
        raise TypeError(
            f"cell must be a momentum RNN, a Momentum drive and an Elman or Orthogonal core with activation {names}; got {wrong}."
        )
    return _products(cell, params, xs, state, norm)


def why_not(cell: RecurrentCell) -> str:
    """What in a cell the theorem does not cover; empty where it covers the cell."""
    if type(cell) is not Cell or type(cell.drive) is not Momentum:  # a subclass may do anything
        return f"the drive {type(getattr(cell, 'drive', cell)).__name__}"
    if not isinstance(cell.core, SimpleCore) or type(cell.core) not in (Elman, Orthogonal):
        return f"the core {type(cell.core).__name__}"
    if cell.core.activation not in INVERTIBLE:
        return f"the activation {cell.core.activation!r}"
    return ""


@compiled("norm")
def _products(cell: Any, params: Params, xs: Array, state: CellState | None, norm: str) -> TheoremProduct:
    run = Run.over(cell, params, xs, state)
    velocities = jnp.append(run.before.drive.velocity[1:], run.last.drive.velocity[jnp.newaxis], axis=0)
    zs = affine(run.prepared["core"], run.before.core.h) + velocities
    Ds = jax.vmap(jax.vmap(jax.grad(activations.ELEMENTWISE[cell.core.activation])))(zs)
    mu = jnp.broadcast_to(align("mu", cell.drive.mu, zs[0]), zs[0].shape)
    U, n = run.prepared["core"]["kernel"].T, zs.shape[-1]

    def plain(D: Array, earlier_D: Array) -> Array:
        return D[:, jnp.newaxis] * U

    def paper(D: Array, earlier_D: Array) -> Array:
        return plain(D, earlier_D) + jnp.diag(D * mu / earlier_D)

    def complete(D: Array, earlier_D: Array) -> Array:
        upper = [paper(D, earlier_D), -mu[:, jnp.newaxis] * plain(D, earlier_D)]
        return jnp.block([upper, [jnp.eye(n, dtype=run.dtype), jnp.zeros_like(U)]])

    def log_norms(factor: Callable[[Array, Array], Array], size: int) -> Array:
        def times(P: Blocks, step: tuple[Array, Array]) -> Blocks:
            return [rescale(block.mantissa @ factor(*step), block.exponent) for block in P]

        return product_log_norms(times, (Ds[1:], Ds[:-1]), [size], run.dtype, norm)

    return TheoremProduct(log_norms(paper, n), log_norms(plain, n), log_norms(complete, 2 * n))
