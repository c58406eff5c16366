"""Prepared data on disk: tensorflow-datasets builders that write and read array_record files, without TensorFlow.

A dataset is a subclass of `Builder`. It is prepared in `data_dir/<fingerprint of its source>/<name>/<version>`;
tensorflow-datasets writes into a temporary folder beside that and renames it at the end, so that it exists only when it is whole.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from experiments import record
from experiments.datasets.common import DataError

tfds.disable_progress_bar()  # otherwise two bars for every split, in the midst of a run's own

Example = dict[str, np.ndarray]


class Contents(NamedTuple):
    """What a source holds: the examples of each split, in order, and metadata, plain values for JSON."""

    splits: dict[str, Iterable[Example]]
    metadata: dict[str, Any]


class Builder(tfds.core.GeneratorBasedBuilder):
    """A dataset whose examples are arrays, kept in their order; a subclass has `FEATURES` and a docstring, which describes it."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar[dict[str, tfds.features.FeatureConnector]]

    def __init__(self, data_dir: Path, read: Callable[[], Contents]) -> None:
        self._read = read
        super().__init__(data_dir=os.fspath(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(self.FEATURES),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[int, Example]]]:
        contents = self._read()
        self.info.metadata.update(contents.metadata)
        return {split: self._generate_examples(examples) for split, examples in contents.splits.items()}

    def _generate_examples(self, examples: Iterable[Example]) -> Iterator[tuple[int, Example]]:
        yield from enumerate(examples)


def array(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
    """A feature that is an array; one of its sizes may be None, and is then free."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


class Prepared(NamedTuple):
    """Prepared data, read: the examples of each split in their order, and the metadata."""

    splits: dict[str, list[Example]]
    metadata: dict[str, Any]


def prepare(builder_class: type[Builder], data_dir: str | Path, fingerprint: str, read: Callable[[], Contents]) -> Prepared:
    """The data with that fingerprint, which is read from its source if it is not in the data directory yet.

    Raises:
      DataError: The source is wrong, the data directory cannot be written, or what it holds is damaged.
    """
    data_dir = Path(data_dir).expanduser()
    folder = data_dir / fingerprint / builder_class.name / str(builder_class.VERSION)
    if not folder.exists():
        _check_writable(data_dir)
        try:
            _write(builder_class(data_dir / fingerprint, read))
        except OSError as error:
            # Another process may have prepared the same data meanwhile: then its folder is in the way, and as good as ours.
            if not folder.exists():
                raise DataError(f"The data directory {data_dir} cannot be written: {error.strerror or error}.") from error
    return read_folder(folder)


def find(builder_class: type[Builder], data_dir: str | Path) -> Prepared | None:
    """The one thing that was prepared in the data directory by this builder, whatever its source; None if there is nothing.

    Raises:
      DataError: There are several, or it is damaged.
    """
    found = sorted(Path(data_dir).expanduser().glob(f"*/{builder_class.name}/{builder_class.VERSION}"))
    if len(found) > 1:
        raise DataError(f"{data_dir} holds {builder_class.name} of {len(found)} sources; give the source to say which is meant.")
    return read_folder(found[0]) if found else None


def read_folder(folder: Path) -> Prepared:
    """Read a folder that tensorflow-datasets prepared in the array_record format.

    Raises:
      DataError: A file in it is missing or damaged.
    """
    # The readers of array_record, protocol buffers and JSON each have errors of their own.
    try:
        builder = tfds.builder_from_directory(folder)
        splits = {}
        for name, split in builder.info.splits.items():
            splits[name] = list(builder.as_data_source(name))
            if len(splits[name]) != split.num_examples:
                raise ValueError(f"split {name} has {len(splits[name])} records, not {split.num_examples}")
        if not splits:
            raise ValueError("dataset_info.json is missing or lists no split")
        return Prepared(splits, dict(builder.info.metadata or {}))
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"Prepared data in {folder} is incomplete or damaged; delete that folder and run again ({reason})."
        ) from error


def is_readable(folder: Path) -> bool:
    """Whether tensorflow-datasets prepared this folder in a format that can be read without TensorFlow."""
    try:
        return json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")).get("fileFormat") == "array_record"
    except (OSError, ValueError, AttributeError):
        return False


def _write(builder: Builder) -> None:
    # Nothing is downloaded by the builder, but a folder for downloads it must have; and it prints what is true of downloads only.
    with tempfile.TemporaryDirectory() as downloads, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=downloads)


def _check_writable(data_dir: Path) -> None:
    """Before a source is read, which can take minutes."""
    try:
        record.check_writable(data_dir)
    except OSError as error:
        raise DataError(f"The data directory {data_dir} cannot be written: {error.strerror}.") from error
