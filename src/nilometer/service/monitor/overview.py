"""Every slice of a key over some hours, as a page shows it: estimate, labels, trend, and what was before."""

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.decisions import TrafficPart, add_parts
from nilometer.estimators import Estimate, NotEnoughData

from ..store import RealizedRow, Store, realized_rows

__all__ = ["Change", "Overview", "Overviews", "SliceView", "read_overview", "with_slices"]

_BUCKETS = 24
_LEAST_FRESH = 15.0
_MOST_SHARE = 0.05
"""Of one core that making overviews again may take."""
_OLDEST = 900.0
_MOST_KEPT = 16

Place = tuple[str, str]
"""Model and slice."""


class Change(NamedTuple):
    """Mean probability of a correct answer against the same number of hours before."""

    before: float
    after: float
    low: float
    """Ends of the 95 % interval of the difference, from the spread of the responses alone."""
    high: float

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


class SliceView(NamedTuple):
    """One slice of one model."""

    model: str
    slice: str
    n: int
    """Responses behind the estimate."""
    n_requests: int
    share: float
    """Of all requests of the model over these hours."""
    belief: Estimate | NotEnoughData
    realized: RealizedRow | None
    trend: tuple[float | None, ...]
    """Mean probability of a correct answer in equal parts of the hours, None where there was no answer."""
    change: Change | None

    @property
    def accuracy(self) -> float | None:
        """Estimated accuracy, None where it cannot be known."""
        return self.belief.accuracy if isinstance(self.belief, Estimate) else None


class Overview(NamedTuple):
    """All slices of a key over some hours."""

    slice_key: str
    first_hour: int
    last_hour: int
    slices: tuple[SliceView, ...]
    whole: tuple[SliceView, ...]
    """All traffic of each model."""
    made: float
    """Seconds since 1970."""


def read_overview(store: Store, connection: sqlite3.Connection, slice_key: str, *, hours: int) -> Overview:
    """Read the slices of a key over the last hours, the present one counted."""
    last = int(time.time() // 3600)
    span = (last - hours + 1, last)
    whole = _views(store, connection, "all", span=span)
    slices = whole if slice_key == "all" else _views(store, connection, slice_key, span=span)
    summed = [with_slices(one, [row for row in slices if row.model == one.model]) for one in whole]
    return Overview(slice_key, *span, tuple(slices), tuple(summed), time.time())


def with_slices(whole: SliceView, slices: Sequence[SliceView]) -> SliceView:
    """Give all traffic of a model the estimate that its slices add up to, where that interval is narrower.

    Requests that belong to no slice may have any accuracy.
    """
    parts = [TrafficPart.of(row.share, row.belief) for row in slices]
    parts.append(TrafficPart(max(1.0 - sum(part.share for part in parts), 0.0), None, 0.0, 1.0))
    direct = whole.belief
    known = [row.belief for row in slices if row.share and isinstance(row.belief, Estimate)]
    if not known:
        return whole
    n_labels, level = sum(belief.n_labels for belief in known), known[0].confidence_level
    summed = add_parts(parts, n=direct.n, n_labels=n_labels, confidence_level=level, name=direct.slice)
    if not isinstance(summed, Estimate) or (
        isinstance(direct, Estimate) and direct.high - direct.low <= summed.high - summed.low
    ):
        return whole
    return whole._replace(belief=replace(summed, realized_accuracy=direct.realized_accuracy))


class Overviews:
    """Keeps overviews and makes them again behind the reader's back, so that a page waits only for the first.

    One that is older than 15 seconds, or than 20 times what it took to make, is made again in a thread while the old
    one is shown; at most a twentieth of a core goes into that.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, int], tuple[Overview, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: set[tuple[str, int]] = set()

    def get(self, slice_key: str, hours: int) -> Overview:
        """Return the overview of a key over the last hours."""
        place = (slice_key, hours)
        with self._lock:
            found = self._kept.get(place)
            if found is not None:
                self._kept.move_to_end(place)
                age = time.time() - found[0].made
                is_due = age > max(_LEAST_FRESH, found[1] / _MOST_SHARE) and place not in self._making
                if is_due and age < _OLDEST:
                    self._making.add(place)
                    threading.Thread(target=self._make, args=place, daemon=True).start()
                if age < _OLDEST:
                    return found[0]
        return self._make(*place)

    def _make(self, slice_key: str, hours: int) -> Overview:
        began = time.perf_counter()
        try:
            connection = self._store.reader()
            try:
                found = read_overview(self._store, connection, slice_key, hours=hours)
            finally:
                connection.close()
            with self._lock:
                self._kept[slice_key, hours] = (found, time.perf_counter() - began)
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            return found
        finally:
            with self._lock:
                self._making.discard((slice_key, hours))


def _views(store: Store, connection: sqlite3.Connection, key: str, *, span: tuple[int, int]) -> list[SliceView]:
    first, last = span
    requests = _requests(connection, key, span)
    totals: dict[str, int] = {}
    for (model, _), n in requests.items():
        totals[model] = totals.get(model, 0) + n
    beliefs = {
        (row.model, row.slice): row.belief
        for row in store.estimates(key, first_hour=first, last_hour=last, reader=connection)
    }
    realized = {(row.model, row.slice): row for row in realized_rows(connection, key, first_hour=first, last_hour=last)}
    trends, changes = _moments(store, connection, key, span=span)
    return [
        SliceView(
            model=place[0],
            slice=place[1],
            n=beliefs[place].n if place in beliefs else 0,
            n_requests=requests.get(place, 0),
            share=requests.get(place, 0) / max(totals.get(place[0], 0), 1),
            belief=beliefs.get(place) or _nothing(store, place[1], requests.get(place, 0)),
            realized=realized.get(place),
            trend=trends.get(place, ()),
            change=changes.get(place),
        )
        for place in sorted({*requests, *beliefs})
    ]


def _nothing(store: Store, name: str, n: int) -> NotEnoughData:
    if store.sentinel is None:
        reason, needed = "There is no sentinel.", "Fit one with `nilometer fit` and start the server with it."
    else:
        reason = "No response of it could be estimated."
        needed = "See the pages Capture and Sentinels for what was refused."
    return NotEnoughData(slice=name, n=n, reason=reason, needed=needed)


def _requests(connection: sqlite3.Connection, key: str, span: tuple[int, int]) -> dict[Place, int]:
    rows = connection.execute(
        "SELECT model, slice, sum(n) FROM requests WHERE slice_key=? AND hour BETWEEN ? AND ? GROUP BY 1, 2",
        (key, *span),
    )
    return {(model, name): n for model, name, n in rows}


def _moments(
    store: Store, connection: sqlite3.Connection, key: str, *, span: tuple[int, int]
) -> tuple[dict[Place, tuple[float | None, ...]], dict[Place, Change]]:
    """Trend of each slice in equal parts of the hours, and its change against as many hours before."""
    if store.sentinel is None:
        return {}, {}
    first, last = span
    n_hours = last - first + 1
    width = -(-n_hours // _BUCKETS)
    n_buckets = -(-n_hours // width)
    rows = connection.execute(
        "SELECT model, slice, (hour - ?) / ?, hour < ?, sum(n), sum(p), sum(p2), sum(w2) FROM moments "
        "WHERE sentinel=? AND slice_key=? AND hour BETWEEN ? AND ? GROUP BY 1, 2, 3, 4",
        (first, width, first, store.sentinel.zero().key, key, first - n_hours, last),
    )
    sums: dict[Place, NDArray[np.float64]] = {}
    trends: dict[Place, list[float | None]] = {}
    for model, name, bucket, is_before, *own in rows:
        place = (model, name)
        sums.setdefault(place, np.zeros((2, 4)))[0 if is_before else 1] += own
        if not is_before and own[0]:
            trends.setdefault(place, [None] * n_buckets)[bucket] = own[1] / own[0]
    changes = {place: change for place, both in sums.items() if (change := _change(both)) is not None}
    return {place: tuple(trend) for place, trend in trends.items()}, changes


def _change(both: NDArray[np.float64]) -> Change | None:
    """Welch's interval of the difference of two weighted means; None with fewer than 30 responses on a side."""
    if (both[:, 0] == 0).any():
        return None
    weight, total, squares, weights2 = both.T
    n = weight**2 / weights2
    if (n < 30).any():
        return None
    mean = total / weight
    variance = np.maximum(squares / weight - mean**2, 0) / (n - 1)
    half = 1.96 * float(np.sqrt(variance.sum()))
    gap = float(mean[1] - mean[0])
    return Change(float(mean[0]), float(mean[1]), gap - half, gap + half)
