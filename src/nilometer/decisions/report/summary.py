"""The first screen of a report: a verdict, the slices that matter most, what changed, and what to do next."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nilometer.estimators import AccuracyChange, Estimate

from .report import Report, short_name

__all__ = ["Action", "SliceRank", "State", "Summary", "rank_slices", "summarize"]

State = Literal["changed", "unknown", "unsure", "known"]
_UNSURE = 0.15
_WORST, _CHANGES = 3, 3


class Action(NamedTuple):
    """Something to do next and the command for it."""

    sentence: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRank:
    """One slice as a reader should see it."""

    slice: str
    n: int
    share: float
    """Of the responses."""
    state: State
    """``changed``: an alert names the slice; ``unknown``: no estimate; ``unsure``: the interval is wider than
    0.15 to either side, or the slice is unlike the labelled ones; else ``known``."""
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    error_share: float | None = None
    """Share of all wrong answers of the slices whose accuracy is known."""
    basis: str = ""
    """What the number rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a hurried reader must know."""

    verdict: str
    worst: tuple[SliceRank, ...]
    """At most three, most wrong answers first."""
    changes: tuple[str, ...]
    actions: tuple[Action, ...]


def rank_slices(report: Report) -> tuple[SliceRank, ...]:
    r"""Slices by their share of all wrong answers, largest first; slices without an estimate last.

    .. math:: e_s = \frac{n_s (1 - a_s)}{\sum_t n_t (1 - a_t)}

    The sum is over the slices with an estimate. With accuracies of 1 everywhere all shares are 0.
    """
    rows = report.best_estimates
    wrong = {row.slice: row.n * (1 - row.accuracy) for row in rows if isinstance(row, Estimate)}
    total, n = sum(wrong.values()) or 1.0, sum(row.n for row in rows)
    changed = {alert.slice for alert in report.watch.alerts} if report.watch is not None else set()
    ranks = []
    for row in rows:
        shared: dict[str, Any] = {"slice": row.slice, "n": row.n, "share": row.n / n}
        is_changed = row.slice in changed
        if isinstance(row, Estimate):
            share, with_labels = wrong[row.slice] / total, report.outlook is not None and row.n_labels > 1
            ranks.append(_known(row, shared, error_share=share, is_changed=is_changed, with_labels=with_labels))
        else:
            ranks.append(SliceRank(**shared, state="changed" if is_changed else "unknown"))
    return tuple(sorted(ranks, key=lambda rank: (rank.error_share is None, -(rank.error_share or 0.0), rank.slice)))


def _known(
    row: Estimate, shared: dict[str, Any], *, error_share: float, is_changed: bool, with_labels: bool
) -> SliceRank:
    is_unsure = (row.high - row.low) / 2 > _UNSURE or not row.in_support
    return SliceRank(
        **shared,
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        error_share=error_share,
        state="changed" if is_changed else "unsure" if is_unsure else "known",
        basis=f"log-probabilities and {row.n_labels:,} labels" if with_labels else "log-probabilities",
    )


def summarize(report: Report) -> Summary:
    """Put a report into a verdict of one sentence, three slices, the changes and at most three actions."""
    ranks = rank_slices(report)
    worst = tuple(rank for rank in ranks if rank.error_share)[:_WORST]
    return Summary(
        verdict=_verdict(report, worst),
        worst=worst,
        changes=tuple(_changes(report)),
        actions=tuple(_actions(report)),
    )


def _verdict(report: Report, worst: tuple[SliceRank, ...]) -> str:
    overall = report.overall
    if report.ranking:
        return "There are no labels yet, so slices are only ranked by how unsure the model was."
    if isinstance(overall, Estimate):
        said = f"{overall.accuracy:.0%} of the answers are correct ({overall.low:.0%} to {overall.high:.0%})"
    else:
        said = "How many answers are correct is not known yet"
    if worst:
        name = short_name(worst[0].slice, report.by)
        said += (
            f"; most of the wrong ones are in {name}"
            if (worst[0].error_share or 0) > 0.5
            else (f"; {name} has the most wrong ones, {worst[0].error_share:.0%} of all")
        )
    alerts = report.watch.alerts if report.watch is not None else ()
    if alerts:
        slices = len({alert.slice for alert in alerts})
        said += f"; {slices} slice{'s' * (slices > 1)} changed, first in {min(alert.window for alert in alerts)}"
    return f"{said}."


def _changes(report: Report) -> list[str]:
    """Say what changed since the first window, the largest changes of all traffic first."""
    watch = report.watch
    if watch is None:
        return ["Nothing can be said about changes: the responses have no times, or all are of one window."]
    if not watch.alerts:
        return [f"No alert in {len(watch.windows):,} windows after the first."]
    changes = dict(watch.changes)
    by_window: dict[str, set[str]] = {}
    for alert in watch.alerts:
        by_window.setdefault(alert.window, set()).add(short_name(alert.slice, watch.by))
    first = sorted(by_window)[:_CHANGES]
    said = [f"{window}: {_named(by_window[window])} changed{_moved(changes.get(window))}." for window in first]
    more = len(by_window) - len(first)
    return [*said, f"{more:,} later windows have alerts too."] if more else said


def _named(names: set[str]) -> str:
    return ", ".join(sorted(names)) if len(names) <= _WORST else f"{len(names):,} slices"


def _moved(change: AccuracyChange | None) -> str:
    if change is None:
        return ""
    return f"; all traffic went from {change.before:.0%} to {change.after:.0%} correct"


def _actions(report: Report) -> list[Action]:
    """At most three, the most important first."""
    found = []
    by = ", ".join(report.by)
    if report.watch is not None and report.watch.alerts:
        sentence = "See since when, and whether the traffic or the answers changed."
        found.append(Action(sentence, report.watch_command))
    if report.ranking:
        sentence = "Label 100 responses; then every slice gets an estimate with an interval."
        return [*found, Action(sentence, report.label_command)]
    if report.outlook is None:
        return found
    wanted = [row for row in report.outlook.plan if row.n_new]
    if wanted:
        most = max(wanted, key=lambda row: row.n_new)
        name = short_name(most.slice, report.by)
        half = f"± {most.half_width:.2f} to about ± {most.expected_half_width:.2f}"
        sentence = f"Label {report.outlook.budget:,} more responses, most of them in {name} ({half})."
        found.append(Action(sentence, report.label_command))
    if report.outlook.acquisition:
        best = short_name(report.outlook.acquisition[0].slice, report.by)
        sentence = f"Collect training data where it closes most errors, first in {best}."
        found.append(Action(sentence, report.acquire_command))
    sentence = f"Find slices that {by} does not show."
    return [*found, Action(sentence, f"nilometer plan weak {report.inputs}")][:3]
