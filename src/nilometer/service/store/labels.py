"""Labels that arrive late and from elsewhere: appended, then joined with the profile of their trace."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from .slicing import ALL, NO_SLICE, SLICE_COLUMNS, column_values, places_of

__all__ = ["LabelIn", "RealizedRow", "add_labels", "join_pending", "join_with_parts", "random_labels", "realized_rows"]

_COLUMNS = ("trace_id", "time", "attributes", "p_correct", "capture_probability", *SLICE_COLUMNS)
_HOUR_US = 3600 * 1_000_000


class LabelIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label as it is sent."""

    trace_id: str
    correct: bool | float
    """Right or wrong, or a score in [0, 1]."""
    source: str = "human"
    """human, judge, verifier, feedback or a name of your own."""
    time: int | None = None
    """Microseconds since 1970, UTC; None is now."""
    is_random: bool = False
    """Whether the response was drawn at random for labelling; only such labels enter estimates and alerts."""
    key: str | None = None
    """A key of your own; a label with a key that came before is not added again."""

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= 1:
            raise ValueError(f"`correct` must be true, false or a score in [0, 1], got {self.correct}.")
        if not self.trace_id:
            raise ValueError("`trace_id` must not be empty.")


def add_labels(connection: sqlite3.Connection, labels: Sequence[LabelIn], *, who: str) -> int:
    """Append labels inside a transaction; how many were new. A label of an unknown trace waits for it."""
    now = time.time_ns() // 1000
    before = connection.total_changes
    rows = [
        (one.trace_id, float(one.correct), one.source, one.time or now, who, one.is_random, one.key) for one in labels
    ]
    connection.executemany(
        "INSERT INTO labels (trace_id, correct, source, time, who, is_random, key) VALUES (?,?,?,?,?,?,?) "
        "ON CONFLICT (key) DO NOTHING",
        rows,
    )
    return connection.total_changes - before


def join_pending(connection: sqlite3.Connection, profiles: pa.Table) -> int:
    """Join the labels that wait for a trace of this table; how many."""
    waiting = [name for (name,) in connection.execute("SELECT DISTINCT trace_id FROM labels WHERE hour IS NULL")]
    if not waiting:
        return 0
    rows = profiles.select(_COLUMNS).filter(pc.is_in(profiles["trace_id"], pa.array(waiting, pa.string())))
    return _join(connection, rows)


def join_with_parts(connection: sqlite3.Connection, root: Path) -> int:
    """Join waiting labels with profiles that are stored already; how many."""
    waiting = [name for (name,) in connection.execute("SELECT DISTINCT trace_id FROM labels WHERE hour IS NULL")]
    files = [str(root / file) for (file,) in connection.execute("SELECT file FROM parts ORDER BY hour DESC")]
    if not waiting or not files:
        return 0
    wanted = pads.field("trace_id").isin(pa.array(waiting, pa.string()))
    found = pads.dataset(files, format="parquet").to_table(columns=list(_COLUMNS), filter=wanted)
    return _join(connection, found)


def _join(connection: sqlite3.Connection, table: pa.Table) -> int:
    before = connection.total_changes
    connection.executemany(
        "UPDATE labels SET hour=?, model=?, attributes=?, columns=?, p_correct=?, capture_probability=? "
        "WHERE trace_id=? AND hour IS NULL",
        [
            (
                int(row["time"].timestamp()) // 3600,
                row["model"] or "",
                msgspec.json.encode(dict(row["attributes"] or [])).decode(),
                msgspec.json.encode(columns).decode(),
                row["p_correct"],
                row["capture_probability"],
                row["trace_id"],
            )
            for row, columns in zip(table.to_pylist(), column_values(table), strict=True)
        ],
    )
    return connection.total_changes - before


def random_labels(
    connection: sqlite3.Connection, slice_key: str, *, first_hour: int, last_hour: int
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Random labels and their probabilities of capture by (slice, model), in the order in which they came.

    The first label of each trace counts.
    """
    rows = connection.execute(
        "SELECT trace_id, model, attributes, columns, correct, coalesce(capture_probability, 1) FROM labels "
        "WHERE is_random AND hour BETWEEN ? AND ? ORDER BY id DESC",
        (first_hour, last_hour),
    )
    first = {row[0]: row for row in rows}
    slice_of = _slices(connection, slice_key)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _, model, attributes, columns, correct, chance in reversed(first.values()):
        found.setdefault((slice_of(model, attributes, columns), model), []).append((correct, chance))
    return found


def _slices(connection: sqlite3.Connection, slice_key: str) -> Callable[[str, str, str | None], str]:
    """How the model, attributes and columns of a label lead to its slice, named as in the sums."""
    if slice_key == ALL:
        return lambda *_: ALL
    place = places_of(connection, slice_key)

    def slice_of(model: str, attributes: str, columns: str | None) -> str:
        if slice_key not in SLICE_COLUMNS:
            own = json.loads(attributes)
        else:  # labels of an older store have no columns but the model
            own = json.loads(columns) if columns else {"model": model or NO_SLICE}
        return place(own.get(slice_key, NO_SLICE))

    return slice_of


class RealizedRow(NamedTuple):
    """Labels of one slice of one model over some hours; the latest of each trace counts."""

    model: str
    slice: str
    n_random: int
    """Labels of responses drawn at random."""
    accuracy: float | None
    """Share of correct ones among them, each weighted by one over its probability of capture; None without any."""
    n_other: int
    """Labels of other origin, which say nothing about the slice as a whole."""


def realized_rows(
    connection: sqlite3.Connection, slice_key: str, *, first_hour: int, last_hour: int
) -> list[RealizedRow]:
    """Labels of every slice of every model whose traces lie in the hours from first to last, both counted."""
    rows = connection.execute(
        "SELECT trace_id, model, attributes, columns, correct, is_random, capture_probability FROM labels "
        "WHERE hour BETWEEN ? AND ? ORDER BY id",
        (first_hour, last_hour),
    )
    latest = {row[0]: row for row in rows}
    found: dict[tuple[str, str], list[tuple[float, bool, float]]] = {}
    slice_of = _slices(connection, slice_key)
    for _, model, attributes, columns, correct, is_random, probability in latest.values():
        name = slice_of(model, attributes, columns)
        found.setdefault((model, name), []).append((correct, bool(is_random), probability or 1.0))
    return [_realized(*place, labels) for place, labels in sorted(found.items())]


def _realized(model: str, name: str, labels: list[tuple[float, bool, float]]) -> RealizedRow:
    weighted = [(correct, 1 / probability) for correct, is_random, probability in labels if is_random]
    total = sum(weight for _, weight in weighted)
    accuracy = sum(correct * weight for correct, weight in weighted) / total if weighted else None
    return RealizedRow(model, name, len(weighted), accuracy, len(labels) - len(weighted))
