"""Rows of label files: CSV and TSV with their quotes and line ends as they come, JSON, Parquet."""

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.display import plain_cell
from nilometer.errors import TraceFormatError

from .labelexports import export_rows
from .sources import lines_of, opened

__all__ = ["label_rows"]

_MOST_LINES = 1000
"""A quoted field that runs over more lines than this was not closed where it should have been."""

Rows = Iterator[tuple[int, dict[str, Any]]]
Records = Iterator[tuple[int, list[str] | str]]
OnBad = Callable[[int, str], None]


def label_rows(path: Path, wanted: Sequence[str], on_bad: OnBad) -> Rows:
    """Yield number and fields of each row of a label file, gzip and zstd read as they are.

    Parameters
    ----------
    path
        The file.
    wanted
        Columns that matter; of these no two may have the same name.
    on_bad
        Called with the number of each row that cannot be read, and the reason.

    Raises
    ------
    TraceFormatError
        If the file is empty, not in UTF-8, damaged, or has two columns of one name that matters.
    """
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".parquet", ".pq")):
        yield from _parquet_rows(path, wanted)
        return
    lines = _text_lines(path)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise TraceFormatError(f"{path}: the file is empty.")
    if first.lstrip()[:1] == "[":
        yield from export_rows(_json_list(path, lines), wanted, on_bad)
    elif first.lstrip()[:1] == "{":
        yield from export_rows(_json_rows(lines, on_bad), wanted, on_bad)
    else:
        delimiter = "\t" if name.endswith(".tsv") else ","
        yield from _csv_rows(path, _records(lines, delimiter), wanted, on_bad=on_bad)


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Rows:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_names(path, names, wanted)
            known = [name for name in names if name in wanted]
            rows = file.read(columns=known).to_pylist() if known else [dict.fromkeys(names)]
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, LookupError) as exc:
        if isinstance(exc, TraceFormatError):
            raise
        raise TraceFormatError(f"{path}: not a readable label file ({exc}).") from exc
    yield from enumerate(rows, start=1)


def _text_lines(path: Path) -> list[str]:
    """Lines of a file whatever ends them: a line feed, a carriage return, or both."""
    try:
        with opened(path) as file:
            data = b"\n".join(line for line, _ in lines_of(path, file))
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as exc:
        raise TraceFormatError(f"{path}: not a readable label file ({exc}).") from exc


def _json_rows(lines: Sequence[str], on_bad: OnBad) -> Rows:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, ValueError) as exc:
            on_bad(number, f"not a JSON object ({exc}).")
        else:
            yield number, row


def _json_list(path: Path, lines: Sequence[str]) -> Rows:
    try:
        rows = msgspec.json.decode("\n".join(lines), type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise TraceFormatError(f"{path}: not a JSON list of objects ({exc}).") from exc
    yield from enumerate(rows, start=1)


def _csv_rows(path: Path, records: Records, wanted: Sequence[str], *, on_bad: OnBad) -> Rows:
    with _long_fields():
        rows = list(records)
    names: list[str] | None = None
    for number, record in rows:
        if isinstance(record, str):
            on_bad(number, record)
        elif names is None:
            names = [name.strip() for name in record]
            _check_names(path, names, wanted)
        elif len(record) < len(names) or any(field.strip() for field in record[len(names) :]):
            on_bad(number, f"a row must have {len(names)} fields, got {len(record)}.")
        else:
            yield number, dict(zip(names, map(plain_cell, record), strict=False))


def _records(lines: list[str], delimiter: str) -> Records:
    """Yield the last line of each record and its fields, or why it cannot be read; reading goes on a line below."""
    start = 0
    while start < len(lines):
        source = _Lines(lines, start)
        try:
            yield from source.records(delimiter)
        except csv.Error as exc:
            start = source.record + 1
            yield start, f"a quote is not closed, or the row is no CSV ({exc})."
        else:
            return


class _Lines:
    """Lines for the CSV reader, which stop where one record runs over too many."""

    def __init__(self, lines: list[str], start: int) -> None:
        self._lines = lines
        self.place = self.record = start

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.place >= len(self._lines):
            raise StopIteration
        if self.place - self.record >= _MOST_LINES:
            raise csv.Error(f"a field runs over more than {_MOST_LINES:,} lines")
        self.place += 1
        return self._lines[self.place - 1] + "\n"

    def records(self, delimiter: str) -> Records:
        """Yield the records of these lines that are not empty."""
        for record in csv.reader(self, delimiter=delimiter, strict=True):
            if record:
                yield self.place, record
            self.record = self.place


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let a field be longer than 131,072 characters while rows are read."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_names(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    twice = next((name for name in wanted if names.count(name) > 1), None)
    if twice is not None:
        raise TraceFormatError(f"{path}: two columns are named `{twice}`. Rename the one that is not meant.")
