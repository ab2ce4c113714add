"""Events of the Responses API: the last holds the whole answer; where it is missing, the pieces before it do."""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from .parts import UNREADABLE, Answer, Fields, Joined, Part

__all__ = ["ResponsesJoiner"]

C = TypeVar("C")

_LAST = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
_FIRST = {"response.created", "response.queued", "response.in_progress"}
_TEXTS = {"response.output_text.delta": "output_text", "response.refusal.delta": "refusal"}
_DONE = {"response.output_text.done": ("output_text", "text"), "response.refusal.done": ("refusal", "refusal")}
_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)


class _Open(Generic[C]):
    """A response whose last event has not come."""

    def __init__(self, head: dict[str, Any], context: C) -> None:
        self.head, self.context = head, context
        self.parts: dict[tuple[Any, Any], tuple[str, Answer]] = {}
        self.n_lines = 0
        self.is_damaged = False


class ResponsesJoiner(Generic[C]):
    """Waits for the event that completes a response, and keeps the texts in case it never comes."""

    name = "openai_responses"
    marks = ("type",)

    def __init__(self) -> None:
        self._open: dict[Any, _Open[C]] = {}

    def takes(self, line: Fields) -> bool:
        """Return whether the line is an event of a response's stream."""
        kind = line.get("type")
        return isinstance(kind, str) and kind.startswith("response.") and line.get("object") != "response"

    def append(self, data: bytes) -> Iterable[Joined[C]] | None:
        """Return None: the events are few and each says what it is."""
        return None

    def add(self, line: Fields, context: C) -> Iterator[Joined[C]]:
        """Take one event; yield the answer that it completes."""
        kind = line.get("type")
        if kind in _FIRST | _LAST and "response" in line:
            response = line.decode("response", _OBJECT)
            identity = msgspec.json.decode(response["id"]) if "id" in response else None
            if kind in _LAST:
                yield from self._complete(identity, response, context)
                return
            stream = self._open.setdefault(identity, _Open(response, context))
        else:
            stream = self._of_event(line, context)
            self._note(stream, line, kind)
        stream.n_lines += 1

    def _of_event(self, line: Fields, context: C) -> _Open[C]:
        """Return the open response that an event belongs to; events name it seldom, so the latest is taken."""
        if not self._open:
            self._open[None] = _Open({}, context)
        return self._open.get(line.get("response_id")) or next(reversed(self._open.values()))

    def _note(self, stream: _Open[C], line: Fields, kind: str) -> None:
        place = (line.get("item_id"), line.get("content_index"))
        if kind in _TEXTS and isinstance(line.get("delta"), str):
            _, answer = stream.parts.setdefault(place, (_TEXTS[kind], Answer(0)))
            lists = {"logprobs": line.decode("logprobs", _RAW)} if line.get("logprobs") else None
            answer.add(Part(texts=(("text", line.get("delta")),) if line.get("delta") else (), lists=lists))
        elif kind in _DONE and isinstance(line.get(_DONE[kind][1]), str):
            name, field = _DONE[kind]
            before = stream.parts.get(place)
            whole = Answer(0)
            lists = {"logprobs": line.decode("logprobs", _RAW)} if line.get("logprobs") else None
            whole.add(Part(texts=(("text", line.get(field)),), lists=lists))
            if lists is None and before is not None:
                whole.lists = before[1].lists
            stream.parts[place] = (name, whole)

    def _complete(self, identity: Any, response: dict[str, msgspec.Raw], context: C) -> Iterator[Joined[C]]:
        stream = self._open.get(identity)
        fields: dict[str, Any] = dict(response)
        is_empty = not msgspec.json.decode(response.get("output", b"[]"))
        is_lost = stream is not None and bool(stream.parts) and is_empty and stream.is_damaged
        if stream is not None and stream.parts and is_empty:
            fields["output"] = _output(stream)
        elif (
            stream is not None
            and stream.parts
            and not stream.is_damaged
            and b'"logprob"' not in bytes(response.get("output", b""))
        ):
            fields["output"] = _with_logprobs(response["output"], stream)
        self._open.pop(identity, None)
        if stream is not None and stream.n_lines:
            yield Joined({}, stream.context, stream.n_lines, "nothing")
        yield Joined({} if is_lost else fields, context, 1, "damaged" if is_lost else "whole")

    def fail(self) -> None:
        """Note that the server sent an error; the response is cut there unless its last event comes."""

    def damage(self, data: bytes, *, is_json: bool) -> None:
        """Note a line that cannot be read: what is open may have lost a piece, unless its last event comes."""
        for stream in self._open.values():
            stream.is_damaged = True

    def end(self) -> Iterator[Joined[C]]:
        """Note the sign that ends a stream; what has not been completed is cut."""
        yield from self.rest()

    def rest(self) -> Iterator[Joined[C]]:
        """Yield the responses whose last event never came."""
        streams = list(self._open.values())
        self._open.clear()
        mixed = sum(bool(stream.parts) for stream in streams) > 0 and len(streams) > 1
        for stream in streams:
            if stream.is_damaged or mixed:  # texts do not name their response
                yield Joined({}, stream.context, stream.n_lines, "damaged")
            elif not stream.parts:
                yield Joined({}, stream.context, stream.n_lines, "nothing")
            else:
                yield _cut(stream)


def _with_logprobs(output: msgspec.Raw, stream: _Open[Any]) -> msgspec.Raw:
    """Give the texts of a whole response the log-probabilities that came with their pieces alone."""
    wholes = [answer.whole() for _, answer in stream.parts.values() if answer.lists]
    came = {texts.get("text", ""): lists["logprobs"] for texts, lists in wholes}
    if not came:
        return output
    items = msgspec.json.decode(output)
    parts = [part for item in items if isinstance(item, dict) for part in item.get("content") or []]
    for part in parts:
        if isinstance(part, dict) and not part.get("logprobs") and part.get("text") in came:
            part["logprobs"] = came[part["text"]]
    return msgspec.Raw(msgspec.json.encode(items))


def _cut(stream: _Open[C]) -> Joined[C]:
    head = {name: value for name, value in stream.head.items() if name != "status"}
    try:
        output = _output(stream)
    except UNREADABLE:
        return Joined({}, stream.context, stream.n_lines, "damaged")
    return Joined({**head, "object": "response", "output": output}, stream.context, stream.n_lines, "cut")


def _output(stream: _Open[Any]) -> msgspec.Raw:
    content = []
    for kind, answer in stream.parts.values():
        texts, lists = answer.whole()
        name = "refusal" if kind == "refusal" else "text"
        content.append({"type": kind, name: texts.get("text", ""), **lists})
    return msgspec.Raw(msgspec.json.encode([{"type": "message", "role": "assistant", "content": content}]))
