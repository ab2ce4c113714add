"""Labels of a plan in the forms of other tools, and from them."""

import csv
import io
import json
import sqlite3
from typing import Any

from nilometer.display import plain_cell, safe_cell, visible_text
from nilometer.errors import TraceFormatError
from nilometer.traces import parse_correct

from .log import LabelAct

__all__ = ["EXPORTS", "export_plan", "read_labels_file"]

EXPORTS = ("csv", "jsonl", "label-studio", "argilla")
_NAMES = ("time", "who", "trace_id", "act", "before", "after", "reason", "note", "milliseconds")


def export_plan(connection: sqlite3.Connection, plan: int, form: str) -> str:
    """Write the log of a plan: every act as CSV or JSON lines, or the labels as tasks of Label Studio or Argilla.

    In CSV a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    rows = connection.execute(
        f"SELECT {', '.join(_NAMES)} FROM label_events WHERE plan=? ORDER BY id", (plan,)
    ).fetchall()
    acts = [dict(zip(_NAMES, row, strict=True)) for row in rows]
    if form == "csv":
        return _csv(acts)
    if form == "jsonl":
        return "".join(json.dumps(act, ensure_ascii=False) + "\n" for act in acts)
    return json.dumps(_tasks(connection, plan, acts, form=form), ensure_ascii=False, indent=1)


def _csv(acts: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, _NAMES)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in act.items()} for act in acts)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return safe_cell(visible_text(value)) if isinstance(value, str) else value


def _tasks(connection: sqlite3.Connection, plan: int, acts: list[dict[str, Any]], *, form: str) -> list[dict[str, Any]]:
    texts = connection.execute("SELECT trace_id, prompt, answer FROM plan_items WHERE plan=? ORDER BY place", (plan,))
    last = {(act["trace_id"], act["who"]): act for act in acts if act["act"] in {"label", "skip", "undo"}}
    found = []
    for trace_id, prompt, answer in texts:
        said = [act for (name, _), act in last.items() if name == trace_id and act["after"] is not None]
        shown = {"prompt": prompt or "", "answer": answer or ""}
        if form == "argilla":
            answers = [{"user": act["who"], "values": {"correct": act["after"]}, "status": "submitted"} for act in said]
            found.append({"id": trace_id, "fields": shown, "responses": answers})
        else:
            marked = [{"completed_by": act["who"], "result": [_choice(act["after"])]} for act in said]
            found.append({"data": {"trace_id": trace_id, **shown}, "annotations": marked})
    return found


def _choice(correct: float) -> dict[str, Any]:
    if correct in {0.0, 1.0}:
        value: dict[str, Any] = {"choices": ["correct" if correct else "wrong"]}
        return {"from_name": "correct", "to_name": "answer", "type": "choices", "value": value}
    return {"from_name": "score", "to_name": "answer", "type": "number", "value": {"number": correct}}


def read_labels_file(text: str, plan: int) -> list[LabelAct]:
    """Read labels of a plan: CSV or JSON lines with ``trace_id`` and ``correct``, or an export of the other tools.

    Raises
    ------
    TraceFormatError
        If a row cannot be read; the message says which and why.
    """
    stripped = text.lstrip("\ufeff \n")
    try:
        if stripped.startswith("["):
            rows = [row for task in json.loads(stripped) for row in _of_task(task)]
        elif stripped.startswith("{"):
            rows = [json.loads(line) for line in stripped.splitlines() if line.strip()]
        else:
            rows = [_plain(row) for row in csv.DictReader(io.StringIO(stripped))]
    except (ValueError, csv.Error, AttributeError, TypeError, KeyError, IndexError) as exc:
        raise TraceFormatError(
            f"the labels cannot be read ({exc}). Give CSV, JSON lines, Label Studio or Argilla."
        ) from exc
    return [_act(row, place, plan) for place, row in enumerate(rows, 1)]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: plain_cell(value) if isinstance(value, str) else value for name, value in row.items()}


def _of_task(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Labels of a task of Label Studio or a record of Argilla."""
    if "responses" in task:
        own = [one.get("values", {}).get("correct") for one in task["responses"]]
        return [{"trace_id": task.get("id"), "correct": _value(one)} for one in own]
    found = []
    for annotation in task.get("annotations", []):
        for result in annotation.get("result", []):
            value = result.get("value", {})
            said = value.get("choices", [None])[0] if "choices" in value else value.get("number")
            found.append({"trace_id": task.get("data", {}).get("trace_id"), "correct": said})
    return found


def _value(one: Any) -> Any:
    return one.get("value") if isinstance(one, dict) else one


def _act(row: Any, place: int, plan: int) -> LabelAct:
    if not isinstance(row, dict) or not row.get("trace_id"):
        raise TraceFormatError(f"label {place}: `trace_id` is missing.")
    given = row.get("correct", row.get("after"))
    try:
        correct = parse_correct(given)
    except (TraceFormatError, ValueError) as exc:
        raise TraceFormatError(f"label {place}: {exc}") from exc
    if correct is None:
        raise TraceFormatError(f"label {place}: `correct` is missing.")
    return LabelAct(plan, str(row["trace_id"]), "label", float(correct), note=str(row.get("note") or ""))
