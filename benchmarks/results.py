"""The results of one run of a suite, as they are written to JSON after every case, so that a run that is cut off keeps them."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

import momentum_rnn_jax as mr
from benchmarks.check import TOLERANCE
from benchmarks.peers import PEERS
from benchmarks.problem import Shape
from benchmarks.settings import Settings, cpus, native_kernels, torch_on_cpu
from experiments.record import git_commit

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


class Results:
    """What is written: everything that is needed to run it again, what was checked, and every single sample.

    `data["measurements"]` is a list of dicts: `section`; `case`, the sizes; `quantity`; `peer`; `samples`: seconds, bytes or
    ratios, in the order of the rounds, so that samples of one round can be compared with each other.
    """

    def __init__(self, folder: Path, suite: str, command: str, settings: Settings, repeats: int):
        self.data: dict[str, Any] = {
            "suite": suite,
            "command": command,
            "git_commit": git_commit(),
            "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            "device": device(),
            "native_kernels": native_kernels(),
            "torch_on_cpu": torch_on_cpu(),
            "versions": versions(),
            "settings": {**settings._asdict(), "repeats": repeats},
            "load_average": [round(os.getloadavg()[0], 2)],
            "complete": False,
            "absent": {},
            "left_out": [],
            "tolerance": TOLERANCE,
            "checks": [],
            "peers": {},
            "measurements": [],
        }
        options = [f"{name}={value}" for name, value in settings.xla_options.items()]
        extra = options + [settings.precision] * (settings.precision != "float32")
        extra += [settings.instruction_set] * bool(settings.instruction_set) + ["torch-denormals"] * settings.torch_denormals
        self.path = folder / f"{slug('-'.join([suite, self.data['device']['name'], *extra]))}.json"

    def add(self, section: str, shape: Shape, quantity: str, samples: dict[str, list[float]], **sizes: int) -> None:
        """The samples of several peers, by name, of one quantity in one case: a shape, and other sizes beside it."""
        for peer, values in samples.items():
            self.data["peers"][peer] = {"label": PEERS[peer].label, "ours": PEERS[peer].ours}
            entry = {"section": section, "case": {**shape._asdict(), **sizes}, "quantity": quantity, "peer": peer}
            self.data["measurements"].append({**entry, "samples": values})

    def fastest(self, section: str, quantity: str, peers: Iterable[str], count: int) -> list[str]:
        """The peers with the lowest median in a section that has one case; fewer than `count` where there are fewer."""
        medians = {
            entry["peer"]: statistics.median(entry["samples"])
            for entry in self.data["measurements"]
            if (entry["section"], entry["quantity"]) == (section, quantity) and entry["peer"] in peers
        }
        return sorted(medians, key=medians.get)[:count]

    def save(self) -> None:
        """Write the JSON file."""
        self.data["load_average"][1:] = [round(os.getloadavg()[0], 2)]
        self.path.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")


def device() -> dict[str, Any]:
    """What JAX runs on, under a name that a file can have, and what else bears on speed."""
    kind = jax.devices()[0].device_kind
    cores = cpus()
    name = f"{_processor()} {cores} core{'s' * (cores > 1)}" if jax.default_backend() == "cpu" else kind
    return {"platform": jax.default_backend(), "kind": kind, "name": name, "processor": _processor(), "cpu_cores": cores}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python, of this library, and of what is installed of `PACKAGES`."""
    installed = {"python": platform.python_version(), "momentum_rnn_jax": mr.__version__}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def slug(text: str) -> str:
    """In lower case, with a hyphen for whatever a file name should not have."""
    return re.sub(r"[^a-z0-9_.=]+", "-", text.lower()).strip("-")
