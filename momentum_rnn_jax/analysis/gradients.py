"""Gradients along a sequence: of a loss with respect to every state, and of the last output with respect to every input."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from momentum_rnn_jax import _checks
from momentum_rnn_jax.analysis._coordinates import cut, split
from momentum_rnn_jax.analysis._run import Run, check_finite, checked, compiled, full_precision
from momentum_rnn_jax.analysis._scaled import NORMS, Blocks, log10_norm, rescale
from momentum_rnn_jax.cell import CellState, Params, RecurrentCell


def gradient_norms(
    loss_fn: Callable[[Array], Array], cell: Any, params: Params | None, xs: Array, state: CellState | None = None
) -> dict[str, Array]:
    """`‖∂L/∂h_t‖`, and the same for c_t, v_t and whatever else the state has, for t = 0 … T: backpropagation through time.

    `∂L/∂h_t` is the derivative with respect to a perturbation added to h_t alone, in what the next step reads and, since h_t is
    the output, in what the loss reads. `∂L/∂c_t` and `∂L/∂v_t` are those of s_t's other entries, with h_t held. One backward
    pass gives all. Where a core's output is another entry of its state, the loss reads that entry. Where the output is not an
    entry of the state, a perturbation of s_t reaches the loss through the steps after t alone.

    These are the numbers that training sees: a gradient too small for the dtype (1e-38 in float32) is zero here too.
    `jacobian_log_norms` continues below that.

    Args:
      loss_fn: from hs, the cell's outputs (h_1, …, h_T), of shape (T, H), to one number. It may close over whatever it needs.
      cell, params, xs, state: as in `step_jacobians`.

    Returns:
      Euclidean norms by the names of the state's entries, "h", "c", "velocity", "second_moment", …; each (T + 1,), entry t for
      s_t, where s_0 is the initial state. A drive's entry with the name of one of the core's is "drive.NAME".

    Raises:
      TypeError, ValueError: as `step_jacobians`; `loss_fn` is not a function, does not return one number, or has a gradient
        with NaN or infinity in it.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_lstm(8)
    >>> params, xs = cell.init(jax.random.key(0), in_features=3), jnp.ones((20, 3))
    >>> norms = analysis.gradient_norms(lambda hs: hs[-1].sum(), cell, params, xs)
    >>> {name: norm.shape for name, norm in norms.items()}
    {'c': (21,), 'h': (21,), 'velocity': (21,)}
    >>> round(float(norms["h"][20]) ** 2, 3)  # the gradient of a sum of eight
    8.0
    """
    _checks.function("loss_fn", loss_fn, of="the outputs hs")
    arguments = checked(cell, params, xs, state)
    hs = _outputs(*arguments)
    loss = jax.eval_shape(loss_fn, hs)
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"loss_fn must return one real number for hs of shape {hs.shape}, got {_checks.describe(loss)}.")
    with full_precision():
        cotangents = jax.grad(loss_fn)(hs)
    check_finite("the gradient of loss_fn at the outputs hs", cotangents)
    return _adjoint_norms(*arguments, cotangents)


@compiled()
def _outputs(cell: RecurrentCell, params: Params, xs: Array, state: CellState | None) -> Array:
    return Run.over(cell, params, xs, state).outputs


@compiled()
def _adjoint_norms(
    cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, cotangents: Array
) -> dict[str, Array]:
    run = Run.over(cell, params, xs, state)
    entries, output = run.layout.chosen("full"), run.layout.output

    def norms(adjoint: Array) -> dict[str, Array]:
        return {part.name: _euclidean(values) for part, values in zip(entries, split(adjoint, entries), strict=True)}

    def step(later: Array, inputs: tuple[tuple[CellState, Array], Array]) -> tuple[Array, dict[str, Array]]:
        (before, x), cotangent = inputs
        z, advance = run.step("full", before)
        _, back = jax.vjp(lambda z: advance(z, x), z)
        if output is None:  # the loss reads of s_{t-1}, through the step
            return back((later, cotangent))[0], norms(later)
        adjoint = later.at[output].add(cotangent)
        return back((adjoint, jnp.zeros_like(cotangent)))[0], norms(adjoint)

    nothing = jnp.zeros(run.layout.size("full"), run.dtype)
    first, rest = jax.lax.scan(step, nothing, (run.steps, cotangents), reverse=True)
    return jax.tree.map(lambda norm, norms: jnp.append(norm, norms), norms(first), rest)


def _euclidean(vector: Array) -> Array:
    """The Euclidean norm, where the squares neither underflow nor overflow."""
    scaled = rescale(vector, jnp.zeros((), jnp.int32))
    return jnp.ldexp(jnp.linalg.norm(scaled.mantissa), scaled.exponent)


def input_sensitivity(
    cell: Any, params: Params | None, xs: Array, state: CellState | None = None, norm: str = "spectral"
) -> Array:
    """`log10 ‖∂h_T/∂x_s‖` for s = 1 … T: how much of each input is left in the last output, h_T.

    This is where momentum shows. In the momentum RNN, with `h_t = σ(U h_{t-1} + b + v_t)` and D_t the derivative of σ there,

        ∂h_T/∂x_s = Σ_{j=s…T} (∏_{k=j+1…T} D_k U) D_j μ^{j-s} step_size W,

    where the plain RNN has the term j = s alone: an input keeps entering after its own step, with weights μ^{j-s}.

    Args:
      cell, params, xs, state: as in `step_jacobians`.
      norm: "spectral" or "frobenius"; the same for one input feature.

    Returns:
      (T,), entry s - 1 for x_s, so that it lies beside `xs`. -inf where nothing is left.

    Raises:
      TypeError, ValueError: as `step_jacobians`; `norm` is unknown.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_rnn(1, mu=0.5, step_size=1.0, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["input"]["kernel"], params["core"]["kernel"] = jnp.ones((1, 1)), jnp.zeros((1, 1))  # no recurrence: velocity alone
    >>> [round(float(left), 3) for left in 10 ** analysis.input_sensitivity(cell, params, jnp.ones((4, 1)))]
    [0.125, 0.25, 0.5, 1.0]
    """
    arguments = checked(cell, params, xs, state)
    _checks.choice("norm", norm, NORMS)
    return _input_log_norms(*arguments, norm)


@compiled("norm")
def _input_log_norms(cell: RecurrentCell, params: Params, xs: Array, state: CellState | None, norm: str) -> Array:
    run = Run.over(cell, params, xs, state)

    def step(later: Blocks, step: tuple[CellState, Array]) -> tuple[Blocks, Array]:
        earlier, to_input = run.pull_back("full", later, step)
        return earlier, log10_norm(to_input, norm)

    before, x = jax.tree.map(lambda leaf: leaf[-1], run.steps)
    z, advance = run.step("full", before)
    _, back = jax.vjp(lambda z, x: advance(z, x)[1], z, x)
    to_state, to_input = jax.vmap(back)(jnp.eye(run.outputs.shape[-1], dtype=run.outputs.dtype))  # of h_T itself
    exponent = jnp.zeros((), jnp.int32)
    last = [rescale(columns, exponent) for columns in cut(to_state, run.layout.blocks("full"))]
    _, earlier = jax.lax.scan(step, last, run.part(0, len(xs) - 1), reverse=True)
    return jnp.append(earlier, log10_norm(rescale(to_input, exponent), norm))
