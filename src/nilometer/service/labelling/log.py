"""The log of labelling: every act is appended, and what labels are now follows from it."""

import sqlite3
import time
from typing import Literal, NamedTuple

from nilometer.errors import TraceFormatError

from .queue import current_labels

__all__ = ["LabelAct", "record_act", "undo_act"]

_MOST_TEXT = 2000


class LabelAct(NamedTuple):
    """One act of one person."""

    plan: int
    trace_id: str
    act: Literal["label", "skip"]
    correct: float | None = None
    """Score in [0, 1] of a label."""
    reason: str = ""
    """Why it was skipped."""
    note: str = ""
    milliseconds: int | None = None
    """Time that it took."""


def record_act(connection: sqlite3.Connection, act: LabelAct, *, who: str) -> int:
    """Append an act inside a transaction, and keep the table of labels in step; its number in the log.

    Raises
    ------
    TraceFormatError
        If the response is not in the plan, the score not in [0, 1], or a skip has no reason.
    """
    _check(connection, act)
    before = current_labels(connection, act.plan, act.trace_id).get(act.trace_id, {}).get(who)
    number = _append(connection, act, who=who, before=before)
    _project(connection, act.plan, act.trace_id, who=who, correct=act.correct)
    return number


def undo_act(connection: sqlite3.Connection, plan: int, *, who: str) -> str | None:
    """Take back the last act of a person in a plan, by an act of its own; the response, None if there is none.

    What stands afterwards is what that person had said of the response before.
    """
    rows = connection.execute(
        "SELECT trace_id, act, before, after FROM label_events WHERE plan=? AND who=? ORDER BY id DESC", (plan, who)
    )
    undone = 0
    for trace_id, act, before, after in rows:
        if act == "undo":
            undone += 1
        elif undone:
            undone -= 1
        else:
            back = LabelAct(plan, trace_id, "label", before)
            _append(connection, back, who=who, before=after, name="undo")
            _project(connection, plan, trace_id, who=who, correct=before)
            return str(trace_id)
    return None


def _check(connection: sqlite3.Connection, act: LabelAct) -> None:
    where = (act.plan, act.trace_id)
    if connection.execute("SELECT 1 FROM plan_items WHERE plan=? AND trace_id=?", where).fetchone() is None:
        raise TraceFormatError(f"`trace_id` must be one of the plan, got {act.trace_id[:100]!r}.")
    if act.act == "label" and (act.correct is None or not 0 <= act.correct <= 1):
        raise TraceFormatError(f"`correct` must be true, false or a score in [0, 1], got {act.correct}.")
    if act.act == "skip" and not act.reason.strip():
        raise TraceFormatError("`reason` is missing: a skip must say why.")
    for name in ("reason", "note"):
        if len(getattr(act, name)) > _MOST_TEXT:
            raise TraceFormatError(f"`{name}` must have at most {_MOST_TEXT} characters.")


def _append(
    connection: sqlite3.Connection, act: LabelAct, *, who: str, before: float | None, name: str | None = None
) -> int:
    row = (time.time_ns() // 1000, who, act.plan, act.trace_id, name or act.act, before, act.correct)
    cursor = connection.execute(
        "INSERT INTO label_events (time, who, plan, trace_id, act, before, after, reason, note, milliseconds) "
        "VALUES (?,?,?,?,?,?,?,?,?,?)",
        (*row, act.reason, act.note, act.milliseconds),
    )
    return int(cursor.lastrowid or 0)


def _project(connection: sqlite3.Connection, plan: int, trace_id: str, *, who: str, correct: float | None) -> None:
    """Keep the label of a person in the table of labels, where fits and exports read it.

    It is not marked as random: the chances of a plan differ between strata, and only the plan's own estimate
    knows them.
    """
    key = f"plan {plan} {who} {trace_id}"
    connection.execute("DELETE FROM labels WHERE key=?", (key,))
    if correct is not None:
        connection.execute(
            "INSERT INTO labels (trace_id, correct, source, time, who, is_random, key) VALUES (?,?,'human',?,?,0,?)",
            (trace_id, correct, time.time_ns() // 1000, who, key),
        )
