"""Text as a stream of tokens, each predicted from those before it: the Penn Treebank, any text file, or a generated text."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets import files, store
from experiments.datasets.common import DataError, Dataset, Info, Split
from momentum_rnn_jax import _checks

UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"

PTB_FILES = {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"}
PTB_TOKENS = {"train": 929_589, "validation": 73_760, "test": 82_430}  # of the usual files, which publish no checksums


class TokenStream(store.Builder):
    """A text as token ids; a record holds up to `BLOCK` consecutive ones."""

    FEATURES = {"ids": store.array((None,), np.int32)}  # noqa: RUF012
    BLOCK = 100_000


class PennTreebank(TokenStream):
    """The Penn Treebank as token ids."""


def load_ptb(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """The Penn Treebank by word, in the usual preparation (T. Mikolov et al., 2010).

    `inputs` and `targets` are (tokens,) int32; every line ends with `<eos>`. `info.vocabulary` is `<unk>`, `<eos>` and the other
    words of the training split, in the order in which they appear; words of other splits that are not among them are `<unk>`.

    Args:
      data_dir: See `experiments.datasets.load`.
      source: The directory with ptb.train.txt, ptb.valid.txt and ptb.test.txt, which are licensed and not downloaded. Without a
        source: what is prepared in `data_dir`.

    Raises:
      DataError: A file is missing, empty or not text.
    """
    if source is None:
        prepared = store.find(PennTreebank, data_dir)
        if prepared is None:
            raise DataError(
                f"Nothing is prepared in {data_dir}; give as the source the directory with {', '.join(PTB_FILES.values())}, "
                "which are licensed and not downloaded."
            )
        return _dataset("ptb", prepared)
    folder = files.directory(source, ", ".join(PTB_FILES.values()))
    checksums = {name: files.sha256(folder / name) for name in PTB_FILES.values()}
    metadata = {"source": "Penn Treebank", "sha256": checksums, "unit": "word", "min_count": 1}

    def tokens() -> dict[str, list[str]]:
        return {split: _tokens(_read_text(folder / name), "word") for split, name in PTB_FILES.items()}

    def as_published(streams: dict[str, list[str]]) -> dict[str, Any]:
        return {"as_published": {PTB_FILES[split]: len(stream) == PTB_TOKENS[split] for split, stream in streams.items()}}

    return _prepare("ptb", PennTreebank, data_dir, tokens, metadata, as_published)


def load_text(data_dir: str | Path, source: str | Path | None = None, *, unit: str = "word", min_count: int = 1) -> Dataset:
    """A text by word or by character: its first 90 % for training, then 5 % for validation, and the last 5 % for testing.

    `inputs` and `targets` are (tokens,) int32. By word, every line ends with `<eos>`; by character, line ends are characters. The
    vocabulary is `<unk>`, `<eos>` by word, and what occurs in the training split, in the order in which it appears.

    Args:
      data_dir: See `experiments.datasets.load`.
      source: A text file in UTF-8. Without a source: `generated_text()`, whose best perplexity by word is known.
      unit: `"word"` (what white space separates) or `"character"`.
      min_count: Tokens that are rarer than this in the training split are `<unk>`; with 1, the model never sees an `<unk>` there.

    Raises:
      DataError: The file is missing, empty, not text, or too short to be split.
      ValueError: A wrong option.
    """
    _checks.choice("unit", unit, ("word", "character"))
    _checks.integer("min_count", min_count, low=1)
    metadata = {"source": "generated text", "sha256": hashlib.sha256(generated_text().encode()).hexdigest()}
    if source is not None:
        source = Path(source).expanduser()
        metadata = {"source": source.name, "sha256": files.sha256(source)}

    def tokens() -> dict[str, list[str]]:
        stream = _tokens(generated_text() if source is None else _read_text(source), unit)
        first, second = len(stream) * 90 // 100, len(stream) * 95 // 100
        return {"train": stream[:first], "validation": stream[first:second], "test": stream[second:]}

    return _prepare("text", TokenStream, data_dir, tokens, {**metadata, "unit": unit, "min_count": min_count})


def batch_stream(split: Split, batch_size: int) -> Split:
    """A stream cut into `batch_size` rows, each of which goes on where it left off: (tokens,) -> (batch, tokens // batch).

    A model that reads the columns in order, and keeps its state, reads `batch_size` contiguous texts. What is left over at the
    end is dropped, fewer than `batch_size` tokens.

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


def _prepare(
    name: str,
    builder: type[TokenStream],
    data_dir: str | Path,
    tokens: Callable[[], dict[str, list[str]]],
    metadata: dict[str, Any],
    more: Callable[[dict[str, list[str]]], dict[str, Any]] = lambda streams: {},
) -> Dataset:
    """`tokens` gives the splits; the metadata says everything that they and the vocabulary depend on, `more` what follows."""

    def read() -> store.Contents:
        streams = tokens()
        for split, stream in streams.items():
            if len(stream) < 2:
                raise DataError(
                    f"{metadata['source']} is too short: its {split} split would have {len(stream)} of at least 2 tokens."
                )
        vocabulary = _vocabulary(streams["train"], metadata["unit"], metadata["min_count"])
        ids = {token: number for number, token in enumerate(vocabulary)}
        splits = {split: _blocks([ids.get(token, 0) for token in stream]) for split, stream in streams.items()}
        return store.Contents(dict(splits), {**metadata, **more(streams), "vocabulary": vocabulary})

    fingerprint = files.fingerprint([json.dumps(metadata, sort_keys=True)])
    return _dataset(name, store.prepare(builder, data_dir, fingerprint, read))


def _vocabulary(train: Sequence[str], unit: str, min_count: int) -> list[str]:
    """`<unk>` first, so that its id is 0."""
    special = [UNKNOWN, END_OF_LINE] if unit == "word" else [UNKNOWN]
    return special + [token for token, count in Counter(train).items() if count >= min_count and token not in special]


def _blocks(ids: list[int]) -> Iterator[store.Example]:
    stream = np.array(ids, np.int32)
    for start in range(0, len(stream), TokenStream.BLOCK):
        yield {"ids": stream[start : start + TokenStream.BLOCK]}


def _dataset(name: str, prepared: store.Prepared) -> Dataset:
    streams = (np.concatenate([record["ids"] for record in prepared.splits[split]]) for split in ("train", "validation", "test"))
    train, validation, test = (Split(stream[:-1], stream[1:]) for stream in streams)
    origin = dict(prepared.metadata)
    vocabulary = tuple(origin.pop("vocabulary"))
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
