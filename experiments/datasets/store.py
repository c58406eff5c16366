"""Prepared data on disk: tensorflow-datasets builders that write and read array_record files, without TensorFlow.

Each dataset is a `Builder`. By its name it works as every other builder of tensorflow-datasets does:

    import tensorflow_datasets as tfds
    import experiments.datasets

    splits = tfds.data_source("momentum_fsdd", data_dir="data", builder_kwargs={"source": "recordings.tar.gz"})

`load` prepares in `data_dir/<fingerprint of the source>/<name>/<version>`, so that different sources do not mix;
tensorflow-datasets writes to a temporary folder and renames it at the end, so that no folder is incomplete.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from experiments import record
from experiments.datasets.common import DataError

tfds.disable_progress_bar()  # it prints two bars per split, over a run's own

Example = dict[str, np.ndarray]


class Builder(tfds.core.GeneratorBasedBuilder):
    """A dataset whose examples are arrays, kept in their order.

    A subclass defines `FEATURES`, `HOLDS`, which says what a source contains, `origin` and `read`; its docstring describes it.
    """

    VERSION = tfds.core.Version("2.0.0")
    FEATURES: ClassVar[dict[str, tfds.features.FeatureConnector]]
    HOLDS: ClassVar[str]

    def __init__(self, *, source: str | Path, data_dir: str | Path | None = None, **options: Any) -> None:
        self.source, self.options = Path(source).expanduser(), options
        super().__init__(data_dir=data_dir and os.fspath(data_dir), file_format="array_record")

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        """What identifies the data, with checksums of its files: plain values for JSON."""
        raise NotImplementedError

    def read(self) -> tuple[dict[str, Iterable[Example]], dict[str, Any]]:
        """The examples of each split, in order, and further metadata."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(self.FEATURES),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[int, Example]]]:
        splits, more = self.read()
        self.info.metadata.update(self.origin(self.source, **self.options) | more)
        return {split: self._generate_examples(examples) for split, examples in splits.items()}

    def _generate_examples(self, examples: Iterable[Example]) -> Iterator[tuple[int, Example]]:
        yield from enumerate(examples)


def array(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
    """A feature that is an array; one of its sizes may be None, which is any size."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


class Prepared(NamedTuple):
    """Prepared data: the examples of each split in order, and the metadata."""

    splits: dict[str, list[Example]]
    metadata: dict[str, Any]


def load(builder_class: type[Builder], data_dir: str | Path, source: str | Path | None, **options: Any) -> Prepared:
    """The data of a source, prepared unless it is already; without a source, what has been prepared.

    Raises:
      DataError: the source is wrong; there is none, and not exactly one preparation; the data directory is damaged or not
        writable.
    """
    if source is None:
        found = prepared(builder_class, data_dir)
        if not found:
            raise DataError(f"Nothing is prepared in {data_dir}; give as the source {builder_class.HOLDS}.")
        if len(found) > 1:
            raise DataError(f"{data_dir} holds {builder_class.name} of {len(found)} sources; give the source to choose one.")
        return _read(found[0])
    check_writable(data_dir)
    source = Path(source).expanduser()
    identity = json.dumps(builder_class.origin(source, **options), sort_keys=True)
    root = Path(data_dir).expanduser() / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = root / builder_class.name / str(builder_class.VERSION)
    if not folder.exists():
        try:
            _write(builder_class(source=source, data_dir=root, **options))
        except OSError as error:
            if not folder.exists():  # else another process has prepared the same data meanwhile
                raise DataError(f"The data directory {data_dir} cannot be written: {error.strerror or error}.") from error
    return _read(folder)


def prepared(builder_class: type[Builder], data_dir: str | Path) -> list[Path]:
    """The folders in the data directory that this builder prepared, from any source."""
    return sorted(Path(data_dir).expanduser().glob(f"*/{builder_class.name}/{builder_class.VERSION}"))


def check_writable(data_dir: str | Path) -> None:
    """Before a source is read, which can take minutes.

    Raises:
      DataError: the data directory cannot be written.
    """
    try:
        record.check_writable(Path(data_dir).expanduser())
    except OSError as error:
        raise DataError(f"The data directory {data_dir} cannot be written: {error.strerror}.") from error


def _write(builder: Builder) -> None:
    # The builder downloads nothing, but must have a folder for downloads; and what it prints is only true of downloads.
    with tempfile.TemporaryDirectory() as downloads, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=downloads)


def _read(folder: Path) -> Prepared:
    # The readers of array_record, protocol buffers and JSON each have errors of their own.
    try:
        builder = tfds.builder_from_directory(folder)
        splits = {name: list(builder.as_data_source(name)) for name in builder.info.splits}
        for name, split in builder.info.splits.items():
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
