"""One slice over time: estimate and labels in equal parts of the hours, alerts, other models, and what changed."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nilometer.estimators import AccuracyChange, Estimate, NotEnoughData, decompose_change

from ..store import RealizedRow, Store, realized_rows

__all__ = ["Mark", "Moment", "Place", "read_marks", "read_timeline", "split_change"]

_MOST_PARTS = 48


class Place(NamedTuple):
    """One slice of one model."""

    slice_key: str
    slice: str
    model: str


class Moment(NamedTuple):
    """One part of the hours."""

    first_hour: int
    last_hour: int
    belief: Estimate | NotEnoughData | None
    """None where nothing came."""
    realized: RealizedRow | None


class Mark(NamedTuple):
    """Something that happened at an hour."""

    hour: int
    kind: str
    """alert, resolved or model."""
    text: str


def read_timeline(store: Store, connection: sqlite3.Connection, place: Place, *, span: tuple[int, int]) -> list[Moment]:
    """Estimate a slice in at most 48 equal parts of the hours from first to last."""
    first, last = span
    width = -(-(last - first + 1) // _MOST_PARTS)
    spoken = {hour for (hour,) in connection.execute("SELECT DISTINCT hour FROM labels WHERE hour IS NOT NULL")}
    found = []
    for start in range(first, last + 1, width):
        end = min(start + width - 1, last)
        rows = store.estimates(place.slice_key, first_hour=start, last_hour=end, name=place.slice, reader=connection)
        belief = next((row.belief for row in rows if row.model == place.model), None)
        own = None
        if any(hour in spoken for hour in range(start, end + 1)):
            labelled = realized_rows(connection, place.slice_key, first_hour=start, last_hour=end)
            own = next((row for row in labelled if (row.model, row.slice) == (place.model, place.slice)), None)
        found.append(Moment(start, end, belief, own))
    return found


def read_marks(store: Store, connection: sqlite3.Connection, place: Place, *, span: tuple[int, int]) -> list[Mark]:
    """Alerts of a slice that opened or closed in the hours, and versions of the model that were first seen in them."""
    first, last = span
    marks = []
    rows = connection.execute(
        "SELECT opened, closed, text FROM alerts WHERE slice_key=? AND slice=? AND model=? ORDER BY id",
        (place.slice_key, place.slice, place.model),
    )
    for opened, closed, text in rows:
        marks.append(Mark(opened // 3_600_000_000, "alert", text))
        if closed is not None:
            marks.append(Mark(closed // 3_600_000_000, "resolved", text))
    if store.sentinel is not None:
        seen = connection.execute(
            "SELECT min(hour), fingerprint FROM sums "
            "WHERE sentinel=? AND slice_key='all' AND model=? AND fingerprint<>'' GROUP BY fingerprint ORDER BY 1",
            (store.sentinel.zero().key, place.model),
        ).fetchall()
        marks += [Mark(hour, "model", f"{place.model} first answered as {name}") for hour, name in seen[1:]]
    return sorted(mark for mark in marks if first <= mark.hour <= last)


def split_change(
    store: Store, connection: sqlite3.Connection, place: Place, *, span: tuple[int, int]
) -> AccuracyChange | None:
    """Split the change of all traffic of a model against as many hours before into mix and within, by a key.

    The mean probability of a correct answer stands for the accuracy; None where a side has no traffic.
    """
    if store.sentinel is None:
        return None
    first, last = span
    rows = connection.execute(
        "SELECT slice, hour < ?, sum(n), sum(p) FROM moments "
        "WHERE sentinel=? AND slice_key=? AND model=? AND hour BETWEEN ? AND ? GROUP BY 1, 2",
        (first, store.sentinel.zero().key, place.slice_key, place.model, 2 * first - last - 1, last),
    ).fetchall()
    return _decomposed(rows)


def _decomposed(rows: Sequence[tuple[str, int, float, float]]) -> AccuracyChange | None:
    names = sorted({name for name, *_ in rows})
    numbers = {name: i for i, name in enumerate(names)}
    n, p = np.zeros((2, len(names))), np.zeros((2, len(names)))
    for name, is_before, count, total in rows:
        n[0 if is_before else 1, numbers[name]] += count
        p[0 if is_before else 1, numbers[name]] += total
    if not names or (n.sum(axis=1) == 0).any():
        return None
    shares = n / n.sum(axis=1, keepdims=True)
    means = np.divide(p, n, out=np.full_like(p, np.nan), where=n > 0)
    return decompose_change((shares[0], shares[1]), (means[0], means[1]), names=np.array(names))
