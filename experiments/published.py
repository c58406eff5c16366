"""What the paper and its authors published, by the name of the config that reproduces it: the rows' numbers, and the ablation's.

T. Nguyen, R. Baraniuk, A. Bertozzi, S. Osher, B. Wang, "MomentumRNN: Integrating Momentum into Recurrent Neural Networks" (2020).
Most numbers were recalled from the paper and not checked against its text; each says where it is from, and each config, in what
our run is unlike theirs.
"""

from typing import NamedTuple

from experiments.configs import CONFIGS
from experiments.configs.row import ACCURACY, CODE, MSE, PERPLEXITY, Number
from experiments.sweep import ABLATION as AXES

# The ablation of momentum and step size: a row for each mu, a column for each step size. With (0, 1) the cell is the plain one.
ABLATION: dict[str, tuple[str, tuple[tuple[float, ...], ...]]] = {
    "mnist_momentum_lstm_256": (
        ACCURACY,
        (
            (99.08, 98.90, 98.68, 98.22, 98.24),
            (86.88, 99.08, 99.08, 99.00, 99.03),
            (67.30, 84.17, 65.73, 99.03, 99.03),
            (51.67, 79.25, 84.74, 85.50, 99.07),
            (37.39, 83.58, 83.49, 81.54, 98.90),
        ),
    ),
    "timit_momentum_lstm_158": (
        MSE,
        (
            (121.07, 38.92, 45.47, 51.19, 51.66),
            (7.24, 8.84, 10.46, 11.89, 12.25),
            (5.87, 6.89, 8.73, 9.53, 9.86),
            (5.86, 7.05, 8.01, 9.22, 9.61),
            (6.00, 7.10, 7.85, 9.05, 9.33),
        ),
    ),
    "ptb_momentum_lstm": (
        PERPLEXITY,
        (
            (490.78, 585.13, 642.02, 641.60, 642.07),
            (233.88, 212.99, 115.95, 127.74, 117.48),
            (639.81, 64.60, 66.78, 74.74, 78.54),
            (640.09, 82.96, 58.98, 61.16, 61.05),
            (640.14, 89.88, 58.62, 61.30, 59.71),
        ),
    ),
}

# Tasks on free data, and the task of the paper whose recipe and whose numbers they borrow: (prefix, its title).
STANDS_IN_FOR = {"fsdd": ("timit", "TIMIT")}


class Published(NamedTuple):
    """What there is for a config: its numbers, how our run is unlike theirs, and their data's title where it is not ours."""

    numbers: tuple[Number, ...]
    unlike: tuple[str, ...] = ()
    other_data: str | None = None

    def of_metric(self, metric: str) -> list[Number]:
        """Those of one metric: at most one from each source."""
        return [number for number in self.numbers if number.metric == metric]


def of(name: str) -> Published:
    """The numbers of the table's row that a config reproduces, or of the row whose recipe it has on other data.

    >>> of("timit_lstm_84").numbers[0].value
    14.94
    >>> of("fsdd_lstm_84").other_data, of("adding_lstm").numbers
    ('TIMIT', ())
    """
    row, other_data = _row(name)
    if row not in CONFIGS or not CONFIGS[row].published:
        return Published((), CONFIGS[row].unlike if row in CONFIGS else ())
    return Published(CONFIGS[row].published, CONFIGS[row].unlike, other_data)


def ablation(name: str, mu: float | None, step_size: float | None) -> Published:
    """The ablation's number for this config with another mu and step size; none where it has no such point.

    >>> ablation("timit_momentum_lstm_158", 0, 0.1).numbers[0].value
    6.0
    >>> ablation("timit_momentum_lstm_158", 0.2, 0.1).numbers
    ()
    """
    row, other_data = _row(name)
    if row not in ABLATION or mu not in AXES["mu"] or step_size not in AXES["step_size"]:
        return Published(())
    metric, values = ABLATION[row]
    value = values[AXES["mu"].index(mu)][AXES["step_size"].index(step_size)]
    return Published((Number(value, None, metric, CODE),), CONFIGS[row].unlike, other_data)


def _row(name: str) -> tuple[str, str | None]:
    """The config on the paper's data, and the title of that where it is not the named config's."""
    task, _, rest = name.partition("_")
    prefix, other_data = STANDS_IN_FOR.get(task, (task, None))
    return f"{prefix}_{rest}", other_data
