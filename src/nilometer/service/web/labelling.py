"""Labelling: the blind queue for those who label, plans and what they say for those who run them."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from nilometer.decisions import read_label_plan
from nilometer.errors import TraceFormatError
from nilometer.pages import typeset

from ..labelling.exchange import export_plan, read_labels_file
from ..labelling.log import LabelAct, record_act, undo_act
from ..labelling.plans import PlanRow, make_plan, plan_named, plan_rows, save_plan
from ..labelling.queue import Item, next_items, progress_of
from ..labelling.results import plan_results
from .access import Person
from .questions import AskedError, Parameter, link
from .site import Act, Site, View, Visit

__all__ = ["LABEL_ACTS", "LABEL_VIEWS", "plan_file"]

REASONS = ("unclear question", "needs an expert", "text is cut or broken", "other")
_PLAN = Parameter("plan", "", "name of the plan; empty is the newest")


def _label(visit: Visit) -> dict[str, Any]:
    """The next responses of a plan for the one who asks: no score, no estimate, no label of others."""
    plan = plan_named(visit.connection, visit.query["plan"])
    empty = {"plan": None, "plans": [row.name for row in plan_rows(visit.connection)], "items": [], "progress": None}
    if plan is None:
        return {**empty, "reasons": REASONS, "may_plan": visit.who.may("admin")}
    who = visit.who.name
    items = next_items(visit.connection, plan.id, who, claims=visit.site.claims)
    return {
        **empty,
        "plan": plan.name,
        "items": [_shown(item) for item in items],
        "progress": progress_of(visit.connection, plan.id, who)._asdict(),
        "reasons": REASONS,
        "may_plan": visit.who.may("admin"),
    }


def _shown(item: Item) -> dict[str, Any]:
    """What a page shows of a response: its texts, and the answer set as its Markdown reads."""
    set_answer = None if item.answer is None else typeset(item.answer)
    return {**{key: value for key, value in item._asdict().items() if key != "place"}, "typeset": set_answer}


def _plans(visit: Visit) -> dict[str, Any]:
    """Plans, and what the labels of one say so far."""
    rows = plan_rows(visit.connection)
    chosen = plan_named(visit.connection, visit.query["plan"])
    results, agreement = ([], None) if chosen is None else plan_results(visit.connection, chosen.id)
    return {
        "plans": [{**row._asdict(), "progress": progress_of(visit.connection, row.id, "")._asdict()} for row in rows],
        "plan": None if chosen is None else chosen._asdict(),
        "results": [row._asdict() for row in results],
        "agreement": None if agreement is None else agreement._asdict(),
        "keys": ["all", *visit.site.store.slicing.keys],
        "exports": ["csv", "jsonl", "label-studio", "argilla"],
    }


def _act(site: Site, fields: dict[str, Any], who: Person) -> dict[str, Any]:
    """Write down a label or a skip."""
    kind = str(fields.get("act") or "label")
    if kind not in {"label", "skip"}:
        raise AskedError(400, f"`act` must be label or skip, got {kind[:50]!r}.")

    def append(connection: Any) -> int:
        plan = _plan_of(connection, fields)
        act = LabelAct(
            plan.id,
            str(fields.get("trace_id", "")),
            "skip" if kind == "skip" else "label",
            None if kind == "skip" else _score(fields.get("correct")),
            str(fields.get("reason") or "") if kind == "skip" else "",
            str(fields.get("note") or ""),
            _milliseconds(fields.get("milliseconds")),
        )
        number = record_act(connection, act, who=who.name)
        site.claims.release(plan.id, act.trace_id, who.name)
        return number

    number = site.write(who, kind, append, detail=f"{fields.get('plan', '')}: {fields.get('trace_id', '')}"[:500])
    return {"number": number, "to": link("/label", plan=fields.get("plan", ""))}


def _undo(site: Site, fields: dict[str, Any], who: Person) -> dict[str, Any]:
    """Take back the last act of the one who asks."""

    def back(connection: Any) -> str | None:
        return undo_act(connection, _plan_of(connection, fields).id, who=who.name)

    trace_id = site.write(who, "undo", back, detail=str(fields.get("plan", ""))[:500])
    return {"trace_id": trace_id, "to": link("/label", plan=fields.get("plan", ""))}


def _make(site: Site, fields: dict[str, Any], who: Person) -> dict[str, Any]:
    """Freeze a plan: drawn from stored responses, or read from a file of ``nilometer plan label``."""
    name = str(fields.get("name", "")).strip()
    if not 0 < len(name) <= 100:
        raise AskedError(400, f"`name` must have 1 to 100 characters, got {len(name)}.")
    key, seed = str(fields.get("key") or "all"), _whole(fields, "seed", least=0, most=2**31)
    if key not in {"all", *site.store.slicing.keys}:
        raise AskedError(400, f"`key` must be one of all, {', '.join(site.store.slicing.keys)}, got {key[:100]!r}.")
    share = _share(fields.get("double_share") or 0.1)
    if fields.get("file"):
        planned, texts = _read_plan(str(fields["file"]))
        frame = "a file of a plan"
    else:
        last = int(time.time() // 3600)
        hours = (last - _whole(fields, "hours", least=1, most=24 * 366) + 1, last)
        with closing(site.store.reader()) as connection:
            budget = _whole(fields, "budget", least=1, most=20_000)
            planned, found, frame = make_plan(site.store, connection, key, hours=hours, budget=budget, seed=seed)
        texts = {name: (text.prompt, text.answer, None) for name, text in found.items()}
    plan = PlanRow(0, name, 0, who.name, key, seed, share, frame, 0)
    site.write(who, "plan", lambda own: save_plan(own, plan, planned, texts=texts), detail=f"{name}: {len(planned)}")
    return {"plan": name, "n_items": len(planned), "to": link("/plans", plan=name)}


def _import(site: Site, fields: dict[str, Any], who: Person) -> dict[str, Any]:
    """Append labels of a plan that were made elsewhere, all of them or none."""

    def append(connection: Any) -> int:
        acts = read_labels_file(str(fields.get("labels", "")), _plan_of(connection, fields).id)
        for act in acts:
            record_act(connection, act, who=str(fields.get("who") or who.name))
        return len(acts)

    n = site.write(who, "import labels", append, detail=str(fields.get("plan", ""))[:500])
    return {"labels": n, "to": link("/plans", plan=fields.get("plan", ""))}


def plan_file(site: Site, name: str, form: str) -> str:
    """The log of a plan as a file.

    Raises
    ------
    AskedError
        If there is no such plan.
    """
    connection = site.store.reader()
    try:
        plan = _plan_of(connection, {"plan": name})
        return export_plan(connection, plan.id, form)
    finally:
        connection.close()


def _plan_of(connection: Any, fields: dict[str, Any]) -> PlanRow:
    name = str(fields.get("plan", ""))
    found = plan_named(connection, name) if name else None
    if found is None:
        raise AskedError(404, f"there is no plan {name[:100]!r}.")
    return found


def _read_plan(text: str) -> tuple[list[Any], dict[str, tuple[Any, Any, Any]]]:
    import json

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan"
        path.write_text(text, encoding="utf-8", errors="replace")
        planned = list(read_label_plan(path).labels)
    texts = {}
    for line in text.splitlines() if text.lstrip().startswith("{") else ():
        row = json.loads(line) if line.strip() else {}
        if isinstance(row, dict) and "trace_id" in row:
            texts[str(row["trace_id"])] = tuple(_text(row.get(name)) for name in ("prompt", "answer", "reference"))
    return planned, texts  # type: ignore[return-value]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _score(value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError) as exc:
        raise TraceFormatError(f"`correct` must be true, false or a score in [0, 1], got {value!r:.100}.") from exc
    if not 0 <= score <= 1:
        raise TraceFormatError(f"`correct` must be true, false or a score in [0, 1], got {value!r:.100}.")
    return score


def _share(value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError) as exc:
        raise AskedError(400, f"`double_share` must lie in [0, 1], got {value!r:.100}.") from exc
    if not 0 <= share <= 1:
        raise AskedError(400, f"`double_share` must lie in [0, 1], got {share:g}.")
    return share


def _milliseconds(value: Any) -> int | None:
    text = str(value)
    return min(int(text), 10**9) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _whole(fields: dict[str, Any], name: str, *, least: int, most: int) -> int:
    text = str(fields.get(name) or least)
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise AskedError(400, f"`{name}` must be a number from {least} to {most}, got {text[:50]!r}.")
    return int(text)


LABEL_VIEWS = (
    View("label", "label", _label, "The next responses to label.", (_PLAN,), path="/label", template="label.html"),
    View("plans", "admin", _plans, "Plans and what their labels say.", (_PLAN,), path="/plans", template="plans.html"),
)

LABEL_ACTS = (
    Act(
        "/label/act",
        "label",
        _act,
        "Label or skip a response.",
        (
            ("plan", "name of the plan"),
            ("trace_id", "id of the response"),
            ("act", "label or skip"),
            ("correct", "score in [0, 1] of a label"),
            ("reason", "why it is skipped"),
            ("note", "what there is to say"),
            ("milliseconds", "how long it took"),
        ),
    ),
    Act("/label/undo", "label", _undo, "Take back the last act.", (("plan", "name of the plan"),)),
    Act(
        "/plans/make",
        "admin",
        _make,
        "Freeze a plan.",
        (
            ("name", "a new name"),
            ("key", "slice key"),
            ("hours", "hours up to now to draw from"),
            ("budget", "how many responses"),
            ("seed", "of the draw and the order"),
            ("double_share", "share that two people label"),
            ("file", "text of a plan of `nilometer plan label`, in place of drawing one"),
        ),
    ),
    Act(
        "/plans/labels",
        "admin",
        _import,
        "Append labels of a plan that were made elsewhere.",
        (("plan", "name of the plan"), ("labels", "CSV, JSON lines, Label Studio or Argilla"), ("who", "who labelled")),
    ),
)
