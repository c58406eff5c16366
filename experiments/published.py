"""What the paper and its authors published, by the name of the config that reproduces it; each number with where it is from.

T. Nguyen, R. Baraniuk, A. Bertozzi, S. Osher, B. Wang, "MomentumRNN: Integrating Momentum into Recurrent Neural Networks" (2020).
Most numbers were recalled from the paper and not checked against its text. In the authors' code the best epoch is chosen on the
test split, without a validation split: no number here was measured as `experiments.train` measures.
"""

from typing import NamedTuple

RECALLED, BASELINE, CONFIRMED, CURVES, CODE = "recalled", "baseline", "confirmed", "curves", "code"
SOURCES = {
    RECALLED: "recalled from the paper, not checked against its text",
    BASELINE: "recalled from the paper, which cites others for this row; low confidence",
    CONFIRMED: "recalled from the paper, and within 0.05 of the authors' released curves",
    CURVES: "computed from the authors' released curves, at the best epoch on the test split",
    CODE: "read in the authors' code, the notebook that plots their ablation",
}

ACCURACY, MSE, PERPLEXITY = "test accuracy (%)", "test MSE", "test perplexity"
VALIDATION_PERPLEXITY, CROSS_ENTROPY = "validation perplexity", "test cross entropy (nats)"


class Number(NamedTuple):
    """A published mean, its standard deviation over seeds where that is known, of what, and from which of `SOURCES`."""

    value: float
    std: float | None
    metric: str
    source: str


def _table(metric: str, source: str, rows: dict[str, float | tuple[float, float]]) -> list[tuple[str, Number]]:
    pairs = {name: value if isinstance(value, tuple) else (value, None) for name, value in rows.items()}
    return [(name, Number(value, std, metric, source)) for name, (value, std) in pairs.items()]


ROWS: list[tuple[str, Number]] = [
    # Table 1
    *_table(
        ACCURACY,
        BASELINE,
        {"mnist_lstm_128": 98.70, "mnist_lstm_256": 98.90, "pmnist_lstm_128": 92.00, "pmnist_lstm_256": 92.29},
    ),
    *_table(
        ACCURACY,
        RECALLED,
        {
            "mnist_momentum_lstm_128": (99.04, 0.04),
            "mnist_momentum_lstm_256": (99.08, 0.05),
            "mnist_adam_lstm_256": (99.09, 0.03),
            "mnist_rmsprop_lstm_256": (99.15, 0.06),
            "mnist_scheduled_restart_lstm_256": (99.01, 0.07),
            "pmnist_momentum_lstm_128": (93.40, 0.25),
            "pmnist_momentum_lstm_256": (94.72, 0.16),
            "pmnist_adam_lstm_256": (95.05, 0.37),
            "pmnist_rmsprop_lstm_256": (95.38, 0.19),
            "pmnist_scheduled_restart_lstm_256": (93.82, 1.85),
        },
    ),
    # Table 2
    *_table(MSE, RECALLED, {"timit_lstm_84": 14.94, "timit_momentum_lstm_84": 10.98}),
    *_table(
        MSE,
        CONFIRMED,
        {
            "timit_lstm_120": 11.83,
            "timit_lstm_158": 9.37,
            "timit_momentum_lstm_120": 8.04,
            "timit_momentum_lstm_158": 5.87,
            "timit_adam_lstm_158": 8.69,
            "timit_rmsprop_lstm_158": 9.17,
            "timit_scheduled_restart_lstm_158": 5.83,
        },
    ),
    # Table 3
    *_table(
        PERPLEXITY,
        RECALLED,
        {
            "ptb_lstm": (59.71, 0.99),
            "ptb_momentum_lstm": (58.62, 0.22),
            "ptb_scheduled_restart_lstm": (58.83, 0.62),
        },
    ),
    *_table(
        VALIDATION_PERPLEXITY,
        RECALLED,
        {
            "ptb_lstm": (61.96, 0.83),
            "ptb_momentum_lstm": (60.71, 0.24),
            "ptb_scheduled_restart_lstm": (61.12, 0.68),
        },
    ),
    # Table 4
    *_table(
        ACCURACY,
        RECALLED,
        {
            "pmnist_dtriv_170": 95.21,
            "pmnist_dtriv_360": 96.45,
            "pmnist_dtriv_512": 96.62,
            "pmnist_momentum_dtriv_170": 95.37,
            "pmnist_momentum_dtriv_360": 96.73,
            "pmnist_momentum_dtriv_512": 96.89,
            "pmnist_adam_dtriv_512": 96.77,
            "pmnist_rmsprop_dtriv_512": 96.75,
            "pmnist_scheduled_restart_dtriv_512": 97.02,
        },
    ),
    # Table 5
    *_table(MSE, RECALLED, {"timit_dtriv_224": 4.70, "timit_momentum_dtriv_224": 3.06}),
    *_table(MSE, CONFIRMED, {"timit_dtriv_322": 1.87, "timit_momentum_dtriv_322": 1.17}),
    # Of the same runs, from their curves. On TIMIT that is the metric of Table 2, for which see there.
    *_table(
        CROSS_ENTROPY,
        CURVES,
        {
            "mnist_lstm_256": (0.0375, 0.0033),
            "mnist_momentum_lstm_256": (0.0438, 0.0017),
            "mnist_adam_lstm_256": (0.0404, 0.0016),
            "mnist_rmsprop_lstm_256": (0.0382, 0.0028),
            "mnist_scheduled_restart_lstm_256": (0.0424, 0.0024),
            "pmnist_lstm_256": (0.275, 0.018),
            "pmnist_momentum_lstm_256": (0.236, 0.014),
            "pmnist_adam_lstm_256": (0.212, 0.008),
            "pmnist_rmsprop_lstm_256": (0.199, 0.008),
            "pmnist_scheduled_restart_lstm_256": (0.286, 0.077),
            "pmnist_dtriv_512": 0.119,
            "pmnist_momentum_dtriv_512": 0.108,
            "pmnist_adam_dtriv_512": 0.113,
            "pmnist_rmsprop_dtriv_512": 0.111,
            "pmnist_scheduled_restart_dtriv_512": 0.105,
        },
    ),
    *_table(
        MSE,
        CURVES,
        {
            "timit_lstm_158": 9.00,
            "timit_momentum_lstm_158": 5.67,
            "timit_adam_lstm_158": 8.39,
            "timit_rmsprop_lstm_158": 8.85,
            "timit_scheduled_restart_lstm_158": 5.64,
        },
    ),
]

# The ablation of momentum and step size: a row for each mu, a column for each step size. With (0, 1) the cell is the plain one.
AXES: dict[str, tuple[float, ...]] = {"mu": (0.9, 0.6, 0.3, 0.1, 0.0), "step_size": (0.1, 0.3, 0.6, 0.9, 1.0)}
ABLATION: dict[str, tuple[str, tuple[tuple[float, ...], ...]]] = {
    "mnist_momentum_lstm_256": (
        ACCURACY,
        (
            (99.08, 98.90, 98.68, 98.22, 98.24),
            (86.9, 99.08, 99.08, 99.00, 99.03),
            (67.3, 84.2, 65.7, 99.03, 99.03),
            (51.7, 79.3, 84.7, 85.5, 99.07),
            (37.4, 83.6, 83.5, 81.5, 98.90),
        ),
    ),
    "timit_momentum_lstm_158": (
        MSE,
        (
            (121.0, 38.9, 45.5, 51.2, 51.7),
            (7.24, 8.84, 10.5, 11.9, 12.3),
            (5.87, 6.89, 8.73, 9.53, 9.86),
            (5.86, 7.05, 8.01, 9.22, 9.61),
            (6.00, 7.10, 7.85, 9.05, 9.33),
        ),
    ),
    "ptb_momentum_lstm": (
        PERPLEXITY,
        (
            (491.0, 585.0, 642.0, 642.0, 642.0),
            (234.0, 213.0, 116.0, 128.0, 117.0),
            (640.0, 64.6, 66.8, 74.7, 78.5),
            (640.0, 83.0, 58.98, 61.16, 61.05),
            (640.0, 89.9, 58.62, 61.30, 59.71),
        ),
    ),
}

# Controls that are points of the ablation.
POINTS: dict[str, tuple[str, float, float]] = {
    "ablation_controls_timit_no_momentum_158": ("timit_momentum_lstm_158", 0.0, 0.1),
    "ablation_controls_ptb_momentum": ("ptb_momentum_lstm", 0.1, 0.6),
}

# Tasks on free data, and the task of the paper whose recipe and whose numbers they borrow: (prefix, its title).
STANDS_IN_FOR = {"fsdd": ("timit", "TIMIT")}


class Published(NamedTuple):
    """What there is for a config: its numbers, and the title of the data they are of where that is other data."""

    numbers: tuple[Number, ...]
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
    if row in POINTS:
        return ablation(*POINTS[row])._replace(other_data=other_data)
    found = tuple(number for other, number in ROWS if other == row)
    return Published(found, other_data if found else None)


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
    return Published((Number(value, None, metric, CODE),), other_data)


def _row(name: str) -> tuple[str, str | None]:
    """The config on the paper's data, and the title of that where it is not the named config's."""
    task, _, rest = name.partition("_")
    prefix, other_data = STANDS_IN_FOR.get(task, (task, None))
    return f"{prefix}_{rest}", other_data
