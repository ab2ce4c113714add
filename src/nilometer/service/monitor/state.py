"""What the pages of alerts, capture and sentinels read."""

import json
import sqlite3
import time
from typing import Any, NamedTuple

from ..store import Store

__all__ = [
    "Acknowledged",
    "AlertRow",
    "CaptureRow",
    "OutcomeRow",
    "acknowledge",
    "alert_rows",
    "capture_rows",
    "outcome_rows",
    "sentinel_values",
]

_ALERTS = 200


class Acknowledged(NamedTuple):
    """A note that someone has seen an alert."""

    time: int
    who: str
    note: str


class AlertRow(NamedTuple):
    """An alert with its notes."""

    id: int
    kind: str
    slice_key: str
    slice: str
    model: str
    opened: int
    """Microseconds since 1970, UTC."""
    closed: int | None
    p_value: float
    text: str
    notes: tuple[Acknowledged, ...]
    """Oldest first."""

    @property
    def state(self) -> str:
        """open, acknowledged or resolved."""
        return "resolved" if self.closed is not None else "acknowledged" if self.notes else "open"


def alert_rows(connection: sqlite3.Connection) -> list[AlertRow]:
    """Alerts, open ones first, the newest first, at most 200."""
    rows = connection.execute(
        "SELECT id, kind, slice_key, slice, model, opened, closed, p_value, text FROM alerts "
        "ORDER BY closed IS NOT NULL, opened DESC, id DESC LIMIT ?",
        (_ALERTS,),
    ).fetchall()
    notes: dict[int, list[Acknowledged]] = {}
    for alert, *note in connection.execute("SELECT alert, time, who, note FROM acknowledgements ORDER BY id"):
        notes.setdefault(alert, []).append(Acknowledged(*note))
    return [AlertRow._make((*row, tuple(notes.get(row[0], ())))) for row in rows]


def acknowledge(connection: sqlite3.Connection, alert: int, *, who: str, note: str) -> bool:
    """Note that someone has seen an alert, inside a transaction; False if there is no such alert."""
    if connection.execute("SELECT 1 FROM alerts WHERE id=?", (alert,)).fetchone() is None:
        return False
    row = (alert, time.time_ns() // 1000, who, note)
    connection.execute("INSERT INTO acknowledgements (alert, time, who, note) VALUES (?,?,?,?)", row)
    return True


class CaptureRow(NamedTuple):
    """A server whose answers are captured."""

    process: str
    time: int
    """Microseconds since 1970 of its last word."""
    counts: dict[str, int]
    n_lost: int
    """Answers that it could not write down."""


def capture_rows(connection: sqlite3.Connection) -> list[CaptureRow]:
    """Latest counts of every captured server, the latest first."""
    found = []
    for process, moment, text in connection.execute("SELECT process, time, counts FROM captures ORDER BY time DESC"):
        counts = {str(name): int(n) for name, n in json.loads(text).items()}
        lost = sum(n for name, n in counts.items() if name.startswith("dropped_") or name == "errors")
        found.append(CaptureRow(process, moment, counts, lost))
    return found


class OutcomeRow(NamedTuple):
    """Requests of one model over some hours by what became of them."""

    model: str
    outcomes: dict[str, int]
    refusals: tuple[tuple[str, int], ...]
    """Why the sentinel refuses responses of the model, and how many since it was fitted."""
    rate: float
    """Requests an hour."""

    @property
    def n(self) -> int:
        """All requests."""
        return sum(self.outcomes.values())


def outcome_rows(store: Store, connection: sqlite3.Connection, *, hours: int) -> list[OutcomeRow]:
    """Count requests of every model by outcome, those with most first."""
    first = int(time.time() // 3600) - hours + 1
    query = "SELECT model, outcome, sum(n) FROM requests WHERE slice_key='all' AND hour >= ? GROUP BY 1, 2"
    found: dict[str, dict[str, int]] = {}
    for model, outcome, n in connection.execute(query, (first,)):
        found.setdefault(model, {})[outcome] = n
    refused: dict[str, list[tuple[str, int]]] = {}
    if store.sentinel is not None:
        query = "SELECT model, reason, n FROM refusals WHERE sentinel=? ORDER BY n DESC"
        for model, reason, n in connection.execute(query, (store.sentinel.zero().key,)):
            refused.setdefault(model, []).append((reason, n))
    rows = [
        OutcomeRow(model, outcomes, tuple(refused.get(model, ())), sum(outcomes.values()) / hours)
        for model, outcomes in found.items()
    ]
    return sorted(rows, key=lambda row: -row.n)


def sentinel_values(store: Store, connection: sqlite3.Connection) -> dict[str, Any] | None:
    """What is known of the sentinel in use; None without one."""
    sentinel = store.sentinel
    if sentinel is None:
        return None
    key, skill = sentinel.zero().key, sentinel.skill_
    fitted = connection.execute("SELECT value FROM meta WHERE name='sentinel_fitted'").fetchone()
    versions = connection.execute(
        "SELECT sentinel, min(hour), max(hour), count(DISTINCT slice_key || ' ' || slice) FROM moments "
        "GROUP BY 1 ORDER BY 3 DESC"
    ).fetchall()
    (waiting,) = connection.execute(
        "SELECT count(*) FROM parts WHERE file NOT IN (SELECT file FROM scored WHERE sentinel=?)", (key,)
    ).fetchone()
    left = [
        {"slice": name, "estimated": one.estimated, "realized": one.realized, "n_labels": int(one.n_labels)}
        for name, one in sentinel.left_out_.items()
    ]
    return {
        "version": key,
        "method": sentinel.method,
        "n_labels": sentinel.n_labels_,
        "n_slices": len(sentinel.slices_),
        "provenance": {name: list(values) for name, values in sentinel.labelled_.profiles.provenance.items()},
        "fitted": None if fitted is None else float(fitted[0]),
        "falls_back": bool(sentinel.falls_back_),
        "skill": None if skill is None else skill.over_constant._asdict(),
        "notes": list(sentinel.notes_),
        "files_waiting": waiting,
        "left_out": sorted(left, key=lambda row: -abs(row["estimated"] - row["realized"])),
        "versions": [
            {"version": version, "first_hour": first, "last_hour": last, "n_slices": n, "is_used": version == key}
            for version, first, last, n in versions
        ],
    }
