"""How a run is recorded: its folder, and `config.json`, which says what was run, on what and by which commit."""

import contextlib
import dataclasses
import datetime
import errno
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

import momentum_rnn_jax as mr
from experiments.command import RunError


def create_folder(out: Path, task: str) -> Path:
    """A new folder `out/<task>-YYYYmmdd-HHMMSS`, with a number appended if that exists already.

    Raises:
      RunError: it cannot be created.
    """
    name = f"{task}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    try:
        for number in itertools.count(1):
            folder = out / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                out.mkdir(parents=True, exist_ok=True)
                folder.mkdir()
                break
            if not out.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        raise RunError(f"--out {out}: cannot make a folder there: {error.strerror}") from error
    return folder


def check_writable(folder: Path) -> None:
    """Make a folder if need be and check that it is writable, before work that takes minutes.

    Raises:
      OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def config_of(command: str, task: dict[str, Any], training: dict[str, Any], cells: dict[str, Any], devices: int = 1) -> str:
    """The text of `config.json`: everything that is needed to repeat a run."""
    config = {
        "command": command,
        "task": task,
        "training": training,
        "cells": {name: describe(cell) for name, cell in cells.items()},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")},
            "momentum_rnn_jax": mr.__version__,
        },
        "device": device() | ({"devices": devices} if devices > 1 else {}),
        "git_commit": git_commit(),
    }
    return json.dumps(config, indent=2, default=lambda value: np.asarray(value).tolist()) + "\n"


def device() -> dict[str, Any]:
    """JAX's device, and the number of CPU cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": jax.default_backend(), "kind": jax.devices()[0].device_kind, "cpu_cores": cores}


def in_words(device: dict[str, Any]) -> str:
    """A device in words.

    >>> in_words({"platform": "cpu", "kind": "cpu", "cpu_cores": 2}), in_words({"platform": "gpu", "kind": "NVIDIA H100"})
    ('2 CPU cores', 'NVIDIA H100')
    >>> in_words({"platform": "cpu", "kind": "cpu", "cpu_cores": 2, "devices": 8})
    '2 CPU cores, devices 8'
    """
    rest = {key: value for key, value in device.items() if key not in ("platform", "kind", "cpu_cores")}
    name = f"{device.get('cpu_cores', '?')} CPU cores" if device.get("platform") == "cpu" else str(device.get("kind", "unknown"))
    return ", ".join([name, *(f"{key} {value}" for key, value in rest.items())])


def describe(cell: Any) -> dict[str, Any]:
    """The classes and settings of a cell's parts."""
    parts = {field.name: getattr(cell, field.name) for field in dataclasses.fields(cell)}
    return {
        name: {"class": type(value).__name__, **dataclasses.asdict(value)}
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
        for name, value in parts.items()
    }


def git_commit() -> str | None:
    """The commit of this checkout, with `-dirty` appended if files were changed; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
