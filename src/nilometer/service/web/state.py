"""Pages of alerts, capture, sentinels, models beside each other, and the log of acts."""

from shlex import quote
from typing import Any

from nilometer.pages import left_out_svg

from ..monitor import open_alerts
from ..monitor.attention import rank_views
from ..monitor.state import acknowledge, alert_rows, capture_rows, outcome_rows, sentinel_values
from .access import Person
from .overview import view_values
from .questions import HOURS, PAGE, AskedError
from .site import Act, Site, View, Visit

__all__ = ["STATE_ACTS", "STATE_VIEWS"]

_ACTS = 100
_MOST_NOTE = 2000
_OUTCOMES = {
    "scored": "profiled, and estimated unless the sentinel refuses it",
    "no_logprobs": "the answer came without log-probabilities",
    "aborted": "the client went away before the end",
    "unsampled": "only counted, because of sampling",
    "too_large": "longer than the limit of a record",
    "unreadable": "of no known shape",
}


def _alerts(visit: Visit) -> dict[str, Any]:
    """Alerts with their notes; ``alerts`` has those that are open, oldest first."""
    rows = [
        {**row._asdict(), "state": row.state, "notes": [note._asdict() for note in row.notes]}
        for row in alert_rows(visit.connection)
    ]
    return {
        "alerts": [one._asdict() for one in open_alerts(visit.connection)],
        "rows": rows,
        "may_note": visit.who.may("admin") or visit.who.may("read"),
        "folder": quote(str(visit.site.store.root)),
    }


def _acknowledge(site: Site, fields: dict[str, Any], who: Person) -> dict[str, Any]:
    number, note = str(fields.get("id", "")), str(fields.get("note", "")).strip()
    if not (number.isascii() and number.isdigit()) or len(number) > 15:
        raise AskedError(400, f"`id` must be the number of an alert, got {number[:50]!r}.")
    if len(note) > _MOST_NOTE:
        raise AskedError(400, f"`note` must have at most {_MOST_NOTE} characters, got {len(note):,}.")
    done = site.write(
        who,
        "acknowledge",
        lambda connection: acknowledge(connection, int(number), who=who.name, note=note),
        detail=f"alert {number}",
    )
    if not done:
        raise AskedError(404, f"there is no alert {number}.")
    return {"acknowledged": int(number), "to": "/alerts"}


def _capture(visit: Visit) -> dict[str, Any]:
    rows = outcome_rows(visit.site.store, visit.connection, hours=visit.query["hours"])
    return {
        "hours": visit.query["hours"],
        "health": visit.site.store.health(visit.connection),
        "meanings": _OUTCOMES,
        "models": [{**row._asdict(), "refusals": [list(one) for one in row.refusals], "n": row.n} for row in rows],
        "servers": [row._asdict() for row in capture_rows(visit.connection)],
    }


def _sentinels(visit: Visit) -> dict[str, Any]:
    return {
        "sentinel": sentinel_values(visit.site.store, visit.connection),
        "folder": quote(str(visit.site.store.root)),
    }


def _draw_sentinels(values: dict[str, Any]) -> dict[str, Any]:
    return {"chart": left_out_svg(values["sentinel"]["left_out"] if values["sentinel"] else [])}


def _decide(visit: Visit) -> dict[str, Any]:
    """Models beside each other on the same slices."""
    keys = visit.site.store.slicing.keys
    overview = visit.site.overviews.get(keys[0] if keys else "all", visit.query["hours"])
    whole = rank_views(overview.whole, [], slice_key="all", target=visit.site.target)
    best: dict[str, list[tuple[float, str]]] = {}
    for view in overview.slices:
        if view.accuracy is not None:
            best.setdefault(view.slice, []).append((view.accuracy, view.model))
    shared = {name: sorted(found, reverse=True) for name, found in best.items() if len(found) > 1}
    return {
        "hours": visit.query["hours"],
        "key": overview.slice_key,
        "models": [view_values(one) for one in whole],
        "slices": [
            {"slice": name, "models": [{"model": model, "accuracy": a} for a, model in found]}
            for name, found in sorted(shared.items(), key=lambda item: item[1][1][0] - item[1][0][0])[:_ACTS]
        ],
    }


def _log(visit: Visit) -> dict[str, Any]:
    """Who did what, the newest first."""
    (n,) = visit.connection.execute("SELECT count(*) FROM audit").fetchone()
    pages = max(-(-n // _ACTS), 1)
    page = min(visit.query["page"], pages)
    query = "SELECT time, who, act, detail FROM audit ORDER BY id DESC LIMIT ? OFFSET ?"
    rows = visit.connection.execute(query, (_ACTS, (page - 1) * _ACTS)).fetchall()
    names = ("time", "who", "act", "detail")
    tokens = visit.connection.execute("SELECT name, role, made, expires FROM tokens ORDER BY made").fetchall()
    return {
        "page": page,
        "pages": pages,
        "acts": [dict(zip(names, row, strict=True)) for row in rows],
        "tokens": [dict(zip(("name", "role", "made", "expires"), row, strict=True)) for row in tokens],
    }


STATE_VIEWS = (
    View("alerts", "read", _alerts, "Alerts with their notes.", path="/alerts", template="alerts.html"),
    View(
        "capture",
        "read",
        _capture,
        "Whether the pipe holds: requests by outcome, captured servers, what waits.",
        (HOURS,),
        path="/capture",
        template="capture.html",
    ),
    View(
        "sentinels",
        "read",
        _sentinels,
        "The sentinel in use: what it learned from and what its estimates are worth.",
        path="/sentinels",
        template="sentinels.html",
        draw=_draw_sentinels,
    ),
    View(
        "decide", "read", _decide, "Models beside each other.", (HOURS._replace(default=168),), "/decide", "decide.html"
    ),
    View("log", "admin", _log, "Who did what, and who has a token.", (PAGE,), "/log", "log.html"),
)

STATE_ACTS = (
    Act(
        "/alerts/acknowledge",
        "read",
        _acknowledge,
        "Note that someone has seen an alert.",
        (("id", "number of the alert"), ("note", "what is known of it")),
    ),
)
