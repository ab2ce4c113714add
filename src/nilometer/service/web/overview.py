"""The first page: one sentence, then the slices in the order in which they need attention."""

from collections.abc import Callable, Sequence
from typing import Any

from nilometer.estimators import Estimate

from ..monitor import open_alerts
from ..monitor.attention import STATE_NAMES, Ranked, rank_views, verdict_of
from ..monitor.overview import SliceView
from .questions import HOURS, KEY, MODEL, PAGE, SEARCH, Parameter, Query
from .site import View, Visit

__all__ = ["OVERVIEW", "belief_values", "view_values"]

_ROWS = 50
_SORTS = ("attention", "slice", "accuracy", "-accuracy", "realized", "-realized", "change", "-change", "n", "-n")


def _overview(visit: Visit) -> dict[str, Any]:
    """Slices of a key over some hours: sorted, searched, filtered, a page of them, beside another model if asked."""
    site, query = visit.site, visit.query
    alerts = open_alerts(visit.connection)
    keys = site.store.slicing.keys
    key = query["key"] or (keys[0] if keys else "all")
    found = site.overviews.get(key, query["hours"])
    ranked = rank_views(found.slices, alerts, slice_key=key, target=site.target)
    verdict = verdict_of(found, ranked, alerts, problems=dict(site.store.problems), target=site.target)
    rows = _sorted(_chosen(ranked, query), query["sort"])
    pages = max(-(-len(rows) // _ROWS), 1)
    page = min(query["page"], pages)
    others = {view.slice: view for view in found.slices if view.model == query["versus"]}
    shown = rows[(page - 1) * _ROWS : page * _ROWS]
    return {
        **query.to_dict(),
        "key": key,
        "page": page,
        "pages": pages,
        "verdict": verdict._asdict(),
        "n_alerts": len(alerts),
        "target": site.target,
        "keys": ["all", *keys],
        "models": sorted({view.model for view in found.whole}),
        "whole": [view_values(one) for one in rank_views(found.whole, alerts, slice_key="all", target=site.target)],
        "counts": {state: sum(one.state == state for one in ranked) for state in STATE_NAMES},
        "state_names": STATE_NAMES,
        "n_slices": len(ranked),
        "n_rows": len(rows),
        "rows": [view_values(one, other=others.get(one.view.slice)) for one in shown],
    }


def _chosen(ranked: Sequence[Ranked], query: Query) -> list[Ranked]:
    words, state, model = query["q"].casefold(), query["state"], query["model"]
    return [
        one
        for one in ranked
        if words in one.view.slice.casefold()
        and (not state or one.state == state)
        and (not model or one.view.model == model)
        and (not query["versus"] or one.view.model != query["versus"])
    ]


_KEYS: dict[str, Callable[[SliceView], Any]] = {
    "slice": lambda view: view.slice,
    "accuracy": lambda view: view.accuracy,
    "realized": lambda view: None if view.realized is None else view.realized.accuracy,
    "change": lambda view: None if view.change is None else view.change.difference,
    "n": lambda view: view.n_requests,
}


def _sorted(ranked: list[Ranked], sort: str) -> list[Ranked]:
    """Sort by a column; what is not known comes last, whatever the direction."""
    if sort == "attention":
        return ranked
    key = _KEYS[sort.removeprefix("-")]
    known = [one for one in ranked if key(one.view) is not None]
    known.sort(key=lambda one: key(one.view), reverse=sort.startswith("-"))
    return [*known, *(one for one in ranked if key(one.view) is None)]


def view_values(one: Ranked, *, other: SliceView | None = None) -> dict[str, Any]:
    """Plain values of one slice."""
    view = one.view
    realized, change = view.realized, view.change
    return {
        "model": view.model,
        "slice": view.slice,
        "state": one.state,
        "n": view.n,
        "n_requests": view.n_requests,
        "share": view.share,
        **belief_values(view.belief),
        "realized_accuracy": None if realized is None else realized.accuracy,
        "n_random_labels": 0 if realized is None else realized.n_random,
        "n_other_labels": 0 if realized is None else realized.n_other,
        "trend": list(view.trend),
        "change": None
        if change is None
        else {**change._asdict(), "difference": change.difference, "is_clear": change.is_clear},
        "alerts": [alert.text for alert in one.alerts],
        "other": None if other is None else belief_values(other.belief),
    }


def belief_values(belief: Any) -> dict[str, Any]:
    """Plain values of an estimate; what is not known is None, and the reason stands beside."""
    known = isinstance(belief, Estimate)
    names = ("accuracy", "low", "high", "confidence_level", "in_support", "note")
    return {
        **{name: getattr(belief, name) if known else None for name in names},
        **{name: None if known else getattr(belief, name) for name in ("reason", "needed")},
    }


OVERVIEW = View(
    "overview",
    "read",
    _overview,
    "What is wrong now, and the slices in the order in which they need attention.",
    (
        KEY._replace(default="", known=lambda site: ("", "all", *site.store.slicing.keys)),
        HOURS,
        MODEL,
        SEARCH,
        Parameter("state", "", "only slices in this state", choices=("", *STATE_NAMES)),
        Parameter("versus", "", "another model to compare with; empty compares with as many hours before"),
        Parameter("sort", "attention", "column to sort by, with - downwards", choices=_SORTS),
        PAGE,
    ),
    path="/",
    template="overview.html",
)
