"""From frames to traces: whole answers as they are, streams joined without decoding their log-probabilities twice."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError
from nilometer.traces import Trace, traces_from_response

from ..capture import Frame
from ..capture.strip import EventCutter

__all__ = ["frame_traces", "join_stream"]

_LISTS = ("content", "refusal", "reasoning_content", "tokens", "token_logprobs", "top_logprobs")
_NOTHING = msgspec.Raw(b"null")


class _Listed(msgspec.Struct):
    content: msgspec.Raw = _NOTHING
    refusal: msgspec.Raw = _NOTHING
    reasoning_content: msgspec.Raw = _NOTHING
    tokens: msgspec.Raw = _NOTHING
    token_logprobs: msgspec.Raw = _NOTHING
    top_logprobs: msgspec.Raw = _NOTHING


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Part(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    logprobs: _Listed | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Part] = []
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    system_fingerprint: Any = None
    usage: Any = None


_CHUNKS = msgspec.json.Decoder(_Chunk)
_HEAD = ("id", "created", "model", "system_fingerprint", "usage")


def frame_traces(frame: Frame) -> list[Trace]:
    """Traces of one captured answer, one per choice, with what the capture knows of the request.

    Raises
    ------
    TraceFormatError
        If the answer is of no known shape, or holds none.
    """
    body = join_stream(frame.body) if frame.stream else frame.body
    try:
        keep = ["top_tokens"] if frame.texts else []
        traces = traces_from_response(body, trace_id=frame.id, k=frame.k or None, keep=keep)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, AttributeError, KeyError, IndexError) as exc:
        raise TraceFormatError(f"the answer to {frame.id} has an unexpected shape ({exc}).") from exc
    if not traces:
        raise TraceFormatError(f"the answer to {frame.id} must hold at least one choice, got none.")
    for trace in traces:
        trace.time = frame.time
        trace.model = trace.model or frame.model or None
        trace.temperature = frame.temperature
        trace.logprobs_mode = frame.logprobs_mode
        trace.attributes = {**trace.attributes, **frame.attributes}
    return traces


def join_stream(body: bytes) -> bytes:
    r"""Put the events of a stream together to the whole answer that the server would have sent.

    Raises
    ------
    TraceFormatError
        If no event is a part of an answer, or one before the last is damaged.

    Examples
    --------
    >>> join_stream(b'data: {"id":"a","choices":[{"delta":{"content":"4"}}]}\n\ndata: [DONE]\n\n')
    b'{"id":"a","choices":[{"index":0,"finish_reason":null,"message":{"content":"4"},"logprobs":null}]}'
    """
    head: dict[str, Any] = {}
    parts: dict[int, list[_Part]] = {}
    for chunk in _chunks(body):
        head |= {name: value for name in _HEAD if (value := getattr(chunk, name)) is not None}
        for part in chunk.choices:
            parts.setdefault(part.index, []).append(part)
    if not parts:
        raise TraceFormatError("a stream must hold at least one part of an answer, got none.")
    choices = [_choice(index, own) for index, own in sorted(parts.items())]
    return msgspec.json.encode({**head, "choices": choices})


def _chunks(body: bytes) -> Iterator[_Chunk]:
    """Yield the events; the last may be cut where a stream broke off, any other that is damaged spoils the answer."""
    cutter = EventCutter()
    lines = (line for event in (*cutter.feed(body), cutter.rest()) for line in event.splitlines())
    events = [data for line in lines if line.startswith(b"data:") and (data := line[5:].strip())]
    for i, data in enumerate(events):
        if data == b"[DONE]":
            continue
        try:
            yield _CHUNKS.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            if i < len(events) - 1:
                raise TraceFormatError(f"event {i + 1} of a stream must be a part of an answer, got {exc}.") from exc


def _choice(index: int, parts: Sequence[_Part]) -> dict[str, Any]:
    reasons = [part.finish_reason for part in parts if part.finish_reason]
    head = {"index": index, "finish_reason": reasons[-1] if reasons else None}
    listed = {name: joined for name in _LISTS if (joined := _joined(parts, name)) is not None}
    logprobs = listed or None
    if any(part.text is not None for part in parts):
        return {**head, "text": "".join(part.text or "" for part in parts), "logprobs": logprobs}
    content = "".join((part.delta and part.delta.content) or "" for part in parts)
    return {**head, "message": {"content": content}, "logprobs": logprobs}


def _joined(parts: Sequence[_Part], name: str) -> msgspec.Raw | None:
    """One list from the lists of all parts, without reading what is in them."""
    lists = [bytes(getattr(part.logprobs, name)).strip() for part in parts if part.logprobs is not None]
    lists = [value for value in lists if value.startswith(b"[")]
    if not lists:
        return None
    inside = [value[1:-1].strip() for value in lists]
    return msgspec.Raw(b"[" + b",".join(filter(None, inside)) + b"]")
