"""What someone labels next: in the frozen order, blind, and nobody twice."""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Claims", "Item", "Progress", "current_labels", "needed_people", "next_items", "progress_of"]

_HELD_SECONDS = 600.0


class Item(NamedTuple):
    """What a labeller sees of a response; no score, no estimate, no label of others."""

    place: int
    trace_id: str
    prompt: str | None
    answer: str | None
    reference: str | None


class Claims:
    """Who reads which response right now, so that two people do not read the same; forgotten after ten minutes."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[tuple[int, str], dict[str, float]] = {}
        self.lock = threading.Lock()

    def others(self, plan: int, trace_id: str, who: str) -> int:
        """How many others read it."""
        now = self._clock()
        held = self._held.get((plan, trace_id), {})
        return sum(name != who and until > now for name, until in held.items())

    def hold(self, plan: int, trace_id: str, who: str) -> None:
        """Note that someone reads it."""
        if len(self._held) > 100_000:
            self._held.clear()
        self._held.setdefault((plan, trace_id), {})[who] = self._clock() + _HELD_SECONDS

    def release(self, plan: int, trace_id: str, who: str) -> None:
        """Note that someone is done with it."""
        self._held.get((plan, trace_id), {}).pop(who, None)


def current_labels(
    connection: sqlite3.Connection, plan: int, trace_id: str | None = None
) -> dict[str, dict[str, float | None]]:
    """What each person said last of each response, or of one, first person first: a score, or None for a skip."""
    one, given = ("", (plan,)) if trace_id is None else (" AND trace_id=?", (plan, trace_id))
    rows = connection.execute(
        f"SELECT trace_id, who, act, after FROM label_events WHERE plan=?{one} ORDER BY id", given
    )
    found: dict[str, dict[str, float | None]] = {}
    for name, who, act, after in rows:
        own = found.setdefault(name, {})
        if act == "undo" and after is None:
            own.pop(who, None)
        else:
            own[who] = None if act == "skip" else after
    return found


def next_items(connection: sqlite3.Connection, plan: int, who: str, *, claims: Claims, most: int = 2) -> list[Item]:
    """The next responses for someone, in the frozen order.

    A response needs one person, two where it is one of those that two people label, and a third where the two
    disagree. Whoever has labelled or skipped it does not get it again.
    """
    said = current_labels(connection, plan)
    rows = connection.execute(
        "SELECT place, trace_id, is_double FROM plan_items WHERE plan=? ORDER BY place", (plan,)
    ).fetchall()
    found: list[int] = []
    with claims.lock:
        for place, trace_id, is_double in rows:
            own = said.get(trace_id, {})
            wanted = needed_people(own, is_double=bool(is_double)) - len(own)
            if who in own or wanted <= claims.others(plan, trace_id, who):
                continue
            claims.hold(plan, trace_id, who)
            found.append(place)
            if len(found) == most:
                break
    return [_item(connection, plan, place) for place in found]


def needed_people(said: dict[str, float | None], *, is_double: bool) -> int:
    """How many people a response needs, by what was said so far; a skip asks one more, three at most."""
    scores = [score for score in said.values() if score is not None]
    skips = len(said) - len(scores)
    wanted = 2 if is_double else 1
    if len(scores) >= 2 and (scores[0] >= 0.5) != (scores[1] >= 0.5):
        wanted = 3
    return min(wanted + skips, 3)


class Progress(NamedTuple):
    """How far a plan is."""

    n_items: int
    n_done: int
    n_skipped: int
    """Responses that everyone who read them skipped."""
    n_mine: int
    milliseconds: float | None
    """Mean time of the reader for one label."""


def progress_of(connection: sqlite3.Connection, plan: int, who: str) -> Progress:
    """Count what is labelled."""
    said = current_labels(connection, plan)
    (n_items,) = connection.execute("SELECT count(*) FROM plan_items WHERE plan=?", (plan,)).fetchone()
    (mean,) = connection.execute(
        "SELECT avg(milliseconds) FROM label_events WHERE plan=? AND who=? AND act='label' AND milliseconds < 600000",
        (plan, who),
    ).fetchone()
    done = sum(any(score is not None for score in own.values()) for own in said.values())
    skipped = sum(bool(own) and all(score is None for score in own.values()) for own in said.values())
    return Progress(n_items, done, skipped, sum(who in own for own in said.values()), mean)


def _item(connection: sqlite3.Connection, plan: int, place: int) -> Item:
    row = connection.execute(
        "SELECT place, trace_id, prompt, answer, reference FROM plan_items WHERE plan=? AND place=?", (plan, place)
    ).fetchone()
    return Item(*row)
