"""The arms of the study, the values that are tried for each, and the filters that act outside of a cell."""

import math
from typing import Any, NamedTuple

import numpy as np

TRIALS = 12
TRIAL_SEED = 5000  # the seed of the first trial
DRAWS_SEED, FILTER_SEED = 16, 17
BETAS = (0.1, 0.9, 0.99, 0.999)


class Arm(NamedTuple):
    """A cell, what is tuned of it besides the learning rate, and the filter of its inputs: "smooth", "random" or none."""

    title: str
    cell: str
    tuned: tuple[str, ...] = ()
    filter: str | None = None

    @property
    def orthogonal(self) -> bool:
        """Whether its core is orthogonal."""
        return self.cell.endswith("dtriv")


ARMS = {
    "L": Arm("LSTM", "lstm"),
    "S": Arm("LSTM, input × g", "lstm", ("gain",)),
    "M": Arm("MomentumLSTM", "momentum_lstm", ("mu", "gain")),
    "N": Arm("LSTM, layer norm of its projected input", "input_norm_lstm"),
    "MN": Arm("MomentumLSTM, the same norm behind momentum", "momentum_input_norm_lstm", ("mu",)),
    "F": Arm("LSTM behind a random filter", "lstm", ("mu", "gain"), "random"),
    "O": Arm("LSTM on inputs smoothed outside", "lstm", ("mu", "gain"), "smooth"),
    "A": Arm("AdamLSTM", "adam_lstm", ("mu", "step_size", "beta")),
    "R": Arm("RMSPropLSTM", "rmsprop_lstm", ("step_size", "beta")),
    "D": Arm("DTRIV, input × g", "dtriv", ("gain",)),
    "DM": Arm("MomentumDTRIV", "momentum_dtriv", ("mu", "gain")),
}


def draws() -> list[dict[str, float]]:
    """The values of each trial, the same for every arm and task; an arm uses those that it tunes."""
    random = np.random.RandomState(DRAWS_SEED)  # its numbers never change

    def log_uniform(low: float, high: float) -> np.ndarray:
        return np.exp(random.uniform(math.log(low), math.log(high), TRIALS))

    columns = {
        "learning_rate": log_uniform(3e-4, 3e-3),
        "gain": log_uniform(0.05, 2.0),
        "mu": 1 - log_uniform(0.05, 0.9),
        "step_size": log_uniform(0.05, 2.0),
        "beta": np.array(BETAS)[random.randint(len(BETAS), size=TRIALS)],
    }
    return [{name: float(f"{values[trial]:.4g}") for name, values in columns.items()} for trial in range(TRIALS)]


def values_of(arm: Arm, trial: int) -> dict[str, float]:
    """What an arm tries in a trial.

    >>> sorted(values_of(ARMS["S"], 0))
    ['gain', 'learning_rate']
    """
    drawn = draws()[trial]
    return {name: drawn[name] for name in ("learning_rate", *arm.tuned)}


def fields(arm: Arm, values: dict[str, float]) -> dict[str, Any]:
    """The fields of a config that these values decide.

    >>> fields(ARMS["M"], {"learning_rate": 0.001, "mu": 0.5, "gain": 2.0})
    {'cell': 'momentum_lstm', 'learning_rate': 0.001, 'mu': 0.5, 'step_size': 1.0}
    """
    found: dict[str, Any] = {"cell": arm.cell, "learning_rate": values["learning_rate"]}
    if arm.filter is not None:
        return found
    found |= {name: values[name] for name in ("mu", "step_size", "beta") if name in arm.tuned}
    if "gain" in arm.tuned:
        found |= {"step_size": values["gain"] * (1 - values["mu"])} if "mu" in arm.tuned else {"input_scale": values["gain"]}
    if arm.orthogonal:
        found["skew_learning_rate"] = values["learning_rate"] / 10
    return found


def taps_of(arm: Arm, values: dict[str, float], seed: int, steps: int) -> np.ndarray | None:
    """The impulse response of an arm's filter, that of the last step first; None if there is none.

    "smooth" is momentum's own, `s μ^k` with `s = g (1 - μ)`, over all steps. "random" has `ceil(3 / (1 - μ))` normal taps, scaled
    to the gain that white noise has of momentum's, `s / √(1 - μ²)`.
    """
    if arm.filter is None:
        return None
    mu = values["mu"]
    step_size = values["gain"] * (1 - mu)
    if arm.filter == "smooth":
        return step_size * mu ** np.arange(steps)
    taps = np.random.RandomState([FILTER_SEED, seed]).normal(size=math.ceil(3 / (1 - mu)))
    return taps * (step_size / math.sqrt(1 - mu * mu) / np.linalg.norm(taps))


def filtered(inputs: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """`y_t = Σ_k taps_k x_{t-k}`, with zeros before the first step; inputs (examples, time, features).

    >>> filtered(np.array([[[1.0], [2.0]]]), np.array([1.0, 0.5]))[0, :, 0].tolist()
    [1.0, 2.5]
    """
    found = np.zeros_like(inputs)
    for lag, tap in enumerate(taps[: inputs.shape[1]]):
        found[:, lag:] += tap.astype(inputs.dtype) * inputs[:, : inputs.shape[1] - lag]
    return found
