"""HiPPO: online memory by projection on polynomials. The matrices, their discretisations, and the past from coefficients."""

from momentum_rnn_jax.hippo.reconstruct import reconstruct
from momentum_rnn_jax.hippo.transition import DISCRETIZATIONS, MEASURES, basis, discretize, transition

__all__ = ["DISCRETIZATIONS", "MEASURES", "basis", "discretize", "reconstruct", "transition"]
