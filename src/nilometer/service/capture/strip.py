"""Taking log-probabilities out of an answer by position, so that every other byte stays as the server wrote it."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["EventCutter", "strip_body", "strip_event", "writes_null"]

_KEY = re.compile(rb'"logprobs"\s*:\s*')
_BLANK_LINE = re.compile(rb"\n\n|\r\n\r\n|\r\r|\n\r\n")
_DATA = re.compile(rb"^data:[ ]?", re.MULTILINE)
_USUAL_KEY = b'"logprobs":'
_USUAL_LIST = b'"logprobs":{"content":['
_USUAL_NEXT = b',"finish_reason":'
_EMPTY_DELTA = b'"delta":{}'
_NULL = b"null"
_EMPTY = b"{}"


class _Choice(msgspec.Struct):
    delta: msgspec.Raw = msgspec.Raw(b"")
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    finish_reason: Any = None
    token_ids: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Any = None


_ANSWERS = msgspec.json.Decoder(_Answer)


class EventCutter:
    r"""Cuts a byte stream into server-sent events at blank lines, LF, CR or CRLF, wherever the network split it.

    Examples
    --------
    >>> cutter = EventCutter()
    >>> cutter.feed(b"data: 1\r\n\r"), cutter.feed(b"\ndata: 2"), cutter.rest()
    ([], [b'data: 1\r\n\r\n'], b'data: 2')
    """

    def __init__(self) -> None:
        self.waiting = b""
        """Bytes behind the last blank line."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the events that they complete, each with its blank line."""
        if not self.waiting and data.endswith(b"\n\n") and data.find(b"\n") == len(data) - 2 and b"\r" not in data:
            return [data]  # one event in one piece, as servers write them
        searched = max(len(self.waiting) - 3, 0)
        buffer = self.waiting + data
        events, start = [], 0
        for end in _blank_lines(buffer, searched):
            events.append(buffer[start:end])
            start = end
        self.waiting = buffer[start:]
        return events

    def rest(self) -> bytes:
        """Return what the stream ended with, which no blank line closed."""
        rest, self.waiting = self.waiting, b""
        return rest


def _blank_lines(buffer: bytes, start: int) -> Iterator[int]:
    """Ends of blank lines; without a carriage return they are found ten times as fast."""
    if b"\r" in buffer:
        yield from (found.end() for found in _BLANK_LINE.finditer(buffer, start))
        return
    while (found := buffer.find(b"\n\n", start)) >= 0:
        start = found + 2
        yield start


def strip_body(body: bytes, *, null: bool = True) -> bytes:
    """Take the log-probabilities out of a whole answer.

    Parameters
    ----------
    body
        JSON as the server sent it; what is no answer comes back as it is.
    null
        Whether the server writes ``"logprobs":null`` in an answer without them; else the key goes too.

    Examples
    --------
    >>> strip_body(b'{"choices": [{"index":0,"logprobs": {"content":[]}}]}')
    b'{"choices": [{"index":0,"logprobs": null}]}'
    >>> strip_body(b'{"choices": [{"index":0,"logprobs": {"content":[]}}]}', null=False)
    b'{"choices": [{"index":0}]}'
    """
    answer = _answer(body)
    return body if answer is None else _without(body, answer, null=null)


def strip_event(event: bytes, *, null: bool = True) -> bytes:
    """Take the log-probabilities out of one event of a stream; empty if it exists only because of them.

    vLLM sends a chunk with an empty ``delta`` for every token that a parser of tools or reasoning swallowed,
    but only where log-probabilities are on.
    """
    usual = _without_usual(event, null=null)
    if usual is not None:
        return usual
    found = _DATA.search(event)
    answer = _answer(event[found.end() :]) if found else None
    if answer is None:
        return event
    if answer.choices and answer.usage is None and all(map(_is_empty, answer.choices)):
        return b""
    return _without(event, answer, null=null)


def _without_usual(event: bytes, *, null: bool) -> bytes | None:
    """The same without reading the JSON, for a chunk as vLLM and OpenAI write it; None for any other.

    That is one line with one list of tokens, then the reason for the end. A quote inside a JSON text is escaped, so
    the names that are searched for are keys. If another member or choice stood behind the list, ``},"`` would be
    before it.
    """
    key = event.find(_USUAL_LIST)
    value = key + len(_USUAL_KEY)
    end = event.rfind(_USUAL_NEXT)
    if key < 1 or end < value or event[end - 1 : end] != b"}":
        return None
    is_line = event.startswith(b"data: {") and event.endswith(b"\n\n") and event.find(b"\n") == len(event) - 2
    before, behind = event[:value], event[end:]
    if not is_line or _EMPTY_DELTA in before or _EMPTY_DELTA in behind or _USUAL_KEY in behind:
        return None
    if before.find(_USUAL_KEY) != key or event.rfind(b'},"', value, end) >= 0:
        return None
    if null:
        return before + _NULL + behind
    return event[: key - 1] + behind if event[key - 1 : key] == b"," else None


def writes_null(event: bytes) -> bool | None:
    """Tell from an event without log-probabilities whether this server then writes null; None if it cannot tell."""
    found = _DATA.search(event)
    answer = _answer(event[found.end() :]) if found else None
    if answer is None or not answer.choices or any(map(_has_logprobs, answer.choices)):
        return None
    return _KEY.search(event) is not None


def _answer(data: bytes) -> _Answer | None:
    try:
        return _ANSWERS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _has_logprobs(choice: _Choice) -> bool:
    return bytes(choice.logprobs) != _NULL


def _is_empty(choice: _Choice) -> bool:
    empty = bytes(choice.delta) == _EMPTY
    return empty and choice.finish_reason is None and choice.token_ids is None


def _without(data: bytes, answer: _Answer, *, null: bool) -> bytes:
    kept, start = [], 0
    for key, value, end in _places(data, answer):
        cut = (value, end) if null else _with_comma(data, key, end)
        kept += [data[start : cut[0]], _NULL if null else b""]
        start = cut[1]
    return b"".join(kept) + data[start:]


def _places(data: bytes, answer: _Answer) -> Iterator[tuple[int, int, int]]:
    """Where each choice's key starts, its value starts and its value ends.

    Inside a JSON text the quote before the name would be escaped, so an unescaped match is a key.
    """
    start = 0
    for choice in answer.choices:
        if not _has_logprobs(choice):
            continue
        value = bytes(choice.logprobs)
        while (found := _KEY.search(data, start)) is not None:
            start = found.end()
            if data.startswith(value, start):
                yield found.start(), start, start + len(value)
                start += len(value)
                break


def _with_comma(data: bytes, key: int, end: int) -> tuple[int, int]:
    """Bounds of a member of an object and of the comma that belongs to it."""
    before = len(data[:key].rstrip())
    if data[before - 1 : before] == b",":
        return before - 1, end
    after = data[end:]
    stripped = after.lstrip()
    return (key, end + len(after) - len(stripped) + 1) if stripped[:1] == b"," else (key, end)
