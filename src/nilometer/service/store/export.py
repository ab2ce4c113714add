"""What a store knows, as files for other tools."""

import csv
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.display import safe_cell
from nilometer.traces import whole_file

from .scoring import SliceRow
from .upkeep import read_part

__all__ = ["export_estimates", "export_labels", "export_profiles"]

_LABELS = ("trace_id", "correct", "source", "time", "who", "is_random", "model", "capture_probability")


def export_profiles(connection: sqlite3.Connection, root: Path, out: Path, *, hours: tuple[int, int]) -> int:
    """Write the profiles of the hours from first to last, both counted, to one Parquet file; how many.

    Other verbs read it as they read any file of profiles.

    Raises
    ------
    TraceFormatError
        If a file of the store is missing or damaged.
    """
    tables = _tables(connection, root, hours)
    first = next(tables, None)
    if first is None:
        return 0
    n = 0
    with whole_file(out) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in (first, *tables):
            writer.write_table(_as(table, first.schema))
            n += table.num_rows
    return n


def _tables(connection: sqlite3.Connection, root: Path, hours: tuple[int, int]) -> Iterator[pa.Table]:
    query = "SELECT file, sha256 FROM parts WHERE hour BETWEEN ? AND ? ORDER BY hour, file"
    for file, digest in connection.execute(query, hours).fetchall():
        yield read_part(root, file, digest)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a table of another version to a schema; columns that it does not have are null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def export_labels(connection: sqlite3.Connection, out: Path) -> int:
    """Write every label with the trace it belongs to as CSV, in the order in which they came; how many."""
    rows = connection.execute(f"SELECT {', '.join(_LABELS)} FROM labels ORDER BY id")
    return _write_csv(out, _LABELS, ([*row[:3], _moment(row[3]), *row[4:]] for row in rows))


def export_estimates(rows: Iterable[SliceRow], out: Path) -> int:
    """Write estimates as CSV, one row per slice and span of hours; what is not known is empty, with its reason."""
    names = ("model", "slice_key", "slice", "from", "to", "n", "accuracy", "low", "high", "in_support", "reason")
    return _write_csv(out, names, (_line(row) for row in rows))


def _line(row: SliceRow) -> list[Any]:
    belief = asdict(row.belief)
    span = [_moment(hour * 3_600_000_000) for hour in (row.first_hour, row.last_hour + 1)]
    found = [belief.get(name) for name in ("accuracy", "low", "high", "in_support", "reason")]
    return [row.model, row.slice_key, row.slice, *span, belief["n"], *found]


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, tz=UTC).isoformat()


def _write_csv(out: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows whose texts no spreadsheet takes for a formula; how many."""
    n = 0
    with whole_file(out) as file:
        writer = csv.writer(text := TextIOWrapper(file, encoding="utf-8", newline="", write_through=True))
        writer.writerow(names)
        for n, row in enumerate(rows, 1):  # noqa: B007 - the number of the last is returned
            writer.writerow([safe_cell(cell) for cell in row])
        text.detach()
    return n
