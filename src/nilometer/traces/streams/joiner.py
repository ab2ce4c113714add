"""Which pieces belong to one answer, when it ends, and what becomes of streams that break off or are damaged."""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, Literal, TypeVar

import msgspec

from .chat import CHAT, ChatChunk, ListedChunk, chunk_of, decoded_chunk
from .chunks import Protocol
from .parts import UNREADABLE, Answer, Chunk, Fields, Joined, Part
from .protocols import PROTOCOLS
from .responses import ResponsesJoiner

__all__ = ["Joiner", "joiners"]

C = TypeVar("C")

_KEPT_ENDED = 256
"""Answers that have ended wait for what may come later (usage, a second finish) until so many have ended after them."""
_WITH_NAMES: msgspec.json.Decoder[ChatChunk] = msgspec.json.Decoder(ChatChunk)
_WITHOUT: msgspec.json.Decoder[ChatChunk] = msgspec.json.Decoder(ListedChunk)
_KEPT_OPEN = 10_000
"""With more streams than this open at once, the one that was begun first counts as cut."""


class _Stream(Generic[C]):
    """One answer while its pieces arrive."""

    __slots__ = ("answers", "context", "failed", "head", "is_damaged", "key", "n_lines")

    def __init__(self, key: str | int | None, context: C) -> None:
        self.key, self.context = key, context
        self.head: dict[str, Any] = {}
        self.answers: dict[int, Answer] = {}
        self.n_lines = 0
        self.is_damaged = False
        self.failed = False

    @property
    def has_ended(self) -> bool:
        return bool(self.answers) and all(answer.finish for answer in self.answers.values())

    @property
    def is_known(self) -> bool:
        """Whether time and model are known, which later pieces repeat."""
        return "created" in self.head and "model" in self.head

    @property
    def is_announced(self) -> bool:
        """Whether it begins with the role of who speaks."""
        return any(answer.n_starts or answer.role_in_content for answer in self.answers.values())

    @property
    def is_mixed(self) -> bool:
        """Whether it was begun twice before its first word, so that two answers came under one id."""
        return any(answer.n_starts > 1 and not answer.role_in_content for answer in self.answers.values())

    def takes(self, part: Part) -> bool:
        """Whether a part may belong to this answer; what a finished choice writes is a new answer."""
        answer = self.answers.get(part.index)
        if answer is None:
            return True
        if answer.finish:
            return not part.has_content
        is_start = part.has_role and not part.has_content and not part.lists and not part.finish
        over = self.failed or (answer.is_begun and answer.n_starts and not answer.role_in_content)
        return not (is_start and over)

    def add(self, chunk: Chunk) -> None:
        self.n_lines += 1
        known = {name: self.head[name] for name in ("created", "model") if name in self.head}
        self.head.update(chunk.head | known)
        for part in chunk.parts:
            answer = self.answers.get(part.index)
            if answer is None:
                answer = self.answers[part.index] = Answer(part.index)
            answer.add(part)


class Joiner(Generic[C]):
    """Collects the pieces of one protocol's streams and gives back whole answers.

    An answer ends by its protocol's sign. What comes later under the same id and adds no text belongs to it; text
    begins a new answer. A line that cannot be read damages the stream it stood in, which is then left out.
    """

    def __init__(self, protocol: Protocol, *, with_names: bool = True) -> None:
        self.name = protocol.name
        self.marks = protocol.marks
        self._decoder = _WITH_NAMES if with_names else _WITHOUT
        self._protocol = protocol
        self._open: dict[str | int | None, _Stream[C]] = {}
        self._ended: dict[str | int | None, _Stream[C]] = {}

    def knows(self, key: str | int | None) -> bool:
        """Whether a stream with this id is open or has just ended."""
        return key in self._open or key in self._ended

    def takes(self, line: Fields) -> bool:
        """Return whether the line is a piece of a stream of this kind."""
        return self._protocol.takes(line, self.knows(self._protocol.key(line)))

    def append(self, data: bytes) -> Iterable[Joined[C]] | None:
        """Take a piece of a stream that is open already in one typed pass; None where that leaves any doubt."""
        if self._protocol is not CHAT or not self._open:
            return None
        chunk = decoded_chunk(self._decoder, data)
        stream = None if chunk is None else self._open.get(chunk.id or None)
        if chunk is None or stream is None or not stream.is_known:
            return None
        plain = chunk.plain_text()
        answer = None if plain is None else stream.answers.get(plain.index)
        if plain is None or answer is None or answer.finish or stream.failed:
            return self.add_chunk(chunk_of(chunk), stream.context)
        stream.n_lines += 1
        answer.append(str(plain.delta.content), None if plain.logprobs is None else plain.logprobs.content)
        return ()

    def add(self, line: Fields, context: C) -> Iterator[Joined[C]]:
        """Take one piece; yield the answers that are now complete."""
        yield from self.add_chunk(self._protocol.chunk(line), context)

    def add_chunk(self, chunk: Chunk, context: C) -> Iterator[Joined[C]]:
        """Take one piece that was read before; yield the answers that are now complete."""
        stream = self._open.get(chunk.key) or self._ended.get(chunk.key)
        if stream is not None and not all(map(stream.takes, chunk.parts)):
            yield self._close(stream)
            stream = None
        if stream is None:
            self._suspect(chunk)
            stream = self._open[chunk.key] = _Stream(chunk.key, context)
        stream.is_damaged |= stream.failed and any(part.has_content or part.lists for part in chunk.parts)
        stream.add(chunk)
        if stream.has_ended and chunk.key in self._open:
            del self._open[chunk.key]
            self._ended[chunk.key] = self._gathered(stream)
        elif not stream.has_ended and chunk.key in self._ended:  # another choice has begun
            self._open[chunk.key] = self._ended.pop(chunk.key)
        if len(self._ended) > _KEPT_ENDED or (self._ended and not self._protocol.has_ids):
            yield self._close(next(iter(self._ended.values())))
        if len(self._open) > _KEPT_OPEN:
            yield self._close(next(iter(self._open.values())))

    def _suspect(self, chunk: Chunk) -> None:
        """Mark the streams of the same model and time as damaged if a piece comes under an id that nothing announced.

        Where a server announces every answer with a role, such a piece has lost its id on the way.
        """
        if not any(part.has_content for part in chunk.parts) or any(part.has_role for part in chunk.parts):
            return
        for stream in self._open.values():
            if stream.is_announced and stream.n_lines > 1 and _same(stream.head, chunk.head):
                stream.is_damaged = True

    def fail(self) -> None:
        """Note that the server sent an error in place of a piece: the open streams are cut there."""
        for stream in self._open.values():
            stream.failed = True

    def damage(self, data: bytes, *, is_json: bool) -> None:
        """Note a line that cannot be read.

        It damages the open stream whose id it names, or, if it names none, every open one, since an answer without
        that piece may say the contrary; JSON of some other kind damages only what it names or what has no id.
        """
        named = [stream for key, stream in self._open.items() if key is not None and _names(data, key)]
        others = [stream for key, stream in self._open.items() if key is None or not is_json]
        for stream in named or others:
            stream.is_damaged = True

    def end(self) -> Iterator[Joined[C]]:
        """Note the sign that ends a stream (``[DONE]``): yield what has ended, and what is open without an id."""
        for stream in list(self._ended.values()):
            yield self._close(stream)
        if None in self._open:
            yield self._close(self._open[None])

    def rest(self) -> Iterator[Joined[C]]:
        """Yield what has ended, then the answers whose stream broke off."""
        for stream in [*self._ended.values(), *self._of_many_ids()]:
            yield self._close(stream)

    def _close(self, stream: _Stream[C]) -> Joined[C]:
        for place in (self._open, self._ended):
            if place.get(stream.key) is stream:
                del place[stream.key]
        answers = [stream.answers[index] for index in sorted(stream.answers)]
        if stream.is_damaged or stream.is_mixed:
            return Joined({}, stream.context, stream.n_lines, "damaged")
        if not any(answer.is_begun or answer.finish for answer in answers):
            return Joined({}, stream.context, stream.n_lines, "nothing")
        try:
            fields = self._protocol.whole(stream.head, answers)
        except UNREADABLE:
            return Joined({}, stream.context, stream.n_lines, "damaged")
        status: Literal["whole", "cut"] = "whole" if stream.has_ended else "cut"
        return Joined(fields, stream.context, stream.n_lines, status, self._protocol.format)

    def _gathered(self, last: _Stream[C]) -> _Stream[C]:
        """Return a stream with the pieces before it, if every piece of one answer came under an id of its own."""
        before = self._single(list(self._open.values()))
        first = next(iter(last.answers.values()))
        if last.n_lines > 1 or len(before) < 2 or first.n_starts or first.role_in_content:
            return last
        if not before[0].is_announced and len(before) < 3:
            return last
        return self._merged([*before, last], last.key)

    def _of_many_ids(self) -> list[_Stream[C]]:
        streams = list(self._open.values())
        before = self._single(streams)
        if len(before) < 3 or not before[0].is_announced:
            return streams
        rest = [stream for stream in streams if stream not in before]
        return [*rest, self._merged(before, before[0].key)]

    def _single(self, streams: list[_Stream[C]]) -> list[_Stream[C]]:
        """Return the trailing run of streams of one line each, from the one that announces an answer on."""
        run: list[_Stream[C]] = []
        for stream in reversed(streams):
            if stream.n_lines > 1 or stream.key is None or not stream.answers:
                break
            run.insert(0, stream)
            if stream.is_announced:
                break
        return run

    def _merged(self, pieces: list[_Stream[C]], key: str | int | None) -> _Stream[C]:
        whole = _Stream(key, pieces[0].context)
        for piece in pieces:
            if self._open.get(piece.key) is piece:
                del self._open[piece.key]
            whole.n_lines += piece.n_lines
            whole.is_damaged |= piece.is_damaged
            whole.head.update({name: value for name, value in piece.head.items() if name not in whole.head})
            for answer in piece.answers.values():
                whole.answers.setdefault(answer.index, Answer(answer.index)).extend(answer)
        return whole


def _same(head: dict[str, Any], other: dict[str, Any]) -> bool:
    names = ("created", "model")
    return all(name in head and _plain(head[name]) == _plain(other.get(name)) for name in names)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _names(data: bytes, key: str | int) -> bool:
    text = f'"{key}"' if isinstance(key, str) else str(key)
    return text.encode("utf-8", "replace") in data


def joiners(*, with_names: bool = True) -> "tuple[Joiner[Any] | ResponsesJoiner[Any], ...]":
    """Return one fresh joiner per kind of stream; the texts of alternatives are kept if `with_names` says so.

    Examples
    --------
    >>> [joiner.name for joiner in joiners()][:5]
    ['openai_responses', 'openai_chunks', 'openai_text_chunks', 'ollama', 'sglang']
    """
    return (ResponsesJoiner(), *(Joiner(protocol, with_names=with_names) for protocol in PROTOCOLS))
