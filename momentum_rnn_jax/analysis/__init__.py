"""Whether, where and how fast gradients vanish along a sequence, for any cell.

    x_s ──drive──▶ … v_T      the drive's state: the inputs alone decide it
           │  │       │
           ▼  ▼       ▼
          h_s ─core─▶ … h_T   ∂h_T/∂h_t: the core's path, the one that backpropagation through time follows

`step_jacobians`, `jacobian_product`, `jacobian_log_norms`, `singular_spectrum` and `lyapunov_spectrum` say how a change of the
state propagates; `gradient_norms` gives the norms of a loss's gradients, `input_sensitivity` what is left of each input,
`theorem_product` the paper's theorem beside what it leaves out, and `gradient_flow` all of them in one report. `flossing` is a
penalty on the leading Lyapunov exponents, and `fixed_points` finds the states in which a cell stays. Every function but the last
takes one sequence, (time, features); use `jax.vmap` for a batch. These work under `jax.jit` too, where the arguments that are not
arrays must be static: `wrt`, `norm`, `start`, `stop`, `warmup`, `leading`, `loss_fn`. Each value of these compiles anew, and so
does each span.

What they show of momentum:

- The drive never sees h. With the velocity given, the hidden Jacobian of a momentum cell has the plain cell's form, `D_t U` in
  the RNN: momentum changes the h at which it is taken, and adds no factor. It is the Jacobian of the plain cell whose projected
  input is the velocity.
- On the joint state (h, v) the Jacobian is block triangular, with μ I as the block of the velocity. The Lyapunov spectrum is the
  core's together with log μ, which is negative, once for each entry of the velocity.
- What momentum lengthens is the reach of an input: after its step it keeps entering with weights μ, μ², …, which
  `input_sensitivity` measures. Where the core forgets more slowly than μ^k, that changes the size of what is left, not the rate
  at which it fades.
- The paper's product `∏ D_k (U + μ Σ_{k-1})` is not a gradient; `theorem_product` derives it and says what it holds fixed.
"""

from momentum_rnn_jax.analysis.fixed_points import FixedPoints, fixed_points
from momentum_rnn_jax.analysis.flossing import flossing
from momentum_rnn_jax.analysis.gradients import gradient_norms, input_sensitivity
from momentum_rnn_jax.analysis.jacobians import jacobian_log_norms, jacobian_product, singular_spectrum, step_jacobians
from momentum_rnn_jax.analysis.lyapunov import lyapunov_spectrum
from momentum_rnn_jax.analysis.report import GradientFlow, gradient_flow
from momentum_rnn_jax.analysis.theorem import TheoremProduct, theorem_product

__all__ = [
    "FixedPoints",
    "GradientFlow",
    "TheoremProduct",
    "fixed_points",
    "flossing",
    "gradient_flow",
    "gradient_norms",
    "input_sensitivity",
    "jacobian_log_norms",
    "jacobian_product",
    "lyapunov_spectrum",
    "singular_spectrum",
    "step_jacobians",
    "theorem_product",
]
