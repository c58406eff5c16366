"""A named config, and what was published of it."""

from typing import NamedTuple

from experiments.configs.base import Config


class Number(NamedTuple):
    """A published mean, its standard deviation over seeds where that is known, of what, and from which of `SOURCES`."""

    value: float
    std: float | None
    metric: str
    source: str


ACCURACY, MSE, PERPLEXITY = "test accuracy (%)", "test MSE", "test perplexity"
VALIDATION_PERPLEXITY, CROSS_ENTROPY = "validation perplexity", "test cross entropy (nats)"

RECALLED, BASELINE, CONFIRMED, CURVES, CODE = "recalled", "baseline", "confirmed", "curves", "code"
SOURCES = {
    RECALLED: "recalled from the paper, not checked against its text",
    BASELINE: "recalled from the paper, which cites others for this row; low confidence",
    CONFIRMED: "recalled from the paper, and within 0.05 of the best of the authors' released curves",
    CURVES: "computed from the authors' released curves, at the best epoch on the test split",
    CODE: "read in the authors' code, the notebook that plots their ablation",
}


class Row(NamedTuple):
    """A named config.

    `what` it is, and in which table; `time` that a whole run takes on two CPU cores, extrapolated from a few optimiser steps,
    None where it was not measured; `released` is the authors' command, `published` their numbers, and `unlike` says how our run
    differs from theirs.
    """

    config: Config
    what: str
    time: str | None = None
    released: str | None = None
    published: tuple[Number, ...] = ()
    unlike: tuple[str, ...] = ()
