"""The first screen of a report: a verdict, the slices that matter most, what changed, and what to do next."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nilometer.estimators import Estimate, NotEnoughData

from ..headline.basis import Basis, basis_of
from .report import Report, short_name

__all__ = ["Action", "SliceRank", "State", "Step", "Summary", "rank_estimates", "rank_slices", "summarize"]

State = Literal["changed", "unknown", "unsure", "known"]
Step = Literal["watch", "label", "acquire", "weak"]
"""What can be done next: follow slices over time, label, collect examples, look for slices that nobody named."""
_UNSURE = 0.15
_WORST, _CHANGES = 3, 3


class Action(NamedTuple):
    """Something to do next, and the kind of step that it is."""

    sentence: str
    step: Step


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
    basis: Basis = "nothing"
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
    """Slices by their share of all wrong answers, largest first; see :func:`rank_estimates`."""
    changed = {name for event in report.watch.events for name in event.slices} if report.watch is not None else set()
    return rank_estimates(report.estimates, changed=changed)


def rank_estimates(
    estimates: Iterable[Estimate | NotEnoughData], *, changed: Collection[str] = ()
) -> tuple[SliceRank, ...]:
    r"""Slices by their share of all wrong answers, largest first; slices without an estimate last.

    .. math:: e_s = \frac{n_s (1 - a_s)}{\sum_t n_t (1 - a_t)}

    The sum is over the slices with an estimate. With accuracies of 1 everywhere all shares are 0.

    Parameters
    ----------
    estimates
        Of the slices.
    changed
        Slices that an alert names.
    """
    rows = tuple(estimates)
    wrong = {row.slice: row.n * (1 - row.accuracy) for row in rows if isinstance(row, Estimate)}
    total, n = sum(wrong.values()) or 1.0, sum(row.n for row in rows)
    ranks = []
    for row in rows:
        shared: dict[str, Any] = {"slice": row.slice, "n": row.n, "share": row.n / n}
        is_changed = row.slice in changed
        if isinstance(row, Estimate):
            ranks.append(_known(row, shared, error_share=wrong[row.slice] / total, is_changed=is_changed))
        else:
            ranks.append(SliceRank(**shared, state="changed" if is_changed else "unknown"))
    return tuple(sorted(ranks, key=lambda rank: (rank.error_share is None, -(rank.error_share or 0.0), rank.slice)))


def _known(row: Estimate, shared: dict[str, Any], *, error_share: float, is_changed: bool) -> SliceRank:
    is_unsure = (row.high - row.low) / 2 > _UNSURE or not row.in_support
    return SliceRank(
        **shared,
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        error_share=error_share,
        state="changed" if is_changed else "unsure" if is_unsure else "known",
        basis=basis_of(row),
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
    events = report.watch.events if report.watch is not None else ()
    slices = {name for event in events for name in event.slices}
    if events:
        said += f"; {len(slices):,} slice{'s' * (len(slices) > 1)} changed, first in {events[0].start}"
    return f"{said}."


def _changes(report: Report) -> list[str]:
    """Say what changed since the first window, oldest first."""
    watch = report.watch
    if watch is None:
        return ["Nothing can be said about changes: the responses have no times, or all are of one window."]
    if not watch.events:
        return [f"No alert in {len(watch.windows):,} windows after the first."]
    said = [
        event.told({name: short_name(name, watch.by) for name in event.slices}) for event in watch.events[:_CHANGES]
    ]
    more = len(watch.events) - len(said)
    return [*said, f"{more:,} more events, all below."] if more else said


def _actions(report: Report) -> list[Action]:
    """At most three, the most important first."""
    found: list[Action] = []
    if report.watch is not None and report.watch.events:
        found.append(Action("See since when, and whether the traffic or the answers changed.", "watch"))
    if report.ranking:
        return [*found, Action("Label 100 responses; then every slice gets an estimate with an interval.", "label")]
    if report.outlook is None:
        return found
    wanted = [row for row in report.outlook.plan if row.n_new]
    if wanted:
        most = max(wanted, key=lambda row: row.n_new)
        name = short_name(most.slice, report.by)
        half = f"± {most.half_width:.2f} to about ± {most.expected_half_width:.2f}"
        sentence = f"Label {report.outlook.budget:,} more responses, most of them in {name} ({half})."
        found.append(Action(sentence, "label"))
    if report.outlook.acquisition:
        best = short_name(report.outlook.acquisition[0].slice, report.by)
        found.append(Action(f"Collect training data where it closes most errors, first in {best}.", "acquire"))
    return [*found, Action(f"Find slices that {', '.join(report.by)} does not show.", "weak")][:3]
