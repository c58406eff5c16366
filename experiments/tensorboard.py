"""The lines of metrics.jsonl as a TensorBoard event file in the run's folder, which needs the extra `tensorboard`."""

import importlib.util
from pathlib import Path
from typing import Any

from experiments.command import RunError


class Events:
    """The event file of a run. It is rewritten whenever there are new lines, so that none is missing or duplicated.

    Raises:
      RunError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise RunError("--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'")
        self._folder, self._written = folder, -1

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Write all lines of metrics.

        Raises:
          RunError: it cannot be written.
        """
        from tensorboardX import SummaryWriter

        if len(lines) == self._written:
            return
        try:
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
            # `purge_step` makes a running TensorBoard discard what it read from the previous file. Only closing, not flushing,
            # waits for the writer's thread.
            with SummaryWriter(str(self._folder), purge_step=0) as writer:
                for line in lines:
                    step = lines[line["epoch"] - 1]["step"]  # test scores are those of the best epoch's parameters
                    for name in sorted(line.keys() - {"kind", "epoch", "step"}):
                        writer.add_scalar(name, line[name], step)
        except OSError as error:
            raise RunError(f"{self._folder}: the event file cannot be written: {error.strerror}") from error
        self._written = len(lines)
