"""Reading trace files of any known format as a stream of Arrow batches."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from nilometer.errors import TraceFormatError

from ..batch import Trace, trace_batch
from ..distinct import Distinct
from ..schema import trace_schema
from ..sources import expand_paths, is_regular
from ..store import conform_batch, is_parquet, read_store
from .envelopes import open_line
from .filereader import BytesReader, FileReader
from .layout import Layout
from .parallel import ReadPart, is_worth_sharing, read_in_parallel
from .report import FileReport, ReadReport
from .rows import check_is_named, is_foreign

__all__ = ["TraceStream", "read_traces", "traces_from_response"]

_BATCH_VALUES = 4_000_000


class TraceStream:
    """An iterable of record batches in ``TRACE_SCHEMA``, with a report that fills while it is read."""

    def __init__(
        self, paths: Sequence[Path], *, layout: Layout, strict: bool, batch_rows: int, keep: Sequence[str] = ()
    ) -> None:
        self.report = ReadReport()
        self.paths = paths
        self._layout = layout
        self._strict = strict
        self._batch_rows = batch_rows
        self._keep = tuple(keep)
        self._processes = 1
        self.schema = trace_schema(keep)
        self.is_one_of_many = False
        """Whether other files are read elsewhere, so that an empty one is left out."""
        self._seen = Distinct()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.report = ReadReport(left_out=list(getattr(self.paths, "left_out", ())))
        self._seen = Distinct()
        waiting: list[Trace] = []
        n_values = 0
        for item in self._items():
            if isinstance(item, pa.RecordBatch):
                yield from self._batch(waiting)
                waiting, n_values = [], 0
                yield self._counted(item)
                continue
            waiting.append(item)
            n_values += item.n_values
            if len(waiting) >= self._batch_rows or n_values > _BATCH_VALUES:
                yield from self._batch(waiting)
                waiting, n_values = [], 0
        yield from self._batch(waiting)

    def read_all(self) -> pa.Table:
        """Read everything into one table."""
        return pa.Table.from_batches(list(self), schema=self.schema)

    def _items(self) -> Iterator[Trace | pa.RecordBatch]:
        """Yield the traces of all files; of nilometer's own files, and of those read elsewhere, whole batches."""
        if self._processes > 1 and is_worth_sharing(self.paths):
            yield from self._shared()
            return
        for path in self.paths:
            report = FileReport(str(path))
            self.report.files.append(report)
            try:
                yield from self._store(path, report) if self._is_own(path) else self._file(path, report)
            except (OSError, TraceFormatError) as exc:
                self._unread(path, report, exc)

    def in_parallel(self, processes: int) -> "TraceStream":
        """Let several processes read the files, one each at a time; what is read and its order stay the same.

        A script that calls it must guard its own start by ``if __name__ == "__main__"``, as with every process pool.
        """
        self._processes = processes
        return self

    def _shared(self) -> Iterator[pa.RecordBatch]:
        options = {"strict": self._strict, "batch_rows": self._batch_rows, "keep": self._keep}
        read = partial(_read_part, layout=self._layout, options=options)
        for part in read_in_parallel(read, self.paths, self._processes):
            self.report.files += part.report.files
            self.report.left_out += part.report.left_out
            for message in part.report.bad_lines:
                self.report.note(message)
            yield from part.tables()

    def _is_own(self, path: Path) -> bool:
        """Tell nilometer's own files from tables of others, which are read only where it is said how."""
        if is_regular(path) and is_foreign(path):
            if not self._layout.is_given:
                check_is_named(path)
            return False
        return is_parquet(path)

    def _file(self, path: Path, report: FileReport) -> Iterator[Trace]:
        reader = FileReader(path, layout=self._layout, report=report, on_bad=self._bad, strict=self._strict)
        return reader.traces(top_tokens="top_tokens" in self._keep)

    def _store(self, path: Path, report: FileReport) -> Iterator[pa.RecordBatch]:
        report.format = "nilometer"

        def on_bad(row: int, reason: str) -> None:
            report.n_lines += 1
            report.n_bad += 1
            self._bad(f"{path}:{row}: {reason}")

        for batch in read_store(path, batch_rows=self._batch_rows, keep=self._keep, on_bad=on_bad):
            report.n_lines += batch.num_rows
            report.n_read += batch.num_rows
            report.n_traces += batch.num_rows
            if batch.num_rows:
                yield batch

    def _unread(self, path: Path, report: FileReport, exc: Exception) -> None:
        """Leave a file out that holds nothing or is gone, if there are others; damage within one ends the reading."""
        if self._strict or report.n_lines or (len(self.paths) == 1 and not self.is_one_of_many):
            if isinstance(exc, TraceFormatError):
                raise exc
            raise TraceFormatError(f"{path}: the file cannot be read ({exc}).") from exc
        self.report.left_out.append(str(exc) if isinstance(exc, TraceFormatError) else f"{path}: {exc}.")

    def _batch(self, traces: Sequence[Trace]) -> Iterator[pa.RecordBatch]:
        if traces:
            batch = trace_batch(traces, keep=self._keep)
            yield self._counted(conform_batch(batch, self.schema) if self._keep else batch)

    def _counted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.report.n_duplicates += self._seen.add(batch.column("trace_id").to_pylist())
        return batch

    def _bad(self, message: str) -> None:
        if self._strict:
            raise TraceFormatError(message)
        self.report.note(message)


def _read_part(path: Path, *, layout: Layout, options: dict[str, Any]) -> ReadPart:
    """Read one file in another process."""
    stream = TraceStream([path], layout=layout, **options)
    stream.is_one_of_many = True
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
    return ReadPart(sink.getvalue().to_pybytes(), stream.report)


def read_traces(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | Layout | None = None,
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
        Name of a format in ``FORMATS``, to override what is recognised; or a :class:`Layout`, which also says where in
        a line or a row of a table the response or its columns stand.
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
    layout = format if isinstance(format, Layout) else Layout(format=format)
    return TraceStream(expand_paths(paths), layout=layout, strict=strict, batch_rows=batch_rows, keep=keep)


def traces_from_response(
    data: bytes | str, *, trace_id: str, k: int | None = None, keep: Sequence[str] = ()
) -> list[Trace]:
    """Read what a server answered to one request, whole or streamed; several choices give several traces.

    Parameters
    ----------
    data
        A JSON object as the server sent it, or the events of a stream from its first to its last. A stream that broke
        off gives what had arrived, without a finish reason.
    trace_id
        Used where the response has no id of its own.
    k
        How many alternatives were asked for; None takes the longest list.
    keep
        ``["top_tokens"]`` keeps the texts of the alternatives.

    Raises
    ------
    TraceFormatError
        If it is no JSON object or no known format, or a piece of a stream is damaged.

    Examples
    --------
    >>> reply = '{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}'
    >>> traces_from_response(reply, trace_id="a")[0].answer
    '4'
    """
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if b"\n" in raw.strip() or raw.lstrip()[:1] != b"{":
        return list(BytesReader(raw, trace_id=trace_id, k=k).traces(top_tokens="top_tokens" in keep))
    traces = []
    for line, context, known in open_line(raw, trace_id):
        if known is not None:
            context.k = k if context.k is None else context.k
            context.top_tokens = "top_tokens" in keep
            traces += [context.complete(trace) for trace in known.parse(line, context)]
    return traces
