"""Reading trace files of any known format as a stream of Arrow batches."""

import contextlib
import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from nilometer.errors import ConfigError, TraceFormatError

from .batch import Trace, trace_batch
from .formats import FORMATS, Format
from .line import Line, unwrap
from .openai_chunks import ChunkJoiner, is_chunk
from .store import read_store

__all__ = ["FileReport", "ReadReport", "TraceStream", "read_traces"]

_KEPT_BAD_LINES = 100
_BATCH_VALUES = 4_000_000


@dataclass(slots=True)
class FileReport:
    """What one file held."""

    path: str
    format: str = "unknown"
    n_traces: int = 0
    n_bad: int = 0


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
    def bad_share(self) -> float:
        """Bad lines over all lines, in [0, 1]; 0 for an empty stream."""
        return self.n_bad / max(self.n_bad + self.n_traces, 1)


class TraceStream:
    """An iterable of record batches in ``TRACE_SCHEMA``, with a report that fills while it is read."""

    def __init__(self, paths: Sequence[Path], *, wire_format: str | None, strict: bool, batch_rows: int) -> None:
        self.report = ReadReport()
        self.paths = paths
        self._format = wire_format
        self._strict = strict
        self._batch_rows = batch_rows
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
        from .schema import TRACE_SCHEMA

        return pa.Table.from_batches(list(self), schema=TRACE_SCHEMA)

    def _count(self, batch: pa.RecordBatch) -> None:
        self.report.files[-1].n_traces += batch.num_rows
        before = len(self._seen)
        self._seen.update(map(hash, batch.column("trace_id").to_pylist()))
        self.report.n_duplicates += batch.num_rows - (len(self._seen) - before)

    def _file(self, path: Path, report: FileReport) -> Iterator[pa.RecordBatch]:
        if path.stat().st_size == 0:
            raise TraceFormatError(f"{path}: the file is empty.")
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            report.format = "nilometer"
            yield from read_store(path, batch_rows=self._batch_rows)
        elif magic == b"PK\x03\x04":
            yield from self._batches(_zip_lines(path), report)
        else:
            with _decompressed(path, magic) as stream:
                yield from self._batches(_json_lines(path, stream), report)

    def _batches(self, lines: Iterator[tuple[int, bytes]], report: FileReport) -> Iterator[pa.RecordBatch]:
        waiting: list[Trace] = []
        n_values = 0
        for trace in self._traces(lines, report):
            waiting.append(trace)
            n_values += trace.n_values
            if len(waiting) >= self._batch_rows or n_values > _BATCH_VALUES:
                yield trace_batch(waiting)
                waiting, n_values = [], 0
        yield trace_batch(waiting)

    def _traces(self, lines: Iterator[tuple[int, bytes]], report: FileReport) -> Iterator[Trace]:
        joiner = ChunkJoiner()
        known = FORMATS[self._format] if self._format else None
        for number, data in lines:
            try:
                line, context = unwrap(Line.parse(data), f"{Path(report.path).name}:{number}")
                if is_chunk(line):
                    report.format = "openai_chunks"
                    traces = list(joiner.add(line, context))
                else:
                    known = known if known and (self._format or known.matches(line)) else _sniff(line)
                    report.format = known.name
                    traces = list(known.parse(line, context))
            except (TraceFormatError, msgspec.MsgspecError, TypeError, AttributeError, KeyError) as exc:
                self._bad(report, number, exc)
                continue
            yield from (context.complete(trace) for trace in traces)
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
) -> TraceStream:
    """Read trace files of any known format as a stream; memory stays flat whatever the size.

    The format of a file is recognised from its first lines. Gzip and zstd are read as they are. A line that
    cannot be read is counted and kept as ``file:line: reason`` in the stream's ``report``.

    Parameters
    ----------
    paths
        Files or folders; of a folder every file whose name does not start with a dot.
    format
        Name of a format in ``FORMATS``, to override what is recognised.
    strict
        Raise at the first bad line instead.
    batch_rows
        Most responses per batch.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
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
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in given for file in _expand(Path(path))]
    return TraceStream(files, wire_format=format, strict=strict, batch_rows=batch_rows)


def _expand(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise TraceFormatError(f"{path}: the folder holds no file.")
    return files


def _sniff(line: Line) -> Format:
    for entry in FORMATS.values():
        if entry.matches(line):
            return entry
    keys = ", ".join(list(line)[:8]) or "none"
    raise TraceFormatError(f"no known format has these keys: {keys}. Name the format with --format.")


def _decompressed(path: Path, magic: bytes) -> "contextlib.AbstractContextManager[BinaryIO]":
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if magic == b"\x28\xb5\x2f\xfd":
        stream = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return io.BufferedReader(stream)
    return path.open("rb")


def _json_lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, JSON object) of JSON lines, server-sent events, or one JSON document."""
    try:
        first = stream.readline()
        if _is_document(first):
            yield from _document(first + stream.read())
            return
        for number, data in enumerate(_chain(first, stream), start=1):
            text = data.strip().removeprefix(b"\xef\xbb\xbf")
            if text.startswith(b"data:"):
                text = text[5:].strip()
            if text and text != b"[DONE]" and not text.startswith((b"event:", b":", b"id:", b"retry:")):
                yield number, text
    except (OSError, EOFError) as exc:
        raise TraceFormatError(f"{path}: the compressed file is damaged ({exc}).") from exc


def _chain(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield first
    yield from stream


def _is_document(first: bytes) -> bool:
    start = first.strip().removeprefix(b"\xef\xbb\xbf")
    return start[:1] == b"[" or start == b"{"


def _document(data: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        document = msgspec.json.decode(data, type=msgspec.Raw)
        if bytes(document).lstrip()[:1] == b"[":
            objects = msgspec.json.decode(document, type=list[msgspec.Raw])
        else:
            top = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
            objects = msgspec.json.decode(top["samples"], type=list[msgspec.Raw]) if "samples" in top else [document]
    except msgspec.DecodeError as exc:
        raise TraceFormatError(f"not a JSON document ({exc}).") from exc
    yield from ((number, bytes(item)) for number, item in enumerate(objects, start=1))


def _zip_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the samples of an inspect_ai ``.eval`` log, which is a zip archive."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json"))
        if not names:
            raise TraceFormatError(f"{path}: an archive without samples/*.json is no .eval log.")
        for number, name in enumerate(names, start=1):
            yield number, archive.read(name)
