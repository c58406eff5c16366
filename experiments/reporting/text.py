"""The report in Markdown: tables of what was measured, with what was published beside it and how the two differ."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import checkpoint, published, record
from experiments.command import RunError
from experiments.configs import CONFIGS
from experiments.configs.base import SOURCES, TASKS, Number
from experiments.published import Published
from experiments.reporting import controls, figures, intervals
from experiments.reporting.controls import Comparison
from experiments.reporting.curves import Curves, matching, stack
from experiments.reporting.runs import Group, Run, circumstances_of
from experiments.reporting.scores import of_task
from experiments.reporting.words import count, interval, mean_and_std, number, spread, value
from experiments.tables import BEST_EPOCH, markdown, median_and_range

LEVEL = f"{100 * intervals.CONFIDENCE:.0f} %"
READING = f"""\
Measured: the test split, looked at once, at each run's best epoch on the validation split; n runs that differ in their seed
alone, their mean, their sample standard deviation, and the {LEVEL} confidence interval of the mean (Student's t;
none of one run).

Published: not measured here. The table says in what a run's settings are unlike the published run's, and the list below it how
all runs of the task are; which split chose the epoch differs by task."""


class Report(NamedTuple):
    """A text, and the figures that it shows, by file name."""

    text: str
    figures: dict[str, bytes]


def report(groups: Sequence[Group], unfinished: Sequence[Run], published_curves: list[Curves], command: str) -> Report:
    """The whole report; `published_curves` is empty where none are given."""
    tasks = list(dict.fromkeys(group.task for group in groups))
    parts = [f"# Training runs, measured and published\n\n    {command}\n\n{READING}"]
    pictures = {}
    comparisons, alone = controls.find(groups)
    for task in tasks:
        members = [group for group in groups if group.task == task]
        picture = f"{task}.png"
        pictures[picture] = figure(members, published_curves)
        here = [comparison for comparison in comparisons if comparison.lstm.task == task]
        parts.append(section(task, members, picture, published_curves, here))
    if alone:
        names = ", ".join(f"`{group.label}`" for group in alone)
        parts.append(
            f"Not compared: {names}. A control needs the LSTM and the MomentumLSTM of its task and size, with the same settings."
        )
    if unfinished:
        parts.append(f"## Runs that have not ended\n\nThey count in none of the means above.\n\n{unfinished_table(unfinished)}")
    return Report("\n\n".join(parts) + "\n", pictures)


def section(task: str, groups: list[Group], picture: str, curves: list[Curves], comparisons: list[Comparison]) -> str:
    """What there is on one task."""
    title = heading(task)
    parts = [f"## {title}", *score_tables(groups), f"How they were run:\n\n{circumstances(groups)}"]
    unlike = dict.fromkeys(text for group in groups for text in published.of(group.name).unlike)
    if unlike:
        parts.append("Unlike the published runs, whatever the config:\n\n" + "\n".join(f"- {text}." for text in unlike))
    parts += [*mixtures(groups), commands(groups)]
    cut = " Published curves are cut off at the last epoch measured." if any(published_of(g, curves) for g in groups) else ""
    parts.append(f"![{title}: the validation loss by epoch]({picture})\n\nLines: means over the seeds; bands: their range.{cut}")
    if curves:
        parts.append(f"### {title}: the loss at the same epoch\n\n{same_epoch(groups, curves)}")
    for comparison in comparisons:
        parts.append(f"### {title}: what the controls recover of momentum's gain\n\n{CONTROLS}\n\n{controls.section(comparison)}")
    return "\n\n".join(parts)


CONTROLS = f"""\
"Recovers" is (LSTM − control) / (LSTM − MomentumLSTM) of the mean scores: 100 % is all of momentum's gain. In brackets,
{LEVEL} confidence intervals: Fieller's of that ratio, Welch's of differences."""


def write(out: Path, report: Report) -> Path:
    """Write a report to a new folder `out/report-TIME`, whole or not at all, and return the folder.

    Raises:
      RunError: nothing can be written there.
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
    """A table for each score; where numbers were published, they stand beside it, and what their marks mean below."""
    found = []
    for score in of_task(groups[0].task, groups[0].runs[0]):
        title = (score.title, "n", "mean", "std", f"{LEVEL} interval")
        measured, compared = [], []
        marks: dict[str, None] = {}  # in the order of the rows
        for group in groups:
            values = intervals.sample(score.values(group))
            row = (f"`{group.label}`", str(values.n), number(values.mean), "–" if values.std is None else spread(values.std))
            measured.append((*row, interval(intervals.of_mean(values))))
            theirs, unlike = beside(group)
            numbers = theirs.of_metric(score.title)
            marks |= {found.source: None for found in numbers}
            note = "; ".join(unlike) or "nothing but what is said below"
            compared.append(("; ".join(map(_published, numbers)) or "–", note if numbers else ""))
        if marks:
            rows = [(*left, *right) for left, right in zip(measured, compared, strict=True)]
            legend = "".join(f"\n- [{mark}] = {SOURCES[mark]}." for mark in marks)
            found.append(f"{markdown([(*title, 'published', 'unlike the published run'), *rows])}\n{legend}")
        else:
            found.append(markdown([title, *measured]))
    return found


def _published(found: Number) -> str:
    value = f"{found.value:g}" if found.std is None else f"{found.value:g} ± {found.std:g}"
    return f"{value} [{found.source}]"


def beside(group: Group) -> tuple[Published, list[str]]:
    """The published numbers to put beside a group, and in what its runs differ from the published ones."""
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
        rows.append(
            (
                f"`{group.label}`",
                ", ".join(str(run.seed) for run in group.runs),
                ", ".join(dict.fromkeys(_epochs(run) for run in group.runs)),
                median_and_range(best),
                f"{np.mean(seconds):.0f}" if seconds else "–",
                ", ".join(circumstances_of([group])["commits"]),
                "; ".join(circumstances_of([group])["devices"]),
            )
        )
    return markdown(rows)


def _epochs(run: Run) -> str:
    """How many were done, of how many in the named config, which is the published recipe's where there is one."""
    usual = CONFIGS[run.name].config.epochs if run.name in CONFIGS else run.settings["epochs"]
    return f"{len(run.epochs)} of {usual}"


def mixtures(groups: list[Group]) -> list[str]:
    """A line for each way in which the runs of some groups were not all made alike."""
    found: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for what, values in circumstances_of([group]).items():
            if len(values) > 1:
                found.setdefault((what, " / ".join(sorted(values))), []).append(f"`{group.label}`")
    return [
        f"Mind that runs of different {what} ({values}) stand in one row: {', '.join(rows)}."
        for (what, values), rows in found.items()
    ]


def commands(groups: list[Group]) -> str:
    """How each group's first run was started."""
    rows = "\n".join(f"    {group.runs[0].command}" for group in groups)
    return f"Commands, of each row's first seed:\n\n{rows}"


def published_of(group: Group, curves: list[Curves]) -> Curves | None:
    """The published curves of the same row of a table, on the same data."""
    theirs = published.of(group.name)
    plain = group.runs[0].settings.get("input_scale") == 1.0
    return matching(curves, group.runs[0].settings) if theirs.numbers and theirs.other_data is None and plain else None


def figure(groups: list[Group], curves: list[Curves]) -> bytes:
    """The validation loss by epoch of a task's groups, and the published curves of the same cells."""
    measured = [figures.Curve(f"{g.label}, {count(len(g.runs), 'seed')}", *stack(_losses(g))) for g in groups]
    found = {theirs.label: theirs for group in groups if (theirs := published_of(group, curves)) is not None}
    grey = [figures.Curve(label, *stack(list(theirs.losses.values()))) for label, theirs in found.items()]
    task = groups[0].task
    unit = "squared error" if TASKS[task].score == "squared error" else "nats"
    return figures.losses(f"{heading(task)}: validation loss by epoch", f"loss ({unit})", measured, grey)


def heading(task: str) -> str:
    """Its title, with a capital letter in front."""
    return TASKS[task].title[0].upper() + TASKS[task].title[1:]


def _losses(group: Group) -> list[dict[int, float]]:
    return [run.curve("validation_loss") for run in group.runs]


def same_epoch(groups: list[Group], curves: list[Curves]) -> str:
    """Measured and published loss at the last epoch that both have."""
    rows = [("run", "epoch", "measured: validation loss", "n", "published", "published: loss", "n", "unlike the published run")]
    for group in groups:
        theirs = published_of(group, curves)
        if theirs is None:
            continue
        epochs, losses = stack(_losses(group))
        their_epochs, their_losses = stack(list(theirs.losses.values()))
        common = np.intersect1d(epochs, their_epochs)
        if not common.size:
            continue
        last = common[-1]
        ours = intervals.sample(losses[epochs == last][0].tolist())
        other = intervals.sample(their_losses[their_epochs == last][0].tolist())
        unlike = "; ".join(beside(group)[1]) or "–"
        published_row = (f"{theirs.setting.cell}, N = {theirs.setting.hidden}, {theirs.split} split", mean_and_std(other))
        rows.append((f"`{group.label}`", str(last), mean_and_std(ours), str(ours.n), *published_row, str(other.n), unlike))
    if len(rows) == 1:
        return "The file has no curves of these cells on this data with these settings."
    return (
        f"Means ± standard deviations over n seeds. Published losses are those of the file given by --curves.\n\n{markdown(rows)}"
    )


def unfinished_table(runs: Sequence[Run]) -> str:
    """How far they came."""
    rows = [("run", "seed", "epochs", "last validation loss", "folder")]
    for run in runs:
        seen = run.curve("validation_loss")
        last = f"{number(seen[max(seen)])} at epoch {max(seen)}" if seen else "–"
        rows.append((f"`{run.name}`", str(run.seed), f"{len(run.epochs)} of {run.settings['epochs']}", last, _path(run.folder)))
    return markdown(rows)


def _path(folder: Path) -> str:
    return f"`{folder}`"
