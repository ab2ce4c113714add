"""Reading trace files of any known format as a stream of Arrow batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from nilometer.errors import ConfigError, TraceFormatError

from ..batch import Trace, trace_batch
from ..schema import trace_schema
from ..store import conform_batch, read_store
from .envelopes import unwrap
from .formats import FORMATS, Format
from .lines.line import Line
from .sources import expand_paths, json_objects
from .streams import joiners

__all__ = ["FileReport", "ReadReport", "TraceStream", "read_traces", "traces_from_response"]

_KEPT_BAD_LINES = 100
_BATCH_VALUES = 4_000_000
_NOT_THE_SHAPE = (
    TraceFormatError,
    msgspec.MsgspecError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    UnicodeDecodeError,
)


@dataclass(slots=True)
class FileReport:
    """What one file held."""

    path: str
    format: str = "unknown"
    n_traces: int = 0
    n_bad: int = 0
    n_skipped: int = 0
    """Lines that hold no response: spans of other kinds, events of a stream."""


@dataclass(slots=True)
class ReadReport:
    """What a stream held, filled while it is read."""

    files: list[FileReport] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    """The first 100, as ``file:line: reason``."""
    n_duplicates: int = 0
    """Traces whose ``trace_id`` came before; they are kept."""

    @property
    def n_traces(self) -> int:
        """Traces read."""
        return sum(file.n_traces for file in self.files)

    @property
    def n_bad(self) -> int:
        """Lines that could not be read."""
        return sum(file.n_bad for file in self.files)

    @property
    def n_skipped(self) -> int:
        """Lines that hold no response: spans of other kinds, events of a stream."""
        return sum(file.n_skipped for file in self.files)

    @property
    def bad_share(self) -> float:
        """Bad lines over all lines, in [0, 1]; 0 for an empty stream."""
        return self.n_bad / max(self.n_bad + self.n_traces, 1)


class TraceStream:
    """An iterable of record batches in ``TRACE_SCHEMA``, with a report that fills while it is read."""

    def __init__(
        self, paths: Sequence[Path], *, wire_format: str | None, strict: bool, batch_rows: int, keep: Sequence[str] = ()
    ) -> None:
        self.report = ReadReport()
        self.paths = paths
        self._format = wire_format
        self._strict = strict
        self._batch_rows = batch_rows
        self._keep = tuple(keep)
        self.schema = trace_schema(keep)
        self._seen: set[int] = set()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.report = ReadReport()
        self._seen.clear()
        for path in self.paths:
            self.report.files.append(FileReport(str(path)))
            for batch in self._file(path, self.report.files[-1]):
                if batch.num_rows:
                    self._count(batch)
                    yield batch

    def read_all(self) -> pa.Table:
        """Read everything into one table."""
        return pa.Table.from_batches(list(self), schema=self.schema)

    def _count(self, batch: pa.RecordBatch) -> None:
        self.report.files[-1].n_traces += batch.num_rows
        before = len(self._seen)
        self._seen.update(map(hash, batch.column("trace_id").to_pylist()))
        self.report.n_duplicates += batch.num_rows - (len(self._seen) - before)

    def _file(self, path: Path, report: FileReport) -> Iterator[pa.RecordBatch]:
        with path.open("rb") as file:
            is_store = file.read(4) == b"PAR1"
        if is_store:
            report.format = "nilometer"
            yield from read_store(path, batch_rows=self._batch_rows, keep=self._keep)
        else:
            for batch in self._batches(json_objects(path), report):
                yield conform_batch(batch, self.schema) if self._keep else batch

    def _batches(self, lines: Iterator[tuple[int, bytes]], report: FileReport) -> Iterator[pa.RecordBatch]:
        waiting: list[Trace] = []
        n_values = 0
        for trace in self._traces(lines, report):
            waiting.append(trace)
            n_values += trace.n_values
            if len(waiting) >= self._batch_rows or n_values > _BATCH_VALUES:
                yield trace_batch(waiting, keep=self._keep)
                waiting, n_values = [], 0
        yield trace_batch(waiting, keep=self._keep)

    def _traces(self, lines: Iterator[tuple[int, bytes]], report: FileReport) -> Iterator[Trace]:
        streams = joiners()
        known = FORMATS[self._format] if self._format else None
        for number, data in lines:
            try:
                line, context = unwrap(Line.parse(data), f"{Path(report.path).name}:{number}")
                context.top_tokens = "top_tokens" in self._keep
                joiner = next((joiner for joiner in streams if joiner.takes(line)), None)
                if joiner is not None:
                    report.format = joiner.name
                    traces = list(joiner.add(line, context))
                else:
                    known = known if known and (self._format or known.matches(line)) else _sniff(line)
                    report.format = known.name
                    traces = [context.complete(trace) for trace in known.parse(line, context)]
                    report.n_skipped += not traces
            except _NOT_THE_SHAPE as exc:
                self._bad(report, number, exc)
                continue
            yield from traces
        for joiner in streams:
            yield from joiner.rest()

    def _bad(self, report: FileReport, number: int, exc: Exception) -> None:
        reason = str(exc) if isinstance(exc, TraceFormatError) else f"not the shape of {report.format} ({exc!r})"
        message = f"{report.path}:{number}: {reason}"
        if self._strict:
            raise TraceFormatError(message) from exc
        report.n_bad += 1
        if len(self.report.bad_lines) < _KEPT_BAD_LINES:
            self.report.bad_lines.append(message)


def read_traces(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    strict: bool = False,
    batch_rows: int = 2048,
    keep: Sequence[str] = (),
) -> TraceStream:
    """Read trace files of any known format as a stream; memory stays flat whatever the size.

    The format of a file is recognised from its first lines. Gzip and zstd are read as they are. A line that
    cannot be read is counted and kept as ``file:line: reason`` in the stream's ``report``.

    Parameters
    ----------
    paths
        Files, folders or glob patterns; of a folder every file below it whose name does not start with a dot.
    format
        Name of a format in ``FORMATS``, to override what is recognised.
    strict
        Raise at the first bad line instead.
    batch_rows
        Most responses per batch.
    keep
        Heavy columns to read too, where a file has them: ``"top_tokens"`` (the texts of the alternatives) and
        ``"attention"``; batches are then in ``trace_schema(keep)``.

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a pattern matches nothing.
    ConfigError
        If ``format`` is unknown.
    TraceFormatError
        If a folder or file is empty, or, with ``strict``, at the first bad line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> line = '{"id": "a", "choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "traces.jsonl"
    ...     _ = file.write_text(line)
    ...     read_traces(file).read_all()["answer"].to_pylist()
    ['4']
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"`format` must be one of {', '.join(FORMATS)}, got {format!r}.")
    return TraceStream(expand_paths(paths), wire_format=format, strict=strict, batch_rows=batch_rows, keep=keep)


def traces_from_response(
    data: bytes | str, *, trace_id: str, k: int | None = None, keep: Sequence[str] = ()
) -> list[Trace]:
    """Read one response of any known format; several choices give several traces.

    Parameters
    ----------
    data
        A JSON object, as the server sent it.
    trace_id
        Used where the response has no id of its own.
    k
        How many alternatives were asked for; None takes the longest list.
    keep
        ``["top_tokens"]`` keeps the texts of the alternatives.

    Raises
    ------
    TraceFormatError
        If it is no JSON object or no known format.

    Examples
    --------
    >>> reply = '{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}'
    >>> traces_from_response(reply, trace_id="a")[0].answer
    '4'
    """
    line, context = unwrap(Line.parse(data.encode() if isinstance(data, str) else data), trace_id)
    context.k = k if context.k is None else context.k
    context.top_tokens = "top_tokens" in keep
    return [context.complete(trace) for trace in _sniff(line).parse(line, context)]


def _sniff(line: Line) -> Format:
    for entry in FORMATS.values():
        if entry.matches(line):
            return entry
    keys = ", ".join(list(line)[:8]) or "none"
    raise TraceFormatError(f"no known format has these keys: {keys}. Name the format with --format.")
