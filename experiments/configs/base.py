"""Configs as plain values: a dataclass for each task, with exactly the fields of that task.

All values are written to a run's `config.json`, and can be set on the command line.
"""

import dataclasses
import math
from typing import Any, ClassVar

import momentum_rnn_jax as mr
from experiments import cells
from momentum_rnn_jax import _checks

VARIED = ("seed", "mu", "step_size")  # in which the runs of one compiled program may differ
MOST = 2**31 - 1  # counters on a device have 32 bits

# Where a number must lie: [low, high), or (low, high) where low is said to be open. Whole numbers are at least 1.
RANGES: dict[str, tuple[float, float, bool]] = {
    **dict.fromkeys(
        ("learning_rate", "skew_learning_rate", "input_scale", "clip_norm", "optimizer_eps", "correlation_time"),
        (0, math.inf, True),
    ),
    **dict.fromkeys(("rmsprop_decay", "adam_b1", "adam_b2"), (0, 1, False)),
    **dict.fromkeys(("weight_decay", "final_learning_rate", "noise"), (0, math.inf, False)),
    **dict.fromkeys(("activation_regularization", "temporal_regularization"), (0, math.inf, False)),
    **dict.fromkeys(("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout"), (0, 1, False)),
}
CHOICES = {
    "cell": tuple(cells.CELLS),
    "optimizer": ("rmsprop", "adam", "sgd"),
    "precision": ("float32", "bfloat16"),
    "readout_init": ("lecun_normal", "released"),
    "unit": ("word", "character"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One training run.

    Options of a cell that are None have its default; a value that it does not take is refused.

    Args:
      cell: one of `experiments.cells`, such as "momentum_lstm"; from mu to window: its options.
      optimizer: "rmsprop", "adam" or "sgd", of every parameter but the skew-symmetric one of an orthogonal core, which has
        RMSprop with `skew_learning_rate`. `rmsprop_decay` and `optimizer_eps` are those of both.
      final_learning_rate: to which `learning_rate` falls along a cosine until the last step; None for a constant one.
      weight_decay: times the parameter, added to its clipped gradient; None for nothing. The skew-symmetric one has none.
      rebase_every: K of an orthogonal core, in optimiser steps; None for once, before the first (the paper's K = ∞).
      clip_norm: gradients are clipped to this global norm; None for not at all.
      epochs, batch_size: how much is trained. evaluation_batch_size: examples at a time in evaluation, or the rows into which a
        text is cut for it; None for `batch_size`.
      steps_per_epoch: minibatches in an epoch; None for as many as the training split fills.
      evaluate_every: epochs between two looks at the validation split; the last epoch always has one.
      seed: decides the initial parameters, the order of the examples, and the order of permuted pixels.
      precision: "float32" or "bfloat16", of the network; parameters, gradients, the optimiser, scores and the loss are float32.

    Raises:
      TypeError, ValueError: a value is of the wrong kind or not allowed; the message names it.
    """

    # The name of the task, its title, and the score that counts: "accuracy", "squared error", "cross entropy" or "perplexity".
    task: ClassVar[str]
    title: ClassVar[str]
    score: ClassVar[str]

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
    memory_order: int | None = None
    window: int | None = None

    optimizer: str
    learning_rate: float
    final_learning_rate: float | None = None
    rmsprop_decay: float = 0.9
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    optimizer_eps: float = 1e-8
    skew_learning_rate: float | None = None
    rebase_every: int | None = None
    clip_norm: float | None
    weight_decay: float | None = None

    epochs: int
    batch_size: int
    evaluation_batch_size: int | None = None
    steps_per_epoch: int | None = None
    evaluate_every: int = 1
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and (field.default is None or "None" in str(field.type)):
                continue
            if field.name in CHOICES:
                _checks.choice(field.name, value, CHOICES[field.name])
            elif field.name in RANGES:
                low, high, is_open = RANGES[field.name]
                _checks.number(field.name, value, low=low, high=high, low_open=is_open)
            elif field.name not in cells.OPTIONS:
                _checks.integer(field.name, value, low=0 if "seed" in field.name else 1)
                if value > (2**32 - 1 if "seed" in field.name else MOST):
                    raise ValueError(f"{field.name} must be below {'2**32' if 'seed' in field.name else '2**31'}, got {value}.")
        if self.epochs * (self.steps_per_epoch or 1) > MOST:
            raise ValueError(
                f"epochs times steps_per_epoch must be below 2**31, got {self.epochs * (self.steps_per_epoch or 1)}."
            )
        core = self.make_cell().core
        core.param_shapes()  # refuses sizes that no array has
        orthogonal = isinstance(core, mr.Orthogonal)
        if orthogonal and self.skew_learning_rate is None:
            raise ValueError(f"skew_learning_rate must be given for the cell {self.cell!r}.")
        for name in ("skew_learning_rate", "rebase_every"):
            if getattr(self, name) is not None and not orthogonal:
                raise ValueError(f"{name} is for cells with an orthogonal core, and {self.cell!r} has none.")

    @property
    def by_accuracy(self) -> bool:
        """Whether the best epoch is the one with the highest accuracy, rather than the lowest loss."""
        return self.score == "accuracy"

    @property
    def evaluation_rows(self) -> int:
        """The number of examples, or rows of a text, that are evaluated at a time."""
        return self.evaluation_batch_size or self.batch_size

    def make_cell(self, **hyper_parameters: Any) -> Any:
        """The recurrent cell, with these hyper-parameters instead of the config's."""
        options = {name: getattr(self, name) for name in cells.OPTIONS if getattr(self, name) is not None}
        return cells.make(self.cell, self.hidden_features, options | hyper_parameters)

    def to_dict(self) -> dict[str, Any]:
        """Every value, the task's name first."""
        return {"task": self.task, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequences(Config):
    """A task whose sequences are read by one recurrent cell, and by a linear readout.

    Args:
      input_scale: the network reads `input_scale · x_t`; the input's bias is not scaled, as it is by a step size.
      readout_init: "released" draws weights and biases from U(±1/√H), as the released code does; "lecun_normal" has biases of 0.
    """

    input_scale: float = 1.0
    readout_init: str = "lecun_normal"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mnist(Sequences):
    """MNIST pixel by pixel. validation_size: how many of the training images are held out."""

    task, title, score = "mnist", "MNIST", "accuracy"
    validation_size: int = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PermutedMnist(Mnist):
    """MNIST, its pixels in one shuffled order. permutation_seed: decides it; None for the run's seed."""

    task, title = "permuted_mnist", "permuted MNIST"
    permutation_seed: int | None = None


class BitReversedMnist(Mnist):
    """MNIST, its pixels in the order of HiPPO's experiments, by the reversed bits of their numbers."""

    task, title = "bit_reversed_mnist", "MNIST in bit-reversed order"


class Timit(Sequences):
    """The next frame of TIMIT's speech."""

    task, title, score = "timit", "TIMIT", "squared error"


class SpokenDigits(Sequences):
    """The same on the Free Spoken Digit Dataset."""

    task, title, score = "fsdd", "Free Spoken Digits", "squared error"


class Digits(Sequences):
    """Small handwritten digits, pixel by pixel, in `experiments.demo`."""

    task, title, score = "digits", "digits", "accuracy"


class Drifts(Sequences):
    """A slow signal under noise, in `experiments.demo`."""

    task, title, score = "drifts", "slow noisy signals", "accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trajectories(Sequences):
    """Smooth paths. train_every, test_every: every n-th sample is kept for training and validation, and for testing."""

    task, title, score = "trajectories", "trajectories", "accuracy"
    train_every: int = 1
    test_every: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moving(Sequences):
    """Digits that move in a larger frame, read by a convolutional cell. noise: the standard deviation of that on the frames."""

    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.make_cell().core.feature_axes != 3:
            raise ValueError(f"cell must be a convolutional one for the task {self.task!r}, got {self.cell!r}.")


class MovingFrames(Moving):
    """The next frame, without noise."""

    task, title, score = "moving_frames", "moving digits, next frame", "squared error"


class MovingDigits(Moving):
    """Which digit it is."""

    task, title, score = "moving_digits", "moving digits, class", "accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory(Sequences):
    """Generated sequences. length: T. held_out: how many are for validation, and as many for testing."""

    length: int
    held_out: int
    steps_per_epoch: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length * self.held_out > MOST:
            raise ValueError(f"length times held_out must be below 2**31, got {self.length * self.held_out}.")


class Adding(Memory):
    """The adding problem."""

    task, title, score = "adding", "adding", "squared error"


class Copying(Memory):
    """The copying problem."""

    task, title, score = "copying", "copying", "cross entropy"


class Denoise(Memory):
    """The denoising problem."""

    task, title, score = "denoise", "denoising", "cross entropy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracking(Memory):
    """A signal in noise, at every step. correlation_time: of the signal, in steps. noise: its standard deviation beside 1."""

    task, title, score = "tracking", "tracking a signal in noise", "squared error"
    correlation_time: float
    noise: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language(Config):
    """A language model: layers, embedding_features, and from embedding_dropout to temporal_regularization as in
    `experiments.language_model`. `hidden_features` are those of all layers but the last, which has `embedding_features`.

    Args:
      bptt: gradients flow through windows of about so many steps, exactly so many in evaluation. The learning rate is
        multiplied by the window's length over `bptt`. The states of drives and cores are carried from window to window.
      nonmonotone: once the validation loss is worse than the best of those more than so many evaluations ago, the parameters of
        all further steps are averaged, and the averages are validated and tested; None for never.
    """

    layers: int
    embedding_features: int
    bptt: int
    embedding_dropout: float = 0.0
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    output_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation_regularization: float = 0.0
    temporal_regularization: float = 0.0
    nonmonotone: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers == 1 and self.hidden_features != self.embedding_features:
            raise ValueError(
                f"hidden_features must be embedding_features, {self.embedding_features}, where there is one layer, got "
                f"{self.hidden_features}: the decoder is the embedding."
            )
        if self.weight_dropout and "kernel" not in self.make_cell().core.param_shapes():
            raise ValueError(f"weight_dropout is for cells with a recurrent kernel, and {self.cell!r} has none.")
        if self.rebase_every is not None and self.nonmonotone is not None:
            raise ValueError("nonmonotone must be none with rebase_every: the mean of bases that move is not orthogonal.")


class PennTreebank(Language):
    """The Penn Treebank by word."""

    task, title, score = "ptb", "Penn Treebank", "perplexity"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Language):
    """Any text. unit: "word" or "character". min_count: rarer tokens are unknown. input_scale: the first layer reads
    `input_scale` times the embedding.
    """

    task, title, score = "text", "text", "perplexity"
    unit: str = "word"
    min_count: int = 1
    input_scale: float = 1.0


TASKS: dict[str, type[Config]] = {
    kind.task: kind
    for kind in (
        Mnist,
        PermutedMnist,
        BitReversedMnist,
        Timit,
        SpokenDigits,
        Digits,
        Drifts,
        Trajectories,
        MovingFrames,
        MovingDigits,
        Adding,
        Copying,
        Denoise,
        Tracking,
        PennTreebank,
        Text,
    )
}
