"""From a JSON of results, a text in Markdown and a chart: `python -m benchmarks.report FILE…` writes them beside it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import SIZES, Spread, Table, spread, tables

FIXED_RATIOS = (
    ("adam-lstm", "lstm"),
    ("momentum-lstm", "lstm"),
    ("lstm", "lstm-chunked"),
    ("lstm", "torch-lstm"),
    ("momentum-gru", "gru"),
    ("gru", "torch-gru"),
    ("gru", "flax-nnx-gru"),
    ("momentum-gru", "torch-gru"),
    ("momentum-gru", "flax-nnx-gru"),
    ("momentum-elman", "elman"),
    ("elman", "torch-rnn"),
    ("elman", "flax-nnx-elman"),
    ("momentum-elman", "torch-rnn"),
    ("momentum-elman", "flax-nnx-elman"),
    ("momentum-dtriv", "flax-nnx-momentum-dtriv"),
)
AGAINST_ALL = "momentum-lstm"


def ratios(table: Table, peers: dict[str, Any]) -> dict[str, dict[tuple[int, ...], Spread]]:
    """`{"a / b": {case: spread}}`: a's sample divided by b's of the same round, for the pairs that are compared.

    Where the runs by vmap grow, it is the time of so many divided by that of one. `peers` has all labels, and says who is ours.
    """
    if table.axis is not None and table.sizes[table.axis] == "runs":
        (by_case,) = table.samples.values()
        one = next(iter(by_case.values()))
        return {"so many runs / one": {case: spread(values / one) for case, values in by_case.items()}}
    everyone = [(AGAINST_ALL, peer) for peer in table.samples if not peers[peer]["ours"]]
    found = {}
    for a, b in (*everyone, *FIXED_RATIOS):
        if a in table.samples and b in table.samples:
            both = [case for case in table.samples[a] if case in table.samples[b]]
            found[f"{peers[a]['label']} / {peers[b]['label']}"] = {
                case: spread(table.samples[a][case] / table.samples[b][case]) for case in both
            }
    return found


def markdown(data: dict[str, Any]) -> str:
    """The results as text: where and how they were measured, and for each section its tables."""
    found = tables(data)
    parts = [f"# Benchmarks: {data['suite']}", _preamble(data)]
    section = None
    for table in found:
        if table.section != section:
            section = table.section
            parts.append(f"## {section.capitalize()}")
        parts.append(f"**{', '.join(filter(None, [table.quantity.capitalize(), table.unit]))}**: median (quartiles)")
        rows = {data["peers"][name]["label"]: _spreads(by_case) for name, by_case in table.samples.items()}
        parts.append(_grid(table, rows))
        compared = {} if table.is_compile_time else ratios(table, data["peers"])
        if compared:
            parts.append(f"Ratios of {table.quantity}, round by round: below 1, the first is the smaller")
            parts.append(_grid(table, compared))
    return "\n\n".join(parts) + "\n"


def _spreads(by_case: dict[tuple[int, ...], np.ndarray]) -> dict[tuple[int, ...], Spread]:
    return {case: spread(values) for case, values in by_case.items()}


def _preamble(data: dict[str, Any]) -> str:
    device, settings = data["device"], data["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    options = " ".join(f"{name}={value!r}" for name, value in settings["xla_options"].items()) or "none"
    lines = [
        f"{data['date']}; {device['name']} ({device['platform']}); commit {data['git_commit']}; {versions}.",
        f"Rounds: {settings['repeats']}; precision of products: {settings['precision']}; XLA options: {options}; "
        f"load average at the start and the end: {' and '.join(map(str, data['load_average']))}.",
        *_set_alike(data),
        f"Command: `{data['command']}`",
    ]
    if data["checks"]:
        worst = {name: max(check[name] for check in data["checks"]) for name in data["tolerance"]}
        found = ", ".join(f"{name} {worst[name]:.1e} (allowed {allowed:g})" for name, allowed in data["tolerance"].items())
        lines.append(
            f"Checked before anything was timed; the largest relative errors in {len(data['checks'])} comparisons: {found}."
        )
    lines += [f"Absent: {name}: {reason}." for name, reason in data["absent"].items()]
    lines += [f"Left out: {case}." for case in data["left_out"]]
    if not data["complete"]:
        lines.append("**The run did not come to its end.**")
    return "\n\n".join(lines)


def _set_alike(data: dict[str, Any]) -> list[str]:
    """What the contestants ran on, in one line, and what was set in PyTorch, in another; older results do not say."""
    lines = []
    if "native_kernels" in data:
        kernels = data["native_kernels"]
        if "absent" in kernels:
            used = f"not used: {kernels['absent']}"
        else:
            used = f"{kernels['instruction_set']} (by default {kernels['default']})"
        lines.append(f"CPUs: {data['device']['cpu_cores']}; instruction set of our native kernels: {used}.")
    if data.get("torch_on_cpu"):
        torch = data["torch_on_cpu"]
        how = "flushed to zero, as by XLA" if torch["flushes_denormals"] else "kept, while XLA flushes them to zero"
        lines.append(f"PyTorch on the CPU: threads: {torch['threads']}; denormal numbers: {how}.")
    return lines


def _grid(table: Table, rows: dict[str, dict[tuple[int, ...], Spread]]) -> str:
    header = [table.fixed_sizes, *(_case(table, case) for case in table.cases)]
    lines = [header, ["---", *["---:"] * len(table.cases)]]
    lines += [[name, *(str(values.get(case, "–")) for case in table.cases)] for name, values in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _case(table: Table, case: tuple[int, ...]) -> str:
    if table.axis is not None:
        return f"{SIZES[table.sizes[table.axis]]} {case[table.axis]}"
    return "×".join(map(str, case))


def main(paths: Sequence[str]) -> int:
    """Write a `.md` and a `.png` beside each file of results."""
    for path in map(Path, paths):
        write(path)
    return 0


def write(path: Path) -> list[Path]:
    """Write the text, and the chart where matplotlib is installed, beside a file of results; return the paths.

    Results without a single measurement have no chart.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    text = path.with_suffix(".md")
    text.write_text(markdown(data), encoding="utf-8")
    found = tables(data)
    if not found:
        return [text]
    try:
        from benchmarks import chart
    except ImportError as error:
        print(f"no chart: {error.name} is not installed (pip install '.[bench]')", file=sys.stderr)
        return [text]
    picture = path.with_suffix(".png")
    chart.draw(data, found, picture)
    return [text, picture]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
