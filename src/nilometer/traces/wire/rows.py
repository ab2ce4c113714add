"""Rows of tables that are not nilometer's own: Parquet, CSV and TSV."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError

from ..schema import TRACE_SCHEMA
from ..store import VERSION_KEY

__all__ = ["check_is_named", "is_foreign", "table_rows"]

_TABLES = {".csv": ",", ".tsv": "\t"}
_ROWS = 256
_ANSWERS = ("answer", "response", "output", "completion", "generation", "generated_text", "text", "prediction")


def is_foreign(path: Path) -> bool:
    """Return whether a file is a table that must be read by naming its columns."""
    if path.suffix.lower() in _TABLES:
        return True
    names = _parquet_names(path)
    return names is not None and not {"trace_id"} < set(names) & set(TRACE_SCHEMA.names)


def check_is_named(path: Path) -> None:
    """Refuse a foreign table of which no column is named.

    Raises
    ------
    TraceFormatError
        Always, with the columns seen and what to give.
    """
    names = _names(path)
    answer = next((name for known in _ANSWERS for name in names if known in name.lower()), "COLUMN")
    scores = next((name for name in names if "logprob" in name.lower().replace("_", "")), "COLUMN")
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in names[:8])
    raise TraceFormatError(
        f"{path}: not written by nilometer; it has the columns {shown or 'none'}. Name them with `--columns "
        f"answer={answer},logprobs={scores}`, or the column that holds whole responses as JSON with `--at COLUMN`."
    )


def table_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of a table as numbered JSON objects.

    Raises
    ------
    TraceFormatError
        If the file cannot be read.
    """
    try:
        for number, row in enumerate(_rows(path), start=1):
            yield number, msgspec.json.encode({name: _text(value) for name, value in row.items()}, enc_hook=str)
    except (pa.ArrowException, csv.Error, UnicodeDecodeError, OSError) as exc:
        raise TraceFormatError(f"{path}: not a readable table ({exc}).") from exc


def _text(value: Any) -> Any:
    """Read bytes, which some libraries keep JSON in, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() in _TABLES:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file, delimiter=_TABLES[path.suffix.lower()])
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            yield from batch.to_pylist()


def _names(path: Path) -> list[str]:
    if path.suffix.lower() not in _TABLES:
        return _parquet_names(path) or []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=_TABLES[path.suffix.lower()]), [])


def _parquet_names(path: Path) -> list[str] | None:
    """Return the columns of a Parquet file that nilometer did not write; None for its own, and for other files."""
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return None
    try:
        schema = pq.read_schema(path)
        names: list[str] = schema.names
    except (pa.ArrowException, OSError, ValueError):  # ValueError: names that are no UTF-8
        return None
    return None if VERSION_KEY in (schema.metadata or {}) else names
