"""Synthetic populations of neurons, whose true rates are known: a chaotic network, and a Lorenz system.

Times are in seconds; rates are expected spikes per bin; arrays are (trials, time, neurons). Everything is drawn with NumPy's
legacy generator, whose numbers are the same in every version.
"""

from typing import Any, NamedTuple

import numpy as np

WEIGHTS_SEED = 5  # of the released data; W[0, 0] = 0.06239899
NEURONS, GAIN, TIME_CONSTANT, BIN = 50, 1.5, 0.025, 0.01
PEAK = 30.0  # spikes per second at a scaled rate of 1, so that a bin has 0.3 at most

LORENZ_NEURONS, LORENZ_BIN, LORENZ_MEAN = 29, 0.02, 5.0
LORENZ_PARAMETERS = (10.0, 28.0, 8 / 3)  # σ, ρ, β
LORENZ_EULER, LORENZ_PER_BIN, LORENZ_TRANSIENT = 0.006, 5, 500


class Trials(NamedTuple):
    """Some trials: `spikes`, counts, int32, and `rates`, float32, both (trials, time, neurons)."""

    spikes: np.ndarray
    rates: np.ndarray


class Population(NamedTuple):
    """The same conditions in all three splits, with spikes drawn anew for each repeat; `origin` is what it was made with."""

    train: Trials
    validation: Trials
    test: Trials
    origin: dict[str, Any]


def chaotic_weights(neurons: int = NEURONS, seed: int = WEIGHTS_SEED) -> np.ndarray:
    """W of the chaotic network, (neurons, neurons), each entry from N(0, 1 / neurons).

    >>> round(float(chaotic_weights()[0, 0]), 8)
    0.06239899
    """
    return np.random.RandomState(seed).randn(neurons, neurons) / np.sqrt(neurons)


def chaotic_rates(
    W: np.ndarray, x0: np.ndarray, steps: int = 100, *, g: float = GAIN, tau: float = TIME_CONSTANT, dt: float = BIN
) -> np.ndarray:
    """Rates of the chaotic network, scaled to [0, 1] for each condition and neuron: (conditions, neurons, steps).

    `x_{t+1} = (1 - dt/τ) x_t + (dt/τ) g W tanh(x_t)`; the rates before scaling are tanh(x_1), tanh(x_2), ….

    Args:
      W: (neurons, neurons). x0: (neurons, conditions). steps: how many bins.
      g, tau, dt: the gain, the time constant and the length of a bin.

    Source: the released code of the Neural Data Transformer; agrees with it to rounding.
    """
    x, out = np.asarray(x0, float), []
    for _ in range(steps):
        x = (1 - dt / tau) * x + (dt / tau) * g * W @ np.tanh(x)
        out.append(np.tanh(x))
    rates = np.stack(out, axis=-1).swapaxes(0, 1)
    low, high = rates.min(axis=-1, keepdims=True), rates.max(axis=-1, keepdims=True)
    return (rates - low) / (high - low)


def chaotic(conditions: int = 130, repeats: int = 10, seed: int = WEIGHTS_SEED) -> Population:
    """The chaotic network's population, with 50 neurons and 100 bins of 10 ms; 30 spikes a second where a rate peaks.

    `seed` is that of initial states and spikes; the weights are the released ones whatever it is. With the default seed, initial
    states and weights come from the same random numbers, so they are not independent.
    """
    random = np.random.RandomState(seed)
    W = chaotic_weights()
    rates = chaotic_rates(W, random.randn(NEURONS, conditions)).swapaxes(1, 2) * PEAK * BIN
    origin = {"name": "chaotic", "weights_seed": WEIGHTS_SEED, "seed": seed, "conditions": conditions, "repeats": repeats}
    return _population(rates, repeats, random, origin)


def lorenz_trajectory(initial: np.ndarray, parameters: np.ndarray, steps: int, *, dt: float, transient: int) -> np.ndarray:
    """The Lorenz system by Euler's method: (trials, 3) and σ, ρ, β as (trials, 3) -> (trials, steps, 3).

    The initial state, and the `transient` states after it, are left out.
    """
    state, (sigma, rho, beta) = np.asarray(initial, float), np.moveaxis(np.asarray(parameters, float), -1, 0)
    out = []
    for _ in range(transient + steps):
        x, y, z = state.T
        state = state + dt * np.stack([sigma * (y - x), rho * x - y - x * z, x * y - beta * z], axis=-1)
        out.append(state)
    return np.stack(out[transient:], axis=1)


def lorenz_draft(initial: np.ndarray, parameters: np.ndarray, steps: int = 200) -> np.ndarray:
    """The trajectories of the released stand-in, (trials, steps, 3); for comparison only: no data is made from it.

    The released script adds uniform [0, 10) to each parameter, and its rates are of no use: the typical trial has 2e-5 spikes in
    a bin. `lorenz` has the recipe of LFADS.
    """
    return lorenz_trajectory(initial, parameters, steps, dt=0.01, transient=50)


def lorenz(conditions: int = 65, repeats: int = 20, seed: int = 0, steps: int = 50) -> Population:
    """A population driven by a Lorenz system, after LFADS: 29 neurons, 50 bins of 20 ms, 5 spikes a second on average.

    `log rate = w · z + b`, where z is the state with mean 0 and variance 1 over all conditions, w is N(0, 1/3) and b sets the
    neuron's mean rate over all conditions. A bin is 0.03 of the system's time; one step of Euler's method is 0.006.
    The recipe is the LFADS paper's as far as it is known; the time in a bin and the distribution of w are ours.
    """
    random = np.random.RandomState(seed)
    initial = random.randn(conditions, 3) * 10
    parameters = np.broadcast_to(LORENZ_PARAMETERS, (conditions, 3))
    fine = lorenz_trajectory(initial, parameters, steps * LORENZ_PER_BIN, dt=LORENZ_EULER, transient=LORENZ_TRANSIENT)
    z = fine[:, ::LORENZ_PER_BIN]
    z = (z - z.mean(axis=(0, 1))) / z.std(axis=(0, 1))
    rates = np.exp(z @ (random.randn(3, LORENZ_NEURONS) / np.sqrt(3)))
    rates *= LORENZ_MEAN * LORENZ_BIN / rates.mean(axis=(0, 1))
    origin = {"name": "lorenz", "seed": seed, "conditions": conditions, "repeats": repeats, "steps": steps}
    return _population(rates, repeats, random, origin)


DATA = {"chaotic": (chaotic, 130), "lorenz": (lorenz, 65)}  # and how many conditions are usual


def load(name: str, conditions: int | None = None) -> Population:
    """The data set of that name, one of `DATA`, with so many conditions; by default as many as are usual."""
    make, all_conditions = DATA[name]
    return make(all_conditions if conditions is None else conditions)


def _population(rates: np.ndarray, repeats: int, random: np.random.RandomState, origin: dict[str, Any]) -> Population:
    """Spikes of every repeat; of ten repeats one each is for validation and testing, the others are for training."""
    spikes = random.poisson(np.broadcast_to(rates, (repeats, *rates.shape))).astype(np.int32)
    held_out = max(1, repeats // 10)

    def trials(part: np.ndarray) -> Trials:
        flat = part.reshape(-1, *rates.shape[1:])
        return Trials(flat, np.tile(rates, (len(part), 1, 1)).astype(np.float32))

    splits = (spikes[: -2 * held_out], spikes[-2 * held_out : -held_out], spikes[-held_out:])
    train, validation, test = map(trials, splits)
    return Population(train, validation, test, origin)
