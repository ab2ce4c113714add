"""The page of one slice: its time line, what changed, where it is unsure, and what to do."""

from shlex import quote
from typing import Any

from nilometer.estimators import AccuracyChange
from nilometer.pages import entropy_svg, timeline_svg

from ..monitor import Place, least_confident, open_alerts
from ..monitor.attention import STATE_NAMES, rank_views
from ..monitor.responses import ENTROPY_COLUMNS, entropy_lines, read_responses
from ..monitor.timeline import Moment, read_marks, read_timeline, split_change
from ..store.texts import find_texts
from .overview import belief_values, view_values
from .questions import HOURS, KEY, MODEL, SLICE, AskedError
from .site import View, Visit

__all__ = ["SLICE_VIEW"]

_MOST_TOKENS = 80


def _slice(visit: Visit) -> dict[str, Any]:
    """Everything known of one slice over some hours."""
    query, key, name = visit.query, visit.query["key"], visit.query["slice"]
    overview = visit.site.overviews.get(key, query["hours"])
    own = [view for view in overview.slices if view.slice == name and query["model"] in {"", view.model}]
    if not own:
        raise AskedError(404, f"`slice` must be one that had traffic in these hours, got {name!r}.")
    span = (overview.first_hour, overview.last_hour)
    ranked = rank_views(own, open_alerts(visit.connection), slice_key=key, target=visit.site.target)[0]
    place = Place(key, name, ranked.view.model)
    moments = read_timeline(visit.site.store, visit.connection, place, span=span)
    marks = read_marks(visit.site.store, visit.connection, place, span=span)
    change = split_change(visit.site.store, visit.connection, place, span=span)
    return {
        "key": key,
        "slice": name,
        "hours": query["hours"],
        "models": [view.model for view in overview.slices if view.slice == name],
        "model": place.model,
        "state_names": STATE_NAMES,
        "target": visit.site.target,
        "row": view_values(ranked),
        "moments": [_moment(moment) for moment in moments],
        "marks": [mark._asdict() for mark in marks],
        "changes": _changes(change, name),
        **_unsure(visit, place, span=span),
        "commands": _commands(visit, place),
    }


def _moment(moment: Moment) -> dict[str, Any]:
    belief, realized = moment.belief, moment.realized
    known = {} if belief is None else {"n": belief.n, **belief_values(belief)}
    empty = dict.fromkeys(("n", "accuracy", "low", "high", "reason"))
    return {
        "hour": moment.first_hour,
        **empty,
        **known,
        "realized_accuracy": None if realized is None else realized.accuracy,
        "n_random_labels": 0 if realized is None else realized.n_random,
    }


def _changes(change: AccuracyChange | None, name: str) -> dict[str, Any] | None:
    """Split of the change of all traffic, the slice's part in it, and the slices that add most."""
    if change is None:
        return None
    rows = sorted(change.slices, key=lambda row: -abs(row.mix + row.within))
    return {
        "before": change.before,
        "after": change.after,
        "mix": change.mix,
        "within": change.within,
        "own": next((row._asdict() for row in change.slices if row.slice == name), None),
        "most": [row._asdict() for row in rows[:5]],
    }


def _unsure(visit: Visit, place: Place, *, span: tuple[int, int]) -> dict[str, Any]:
    """Entropy along the answers now and before, and the answers that are least sure, with their texts if allowed."""
    store, (first, last) = visit.site.store, span
    now = read_responses(store, visit.connection, place, span=span, columns=ENTROPY_COLUMNS)
    earlier = (2 * first - last - 1, first - 1)
    before = read_responses(store, visit.connection, place, span=earlier, columns=ENTROPY_COLUMNS)
    rows = [] if now is None else least_confident(now)
    texts = {}
    if visit.who.may("label"):
        texts = find_texts(visit.connection, store.root, [str(row["trace_id"]) for row in rows], hours=span)
    for row in rows:
        row["hour"] = int(row["time"].timestamp() // 3600)
        text = texts.get(str(row["trace_id"]))
        row["prompt"] = None if text is None else text.prompt[:300]
        row["answer"] = None if text is None else text.answer[:300]
        row["tokens"] = None
        if text is not None and text.tokens and text.chosen_logprobs:
            row["tokens"] = list(zip(text.tokens, text.chosen_logprobs, strict=False))[:_MOST_TOKENS]
    return {"entropy": [line._asdict() for line in entropy_lines(now, before)], "least_confident": rows}


def _commands(visit: Visit, place: Place) -> list[dict[str, str]]:
    """What to run for this slice, with the command where there is one."""
    folder, name = quote(str(visit.site.store.root)), quote(place.slice)
    where = "" if place.slice_key == "all" else f" --by {quote(place.slice_key)}"
    return [
        {
            "text": "Label some of it at random; the page Plans makes a plan that people label here.",
            "command": f"nilometer plan label profiles.parquet{where} --budget 50 --out plan.jsonl",
        },
        {
            "text": "Take its profiles out and look at them with the other verbs.",
            "command": f"nilometer store export {folder} --out profiles.parquet",
        },
        {
            "text": "Find out which data would help most.",
            "command": f"nilometer plan acquire profiles.parquet{where} --budget 500",
        },
        {"text": f"Watch {name} from the command line.", "command": f"nilometer status {folder}"},
    ]


def _drawn(values: dict[str, Any]) -> dict[str, Any]:
    """Charts of the page; drawn apart from its values, since JSON does not need them."""
    return {
        "timeline": timeline_svg(values["moments"], values["marks"], target=values["target"]),
        "profile": entropy_svg(values["entropy"]),
    }


SLICE_VIEW = View(
    "slice",
    "read",
    _slice,
    "One slice: its time line, what changed, where it is unsure, and what to do.",
    (KEY, SLICE, MODEL, HOURS._replace(default=168)),
    path="/slice",
    template="slice.html",
    draw=_drawn,
)
