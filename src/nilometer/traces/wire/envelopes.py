"""Responses taken out of their envelopes: batch bodies, requests beside them, lists, JSON inside a text."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from nilometer.errors import TraceFormatError

from .formats import FORMATS, Format
from .lines.context import Context
from .lines.line import Line, decode_json, unquoted
from .lines.paths import Step, follow
from .logprobs.seen import seen_logprobs
from .logs.table import COLUMNS
from .notes import note

__all__ = ["ENVELOPES", "Opened", "Search", "guess_path", "is_error", "open_line", "recognise"]

ENVELOPES = (
    "response",
    "body",
    "raw_response",
    "response_body",
    "completion",
    "outputBodyJson",
    "output",
    "outputs",
    "result",
    "results",
    "responses",
    "inlinedResponses",
    "inlined_responses",
    "predictions",
    "request_states",
    "observations",
    "runs",
    "resourceSpans",
    "scopeSpans",
    "spans",
    "completions",
    "chunks",
    "events",
    "records",
    "items",
    "data",
    "message",
    "json",
)
"""Keys that are opened in search of a response, the surest first."""

_EVENTS = re.compile(r"\s*(?:data:|event:|:)")
"""How the text of server-sent events begins."""
_EVENT = re.compile(r"^data:\s*(\{.*)$", re.MULTILINE)
_PAGING = {"object", "first_id", "last_id", "has_more", "next", "next_page", "nextPageToken", "total", "count", "page"}
_KEEPALIVES = ("ping", "keepalive", "heartbeat")
_DEPTH = 8
_NODES = 500
_WIDEST = 3
_LOOKED_ITEMS = 3
_COLUMN_NAMES = frozenset(entry.name for entry in COLUMNS)


class Opened(NamedTuple):
    """A response, what is known about it from outside, and its format; None for a part of a stream."""

    line: Line
    context: Context
    format: Format | None


class Search(NamedTuple):
    """What is looked for, and where."""

    at: tuple[Step, ...] = ()
    """Where the response stands, instead of looking for it."""
    wire_format: Format | None = None
    """The format to read, instead of recognising it."""
    is_part: Callable[[Line], bool] = lambda line: False
    """Whether a line is a part of a stream."""

    def recognise(self, line: Line) -> Format | None:
        """Return the format of a line, None if it is of none that is looked for."""
        if self.wire_format is not None:
            return self.wire_format if self.wire_format.matches(line) else None
        return recognise(line)


class _Found(NamedTuple):
    line: Line
    outer: tuple[tuple[Line, str], ...]
    """The envelopes around it, outermost first, each with the key that was opened."""


_ANYTHING = Search()


def open_line(data: bytes, fallback_id: str, search: Search = _ANYTHING) -> Iterator[Opened]:
    """Yield every response in a line of a file; none where it holds an error by design.

    Parameters
    ----------
    data
        A JSON object, a list of them, or the JSON text of one.
    fallback_id
        Names a response that has no id.
    search
        What is looked for.

    Raises
    ------
    TraceFormatError
        If there is no response of a known format.
    """
    value = _outermost(data)
    found = _at(value, search) if search.at else _inside(value, search, _DEPTH)
    if not found:
        if search.wire_format is not None and isinstance(value, Line) and not _holds_none(value):
            yield _with_context(_Found(value, ()), fallback_id, search)
        elif not _holds_none(value):
            raise TraceFormatError(_unknown(value))
        return
    many = len(found) > 1
    opened = [
        _with_context(item, f"{fallback_id}.{place}" if many else fallback_id, search)
        for place, item in enumerate(found)
    ]
    shared = many and len({item.context.trace_id for item in opened}) == 1
    for item in opened:
        item.context.trace_id = None if shared else item.context.trace_id
        yield item


def recognise(line: Line) -> Format | None:
    """Return the format of a line, None if it is of no known one."""
    return next((entry for entry in FORMATS.values() if entry.matches(line)), None)


def _outermost(data: bytes) -> Any:
    start = data.lstrip()[:1]
    if start == b"{":
        return Line.parse(data)
    value = unquoted(decode_json(data))
    if not isinstance(value, dict | list):
        raise TraceFormatError("not a JSON object.")
    return Line(value) if isinstance(value, dict) else value


def _with_context(found: _Found, fallback_id: str, search: Search) -> Opened:
    context = Context(fallback_id)
    for line, key in found.outer:
        note(context, line, skip=key)
    note(context, found.line)
    if search.is_part(found.line):
        return Opened(found.line, context, None)
    return Opened(found.line, context, search.wire_format or recognise(found.line))


def _inside(value: Any, search: Search, depth: int) -> list[_Found]:
    """Return the responses in a value: itself, or what its envelopes hold; those users write themselves come last."""
    line = _as_line(value)
    if line is None:
        items = _as_list(value) if depth else []
        return [found for item in items for found in _inside(item, search, depth - 1)]
    if search.is_part(line):
        return [_Found(line, ())]
    known = search.recognise(line)
    if known is not None and (search.wire_format is not None or known.name not in _COLUMN_NAMES):
        return [_Found(line, ())]
    inner = (_opened(line, search, depth) or _keyed(line, search)) if depth else []
    return inner or ([_Found(line, ())] if known is not None else [])


def _opened(line: Line, search: Search, depth: int) -> list[_Found]:
    for key in ENVELOPES:
        if key in line:
            found = _inside(line.raw(key), search, depth - 1)
            if found:
                return [item._replace(outer=((line, key), *item.outer)) for item in found]
    return []


def _keyed(line: Line, search: Search) -> list[_Found]:
    """Read an export keyed by id: every value is an object, and the first a response or an envelope of one."""
    keys = list(line)
    if not keys or not all(line.is_nested(key) for key in keys):
        return []
    found: list[_Found] = []
    for key in keys:
        item = _as_line(line.raw(key))
        inner = [] if item is None else _named(item, search)
        if not inner and not found:
            return []
        name = Line({"trace_id": key} if len(keys) > 1 else {})
        found += [one._replace(outer=((name, ""), *one.outer)) for one in inner]
    return found


def _named(item: Line, search: Search) -> list[_Found]:
    return [_Found(item, ())] if search.recognise(item) is not None else _opened(item, search, 1)


def _as_line(value: Any) -> Line | None:
    if isinstance(value, Line):
        return value
    if isinstance(value, msgspec.Raw):
        start = memoryview(value)[:1].tobytes()
        if start == b"{":
            return Line.parse(value)
        value = unquoted(decode_json(value)) if start == b'"' else None
    value = unquoted(value)
    return Line(value) if isinstance(value, dict) else None


def _as_list(value: Any) -> Sequence[Any]:
    if isinstance(value, msgspec.Raw):
        start = memoryview(value)[:1].tobytes()
        value = decode_json(value) if start in (b"[", b'"') else None
    if isinstance(value, str) and _EVENTS.match(value):
        return [unquoted(event) for event in _EVENT.findall(value)]
    value = unquoted(value)
    return value if isinstance(value, list) else []


def _at(value: Any, search: Search) -> list[_Found]:
    whole = value.plain() if isinstance(value, Line) else value
    places = follow(whole, search.at)
    outer = ((value, str(search.at[0])),) if isinstance(value, Line) else ()
    found = [item for place in places for item in _inside(place, search, _DEPTH)]
    if not found and not any(_holds_none(place) for place in places):
        what = _unknown(Line(places[0])) if places and isinstance(places[0], dict) else "nothing of that kind is there."
        raise TraceFormatError(f"`--at` leads to no response: {what}")
    return [item._replace(outer=(*outer, *item.outer)) for item in found]


def is_error(line: Line) -> bool:
    """Return whether a server said that a request failed."""
    return bool(line.get("error") or line.get("errors")) or "error" in (line.get("object"), line.get("type"))


def _is_keepalive(line: Line) -> bool:
    """Return whether it is a line of a stream that holds neither text nor numbers: a ping, or a list of no choices."""
    kind = line.get("type", line.get("event"))
    if isinstance(kind, str) and kind in _KEEPALIVES:
        return True
    return "choices" in line and not line.keys_of_first("choices") and line.get("choices") == []


def _is_empty_list(line: Line) -> bool:
    """Return whether it is a page of a list, or an envelope, with nothing on it."""
    inner = [key for key in line if key not in _PAGING]
    return len(inner) == 1 and inner[0] in ENVELOPES and line.get(inner[0]) == []


def _holds_none(value: Any, depth: int = _WIDEST) -> bool:
    """Return whether a line holds no response by design: an error, a keep-alive, an envelope around such or none."""
    line = _as_line(value)
    if line is None:
        return value is None
    if is_error(line) or _is_keepalive(line) or _is_empty_list(line):
        return True
    inner = [key for key in ENVELOPES[:4] if key in line]
    return bool(depth) and any(line.get(key) in (None, {}) or _holds_none(line.raw(key), depth - 1) for key in inner)


def _unknown(value: Any) -> str:
    line = value if isinstance(value, Line) else Line(next((item for item in value if isinstance(item, dict)), {}))
    keys = ", ".join(_shown(key) for key in list(line)[:8]) or "none"
    path = guess_path(line)
    return f"no known format has these keys: {keys}. {_cure(line, path)}"


def _cure(line: Line, path: str | None) -> str:
    if path:
        return f"A response stands at `{path}`: give `--at {path}`."
    seen = seen_logprobs(line.plain())
    if seen is None:
        return "Name the format with --format."
    return f"Numbers that look like log-probabilities stand at {seen}: name the columns with `--columns`."


def _shown(key: str) -> str:
    text = key if key.isprintable() else ascii(key)[1:-1]
    return text if len(text) <= 40 else f"{text[:37]}..."


def guess_path(line: Line) -> str | None:
    """Return the JSON path of the first response of a known format inside a line, None if there is none.

    Examples
    --------
    >>> reply = {"choices": [{"message": {"content": "4"}}]}
    >>> guess_path(Line({"call": {"answers": [reply]}}))
    'call.answers[*]'
    """
    waiting: list[tuple[str, Any]] = [("", line.plain())]
    for path, value in waiting:
        value = unquoted(value)
        if len(waiting) > _NODES:
            return None
        if isinstance(value, dict):
            if path and recognise(Line(value)) is not None:
                return path
            waiting += [
                (_joined(path, key), item) for key, item in value.items() if isinstance(item, dict | list | str)
            ]
        elif isinstance(value, list):
            waiting += [(f"{path}[*]", item) for item in value[:_LOOKED_ITEMS]]
    return None


def _joined(path: str, key: str) -> str:
    step = key if key.replace("_", "").replace("-", "").isalnum() else f'["{key}"]'
    return f"{path}.{step}" if path and not step.startswith("[") else f"{path}{step}"
