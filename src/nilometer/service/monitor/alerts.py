"""Judging closed windows of a store once, and keeping the alerts that follow."""

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.estimators import confidence_sequence

from ..store import Store
from ..store.database import transaction
from ..store.labels import random_labels
from ..store.slicing import ALL
from .judge import SCALES, Judgement, Scale, judge_windows

__all__ = ["AlertOptions", "Monitor", "OpenAlert", "Sign", "open_alerts"]

_HOUR = 3600
_GRACE = 600
_CALM = 0.05
_LABEL_HOURS = 24 * 30

Place = tuple[str, str, str]
"""Slice key, slice and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertOptions:
    """When to alert."""

    per_month: float = 0.1
    """False alarms expected in 30 days while nothing changes, over all slices, scales and kinds."""
    least_change: float = 0.02
    """Smallest change of the estimated accuracy that is worth an alert."""
    least_accuracy: float | None = None
    """Alert when random labels show that the accuracy of a slice is below; takes half of ``per_month``."""
    reference_hours: int = 168
    """Hours from the first one on that later windows are compared with."""
    calm_windows: int = 3
    """Windows without a sign of a change after which an alert closes."""

    def __post_init__(self) -> None:
        if not 0 < self.per_month <= 100:
            raise ValueError(f"`per_month` must lie in (0, 100], got {self.per_month}.")
        if self.least_accuracy is not None and not 0 < self.least_accuracy < 1:
            raise ValueError(f"`least_accuracy` must lie in (0, 1), got {self.least_accuracy}.")
        if self.reference_hours < 24:
            raise ValueError(f"`reference_hours` must be >= 24, got {self.reference_hours}.")


class Sign(NamedTuple):
    """What one window says of one slice."""

    kind: str
    place: Place
    p_value: float
    text: str
    fires: bool


class OpenAlert(NamedTuple):
    """An alert that has not closed."""

    id: int
    kind: str
    slice_key: str
    slice: str
    model: str
    opened: int
    """Microseconds since 1970, UTC."""
    p_value: float
    text: str


def open_alerts(connection: sqlite3.Connection) -> list[OpenAlert]:
    """Every alert that is open, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, slice_key, slice, model, opened, p_value, text FROM alerts WHERE closed IS NULL ORDER BY id"
    )
    return [OpenAlert(*row) for row in rows]


class _Span(NamedTuple):
    """One window of a scale and the reference windows; all count from 1970 in lengths of the scale."""

    scale: Scale
    sentinel: str
    start: int
    reference_end: int
    window: int

    @property
    def name(self) -> str:
        """The window in words."""
        moment = datetime.fromtimestamp(self.window * self.scale.hours * _HOUR, tz=UTC)
        return f"{moment:%Y-%m-%d %H:%M} UTC" if self.scale.hours == 1 else f"{moment:%Y-%m-%d} UTC"


class Monitor:
    """Judges every window of a store once, when it is closed: ten minutes after its end, with nothing left to read.

    Looking more often changes nothing, so the rate of false alarms holds however often ``step`` runs. A window that
    came while no server ran is judged when one runs again.
    """

    def __init__(self, store: Store, options: AlertOptions | None = None) -> None:
        self._store, self._options = store, options or AlertOptions()

    def step(self, *, now: float | None = None) -> int:
        """Judge what has closed since the last time; how many windows."""
        if self._store.sentinel is None or self._store.waiting_bytes():
            return 0
        key = self._store.sentinel.zero().key
        now = time.time() if now is None else now
        with self._store.writing() as connection:
            return sum(self._judge_scale(connection, scale, key=key, now=now) for scale in SCALES)

    def _judge_scale(self, connection: sqlite3.Connection, scale: Scale, *, key: str, now: float) -> int:
        (first,) = connection.execute("SELECT min(hour) FROM moments WHERE sentinel=?", (key,)).fetchone()
        if first is None:
            return 0
        start = -(-first // scale.hours)
        reference_end = start + self._options.reference_hours // scale.hours
        name = f"judged {key} {scale.name}"
        kept = connection.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        begin = int(kept[0]) + 1 if kept else reference_end
        end = int((now - _GRACE) // _HOUR) // scale.hours
        for window in range(begin, end):
            with transaction(connection):
                self._judge(connection, _Span(scale, key, start, reference_end, window))
                connection.execute("REPLACE INTO meta VALUES (?,?)", (name, str(window)))
        return max(end - begin, 0)

    def _judge(self, connection: sqlite3.Connection, span: _Span) -> None:
        before = _moments(connection, span, start=span.start, end=span.reference_end)
        now = _moments(connection, span, start=span.window, end=span.window + 1)
        places = sorted(before)
        share = 1.0 if self._options.least_accuracy is None else 0.5
        if places:
            reference = np.stack([before[place] for place in places])
            window = np.stack([now[place][0] if place in now else np.zeros(3) for place in places])
            judged = judge_windows(reference, window)
            level = span.scale.level(share * self._options.per_month)
            for i, place in enumerate(places):
                self._follow_change(connection, span, place, judged=judged, row=i, level=level)
        if self._options.least_accuracy is not None and span.scale.hours == 24:
            self._judge_labels(connection, span, n_slices=max(len(places), 1))

    def _follow_change(
        self, connection: sqlite3.Connection, span: _Span, place: Place, *, judged: Judgement, row: int, level: float
    ) -> None:
        if not judged.is_judged[row]:
            return
        kind = f"estimate_changed_{span.scale.name}"
        before, after = float(judged.before[row]), float(judged.after[row])
        fires = judged.adjusted[row] <= level and abs(after - before) >= self._options.least_change
        text = (
            f"{_named(place)}: the estimated probability of a correct answer was {after:.3f} in the {span.scale.name} "
            f"of {span.name}, {before:.3f} in the reference"
        )
        self._follow(
            connection,
            Sign(kind, place, p_value=float(judged.p_value[row]), text=text, fires=bool(fires)),
            is_calm=judged.p_value[row] > _CALM,
        )

    def _judge_labels(self, connection: sqlite3.Connection, span: _Span, *, n_slices: int) -> None:
        """Judge random labels of the 30 days that the window lies in; the sequence begins anew with each 30 days."""
        least = self._options.least_accuracy or 0.0
        hour = span.window * span.scale.hours
        first = hour // _LABEL_HOURS * _LABEL_HOURS
        level = 0.5 * self._options.per_month / n_slices
        for key in (ALL, *self._store.slicing.keys):
            found = random_labels(connection, key, first_hour=first, last_hour=first + _LABEL_HOURS - 1)
            for (name, model), labels in found.items():
                correct, share = _for_traffic(labels, least)
                high = float(confidence_sequence(correct, confidence_level=1 - min(level, 0.5)).high.min())
                text = (
                    f"{_named((key, name, model))}: {len(labels)} random labels, {share:.3f} correct, show an "
                    f"accuracy below {least:g} (at most {high:.3f})"
                )
                sign = Sign("accuracy_fell", (key, name, model), p_value=level, text=text, fires=high < least)
                self._follow(connection, sign, is_calm=share >= least)

    def _follow(self, connection: sqlite3.Connection, sign: Sign, *, is_calm: bool) -> None:
        """Open an alert, keep it open, or close it after enough calm windows."""
        where = (sign.kind, *sign.place)
        found = connection.execute(
            "SELECT id, calm FROM alerts WHERE kind=? AND slice_key=? AND slice=? AND model=? AND closed IS NULL", where
        ).fetchone()
        now = time.time_ns() // 1000
        if found is None:
            if sign.fires:
                connection.execute(
                    "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) VALUES (?,?,?,?,?,?,?)",
                    (*where, now, sign.p_value, sign.text),
                )
            return
        calm = found[1] + 1 if is_calm and not sign.fires else 0
        closed = now if calm >= self._options.calm_windows else None
        connection.execute("UPDATE alerts SET calm=?, closed=? WHERE id=?", (calm, closed, found[0]))


def _for_traffic(labels: list[tuple[float, float]], least: float) -> tuple[NDArray[np.float64], float]:
    r"""Labels x that were captured with probabilities π, as if all traffic had been labelled, and their accuracy.

    .. math:: y = m + \frac{\pi_{\min}}{\pi} (x - m)

    lies in [0, 1] and has a mean of at least m, the least accuracy, wherever the accuracy of the traffic has.
    """
    correct, chances = np.array(labels).T
    return least + chances.min() / chances * (correct - least), float(np.average(correct, weights=1 / chances))


def _named(place: Place) -> str:
    key, name, model = place
    return f"{model}, {'all traffic' if key == ALL else f'{key}={name}'}"


def _moments(connection: sqlite3.Connection, span: _Span, *, start: int, end: int) -> dict[Place, NDArray[np.float64]]:
    """Moments of each slice in the windows from start to before end, shape (windows, 3).

    Weighted by one over the probability of capture, and scaled to as many prompts as tell as much with equal weights.
    """
    hours = span.scale.hours
    rows = connection.execute(
        "SELECT slice_key, slice, model, hour / ? - ?, sum(n), sum(p), sum(p2), sum(w2) FROM moments "
        "WHERE sentinel=? AND hour >= ? AND hour < ? GROUP BY 1, 2, 3, 4",
        (hours, start, span.sentinel, start * hours, end * hours),
    )
    found: dict[Place, NDArray[np.float64]] = {}
    for key, name, model, window, *moments, squares in rows:
        scaled = np.array(moments) * (moments[0] / squares)
        found.setdefault((key, name, model), np.zeros((end - start, 3)))[window] = scaled
    return found
