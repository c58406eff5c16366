"""Text as a stream of tokens, each predicted from those before it: the Penn Treebank, any text file, or a generated text."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets import files, store
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

SPLITS = ("train", "validation", "test")
UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"
BLOCK = 100_000  # tokens in a record

PTB_FILES = {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"}
PTB_TOKENS = {"train": 929_589, "validation": 73_760, "test": 82_430}  # of the usual files, which publish no checksums


class Tokens(store.Builder):
    """Token ids; a record holds up to 100,000 consecutive ones."""

    FEATURES = {"ids": store.array((None,), np.int32)}  # noqa: RUF012

    def streams(self) -> dict[str, list[str]]:
        """The tokens of each split."""
        raise NotImplementedError

    def read(self) -> tuple[dict[str, Iterable[store.Example]], dict[str, Any]]:
        streams = self.streams()
        splits, vocabulary = encode(streams, str(self.source), **self.options)
        return {split: _blocks(ids) for split, ids in splits.items()}, {"vocabulary": vocabulary}


class MomentumPtb(Tokens):
    """The Penn Treebank by word, as token ids."""

    HOLDS = f"the directory with {', '.join(PTB_FILES.values())}, which are licensed and not downloaded"

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        folder = files.directory(source, ", ".join(PTB_FILES.values()))
        return {"source": "Penn Treebank", "sha256": {name: files.sha256(folder / name) for name in PTB_FILES.values()}}

    def streams(self) -> dict[str, list[str]]:
        return {split: _tokens(_read_text(self.source / name), "word") for split, name in PTB_FILES.items()}


class MomentumText(Tokens):
    """A text file by word or by character, as token ids: its first 90 %, the next 5 % and the last 5 %."""

    HOLDS = "a text file"

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        return {"source": source.name, "sha256": files.sha256(source), **options}

    def streams(self) -> dict[str, list[str]]:
        return _cut(_tokens(_read_text(self.source), self.options["unit"]))


def load_ptb(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """The Penn Treebank by word, in the usual preparation (T. Mikolov et al., 2010).

    `inputs` and `targets` are (tokens,) int32; every line ends with `<eos>`. `info.vocabulary` is `<unk>`, `<eos>` and the other
    words of the training split, in order of appearance; words of other splits that are not among them are `<unk>`.

    Args:
      data_dir: see `experiments.datasets.load`.
      source: the directory with ptb.train.txt, ptb.valid.txt and ptb.test.txt, which are licensed and not downloaded. Without a
        source: what is prepared in `data_dir`.

    Raises:
      DataError: a file is missing, empty or not text.
    """
    prepared = store.load(MomentumPtb, data_dir, source)
    splits = {split: np.concatenate([record["ids"] for record in prepared.splits[split]]) for split in SPLITS}
    published = {PTB_FILES[split]: len(ids) == PTB_TOKENS[split] for split, ids in splits.items()}
    return _dataset("ptb", splits, {**prepared.metadata, "as_published": published})


def load_text(data_dir: str | Path, source: str | Path | None = None, *, unit: str = "word", min_count: int = 1) -> Dataset:
    """A text by word or by character: its first 90 % for training, then 5 % for validation, and the last 5 % for testing.

    `inputs` and `targets` are (tokens,) int32. By word, every line ends with `<eos>`; by character, line ends are characters. The
    vocabulary is `<unk>`, `<eos>` by word, and the tokens of the training split, in order of appearance.

    Args:
      data_dir: see `experiments.datasets.load`.
      source: a text file in UTF-8. Without a source: `generated_text()`, whose best perplexity by word is known.
      unit: `"word"` (separated by white space) or `"character"`.
      min_count: tokens that are rarer than this in the training split are `<unk>`; with 1, there is no `<unk>` in it.

    Raises:
      DataError: the file is missing, empty, not text, or too short to be split.
      ValueError: a wrong option.
    """
    options: dict[str, Any] = {"unit": _checks.choice("unit", unit, ("word", "character"))}
    options["min_count"] = _checks.integer("min_count", min_count, low=1)
    if source is None:
        splits, vocabulary = encode(_cut(_tokens(generated_text(), unit)), "the generated text", **options)
        return _dataset("text", splits, {"source": "generated text", **options, "vocabulary": vocabulary})
    prepared = store.load(MomentumText, data_dir, source, **options)
    splits = {split: np.concatenate([record["ids"] for record in prepared.splits[split]]) for split in SPLITS}
    return _dataset("text", splits, prepared.metadata)


def encode(
    streams: dict[str, list[str]], name: str, *, unit: str = "word", min_count: int = 1
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The ids of each split's tokens, and the vocabulary of the training split, in which `<unk>` has the id 0.

    Raises:
      DataError: a split is too short.
    """
    for split, stream in streams.items():
        if len(stream) < 2:
            raise DataError(f"{name} is too short: its {split} split would have {len(stream)} of at least 2 tokens.")
    special = [UNKNOWN, END_OF_LINE] if unit == "word" else [UNKNOWN]
    counted = Counter(streams["train"]).items()
    vocabulary = special + [token for token, count in counted if count >= min_count and token not in special]
    ids = {token: number for number, token in enumerate(vocabulary)}
    return {split: np.array([ids.get(token, 0) for token in stream], np.int32) for split, stream in streams.items()}, vocabulary


def batch_stream(split: Split, batch_size: int) -> Split:
    """A stream cut into `batch_size` contiguous rows: (tokens,) -> (batch, tokens // batch).

    A model that reads the columns in order and keeps its state reads `batch_size` contiguous texts. The rest at the end, fewer
    than `batch_size` tokens, is dropped.

    Raises:
      ValueError: The stream is shorter than `batch_size`.

    >>> batch_stream(Split(np.arange(7), np.arange(1, 8)), 3).targets.tolist()
    [[1, 2], [3, 4], [5, 6]]
    """
    steps = len(split.inputs) // _checks.integer("batch_size", batch_size, low=1)
    if not steps:
        raise ValueError(f"batch_size must be at most the stream's {len(split.inputs)} tokens, got {batch_size}.")
    inputs, targets = (stream[: batch_size * steps].reshape(batch_size, steps) for stream in (split.inputs, split.targets))
    return Split(inputs, targets)


def _read_text(path: Path) -> str:
    data = files.read(path)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start} is 0x{data[error.start]:02x}.") from error
    if not text.strip():
        raise DataError(f"{path} is empty.")
    return text


def _tokens(text: str, unit: str) -> list[str]:
    if unit == "character":
        return list(text)
    return [word for line in text.removesuffix("\n").split("\n") for word in [*line.split(), END_OF_LINE]]


def _cut(stream: list[str]) -> dict[str, list[str]]:
    first, second = len(stream) * 90 // 100, len(stream) * 95 // 100
    return {"train": stream[:first], "validation": stream[first:second], "test": stream[second:]}


def _blocks(ids: np.ndarray) -> Iterable[store.Example]:
    for start in range(0, len(ids), BLOCK):
        yield {"ids": ids[start : start + BLOCK]}


def _dataset(name: str, splits: dict[str, np.ndarray], origin: dict[str, Any]) -> Dataset:
    """Each token and the next one; the vocabulary is kept apart from the rest of the origin."""
    vocabulary = tuple(origin.pop("vocabulary"))
    train, validation, test = (Split(splits[split][:-1], splits[split][1:]) for split in SPLITS)
    return Dataset(train, validation, test, Info(name, "language", len(vocabulary), origin, vocabulary))


# The generated text: each sentence is one independent choice from every row; the verb agrees with the first noun, past another.
_ADJECTIVES = ["old", "small", "green", "quiet", "bright", "heavy", "clever", "lazy"]
_NOUNS = ["dog", "tree", "river", "king", "ship", "song", "road", "bird"]
_PREPOSITIONS = ["near", "behind", "above", "without"]
_VERBS = ["wait", "move", "fall", "shine", "break", "turn", "sleep", "grow"]
_ADVERBS = ["today", "slowly", "again", "often", "alone", "here", "early", "well"]
_NUMBERS = ("singular", "plural")
_CHOICES = (_ADJECTIVES, _NOUNS, _NUMBERS, _PREPOSITIONS, _NOUNS, _NUMBERS, _VERBS, _ADVERBS)
_TOKENS_IN_A_SENTENCE = 9  # with <eos>

# No model can be better than this on the generated text, by word.
GENERATED_BEST_PERPLEXITY = math.prod(map(len, _CHOICES)) ** (1 / _TOKENS_IN_A_SENTENCE)


def generated_text(sentences: int = 4000, seed: int = 0) -> str:
    """Sentences of a small grammar, one a line; by word, the best perplexity is `GENERATED_BEST_PERPLEXITY`.

    >>> print(generated_text(2), end="")
    the bright songs without the trees break early
    the lazy dogs without the king grow today
    >>> round(GENERATED_BEST_PERPLEXITY, 3)
    4.32
    """
    random = np.random.RandomState(seed)  # its numbers never change
    numbers = [random.randint(len(row), size=sentences) for row in _CHOICES]
    return "".join(_sentence(*(row[i] for row, i in zip(_CHOICES, chosen, strict=True))) for chosen in zip(*numbers, strict=True))


def _sentence(
    adjective: str, noun: str, number: str, preposition: str, other: str, other_number: str, verb: str, adverb: str
) -> str:
    noun, other = (word + "s" * (many == "plural") for word, many in ((noun, number), (other, other_number)))
    verb = verb + "s" * (number == "singular")
    return f"the {adjective} {noun} {preposition} the {other} {verb} {adverb}\n"
