"""What a run is made of, as plain values: all are written to its `config.json`, and any can be set on the command line."""

import dataclasses
import inspect
import math
from typing import Any, NamedTuple

from jax import Array

import momentum_rnn_jax as mr
from momentum_rnn_jax import _checks


class Task(NamedTuple):
    """What is known of a task without its data: its title, the score that counts, and the fields of a config that it has.

    The score is "accuracy", "squared error", "cross entropy" or "perplexity".
    """

    title: str
    score: str
    options: tuple[str, ...] = ()

    @property
    def by_accuracy(self) -> bool:
        """Whether the best epoch has the highest accuracy, and not the lowest loss."""
        return self.score == "accuracy"

    @property
    def loss_unit(self) -> str:
        """Of the loss, which all tasks have."""
        return "squared error" if self.score == "squared error" else "nats"


# The sequence length of a dataset is its own.
TASKS = {
    "digits": Task("digits", "accuracy"),
    "mnist": Task("MNIST", "accuracy", ("validation_size",)),
    "permuted_mnist": Task("permuted MNIST", "accuracy", ("validation_size", "permutation_seed")),
    "timit": Task("TIMIT", "squared error"),
    "fsdd": Task("Free Spoken Digits", "squared error"),
    "adding": Task("adding", "squared error", ("length", "held_out")),
    "copying": Task("copying", "cross entropy", ("length", "held_out")),
    "denoise": Task("denoising", "cross entropy", ("length", "held_out")),
    "ptb": Task("Penn Treebank", "perplexity"),
    "text": Task("text", "perplexity", ("unit", "min_count")),
}
TASK_OPTIONS = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.options))
CELL_OPTIONS = ("mu", "step_size", "beta", "eps", "restart", "forget_bias", "init_scheme", "skew_init")
OPTIMIZERS = ("rmsprop", "adam", "sgd")
PRECISIONS = ("float32", "bfloat16")

LANGUAGE_TASKS = tuple(name for name, task in TASKS.items() if task.score == "perplexity")
LANGUAGE_SIZES = ("layers", "embedding_features", "bptt")
DROPOUTS = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")
REGULARIZERS = (*DROPOUTS, "activation_regularization", "temporal_regularization")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One training run.

    Options of a task or a cell that are None have its default; a value that it does not take is refused.

    Args:
      task: one of `TASKS`.
      length: T of a synthetic task. held_out: how many sequences its validation split has, and its test split.
      validation_size, permutation_seed: as in `experiments.datasets.mnist`.
      unit, min_count: as in `experiments.datasets.text.load_text`.
      cell: a function of `momentum_rnn_jax` that makes one, such as "momentum_lstm"; from mu to skew_init: its arguments.
      input_scale: the network reads `input_scale · x_t`; the input's bias is not scaled, as it is by a step size.
      layers, embedding_features, and from embedding_dropout to temporal_regularization: of a language model, as in
        `experiments.language_model`; None for nothing dropped or penalised. `hidden_features` are those of all layers but the
        last, which has `embedding_features`.
      bptt: of a language task: about so many steps are read, and gradients cut behind them; so many in evaluation. The learning
        rate is multiplied by the window's length over `bptt`. The states of drives and cores go on from window to window.
      optimizer: "rmsprop", "adam" or "sgd", of every parameter but the skew-symmetric one of an orthogonal core, which has
        `skew_optimizer` and `skew_learning_rate`. rmsprop_decay: of both.
      final_learning_rate: to which `learning_rate` falls along a cosine until the last step; None for a constant one.
      weight_decay: times the parameter, added to its clipped gradient; None for nothing. The skew-symmetric one has none.
      nonmonotone: once the validation loss is worse than the best of those more than so many looks ago, the parameters of all
        steps from there on are averaged, and the averages validated and tested; None for never.
      rebase_every: K of an orthogonal core, in optimiser steps; None for once, before the first (the paper's K = ∞).
      clip_norm: gradients are clipped to this global norm; None for not at all.
      epochs, batch_size: how much is trained. evaluation_batch_size: examples at a time in evaluation, and the rows into which a
        text is cut for it; None for `batch_size`.
      steps_per_epoch: minibatches in an epoch; None for as many as the training split fills. A synthetic task needs it. Of a
        text, an epoch reads so many windows from a place of its own.
      evaluate_every: epochs between two looks at the validation split; the last epoch always has one.
      seed: decides the initial parameters and the order of the examples.
      precision: "float32" or "bfloat16", of the network; parameters, gradients, the optimiser, scores and the loss are float32.

    Raises:
      TypeError, ValueError: a value is of the wrong kind or not allowed; the message names it.
    """

    task: str
    length: int | None = None
    held_out: int | None = None
    validation_size: int | None = None
    permutation_seed: int | None = None
    unit: str | None = None
    min_count: int | None = None

    cell: str
    hidden_features: int
    mu: float | None = None
    step_size: float | None = None
    beta: float | None = None
    eps: float | None = None
    restart: int | None = None
    forget_bias: float | None = None
    init_scheme: str | None = None
    skew_init: str | None = None
    input_scale: float = 1.0

    layers: int | None = None
    embedding_features: int | None = None
    bptt: int | None = None
    embedding_dropout: float | None = None
    input_dropout: float | None = None
    hidden_dropout: float | None = None
    output_dropout: float | None = None
    weight_dropout: float | None = None
    activation_regularization: float | None = None
    temporal_regularization: float | None = None

    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3
    final_learning_rate: float | None = None
    skew_optimizer: str = "rmsprop"
    skew_learning_rate: float = 1e-4
    rmsprop_decay: float = 0.9
    rebase_every: int | None = None
    clip_norm: float | None = 1.0
    weight_decay: float | None = None
    nonmonotone: int | None = None

    epochs: int = 1
    batch_size: int = 128
    evaluation_batch_size: int | None = None
    steps_per_epoch: int | None = None
    evaluate_every: int = 1
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        _checks.choice("task", self.task, TASKS)
        _checks.choice("optimizer", self.optimizer, OPTIMIZERS)
        _checks.choice("skew_optimizer", self.skew_optimizer, OPTIMIZERS)
        _checks.choice("precision", self.precision, PRECISIONS)
        for name in ("hidden_features", "epochs", "batch_size", "evaluate_every"):
            _checks.integer(name, getattr(self, name), low=1)
        for name in (
            *("steps_per_epoch", "rebase_every", "length", "held_out", "validation_size", "min_count", "nonmonotone"),
            *("evaluation_batch_size", *LANGUAGE_SIZES),
        ):
            if getattr(self, name) is not None:
                _checks.integer(name, getattr(self, name), low=1)
        _checks.integer("seed", self.seed, low=0)
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2**32, got {self.seed}: JAX's keys do not tell larger ones apart.")
        self._check_counts()
        _checks.number("rmsprop_decay", self.rmsprop_decay, low=0, high=1)
        for name in ("learning_rate", "skew_learning_rate", "input_scale", "clip_norm"):
            if getattr(self, name) is not None:
                _checks.number(name, getattr(self, name), low=0, low_open=True)
        for name in ("weight_decay", "final_learning_rate", *REGULARIZERS):
            if getattr(self, name) is not None:
                _checks.number(name, getattr(self, name), low=0, high=1 if name in DROPOUTS else math.inf)
        for name in TASK_OPTIONS:
            if getattr(self, name) is not None and name not in TASKS[self.task].options:
                raise ValueError(f"{name} is no option of the task {self.task!r}.")
        if "length" in TASKS[self.task].options:
            for name in ("length", "held_out", "steps_per_epoch"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} must be given for the task {self.task!r}, which has no end of examples.")
        if self.unit is not None:
            _checks.choice("unit", self.unit, ("word", "character"))
        cell = self.make_cell()
        self._check_language(cell)
        if self.rebase_every is not None and not isinstance(cell.core, mr.Orthogonal):
            raise ValueError(f"rebase_every is for cells with an orthogonal core, and {self.cell!r} has none.")
        if self.rebase_every is not None and self.nonmonotone is not None:
            raise ValueError("nonmonotone must be none with rebase_every: the mean of bases that move is not orthogonal.")

    def _check_counts(self) -> None:
        """What is counted on a device has 32 bits."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and field.name != "seed" and value >= 2**31:
                raise ValueError(f"{field.name} must be below 2**31, got {value}.")
        if self.steps_per_epoch is not None and self.epochs * self.steps_per_epoch >= 2**31:
            raise ValueError(f"epochs times steps_per_epoch must be below 2**31, got {self.epochs * self.steps_per_epoch}.")
        if self.length is not None and self.held_out is not None and self.length * self.held_out >= 2**31:
            raise ValueError(f"length times held_out must be below 2**31, got {self.length * self.held_out}.")

    def _check_language(self, cell: mr.Cell) -> None:
        if self.task not in LANGUAGE_TASKS:
            for name in (*LANGUAGE_SIZES, *REGULARIZERS):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is no option of the task {self.task!r}: it is for {' and '.join(LANGUAGE_TASKS)}.")
            return
        for name in LANGUAGE_SIZES:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must be given for the task {self.task!r}, a text.")
        if self.input_scale != 1:
            raise ValueError(f"input_scale must be 1 for the task {self.task!r}, whose inputs are words and not numbers.")
        if self.layers == 1 and self.hidden_features != self.embedding_features:
            raise ValueError(
                f"hidden_features must be embedding_features, {self.embedding_features}, where there is one layer, got "
                f"{self.hidden_features}: the decoder is the embedding."
            )
        if self.weight_dropout and "kernel" not in cell.core.param_shapes():
            raise ValueError(f"weight_dropout is for cells with a recurrent kernel, and {self.cell!r} has none.")

    @property
    def evaluation_rows(self) -> int:
        """How many examples, or rows of a text, are evaluated at a time."""
        return self.evaluation_batch_size or self.batch_size

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Of the fields that have one: what a run from before a field was there had."""
        return {field.name: field.default for field in dataclasses.fields(cls) if field.default is not dataclasses.MISSING}

    def make_cell(self, **hyper_parameters: Array) -> mr.Cell:
        """The recurrent cell, with these in the place of its own, if there are any."""
        constructor = getattr(mr.named, _checks.choice("cell", self.cell, mr.named.__all__))
        options = {name: getattr(self, name) for name in CELL_OPTIONS if getattr(self, name) is not None}
        for name in options:
            if name not in inspect.signature(constructor).parameters:
                raise ValueError(f"{name} is no argument of the cell {self.cell!r}.")
        return constructor(self.hidden_features, **{**options, **hyper_parameters})


class Entry(NamedTuple):
    """A named config, and which row of which table it reproduces; how long it takes is in `experiments.configs.durations`."""

    config: Config
    reproduces: str
