"""How inferred rates are scored: against spikes, and against the true rates where they are known."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import gammaln

TINY = 1e-9  # stands for a rate of zero, as in nlb_tools


def poisson_loss(outputs: Array, counts: Array, *, log_rates: bool = True) -> Array:
    """The negative Poisson log-likelihood of each count, without its factorial.

    `exp(ℓ) - y ℓ` of log-rates; of rates `r - y log(r + 1e-8)`, as the released model has it.
    """
    counts = counts.astype(outputs.dtype)
    return jnp.exp(outputs) - counts * outputs if log_rates else outputs - counts * jnp.log(outputs + 1e-8)


def masked_mean(values: Array, counted: Array) -> Array:
    """The mean of the values that count; 0 where none does."""
    total = jnp.where(counted, values, jnp.zeros_like(values)).sum()
    return total / jnp.maximum(counted.sum(), 1).astype(values.dtype)


def poisson_nll(rates: np.ndarray, spikes: np.ndarray) -> float:
    """The summed negative log-likelihood with the factorial; entries whose spikes are NaN are left out."""
    known = ~np.isnan(spikes)
    rate, count = np.maximum(rates[known], 0), spikes[known]
    rate = np.where(rate == 0, TINY, rate)
    return float(np.sum(rate - count * np.log(rate) + gammaln(count + 1)))


def bits_per_spike(rates: np.ndarray, spikes: np.ndarray) -> float:
    """`(NLL_null - NLL) / (Σ spikes · ln 2)`, where the null model is each neuron's mean over the evaluated spikes.

    On held-out neurons it is co-bps. Shapes (trials, time, neurons); agrees with nlb_tools 0.0.4 to rounding.

    >>> spikes = np.array([[[0.0], [2.0]]])
    >>> bits_per_spike(np.full((1, 2, 1), 1.0), spikes), round(bits_per_spike(spikes, spikes), 3)
    (0.0, 1.0)
    """
    spikes = np.asarray(spikes, float)
    null = np.broadcast_to(np.nanmean(spikes, axis=(0, 1), keepdims=True), spikes.shape)
    gained = poisson_nll(null, spikes) - poisson_nll(np.asarray(rates, float), spikes)
    return gained / (float(np.nansum(spikes)) * math.log(2))


def r2(true: np.ndarray, inferred: np.ndarray) -> float:
    """The coefficient of determination of rates, trials and time together, for each neuron, then the plain mean.

    It is not free of scale: rates are in spikes per bin. Agrees with scikit-learn's `r2_score`.

    >>> r2(np.array([[[0.0], [2.0]]]), np.array([[[0.0], [1.0]]]))
    0.5
    """
    true, inferred = (np.asarray(part, float).reshape(-1, part.shape[-1]) for part in (true, inferred))
    residual, total = np.square(true - inferred).sum(axis=0), np.square(true - true.mean(axis=0)).sum(axis=0)
    return float(np.mean(1 - residual / total))
