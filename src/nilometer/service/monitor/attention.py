"""What needs attention: the state of each slice, their order, and one sentence about everything."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from nilometer.estimators import Estimate

from .alerts import OpenAlert
from .overview import Overview, SliceView

__all__ = ["STATE_NAMES", "Ranked", "Verdict", "rank_views", "state_of", "verdict_of"]

STATE_NAMES = {
    "alert": "alert",
    "below": "below target",
    "unknown": "cannot know",
    "outside": "unlike the labels",
    "known": "known",
}
"""States of a slice in the order in which they need attention, and their names on a page."""

_ORDER = {state: i for i, state in enumerate(STATE_NAMES)}


class Ranked(NamedTuple):
    """A slice with its state."""

    view: SliceView
    state: str
    alerts: tuple[OpenAlert, ...]
    wrong: float
    """Wrong answers that are expected among its requests; where nothing is known, as many as in the average slice."""


class Verdict(NamedTuple):
    """What is wrong now, in one sentence."""

    level: str
    """bad, unsure, good or empty."""
    text: str
    command: str = ""
    """What to run next, where there is something to run."""


def rank_views(
    views: Sequence[SliceView], alerts: Sequence[OpenAlert], *, slice_key: str, target: float | None = None
) -> list[Ranked]:
    """Put slices in the order in which they need attention: by state, then by expected wrong answers."""
    own: dict[tuple[str, str], list[OpenAlert]] = {}
    for alert in alerts:
        if alert.slice_key == slice_key:
            own.setdefault((alert.model, alert.slice), []).append(alert)
    known = [view.accuracy for view in views if view.accuracy is not None]
    usual = 1 - sum(known) / len(known) if known else 0.5
    ranked = []
    for view in views:
        fired = tuple(own.get((view.model, view.slice), ()))
        share_wrong = usual if view.accuracy is None else 1 - view.accuracy
        state = state_of(view, fired, target=target)
        ranked.append(Ranked(view, state, fired, view.n_requests * share_wrong))
    return sorted(ranked, key=lambda one: (_ORDER[one.state], -one.wrong, one.view.slice))


def state_of(view: SliceView, alerts: Sequence[OpenAlert], *, target: float | None) -> str:
    """One of ``STATE_NAMES``."""
    if alerts:
        return "alert"
    if not isinstance(view.belief, Estimate):
        return "unknown"
    if target is not None and view.belief.high < target:
        return "below"
    return "known" if view.belief.in_support else "outside"


def verdict_of(
    overview: Overview,
    ranked: Sequence[Ranked],
    alerts: Sequence[OpenAlert],
    *,
    problems: Mapping[str, str],
    target: float | None = None,
) -> Verdict:
    """Say what is wrong now, or that nothing is."""
    if problems:
        part, reason = next(iter(problems.items()))
        return Verdict("bad", f"The store has a problem with {part}: {reason}")
    if alerts:
        return Verdict("bad", _alerted(alerts))
    if not ranked:
        command = "" if overview.whole else "nilometer proxy --upstream http://127.0.0.1:8080 --port 8100"
        return Verdict("empty", "No request has come in these hours.", command)
    below = [one for one in ranked if one.state == "below"]
    if below:
        return Verdict("bad", _below(below, target or 0.0))
    unknown = [one for one in ranked if one.state == "unknown"]
    if len(unknown) == len(ranked):
        belief = unknown[0].view.belief
        return Verdict("unsure", f"No accuracy can be known: {getattr(belief, 'reason', '')}", _cure(unknown[0]))
    return Verdict(
        "unsure" if unknown else "good", f"Nothing is wrong: no alert is open{_unknown(unknown, len(ranked))}."
    )


def _alerted(alerts: Sequence[OpenAlert]) -> str:
    first = alerts[0]
    since = datetime.fromtimestamp(first.opened / 1e6, tz=UTC)
    said = f"{first.text}, noticed {since:%Y-%m-%d %H:%M} UTC."
    return said if len(alerts) == 1 else f"{len(alerts)} alerts are open. The oldest: {said}"


def _below(below: Sequence[Ranked], target: float) -> str:
    belief = below[0].view.belief
    assert isinstance(belief, Estimate)
    name = "All traffic" if belief.slice == "all" else belief.slice
    said = f"{name} is below the target of {target:.2f}: {belief.accuracy:.2f} ({belief.low:.2f} to {belief.high:.2f})"
    return f"{said}." if len(below) == 1 else f"{len(below)} slices are below the target. {said}."


def _unknown(unknown: Sequence[Ranked], n: int) -> str:
    if not unknown:
        return ""
    share = sum(one.view.share for one in unknown)
    verb = "slice" if n == 1 else "slices"
    return f", but {len(unknown):,} of {n:,} {verb} with {share:.0%} of the traffic cannot be known"


def _cure(one: Ranked) -> str:
    reason = getattr(one.view.belief, "reason", "")
    return "nilometer fit traces.jsonl --labels labels.csv --out sentinel.parquet" if "no sentinel" in reason else ""
