"""Whether, where and how fast gradients vanish along a sequence, for any cell.

    x_s ──drive──▶ … v_T      the drive's state: the inputs alone decide it
           │  │       │
           ▼  ▼       ▼
          h_s ─core─▶ … h_T   ∂h_T/∂h_t: the core's path, the one that backpropagation through time follows

`step_jacobians`, `jacobian_product`, `jacobian_log_norms`, `singular_spectrum` and `lyapunov_spectrum` say what becomes of a
change of the state; `gradient_norms` gives the gradients of a loss, `input_sensitivity` what is left of each input,
`theorem_product` the paper's theorem beside what it leaves out, and `gradient_flow` all of them in one report. Every function
takes one sequence, (time, features); `jax.vmap` makes a batch of it. All work under `jax.jit` too, with the arguments static that
are no arrays: `wrt`, `norm`, `start`, `stop`, `warmup`, `loss_fn`. Each value of these compiles once, so each span does.

What they show of momentum:

- The drive never sees h. With the velocity given, the hidden Jacobian of a momentum cell has the plain cell's form, `D_t U` in
  the RNN: momentum changes at which h it is taken, and adds no factor. It is the Jacobian of the plain cell whose projected
  input is the velocity.
- On the joint state (h, v) the Jacobian is block triangular, with μ I in the corner of the velocity. The Lyapunov spectrum is the
  core's together with log μ, once for each velocity. These are negative.
- What momentum lengthens is the reach of an input: after its step it goes on entering with weights μ, μ², …, which
  `input_sensitivity` measures. Where the core forgets more slowly than μ^k, that changes the size of what is left, not its rate.
- The paper's product `∏ D_k (U + μ Σ_{k-1})` is of another kind; `theorem_product` derives it and says what it holds fixed.
"""

from momentum_rnn_jax.analysis.gradients import gradient_norms, input_sensitivity
from momentum_rnn_jax.analysis.jacobians import jacobian_log_norms, jacobian_product, singular_spectrum, step_jacobians
from momentum_rnn_jax.analysis.lyapunov import lyapunov_spectrum
from momentum_rnn_jax.analysis.report import GradientFlow, gradient_flow
from momentum_rnn_jax.analysis.theorem import TheoremProduct, theorem_product

__all__ = [
    "GradientFlow",
    "TheoremProduct",
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
