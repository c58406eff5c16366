"""The figures of the study's report."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from experiments import plots
from experiments.studies.momentum import prediction, records, verdicts
from experiments.studies.momentum.arms import ARMS
from experiments.studies.momentum.tasks import CORRELATION_TIMES, NOISES, TASKS, dose


def dose_response(folder: Path) -> Figure:
    """The gain of M over S by the correlation time, a panel for each noise: beside the prediction, and below enlarged."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    rows = figure.subplots(2, len(NOISES), sharex=True, sharey="row", height_ratios=(3, 2))
    measured, times = verdicts.doses(folder), np.geomspace(CORRELATION_TIMES[0], CORRELATION_TIMES[-1], 60)
    for column, noise in enumerate(NOISES):
        predicted = [100 * prediction.gain(time, noise) for time in times]
        rows[0, column].plot(times, predicted, color=plots.COLOURS[1], label="predicted, of a reader without memory")
        rows[0, column].set(title=f"noise {noise:g}")
        rows[1, column].axhspan(-verdicts.MARGIN, verdicts.MARGIN, color="0.9", label="margin of equivalence")
        rows[1, column].set(xlabel="correlation time (steps)", xscale="log")
        found = [(time, measured[dose(time, noise)]) for time in CORRELATION_TIMES if dose(time, noise) in measured]
        for axes in rows[:, column]:
            axes.axhline(0, color="0.4", linewidth=0.8)
            if found:
                points = np.array([(time, of.mean, of.mean - of.low, of.high - of.mean) for time, of in found]).T
                style = {"fmt": "o", "color": plots.COLOURS[2], "capsize": 3, "label": "measured, of LSTMs"}
                axes.errorbar(points[0], points[1], points[2:], **style)
            plots.tidy(axes)
    rows[1, 0].set_xticks(CORRELATION_TIMES, [f"{time:g}" for time in CORRELATION_TIMES])
    rows[1, 0].minorticks_off()
    rows[0, 0].set(ylabel="gain of M over S (% of its MSE)")
    rows[1, 0].set(ylabel="the same, enlarged")
    for axes in rows[:, 0]:
        axes.legend(loc="upper left", fontsize=8)
    return figure


def convergence(folder: Path) -> Figure:
    """The validation loss of spoken digits by epoch, mean and range over seeds."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes, found = figure.subplots(), records.read("spoken_digits", folder)
    for number, arm in enumerate(TASKS["spoken_digits"].arms):
        runs = [run["validation"] for run in records.of_arm(found, arm, "run").values() if not run["diverged"]]
        if runs:
            values = np.array(runs).T
            epochs, colour = np.arange(1, len(values) + 1), plots.COLOURS[number % len(plots.COLOURS)]
            style = ("-", "--")[number // len(plots.COLOURS)]
            plots.mean_and_range(axes, epochs, values, style, color=colour, label=f"{arm}: {ARMS[arm].title}")
    axes.set(xlabel="epoch", ylabel="validation MSE", title=TASKS["spoken_digits"].title)
    plots.log_scale(axes)
    plots.tidy(axes)
    if axes.lines:
        axes.legend(fontsize=8)
    return figure


def comparisons(folder: Path) -> Figure:
    """Every registered comparison that has been made, with its 95 % interval, over its margin of equivalence."""
    found = verdicts.registered(folder)
    figure = Figure(figsize=(8.5, 0.9 + 0.36 * max(1, len(found))), layout="constrained")
    axes = figure.subplots()
    for row, (key, (of, _, verdict)) in enumerate(reversed(found.items())):
        margin = verdicts.margin_of(key[0])
        axes.barh(row, 2 * margin, left=-margin, height=0.7, color="0.9")
        colour = {"better": plots.COLOURS[3], "worse": plots.COLOURS[2]}.get(verdict, plots.COLOURS[0])
        axes.errorbar(of.mean, row, xerr=[[of.mean - of.low], [of.high - of.mean]], fmt="o", color=colour, capsize=3)
        axes.text(1.01, row, verdict, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=colour)
    labels = [f"{TASKS[task].title}: {arm} – {other}" for task, arm, other in reversed(found)]
    axes.set_yticks(range(len(found)), labels, fontsize=8)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set(xlabel="better by: % of the mean error, or points of accuracy (grey: the margin of equivalence)")
    axes.set_xscale("symlog", linthresh=2)  # some differences are of hundreds
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    plots.tidy(axes)
    return figure
