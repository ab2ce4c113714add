"""Tables as text, the same for a page, a notebook and Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nilometer.decisions import basis_of, short_name
from nilometer.estimators import Estimate, NotEnoughData

__all__ = [
    "STATES",
    "Column",
    "Table",
    "accuracy_cells",
    "columns_of",
    "interval",
    "realized_cell",
    "slice_table",
    "verdict",
]


class Column(NamedTuple):
    """A heading, and whether what stands below is text or numbers."""

    name: str
    is_text: bool = False
    is_fold: bool = False
    """Whether its cells are shown only when asked for."""


class Table(NamedTuple):
    """Headings and rows of finished text; the first cell of a row names it."""

    columns: tuple[Column, ...]
    rows: list[list[str]]
    states: tuple[str, ...] = ()
    """One for each row, to filter by; empty without states."""


STATES = {"changed": "▲ changed", "unknown": "? unknown", "unsure": "~ unsure", "known": "✓ known"}
"""States of a slice as they are shown; the sign stands for the colour where there is none."""


def slice_table(estimates: Sequence[Estimate | NotEnoughData], by: Sequence[str] = ()) -> Table:
    """One row per slice: responses, accuracy, interval, what it rests on, and what must be said of it."""
    columns = (
        Column(", ".join(by) or "slice", is_text=True),
        *map(Column, ("responses", "accuracy", "interval")),
        Column("rests on", is_text=True),
        Column("realised (labels)"),
        Column("note", is_text=True),
    )
    rows = []
    for row in estimates:
        note = row.note if isinstance(row, Estimate) else f"{row.reason} {row.needed}"
        rows.append(
            [short_name(row.slice, by), f"{row.n:,}", *accuracy_cells(row), basis_of(row), realized_cell(row), note]
        )
    return Table(columns, rows)


def accuracy_cells(row: Estimate | NotEnoughData | None) -> list[str]:
    """Accuracy and interval of an estimate, or that it is unknown."""
    if not isinstance(row, Estimate):
        return ["unknown", ""]
    return [f"{row.accuracy:.3f}", interval(row.low, row.high)]


def interval(low: float | None, high: float | None, *, digits: str = ".3f") -> str:
    """Both ends of an interval; nothing where there is none."""
    return "" if low is None or high is None else f"{low:{digits}} to {high:{digits}}"


def realized_cell(row: Estimate | NotEnoughData) -> str:
    """Accuracy of the labelled responses and how many there are."""
    return "" if row.realized_accuracy is None else f"{row.realized_accuracy:.3f} ({row.n_labels:,})"


def verdict(correct: float | None) -> str:
    """Say what the label of an answer says."""
    return "no label" if correct is None else "correct" if correct >= 0.5 else "wrong"


def columns_of(rows: Sequence[Mapping[str, Any]], *leave: str) -> dict[str, list[Any]]:
    """Turn rows with the same keys into columns, numbers rounded to four digits, without the keys to leave.

    Examples
    --------
    >>> columns_of([{"a": 0.123456, "b": "x"}, {"a": None, "b": "y"}])
    {'a': [0.1235, None], 'b': ['x', 'y']}
    """
    keys = [key for key in (rows[0] if rows else ()) if key not in leave]
    return {key: [round(row[key], 4) if isinstance(row[key], float) else row[key] for row in rows] for key in keys}
