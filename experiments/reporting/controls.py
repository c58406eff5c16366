"""How much of momentum's gain over the plain LSTM each control has: an LSTM with one of the things that momentum changes."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.reporting import intervals
from experiments.reporting.intervals import Interval, Sample
from experiments.reporting.runs import Group, circumstances_of
from experiments.reporting.scores import Score, of_task
from experiments.reporting.words import mean_and_std, signed, signed_interval
from experiments.tables import markdown

# `ablation_controls_ptb_momentum` is not one of these, and its name has no size: it is no LSTM with a part of what momentum does,
# but the MomentumLSTM with the momentum that the one of Table 3 does not have.
CONTROL = re.compile(r"ablation_controls_(?P<task>[a-z]+)_\w+_(?P<size>\d+)")


class Comparison(NamedTuple):
    """A plain LSTM, the MomentumLSTM, and controls, which differ from their configs in the same things, if any."""

    lstm: Group
    momentum: Group
    controls: list[Group]


def find(groups: Sequence[Group]) -> tuple[list[Comparison], list[Group]]:
    """The comparisons that the runs allow, and the controls that have nothing to be compared with."""
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
    """A comparison's table, and what it says in words."""
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
            lines.append(f"- Mind that these runs are of different {what}: {' / '.join(sorted(values))}.")
    return f"{markdown(rows)}\n\n" + "\n".join(lines)


def _row(group: Group, values: Sample) -> tuple[str, str, str, str, str]:
    return f"`{group.label}`", str(values.n), mean_and_std(values), "", ""


def _difference(control: Sample, momentum: Sample) -> str:
    return f"{signed(control.mean - momentum.mean)}{_in_brackets(intervals.of_difference(control, momentum))}"


def _in_brackets(found: Interval | None) -> str:
    return "" if found is None else f" ({signed_interval(found)})"


class Gain(NamedTuple):
    """What the momentum cell gains over the plain LSTM, and what a control has of it."""

    score: Score
    lstm: Sample
    momentum: Sample

    @property
    def size(self) -> float:
        """Above zero where the momentum cell is better."""
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
            return f"{text}: it is not better, so there is no gain of which a control could have a share."
        if found is None:
            return f"{text}; one of them has a single seed, so nothing tells whether that is chance."
        if found.holds(0.0):
            return f"{text}: not distinguishable from zero, so shares of it have no bounds."
        return f"{text}."

    def share(self, control: Sample) -> str | None:
        """How much of the gain the control has, in percent; None where there is no gain."""
        if self.size <= 0:
            return None
        share = (self.lstm.mean - control.mean) / (self.lstm.mean - self.momentum.mean)
        found = intervals.of_recovery(self.lstm, control, self.momentum)
        if found is not None:
            return f"{100 * share:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
        gain = self._interval
        unbounded = gain is not None and gain.holds(0.0)
        few = f"no interval of fewer than {intervals.FEWEST} seeds"
        return f"{100 * share:.0f} % ({'unbounded' if unbounded else few})"

    def verdict(self, control: Sample) -> str:
        """The share, and whether the control can be told from the momentum cell."""
        share, difference = self.share(control), _difference(control, self.momentum)
        found = intervals.of_difference(control, self.momentum)
        recovers = "" if share is None else f"recovers {share} of the gain; "
        if found is None:
            told = "with a single seed nothing tells them apart"
        elif found.holds(0.0):
            told = "not distinguishable from zero"
        else:
            better = (control.mean > self.momentum.mean) == self.score.higher_is_better
            told = f"the control is {'better' if better else 'worse'}"
        return f"{recovers}it differs from the momentum cell by {difference}: {told}."
