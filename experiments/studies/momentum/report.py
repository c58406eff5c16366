"""The report of the study, from the records alone: what fills `TEMPLATE.md`."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import checkpoint, plots, tables
from experiments.studies.momentum import figures, gradients, prediction, records, verdicts
from experiments.studies.momentum.arms import ARMS, TRIALS
from experiments.studies.momentum.remaining import EXPLORATION
from experiments.studies.momentum.tasks import CORRELATION_TIMES, DOSES, NOISES, TASKS, dose
from experiments.studies.momentum.verdicts import Comparison, Outcome

TEMPLATE = Path(__file__).with_name("TEMPLATE.md")
REPORT = "REPORT.md"
NOT_YET = "not run yet"
Rows = list[tuple[str, ...]]


def write(results: Path) -> str:
    """Write the report and its figures beside the results' folder; its text."""
    for name, draw in (
        ("comparisons.png", figures.comparisons),
        ("dose_response.png", figures.dose_response),
        ("convergence.png", figures.convergence),
    ):
        checkpoint.write(results.parent / name, plots.png(draw(results)))
    everything = [record for task in TASKS for record in records.read(task, results)]
    text = TEMPLATE.read_text().format(
        summary=_summary(results),
        arms="; ".join(f"{arm}: {of.title}" for arm, of in ARMS.items()) + ".",
        verdicts=_verdicts(results),
        margin=f"{verdicts.MARGIN:g}",
        points=f"{verdicts.POINTS:g}",
        comparisons=len(verdicts.REGISTERED),
        pipeline=_pipeline(results),
        scores="\n\n".join(_scores(task, results) for task in TASKS if task not in DOSES),
        doses=_doses(results),
        convergence=_convergence(results),
        frame=gradients.STEPS,
        gradients=_gradients(results),
        exploration=_exploration(results),
        budget=_budget(results),
        commits=", ".join(sorted({str(record["commit"]) for record in everything})) or "none",
        devices=", ".join(sorted({f"{record['device']}, jax {record['jax']}" for record in everything})) or "none",
        diverged=_diverged(everything),
    )
    checkpoint.write(results.parent / REPORT, text.encode())
    return text


def _summary(results: Path) -> str:
    """How many comparisons have which verdict."""
    found: dict[str, list[str]] = {}
    for (task, arm, other), outcome in verdicts.registered(results).items():
        found.setdefault(outcome.verdict, []).append(f"{arm} – {other} on {TASKS[task].title}{_so_far(task, outcome)}")
    left = len(verdicts.REGISTERED) - sum(map(len, found.values()))
    lines = [f"- **{verdict}**: {'; '.join(of)}" for verdict, of in sorted(found.items())]
    return "\n".join(
        [*lines, *([f"- {NOT_YET}: {left} of the {len(verdicts.REGISTERED)} registered comparisons"] if left else [])]
    )


def _so_far(task: str, outcome: Outcome) -> str:
    seeds, planned = outcome.comparison.seeds, TASKS[task].seeds
    return "" if seeds == planned else f" (so far, {seeds} of {planned} seeds)"


def _verdicts(results: Path) -> str:
    found = verdicts.registered(results)
    rows: Rows = [("comparison", "better by", "95 % interval", "p, adjusted", "p, not equivalent", "seeds", "verdict")]
    for key in verdicts.REGISTERED:
        task, arm, other = key
        name = f"{TASKS[task].title}: {arm} – {other}"
        if key not in found:
            rows.append((name, *["–"] * 5, NOT_YET))
            continue
        of, adjusted, verdict = found[key]
        seeds = f"{of.seeds} of {TASKS[task].seeds}"
        rows.append((name, *_shown(of, task), f"{adjusted:.2g}", f"{of.p_equivalent:.2g}", seeds, f"**{verdict}**"))
    return tables.markdown(rows)


def _shown(of: Comparison, task: str) -> tuple[str, str]:
    unit = " points" if TASKS[task].higher_is_better else " %"
    return f"{of.mean:+.2f}{unit}", f"{of.low:+.2f} to {of.high:+.2f}"


def _pipeline(results: Path) -> str:
    checked = verdicts.pipeline(results)
    if checked is None:
        return f"{NOT_YET}; until then the verdicts are provisional."
    of, holds = checked
    says = "as it must be" if holds else "**something is wrong, and there is no verdict**"
    return "{} ({}): {}.".format(*_shown(of, verdicts.PIPELINE[0]), says)


def _scores(task: str, results: Path) -> str:
    planned, found = TASKS[task], records.read(task, results)
    rows: Rows = [("arm", "chosen of the trials", f"test {planned.unit}", tables.BEST_EPOCH, "seeds")]
    for arm in planned.arms:
        runs, scores = records.of_arm(found, arm, "run"), list(verdicts.test_scores(task, arm, results).values())
        if not scores:
            said = (
                f"all {len(runs)} runs diverged" if runs else f"{len(records.of_arm(found, arm, 'trial'))} of {TRIALS} trials run"
            )
            rows.append((arm, said, "–", "–", "0"))
            continue
        values = _values(next(iter(runs.values())))
        spread = f" ± {statistics.stdev(scores):.3g}" if len(scores) > 1 else ""
        epochs = [run["best_epoch"] for run in runs.values() if not run["diverged"]]
        row = (arm, values, f"{statistics.mean(scores):.4g}{spread}", tables.median_and_range(epochs), str(len(scores)))
        rows.append(row)
    mixed = verdicts.differences(task, "M", "L", results)
    beside = ""
    if len(mixed) > 1:
        mean, interval = _shown(verdicts.compare(mixed, verdicts.margin_of(task)), task)
        beside = f"\n\nM – L, which mixes scale and smoothing: {mean} ({interval})."
    return f"### {planned.title[0].upper()}{planned.title[1:]}\n\n{tables.markdown(rows)}{beside}"


def _values(run: dict[str, Any]) -> str:
    return ", ".join(f"{_NAMES[name]} {value:g}" for name, value in run["values"].items())


_NAMES = {"learning_rate": "learning rate", "mu": "μ", "gain": "g", "step_size": "s", "beta": "β"}


def _doses(results: Path) -> str:
    measured = verdicts.doses(results)
    rows: Rows = [("correlation time", "noise", "predicted gain", "measured gain of M over S", "95 % interval", "seeds")]
    pairs = []
    for time in CORRELATION_TIMES:
        for noise in NOISES:
            task, predicted = dose(time, noise), 100 * prediction.gain(time, noise)
            of = measured.get(task)
            shown = ("–", "–", NOT_YET) if of is None else (*_shown(of, task), str(of.seeds))
            rows.append((f"{time:g}", f"{noise:g}", f"{predicted:.1f} %", *shown))
            pairs += [] if of is None else [(predicted, of.mean)]
    if len(pairs) < len(DOSES):
        return tables.markdown(rows)
    predicted_gains, measured_gains = zip(*pairs, strict=True)
    correlation, p = verdicts.rank_correlation(predicted_gains, measured_gains)
    supported = "supported" if correlation > 0.5 and p < verdicts.LEVEL else "not supported"
    outcome = f"Spearman's correlation of the two gains is {correlation:.2f} (one-sided p = {p:.2g} by permutation)"
    sizes = (
        f"{min(measured_gains):+.1f} % to {max(measured_gains):+.1f} %, where {min(predicted_gains):.1f} % to "
        f"{max(predicted_gains):.1f} % are predicted"
    )
    return (
        f"{tables.markdown(rows)}\n\n{outcome}: the first part of H3 is **{supported}**. That is about the order of the doses "
        f"and not about the size: the measured gains are {sizes}. {_dose_values(results)}"
    )


def _dose_values(results: Path) -> str:
    """What was chosen of the trials, for the doses that are tuned."""
    chosen = []
    for task, planned in DOSES.items():
        if planned.tuned_on is None:
            found = records.read(task, results)
            values = [f"{arm}: {_values(next(iter(records.of_arm(found, arm, 'run').values())))}" for arm in planned.arms]
            chosen.append(f"for {planned.title} {'; '.join(values)}")
    return f"Chosen of the trials: {', and '.join(chosen)}."


def _convergence(results: Path) -> str:
    task = "spoken_digits"
    of = verdicts.faster(task, results)
    if of is None:
        return f"{NOT_YET.capitalize()}."
    rows: Rows = [("arm", "median epoch at which L's best loss is reached", "seeds that never reach it")]
    for arm in ("S", "M"):
        reached = verdicts.epochs_to(task, arm, results).values()
        never = sum(map(math.isinf, reached))
        rows.append((arm, f"{np.median(list(reached)):g}", f"{never} of {len(reached)}"))
    kind = verdicts.verdict(of, of.p)
    said = {"better": "M needs fewer epochs than S", "worse": "M needs more epochs than S"}.get(kind, kind)
    numbers = f"{of.mean:+.1f} epochs ({of.low:+.1f} to {of.high:+.1f}, p = {of.p:.2g}, {of.seeds} seeds)"
    return f"{tables.markdown(rows)}\n\nS – M: {numbers}, with a margin of {verdicts.EPOCHS:g}: **{said}**."


def _gradients(results: Path) -> str:
    found = records.read("spoken_digits", results)
    rows: Rows = [("arm", "seed", "when", *(f"k = {back}" for back in gradients.BACK))]
    for arm in gradients.RECORDED_ARMS:
        for seed, run in records.of_arm(found, arm, "run").items():
            for when, norms in run.get("gradient_norms", {}).items():
                rows.append((arm, str(seed), when, *(f"{norm:.1e}" for norm in norms["norm"])))
    return tables.markdown(rows) if len(rows) > 1 else f"{NOT_YET.capitalize()}."


def _exploration(results: Path) -> str:
    """M with the learning rate and the gain of S, beside S with the same seeds."""
    found = [run for run in records.read("spoken_digits", results) if run["kind"] == EXPLORATION and not run["diverged"]]
    plain = verdicts.test_scores("spoken_digits", "S", results)
    rows: Rows = [("M", "test MSE", "S, the same seeds", "seeds")]
    for mu in sorted({run["values"]["mu"] for run in found}):
        runs = [run for run in found if run["values"]["mu"] == mu and run["seed"] in plain]
        shown = (f"{np.mean([run['test'] for run in runs]):.4g}", f"{np.mean([plain[run['seed']] for run in runs]):.4g}")
        rows.append((_values(runs[0]), *shown, str(len(runs))))
    return tables.markdown(rows) if len(rows) > 1 else f"{NOT_YET.capitalize()}."


def _budget(results: Path) -> str:
    rows: Rows = [("task", "trials", "runs", "core-hours", "share in the plan")]
    hours = 0.0
    for title, names in [*((TASKS[task].title, [task]) for task in TASKS if task not in DOSES), ("dose and response", [*DOSES])]:
        found = [record for name in names for record in records.read(name, results)]
        trials, runs = (str(sum(record["kind"] == kind for record in found)) for kind in ("trial", "run"))
        spent, share = sum(record["core_seconds"] for record in found) / 3600, sum(TASKS[name].share for name in names)
        rows.append((title, trials, runs, f"{spent:.2f}", f"{share:g}"))
        hours += spent
    return tables.markdown([*rows, ("all", "", "", f"{hours:.2f}", "40")])


def _diverged(everything: Sequence[dict[str, Any]]) -> str:
    """A line for each run that diverged."""
    return "".join(
        f"- {TASKS[run['task']].title}, {run['arm']}, seed {run['seed']}: diverged, and counts as the arm's worst finite score.\n"
        for run in everything
        if run["kind"] == "run" and run["diverged"]
    )
