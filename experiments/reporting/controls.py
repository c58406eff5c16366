"""How much of momentum's gain over the plain LSTM each control recovers: an LSTM with one of the changes that momentum makes."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.reporting import intervals
from experiments.reporting.intervals import Interval, Sample
from experiments.reporting.runs import Group, circumstances_of
from experiments.reporting.scores import Score, of_task
from experiments.reporting.words import mean_and_std, signed, signed_interval
from experiments.tables import markdown

# Not `ablation_controls_ptb_momentum`, which has no size in its name: it is a MomentumLSTM, with momentum, which Table 3's lacks.
CONTROL = re.compile(r"ablation_controls_(?P<task>[a-z]+)_\w+_(?P<size>\d+)")


class Comparison(NamedTuple):
    """A plain LSTM, the MomentumLSTM and controls, all with the same changes to their configs."""

    lstm: Group
    momentum: Group
    controls: list[Group]


def find(groups: Sequence[Group]) -> tuple[list[Comparison], list[Group]]:
    """The comparisons that the runs allow, and the controls without runs to compare with."""
    comparisons: dict[int, Comparison] = {}
    alone = []
    for group in groups:
        named = CONTROL.fullmatch(group.name)
        if named is None:
            continue
        lstm, momentum = (
            _partner(groups, f"{named['task']}_{cell}_{named['size']}", group) for cell in ("lstm", "momentum_lstm")
        )
        if lstm is None or momentum is None:
            alone.append(group)
        else:
            comparisons.setdefault(id(lstm), Comparison(lstm, momentum, [])).controls.append(group)
    return list(comparisons.values()), alone


def _partner(groups: Sequence[Group], name: str, control: Group) -> Group | None:
    return next((group for group in groups if group.name == name and _terms(group) == _terms(control)), None)


def _terms(group: Group) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was set on the command line, and the data."""
    return {key: value for key, (value, _) in group.changes.items()}, group.runs[0].data


def section(comparison: Comparison) -> str:
    """A comparison's table, and its results in words."""
    score = of_task(comparison.lstm.task, comparison.lstm.runs[0])[0]
    lstm, momentum = (intervals.sample(score.values(group)) for group in (comparison.lstm, comparison.momentum))
    gain = Gain(score, lstm, momentum)
    rows = [(score.title, "n", "mean ± std", "recovers", "minus the momentum cell")]
    rows += [_row(comparison.lstm, lstm), _row(comparison.momentum, momentum)]
    lines = [f"- {gain.sentence(comparison)}"]
    for group in comparison.controls:
        control = intervals.sample(score.values(group))
        share, difference = gain.share(control), _difference(control, momentum)
        rows.append((f"`{group.label}`", str(control.n), mean_and_std(control), share or "–", difference))
        lines.append(f"- `{group.label}` {gain.verdict(control)}")
    for what, values in circumstances_of([comparison.lstm, comparison.momentum, *comparison.controls]).items():
        if len(values) > 1:
            lines.append(f"- Note: these runs have different {what}: {' / '.join(sorted(values))}.")
    return f"{markdown(rows)}\n\n" + "\n".join(lines)


def _row(group: Group, values: Sample) -> tuple[str, str, str, str, str]:
    return f"`{group.label}`", str(values.n), mean_and_std(values), "", ""


def _difference(control: Sample, momentum: Sample) -> str:
    return f"{signed(control.mean - momentum.mean)}{_in_brackets(intervals.of_difference(control, momentum))}"


def _in_brackets(found: Interval | None) -> str:
    return "" if found is None else f" ({signed_interval(found)})"


class Gain(NamedTuple):
    """What the momentum cell gains over the plain LSTM, and the share of it that a control has."""

    score: Score
    lstm: Sample
    momentum: Sample

    @property
    def size(self) -> float:
        """Positive where the momentum cell is better."""
        return (self.momentum.mean - self.lstm.mean) * (1 if self.score.higher_is_better else -1)

    @property
    def _interval(self) -> Interval | None:
        pair = (self.momentum, self.lstm) if self.score.higher_is_better else (self.lstm, self.momentum)
        return intervals.of_difference(*pair)

    def sentence(self, comparison: Comparison) -> str:
        """Whether there is a gain."""
        found = self._interval
        text = (
            f"`{comparison.momentum.label}` gains {signed(self.size)}{_in_brackets(found)} over `{comparison.lstm.label}` "
            f"in {self.score.title}"
        )
        if self.size <= 0:
            return f"{text}: it is not better, so there is no gain to recover."
        if found is None:
            return f"{text}; one of them has a single seed, so this may be chance."
        if found.holds(0.0):
            return f"{text}: not distinguishable from zero, so shares of it are unbounded."
        return f"{text}."

    def share(self, control: Sample) -> str | None:
        """The share of the gain that the control has, in percent; None if there is no gain."""
        if self.size <= 0:
            return None
        share = (self.lstm.mean - control.mean) / (self.lstm.mean - self.momentum.mean)
        found = intervals.of_recovery(self.lstm, control, self.momentum)
        if found is not None:
            return f"{100 * share:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
        gain = self._interval
        unbounded = gain is not None and gain.holds(0.0)
        few = f"no interval below {intervals.FEWEST} seeds"
        return f"{100 * share:.0f} % ({'unbounded' if unbounded else few})"

    def verdict(self, control: Sample) -> str:
        """The share, and whether the control is distinguishable from the momentum cell."""
        share, difference = self.share(control), _difference(control, self.momentum)
        found = intervals.of_difference(control, self.momentum)
        recovers = "" if share is None else f"recovers {share} of the gain; "
        if found is None:
            told = "a single seed does not show whether that is chance"
        elif found.holds(0.0):
            told = "not distinguishable from zero"
        else:
            better = (control.mean > self.momentum.mean) == self.score.higher_is_better
            told = f"the control is {'better' if better else 'worse'}"
        return f"{recovers}it differs from the momentum cell by {difference}: {told}."
