"""What other programs ask: state, slices, hours and texts as JSON."""

import time
from typing import Any

from ..store import SliceRow, realized_rows
from .overview import belief_values
from .questions import HOURS, KEY, SLICE, AskedError, Parameter
from .site import View, Visit

__all__ = ["API_VIEWS"]

_HOUR = 3600


def _health(visit: Visit) -> dict[str, Any]:
    return {**visit.site.store.health(visit.connection), "last_step": visit.site.worker.last_step}


def _slices(visit: Visit) -> dict[str, Any]:
    """Read estimates; while a new sentinel scores what is stored, those of the one before stand beside."""
    store, key = visit.site.store, visit.query["key"]
    last = int(time.time() // _HOUR)
    span = {"first_hour": last - visit.query["hours"] + 1, "last_hour": last}
    found = {(one.model, one.slice): one for one in realized_rows(visit.connection, key, **span)}
    own = store.estimates(key, **span, reader=visit.connection)
    before = store.previous
    earlier = [] if before is None else store.estimates(key, **span, reader=visit.connection, sentinel=before)
    shown, previous = ([_row(row, found.get((row.model, row.slice))) for row in rows] for rows in (own, earlier))
    return {"key": key, "hours": visit.query["hours"], "slices": shown, "by_previous_sentinel": previous}


def _hours(visit: Visit) -> dict[str, Any]:
    key, name = visit.query["key"], visit.query["slice"]
    last = int(time.time() // _HOUR)
    rows = [
        _row(row, None)
        for hour in range(last - visit.query["hours"] + 1, last + 1)
        for row in visit.site.store.estimates(key, first_hour=hour, last_hour=hour, reader=visit.connection, name=name)
    ]
    return {"key": key, "slice": name, "hours": rows}


def _texts(visit: Visit) -> dict[str, Any]:
    found = visit.site.store.text_of(visit.query["trace_id"], visit.connection)
    if found is None:
        raise AskedError(
            404, f"there are no texts of {visit.query['trace_id']!r}. Captures keep them with NILOMETER_TEXTS=1."
        )
    return {name: getattr(found, name) for name in ("trace_id", "time", "prompt", "answer")}


def _row(row: SliceRow, realized: Any) -> dict[str, Any]:
    """One slice as JSON; what is not known is null, and the reason stands beside."""
    return {
        "model": row.model,
        "slice": row.slice,
        "first_hour": row.first_hour * _HOUR,
        "last_hour": row.last_hour * _HOUR,
        "n": row.belief.n,
        **belief_values(row.belief),
        "realized_accuracy": None if realized is None else realized.accuracy,
        "n_random_labels": 0 if realized is None else realized.n_random,
        "n_other_labels": 0 if realized is None else realized.n_other,
    }


API_VIEWS = (
    View("health", "read", _health, "State of the store."),
    View(
        "slices",
        "read",
        _slices,
        "Estimate and realised accuracy of every slice, and what the sentinel before estimates while a new one scores.",
        (KEY, HOURS),
    ),
    View(
        "hours",
        "read",
        _hours,
        "Estimates of one slice in each hour.",
        (KEY, SLICE, HOURS._replace(default=168)),
    ),
    View(
        "texts",
        "label",
        _texts,
        "Redacted prompt and answer of a trace, for those who label.",
        (Parameter("trace_id", None, "id of the trace"),),
    ),
)
