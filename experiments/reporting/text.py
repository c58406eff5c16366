"""The report in Markdown: tables of what was measured, what was published, and how the two differ."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import checkpoint, published, record
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import TASKS
from experiments.configs.row import SOURCES, Number
from experiments.published import Published
from experiments.reporting import controls, figures, intervals
from experiments.reporting.runs import Group, Run, circumstances_of
from experiments.reporting.scores import of_task
from experiments.reporting.words import interval, number, spread, value
from experiments.tables import BEST_EPOCH, markdown, median_and_range

LEVEL = f"{100 * intervals.CONFIDENCE:.0f} %"
READING = f"""\
Measured: the test split, evaluated once, at each run's best epoch on the validation split; n runs that differ only in the seed,
their mean, sample standard deviation, and the {LEVEL} confidence interval of the mean (Student's t; none for one run).

Published: not measured here. The table says how a run's settings differ from the published run's, and the list below it what
differs for all runs of the task; which split chose the epoch depends on the task."""
CONTROLS = f"""\
"Recovers" is (LSTM − control) / (LSTM − MomentumLSTM) of the mean scores: 100 % is all of momentum's gain. In brackets,
{LEVEL} confidence intervals: Fieller's for that ratio, Welch's for differences."""


class Report(NamedTuple):
    """The text, and its figures by file name."""

    text: str
    figures: dict[str, bytes]


def report(groups: Sequence[Group], unfinished: Sequence[Run], command: str) -> Report:
    """The whole report."""
    comparisons, alone = controls.find(groups)
    parts = [f"# Training runs, measured and published\n\n    {command}\n\n{READING}"]
    pictures = {}
    for task in dict.fromkeys(group.task for group in groups):
        members = [group for group in groups if group.task == task]
        pictures[f"{task}.png"] = figures.losses(task, members)
        parts.append(section(task, members))
        parts += [
            f"### {heading(task)}: what the controls recover\n\n{CONTROLS}\n\n{controls.section(comparison)}"
            for comparison in comparisons
            if comparison.lstm.task == task
        ]
    if alone:
        names = ", ".join(f"`{group.label}`" for group in alone)
        parts.append(
            f"Not compared: {names}. A control needs the LSTM and the MomentumLSTM of its task and size, with the same settings."
        )
    if unfinished:
        parts.append(f"## Unfinished runs\n\nThey are not in the means above.\n\n{unfinished_table(unfinished)}")
    return Report("\n\n".join(parts) + "\n", pictures)


def section(task: str, groups: list[Group]) -> str:
    """Scores, circumstances, commands and the figure of one task."""
    parts = [f"## {heading(task)}", *score_tables(groups), f"How they were run:\n\n{circumstances(groups)}"]
    unlike = dict.fromkeys(text for group in groups for text in published.of(group.name).unlike)
    if unlike:
        parts.append("Differences from the published runs, for every config:\n\n" + "\n".join(f"- {text}." for text in unlike))
    parts += mixtures(groups)
    parts.append("Commands, of each row's first seed:\n\n" + "\n".join(f"    {group.runs[0].command}" for group in groups))
    parts.append(f"![{heading(task)}: validation loss by epoch]({task}.png)\n\nLines: means over the seeds; bands: their range.")
    return "\n\n".join(parts)


def heading(task: str) -> str:
    """The task's title, capitalised."""
    return TASKS[task].title[0].upper() + TASKS[task].title[1:]


def write(out: Path, report: Report) -> Path:
    """Write a report to a new folder `out/report-TIME`, all of it or nothing, and return the folder.

    Raises:
      RunError: the folder cannot be written.
    """
    folder = record.create_folder(out, "report")
    try:
        for name, content in {**report.figures, "report.md": report.text.encode()}.items():
            checkpoint.write(folder / name, content)
    except RunError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def score_tables(groups: list[Group]) -> list[str]:
    """A table for each score; where numbers were published, with them, and a key to their sources."""
    tables = []
    for score in of_task(groups[0].task, groups[0].runs[0]):
        measured: list[tuple[str, ...]] = [(score.title, "n", "mean", "std", f"{LEVEL} interval")]
        compared: list[tuple[str, ...]] = [("published", "unlike the published run")]
        sources: dict[str, None] = {}  # in the order of the rows
        for group in groups:
            values = intervals.sample(score.values(group))
            row = (f"`{group.label}`", str(values.n), number(values.mean), "–" if values.std is None else spread(values.std))
            measured.append((*row, interval(intervals.of_mean(values))))
            theirs, unlike = beside(group)
            numbers = theirs.of_metric(score.title)
            sources |= {found.source: None for found in numbers}
            note = "; ".join(unlike) or "only what is listed below"
            compared.append(("; ".join(map(_published, numbers)) or "–", note if numbers else ""))
        if sources:
            rows = [(*left, *right) for left, right in zip(measured, compared, strict=True)]
            key = "".join(f"\n- [{source}] = {SOURCES[source]}." for source in sources)
            tables.append(f"{markdown(rows)}\n{key}")
        else:
            tables.append(markdown(measured))
    return tables


def _published(found: Number) -> str:
    text = f"{found.value:g}" if found.std is None else f"{found.value:g} ± {found.std:g}"
    return f"{text} [{found.source}]"


def beside(group: Group) -> tuple[Published, list[str]]:
    """The published numbers for a group, and how its runs differ from the published ones."""
    changes = group.changes
    theirs = published.of(group.name)
    if theirs.numbers and {"mu", "step_size"} & set(changes):
        settings = group.runs[0].settings
        point = published.ablation(group.name, settings["mu"], settings["step_size"])
        if point.numbers:
            theirs = point
            changes = {key: change for key, change in changes.items() if key not in ("mu", "step_size")}
    unlike = [] if theirs.other_data is None else [f"other data: published on {theirs.other_data}"]
    unlike += [f"{key} {value(ours)}, published {value(usual)}" for key, (ours, usual) in changes.items()]
    altered = [name for name, as_published in group.runs[0].data.get("as_published", {}).items() if not as_published]
    unlike += [f"{name} is not the published file" for name in altered]
    if group.task == "timit":
        unlike.append("whether the files are the published ones is not checked")
    return theirs, unlike


def circumstances(groups: list[Group]) -> str:
    """Seeds, epochs, time, commit and device of each group."""
    rows = [("run", "seeds", "epochs", BEST_EPOCH, "seconds a run", "commit", "device")]
    for group in groups:
        best = [run.test["epoch"] for run in group.runs if run.test is not None]
        seconds = [run.seconds for run in group.runs if run.seconds is not None]
        of_config = CONFIGS[group.name].config.epochs if group.name in CONFIGS else group.runs[0].settings["epochs"]
        rows.append(
            (
                f"`{group.label}`",
                ", ".join(str(run.seed) for run in group.runs),
                f"{len(group.runs[0].epochs)} of {of_config}",  # all its runs ended, and have the same settings
                median_and_range(best),
                f"{np.mean(seconds):.0f}" if seconds else "–",
                ", ".join(circumstances_of([group])["commits"]),
                "; ".join(circumstances_of([group])["devices"]),
            )
        )
    return markdown(rows)


def mixtures(groups: list[Group]) -> list[str]:
    """A line for each way in which the runs of one row were made under different circumstances."""
    found: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for what, values in circumstances_of([group]).items():
            if len(values) > 1:
                found.setdefault((what, " / ".join(sorted(values))), []).append(f"`{group.label}`")
    return [f"Note: different {what} ({values}) in one row: {', '.join(rows)}." for (what, values), rows in found.items()]


def unfinished_table(runs: Sequence[Run]) -> str:
    """How far they are."""
    rows = [("run", "seed", "epochs", "last validation loss", "folder")]
    for run in runs:
        seen = run.curve("validation_loss")
        last = f"{number(seen[max(seen)])} at epoch {max(seen)}" if seen else "–"
        done = f"{len(run.epochs)} of {run.settings['epochs']}"
        rows.append((f"`{run.name}`", str(run.seed), done, last, f"`{run.folder}`"))
    return markdown(rows)
