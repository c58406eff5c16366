"""A stream of tokens in windows, for backpropagation through time that is cut between them."""

import numpy as np

from experiments.datasets import Split
from experiments.datasets.text import batch_stream

SEED = 0
FULL, SHORTEST, DEVIATION = 0.95, 5, 5.0  # the AWD-LSTM's


def draw_lengths(columns: int, bptt: int) -> np.ndarray:
    """The lengths of windows that cover so many columns exactly once, about `bptt` each, as the AWD-LSTM draws them.

    A length is normal around `bptt`, or with probability 0.05 around half of it, and at least 5; the last one is what is left.
    They belong to the task, as its minibatches' size does: every epoch has the same ones, in an order of its own. So all epochs
    have equally many steps, and each covers the stream.

    >>> draw_lengths(100, 20).sum()
    np.int64(100)
    """
    random = np.random.RandomState(SEED)
    lengths = []
    while columns:
        around = bptt if random.uniform() < FULL else bptt / 2
        lengths.append(min(max(SHORTEST, int(random.normal(around, DEVIATION))), columns))
        columns -= lengths[-1]
    return np.array(lengths)


def in_rows(stream: Split, rows: int, behind: int) -> Split:
    """The stream in so many rows, and so many columns of zeros behind them: a window there can be as long as any."""
    return Split(*(np.pad(part, ((0, 0), (0, behind))) for part in batch_stream(stream, rows)[:2]))


def in_order(stream: Split, rows: int, length: int) -> Split:
    """The stream in so many rows, window after window: (windows · rows, length), and how many tokens of each are real.

    >>> split = in_order(Split(np.arange(10), np.arange(1, 11)), rows=2, length=3)
    >>> split.inputs.tolist(), split.lengths.tolist()
    ([[0, 1, 2], [5, 6, 7], [3, 4, 0], [8, 9, 0]], [3, 3, 2, 2])
    """
    columns = len(stream.inputs) // rows
    length = min(length, columns)
    windows = -(-columns // length)
    padded = in_rows(stream, rows, windows * length - columns)
    inputs, targets = (part.reshape(rows, windows, length).swapaxes(0, 1).reshape(-1, length) for part in padded[:2])
    lengths = np.minimum(columns - length * np.arange(windows), length).astype(np.int32)
    return Split(inputs, targets, np.repeat(lengths, rows))
