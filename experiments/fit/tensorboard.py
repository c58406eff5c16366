"""The lines of metrics.jsonl as a TensorBoard event file in the run's folder, which needs the extra `tensorboard`."""

import importlib.util
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from experiments.fit.errors import RunError


class Events:
    """The event file of a run: begun anew by each process that goes on with it, so that no line is missing or there twice.

    Raises:
      RunError: what it is written with is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise RunError("--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'")
        self._path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._written: int | None = None

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Add the lines that are not yet there; all of them are given each time.

        Raises:
          RunError: it cannot be written.
        """
        try:
            if self._written is None:
                for old in self._path.parent.glob("events.out.tfevents.*"):
                    old.unlink()
                _append(self._path, _head())
                self._written = 0
            _append(self._path, [_scalars(line, lines) for line in lines[self._written :]])
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from error
        self._written = len(lines)


def _head() -> list[Any]:
    """The format, and a mark by which a TensorBoard that looks on forgets what it read from the file before."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    now = time.time()
    start = SessionLog(status=SessionLog.START)
    return [Event(wall_time=now, file_version="brain.Event:2"), Event(wall_time=now, step=0, session_log=start)]


def _scalars(line: dict[str, Any], lines: list[dict[str, Any]]) -> Any:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    step = lines[line["epoch"] - 1]["step"]  # test scores are those of the best epoch's parameters
    values = [
        Summary.Value(tag=name, simple_value=value) for name, value in line.items() if name not in ("kind", "epoch", "step")
    ]
    return Event(wall_time=time.time(), step=step, summary=Summary(value=values))


def _append(path: Path, events: list[Any]) -> None:
    """In the TFRecord format: length, its checksum, content, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    with path.open("ab") as file:
        for event in events:
            content = event.SerializeToString()
            length = struct.pack("<Q", len(content))
            checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, content)]
            file.write(length + checksums[0] + content + checksums[1])
        file.flush()
        os.fsync(file.fileno())
