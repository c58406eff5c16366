"""The types of every dataset."""

from typing import Any, NamedTuple

from experiments.command import CommandError


class DataError(CommandError, Exception):
    """Data is missing, truncated, damaged or in the wrong place; the message is one line that says what to do."""


class Split(NamedTuple):
    """The examples of one split; arrays of NumPy or, on a device, of JAX, by `Info.task`.

    `"classify"`: `inputs` (examples, time, features) float32, `targets` (examples,) int32.
    `"regress"`: `inputs` and `targets` (examples, time, features) float32, and `lengths` (examples,) int32, the number of steps
    of each example. Later steps are zero padding and must not count.
    `"language"`: `inputs` and `targets` (tokens,) int32, or (batch, time) after `text.batch_stream`; a target is the next input.
    """

    inputs: Any
    targets: Any
    lengths: Any = None


class Info(NamedTuple):
    """What a dataset is.

    `outputs` is the number of classes, of target features or of tokens in the vocabulary; `vocabulary` is that of a language
    task, by id. `origin` says what the data was made from, with its SHA-256: plain values for `config.json`.
    """

    name: str
    task: str
    outputs: int
    origin: dict[str, Any]
    vocabulary: tuple[str, ...] = ()


class Dataset(NamedTuple):
    """Three disjoint splits and what they are."""

    train: Split
    validation: Split
    test: Split
    info: Info
