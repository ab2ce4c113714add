"""One file: from its JSON objects to traces, every line counted once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

from ..batch import Trace
from ..sources import END_OF_STREAM, is_regular, json_objects, objects_in, objects_of_bytes
from ..streams import Joined, joiners
from .envelopes import Opened, is_error, open_line, recognise
from .formats import FORMATS
from .layout import Layout
from .lines.context import Context
from .lines.faults import FAULTS, reason_of
from .lines.line import Line, decode_json
from .logprobs.seen import seen_logprobs
from .report import FileReport
from .rows import is_foreign, table_rows
from .servers.openai_chat import parse_openai_chat
from .servers.usual import usual_chat

__all__ = ["BytesReader", "FileReader"]

_NO_TRACES: Sequence[Trace] = ()
_TRAILING = "trailing characters"
_LOOKED = 100
"""So many responses of a file are searched for numbers that no reader found."""


class FileReader:
    """Reads the traces of one file.

    Parameters
    ----------
    path
        The file.
    layout
        How it is laid out, where that is not to be recognised.
    report
        Counts what becomes of each line.
    on_bad
        Called with a message for every line or stream that cannot be read; may raise.
    strict
        Whether a last line that is cut off is bad, too.
    """

    def __init__(
        self,
        path: Path,
        *,
        layout: Layout,
        report: FileReport,
        on_bad: Callable[[str], None],
        strict: bool = False,
    ) -> None:
        self._strict = strict
        self._path = path
        self._report = report
        self._on_bad = on_bad
        self._joiners: Sequence[Any] = ()
        self._search = layout.search(lambda line: self._joiner_of(line) is not None)
        self._dispatched: tuple[Line | None, Any] = (None, None)
        self._in_stream: Any = None
        self._is_usual = False
        self._asked: int | None = None
        self._top_tokens = False
        self._n_peeked = 0
        self._peeked: str | None = None
        self._tried = "unknown"

    def traces(self, *, top_tokens: bool = False) -> Iterator[Trace]:
        """Yield the traces in the order in which their responses end, with the texts of the alternatives or without."""
        self._top_tokens = top_tokens
        self._joiners = joiners(with_names=top_tokens)
        for place, data, is_cut in self._objects():
            if data == END_OF_STREAM:
                for joiner in self._joiners:
                    yield from self._whole(joiner.end())
                continue
            self._report.n_lines += 1
            try:
                yield from self._object(place, data)
            except FAULTS as exc:
                yield from self._after_fault(place, data, exc, is_cut=is_cut)
        for joiner in self._joiners:
            yield from self._whole(joiner.rest())

    def _object(self, place: int | str, data: bytes) -> Sequence[Trace]:
        """Return the traces that one JSON object completes, read in one pass where it is like those before it."""
        if self._in_stream is not None:
            if self._n_peeked < _LOOKED:
                self._peek(data)
            whole = self._in_stream.append(data)
            if whole is not None:
                return self._whole(whole) if whole else _NO_TRACES
        usual = None if self._top_tokens or not self._is_usual else usual_chat(data)
        return self._line(self._name(place), data) if usual is None else self._usual(self._name(place), usual)

    def _line(self, fallback_id: str, data: bytes) -> list[Trace]:
        self._tried = "unknown"
        opened = list(open_line(data, fallback_id, self._search))
        parts = sum(item.format is None for item in opened)
        self._report.n_lines += max(parts - (parts == len(opened)), 0)
        traces = [trace for item in opened for trace in self._opened(item)]
        if not opened and data[:1] == b"{" and is_error(Line.parse(data)):
            for open_joiner in self._joiners:
                open_joiner.fail()
        if not opened or parts < len(opened):
            self._report.n_read += bool(traces)
            self._report.n_skipped += not traces
        return traces

    def _usual(self, fallback_id: str, line: Line) -> list[Trace]:
        """Return the traces of a chat completion that was read in one pass."""
        context = Context(fallback_id)
        traces = [context.complete(trace) for trace in parse_openai_chat(line, context)]
        self._report.n_traces += len(traces)
        self._report.n_read += 1
        return traces

    def _opened(self, item: Opened) -> list[Trace]:
        line, context, known = item
        context.top_tokens = self._top_tokens
        context.k = self._asked if context.k is None else context.k
        if known is None:
            joiner = self._joiner_of(line)
            self._tried = joiner.name
            self._in_stream, self._report.format = joiner, joiner.name
            return self._whole(joiner.add(line, context))
        self._tried = known.name
        traces = [context.complete(trace) for trace in known.parse(line, context)]
        self._report.format = known.name
        self._is_usual = known.name == "openai_chat" and not self._search.at
        self._report.n_traces += len(traces)
        self._look(line, traces)
        return traces

    def _joiner_of(self, line: Line) -> Any:
        """Return the joiner of the streams to which a line belongs, None if to none; the last answer is kept."""
        if self._dispatched[0] is not line:
            found = (joiner for joiner in self._joiners if any(map(line.__contains__, joiner.marks)))
            self._dispatched = (line, next((joiner for joiner in found if joiner.takes(line)), None))
        return self._dispatched[1]

    def _look(self, line: Line, traces: list[Trace]) -> None:
        """Search a response of which no log-probability was read for numbers that look like some."""
        report = self._report
        if not traces or report.n_looked >= _LOOKED or any(trace.chosen_logprobs is not None for trace in traces):
            return
        report.n_looked += 1
        place = seen_logprobs(line.plain())
        if place is not None:
            report.unread[place] = report.unread.get(place, 0) + 1

    def _peek(self, data: bytes) -> None:
        """Search the first pieces of streams for numbers in places of which no joiner knows."""
        self._n_peeked += 1
        if self._peeked is None:
            with suppress(*FAULTS):
                self._peeked = seen_logprobs(decode_json(data))

    def _name(self, place: int | str) -> str:
        """Name of a response without an id."""
        return f"{self._path.name}:{place}"

    def _objects(self) -> Iterator[tuple[int | str, bytes, bool]]:
        if is_regular(self._path) and is_foreign(self._path):
            return ((number, data, False) for number, data in table_rows(self._path))
        return json_objects(self._path)

    def _whole(self, answers: Iterable[Joined[Context]]) -> list[Trace]:
        """Return the traces of joined answers; one that cannot be read costs its own lines alone."""
        traces = []
        for answer in list(answers):
            if answer.status == "nothing":
                self._report.n_skipped += answer.n_lines
            elif answer.status == "damaged":
                self._damaged(answer, "a piece of the streamed answer is bad or missing; the answer is left out.")
            else:
                traces += self._joined(answer)
        return traces

    def _joined(self, answer: Joined[Context]) -> list[Trace]:
        line = Line(answer.fields)
        try:
            known = FORMATS[answer.format] if answer.format else recognise(line)
            self._tried = known.name if known is not None else "unknown"
            found = known.parse(line, answer.context) if known is not None else iter(())
            traces = [answer.context.complete(trace) for trace in found]
        except FAULTS as exc:
            self._report.n_bad += 1
            self._report.n_lost -= 1
            self._damaged(answer, self._reason(exc))
            return []
        self._report.n_traces += len(traces)
        self._report.n_read += answer.n_lines if traces else 0
        self._report.n_skipped += 0 if traces else answer.n_lines
        self._report.n_cut += answer.status == "cut"
        if traces and self._peeked and all(trace.chosen_logprobs is None for trace in traces):
            self._report.unread[self._peeked] = self._report.unread.get(self._peeked, 0) + 1
        return traces

    def _damaged(self, answer: Joined[Context], reason: str) -> None:
        self._report.n_damaged += 1
        self._report.n_lost += answer.n_lines
        _, _, place = answer.context.fallback_id.rpartition(":")
        self._on_bad(f"{self._path}:{place}: {reason}")

    def _after_fault(self, place: int | str, data: bytes, exc: Exception, *, is_cut: bool) -> Iterator[Trace]:
        """Read the objects of a line that holds several, one by one; any other bad line is counted."""
        objects = objects_in(data) if _TRAILING in str(exc) else []
        if len(objects) < 2:
            self._fault(place, data, exc, is_cut=is_cut)
            return
        self._report.n_lines += len(objects) - 1
        for number, one in enumerate(objects, start=1):
            try:
                yield from self._object(f"{place}.{number}", one)
            except FAULTS as fault:
                self._fault(f"{place}.{number}", one, fault, is_cut=False)

    def _fault(self, place: int | str, data: bytes, exc: Exception, *, is_cut: bool) -> None:
        fault = _fault_of(data)
        for joiner in self._joiners:
            joiner.damage(data, is_json=fault is None)
        if is_cut and fault is not None and "truncated" in fault and not self._strict:
            self._report.n_skipped += 1
            self._report.is_unfinished = True
            return
        self._report.n_bad += 1
        self._on_bad(f"{self._path}:{place}: {self._reason(exc)}")

    def _reason(self, exc: Exception) -> str:
        return reason_of(exc, self._tried)


class BytesReader(FileReader):
    """Reads the traces of what a server sent in answer to one request; a bad piece raises.

    Parameters
    ----------
    data
        Server-sent events or JSON lines.
    trace_id
        Names a response without an id.
    k
        How many alternatives were asked for.
    """

    def __init__(self, data: bytes, *, trace_id: str, k: int | None = None) -> None:
        report = FileReport(trace_id)
        super().__init__(Path(trace_id), layout=Layout(), report=report, on_bad=_refuse, strict=True)
        self._data, self._trace_id, self._asked = data, trace_id, k

    def _name(self, place: int | str) -> str:
        return self._trace_id

    def _objects(self) -> Iterator[tuple[int | str, bytes, bool]]:
        return objects_of_bytes(self._data, self._trace_id)


def _refuse(message: str) -> None:
    raise TraceFormatError(message)


def _fault_of(data: bytes) -> str | None:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return str(exc)
    return None
