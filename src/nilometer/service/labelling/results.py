"""What the labels of a plan say: accuracy by its design, bounds for skips, and how far people agree."""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from nilometer.decisions import PlannedLabel, measure_plan
from nilometer.estimators import Estimate, NotEnoughData, score_interval

from .plans import frozen_items
from .queue import current_labels

__all__ = ["Agreement", "PlanResult", "decided", "plan_results"]


class Agreement(NamedTuple):
    """How far two people agree on the responses that both labelled."""

    n: int
    share: float
    low: float
    high: float


class PlanResult(NamedTuple):
    """One slice of a plan."""

    slice: str
    n: int
    """Responses that the labels speak for."""
    n_labels: int
    n_skipped: int
    accuracy: float | None
    low: float | None
    high: float | None
    if_skipped_wrong: float | None
    """Accuracy if every skipped response were wrong; None without a skip."""
    if_skipped_right: float | None
    reason: str
    """Why it is not known."""


def decided(said: Mapping[str, float | None]) -> float | None:
    """The label of a response: that of the third person where two disagreed, else of the first; None if all skipped."""
    scores = [score for score in said.values() if score is not None]
    if not scores:
        return None
    return scores[2] if len(scores) >= 3 else scores[0]


def plan_results(connection: sqlite3.Connection, plan: int) -> tuple[list[PlanResult], Agreement | None]:
    """Measure the slices of a plan by its design, and the agreement of the people who labelled it."""
    said = current_labels(connection, plan)
    items = frozen_items(connection, plan)
    labels = {name: score for name, own in said.items() if (score := decided(own)) is not None}
    skipped = {name for name, own in said.items() if own and name not in labels}
    middle = measure_plan([items], labels)
    ends = [
        {row.slice: row for row in measure_plan([items], {**labels, **dict.fromkeys(skipped, end)})}
        for end in (0.0, 1.0)
    ]
    return [
        _result(row, [one for one in items if one.slice == row.slice], ends=ends, said=(labels, skipped))
        for row in middle
    ], _agreement(said)


def _result(
    row: Estimate | NotEnoughData,
    items: list[PlannedLabel],
    *,
    ends: list[dict[str, Estimate | NotEnoughData]],
    said: tuple[Mapping[str, float], set[str]],
) -> PlanResult:
    labels, skipped = said
    n_labels = sum(one.trace_id in labels for one in items)
    n_skipped = sum(one.trace_id in skipped for one in items)
    wrong, right = (found.accuracy if isinstance(found := end[row.slice], Estimate) else None for end in ends)
    if not isinstance(row, Estimate):
        reason = f"{row.reason} {row.needed}"
        return PlanResult(row.slice, row.n, n_labels, n_skipped, None, None, None, None, None, reason)
    bounds = (wrong, right) if n_skipped else (None, None)
    return PlanResult(row.slice, row.n, n_labels, n_skipped, row.accuracy, row.low, row.high, *bounds, "")


def _agreement(said: Mapping[str, Mapping[str, float | None]]) -> Agreement | None:
    """Share of the responses with two labels on which the first two say the same; None without any."""
    pairs = []
    for own in said.values():
        scores = [score for score in own.values() if score is not None]
        if len(scores) >= 2:
            pairs.append((scores[0] >= 0.5) == (scores[1] >= 0.5))
    if not pairs:
        return None
    share = sum(pairs) / len(pairs)
    low, high = score_interval(share, len(pairs), confidence_level=0.95)
    return Agreement(len(pairs), share, float(low), float(high))
