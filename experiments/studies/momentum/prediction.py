"""What the identity predicts for a signal in noise: what an average of the input gains for a reader without memory."""

import math

import numpy as np


def error(mu: float, correlation_time: float, noise: float) -> float:
    """`min_a E(z_t - a x̄_t)²` for the average `x̄_t = (1 - μ) Σ_k μ^k x_{t-k}` of `x = z + noise n`, in the stationary state.

    With `ρ = exp(-1 / τ)`: `E z x̄ = (1 - μ) / (1 - μρ)`, and `E x̄² = (1 - μ) / (1 + μ) ((1 + μρ) / (1 - μρ) + noise²)`.

    >>> error(0.0, 10.0, 1.0)
    0.5
    """
    rho = math.exp(-1 / correlation_time)
    covariance = (1 - mu) / (1 - mu * rho)
    variance = (1 - mu) / (1 + mu) * ((1 + mu * rho) / (1 - mu * rho) + noise**2)
    return 1 - covariance**2 / variance


def gain(correlation_time: float, noise: float) -> float:
    """The relative gain of the best average over none, `1 - min_μ error(μ) / error(0)`.

    >>> round(gain(10.0, 1.0), 3), round(gain(1.0, 0.25), 3)
    (0.403, 0.009)
    """
    mus = np.linspace(0.0, 0.999, 1000)
    return float(1 - min(error(mu, correlation_time, noise) for mu in mus) / error(0.0, correlation_time, noise))
