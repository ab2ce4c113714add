"""Chunks of OpenAI's chat and text completions, as OpenAI and every compatible server stream them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from .chunks import EMPTY, NULLS, RAW, Protocol, finish_of, given, head_of
from .parts import Answer, Chunk, Fields, ListedToken, Part, joined_text, text_grows

__all__ = [
    "CHAT",
    "TEXT",
    "ChatChunk",
    "ListedChunk",
    "Pieces",
    "chunk_of",
    "decoded_chunk",
]


class _Delta(msgspec.Struct, gc=False):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: msgspec.Raw = EMPTY
    function_call: msgspec.Raw = EMPTY
    logprobs: msgspec.Raw = EMPTY


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    index: int = 0
    logprobs: msgspec.Raw = EMPTY
    finish_reason: str | None = None


class _Content(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY

    def lists(self) -> dict[str, msgspec.Raw]:
        given = {"content": self.content, "refusal": self.refusal}
        return {name: value for name, value in given.items() if value is not EMPTY}


class _ListedContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: list[ListedToken] | None = None
    refusal: None = None

    def lists(self) -> dict[str, msgspec.Raw]:
        return {"content": msgspec.Raw(msgspec.json.encode(self.content))}


class _TypedChoice(msgspec.Struct, gc=False):
    delta: _Delta
    index: int = 0
    logprobs: _Content | None = None
    finish_reason: str | None = None
    log_probs: msgspec.Raw = EMPTY
    token_logprobs: msgspec.Raw = EMPTY
    completion_probabilities: msgspec.Raw = EMPTY
    meta_info: msgspec.Raw = EMPTY

    @property
    def has_others(self) -> bool:
        """Whether log-probabilities stand somewhere else than usual."""
        return self.logprobs is None and not (
            self.delta.logprobs is EMPTY
            and self.log_probs is EMPTY
            and self.token_logprobs is EMPTY
            and self.completion_probabilities is EMPTY
            and self.meta_info is EMPTY
        )


class ChatChunk(msgspec.Struct, gc=False):
    """A chunk of a chat completion whose model and time are known from an earlier one."""

    choices: list[_TypedChoice]
    id: str | int | None = None
    usage: msgspec.Raw = EMPTY
    system_fingerprint: msgspec.Raw = EMPTY
    completion_probabilities: msgspec.Raw = EMPTY

    @property
    def is_usual(self) -> bool:
        """Whether log-probabilities stand where they do as a rule, if there are any."""
        if self.completion_probabilities is not EMPTY:
            return False
        if len(self.choices) == 1 and self.choices[0].logprobs is not None:
            return True
        if len(self.choices) == 1:
            return not self.choices[0].has_others
        return not any(choice.has_others for choice in self.choices)

    def plain_text(self) -> _TypedChoice | None:
        """Return the one choice if it holds nothing but text and its log-probabilities."""
        if len(self.choices) != 1:
            return None
        choice = self.choices[0]
        delta = choice.delta
        is_plain = (
            type(delta.content) is str
            and delta.content
            and choice.finish_reason is None
            and delta.role is None
            and delta.reasoning_content is None
            and delta.reasoning is None
            and delta.refusal is None
            and delta.tool_calls is EMPTY
            and delta.function_call is EMPTY
            and self.usage is EMPTY
        )
        return choice if is_plain else None


class _ListedChoice(_TypedChoice, gc=False):
    logprobs: _ListedContent | None = None  # type: ignore[assignment]


class ListedChunk(ChatChunk, gc=False):
    """The same, with its tokens decoded on the way; the texts of the alternatives are left out."""

    choices: list[_ListedChoice]  # type: ignore[assignment]


class Pieces(NamedTuple):
    """One choice of a streamed answer whose tokens were decoded piece by piece."""

    number: int
    text: str
    finish_reason: str | None
    tokens: list[ListedToken]


class _TextChoice(msgspec.Struct, gc=False):
    text: str | None = None
    index: int = 0
    logprobs: msgspec.Raw = EMPTY
    finish_reason: str | None = None


_HEAD = ("id", "created", "model", "system_fingerprint", "usage", "provider")
_CHOICES: msgspec.json.Decoder[list[_Choice] | None] = msgspec.json.Decoder(list[_Choice] | None)
_TEXT_CHOICES: msgspec.json.Decoder[list[_TextChoice] | None] = msgspec.json.Decoder(list[_TextChoice] | None)
_FIELDS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAYS = ("token_logprobs", "tokens", "top_logprobs")
_TRIPLES = ("output_token_logprobs", "output_top_logprobs")


def decoded_chunk(decoder: msgspec.json.Decoder[ChatChunk], data: bytes) -> ChatChunk | None:
    """Read a chunk of a chat completion in one pass; None where it is anything else or leaves any doubt."""
    if data.find(b'"delta"', 0, 800) < 0:
        return None
    try:
        chunk = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return chunk if chunk.is_usual else None


def chunk_of(chunk: ChatChunk) -> Chunk:
    """Return what a typed chunk says, as any protocol's."""
    head: dict[str, Any] = {"id": chunk.id} if chunk.id else {}
    for name in ("usage", "system_fingerprint"):
        value = getattr(chunk, name)
        if bytes(value) not in NULLS:
            head[name] = value
    parts = [
        _chat_part(choice, choice.delta, None if choice.logprobs is None else choice.logprobs.lists())
        for choice in chunk.choices
    ]
    return Chunk(chunk.id or None, parts, head)


def _chat_part(choice: _Choice | _TypedChoice, delta: _Delta, lists: dict[str, msgspec.Raw] | None) -> Part:
    texts: tuple[tuple[str, str], ...] = ()
    if delta.content:
        texts = (("content", delta.content if isinstance(delta.content, str) else _spelled(delta.content)),)
    thought = delta.reasoning_content or delta.reasoning
    if thought:
        texts = (*texts, ("reasoning_content", thought))
    if delta.refusal:
        texts = (*texts, ("refusal", delta.refusal))
    calls = next((call for call in (delta.tool_calls, delta.function_call) if bytes(call) not in NULLS), None)
    return Part(
        index=choice.index,
        texts=texts,
        lists=given(lists),
        finish=finish_of(choice.finish_reason),
        has_role=delta.role is not None,
        extra=None if calls is None else {"tool_calls": calls},
    )


def _spelled(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _lists(value: msgspec.Raw, text: str | None) -> dict[str, msgspec.Raw] | None:
    """Return the log-probabilities of a piece by field, whether they came as an object, a list or a single number."""
    data = bytes(value).strip()
    if data in NULLS or data == b"false":
        return None
    if data[:1] == b"{":
        return given(_OBJECT.decode(data))
    if data[:1] == b"[":
        is_flat = data[1:].lstrip()[:1] in (b"-", b"0")
        return {"token_logprobs" if is_flat else "content": msgspec.Raw(data)}
    if data[:1] == b'"':
        return _lists(msgspec.Raw(msgspec.json.decode(data, type=str).encode()), text)
    number = msgspec.json.encode([msgspec.json.decode(data, type=float)])
    return {"token_logprobs": msgspec.Raw(number), "tokens": msgspec.Raw(msgspec.json.encode([text or ""]))}


def _elsewhere(holder: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw] | None:
    """Look for log-probabilities beside or below the place where they stand as a rule."""
    for name in ("logprobs", "log_probs", "completion_probabilities"):
        if name in holder and (found := _lists(holder[name], None)):
            return found
    for names in (_ARRAYS, _TRIPLES):
        if names[0] in holder:
            return given({name: holder[name] for name in names if name in holder})
    for name in ("delta", "meta_info"):
        if name in holder and bytes(holder[name])[:1] == b"{" and (found := _elsewhere(_OBJECT.decode(holder[name]))):
            return found
    return None


def _look_elsewhere(line: Fields, parts: list[Part]) -> list[Part]:
    """Return the parts of a line with the log-probabilities that it keeps somewhere else than usual."""
    if any(part.lists for part in parts):
        return parts
    for part, fields in zip(parts, line.decode("choices", _FIELDS) or (), strict=True):
        part.lists = _elsewhere(fields)
    if len(parts) == 1 and "completion_probabilities" in line:
        beside = {"content": line.decode("completion_probabilities", RAW)}
        parts[0].lists = parts[0].lists or given(beside)
    return parts


def _identity(line: Fields) -> str | int | None:
    value = line.get("id")
    return value if isinstance(value, str | int) and value != "" else None


def _takes_chat(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    first = line.keys_of_first("choices")
    if line.get("object") == "chat.completion.chunk" or "delta" in first:
        return True
    return is_open and "choices" in line and not first and line.get("choices") == []


def _chat(line: Fields) -> Chunk:
    choices = (line.decode("choices", _CHOICES) if "choices" in line else None) or []
    parts = [_chat_part(choice, choice.delta or _Delta(), _own_lists(choice)) for choice in choices]
    return Chunk(_identity(line), _look_elsewhere(line, parts) if parts else parts, head_of(line, _HEAD))


def _own_lists(choice: _Choice) -> dict[str, msgspec.Raw] | None:
    content = choice.delta.content if choice.delta is not None else None
    return _lists(choice.logprobs, content if isinstance(content, str) else None)


def _whole_chat(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    decoded = [_pieces(answer) for answer in answers]
    if all(decoded):
        return {**head, "object": "chat.completion", "choices": decoded}
    choices = []
    for answer in answers:
        texts, lists = answer.whole()
        others: dict[str, Any] = {name: texts[name] for name in ("reasoning_content", "refusal") if name in texts}
        content = texts.get("content", None if answer.extra or "refusal" in others else "")
        message: dict[str, Any] = {"role": "assistant", "content": content, **answer.extra, **others}
        choices.append(
            {"index": answer.index, "message": message, "finish_reason": answer.finish, "logprobs": lists or None}
        )
    return {**head, "object": "chat.completion", "choices": msgspec.Raw(msgspec.json.encode(choices))}


def _pieces(answer: Answer) -> Pieces | None:
    """Return a choice as it was decoded piece by piece; None where that leaves any doubt."""
    texts, lists = answer.texts.get("content"), answer.lists
    if texts is None or len(answer.texts) > 1 or answer.extra or not lists or text_grows(texts):
        return None
    if any(type(piece) is not list for piece in lists):
        return None
    if len(lists) > 1 and len(lists[-1]) > min(len(lists[0]), 1):  # growing lists, or a last one that repeats all
        return None
    tokens = [token for piece in lists for token in piece]
    if any(token.token is None or token.logprob is None for token in tokens):
        return None
    return Pieces(answer.index, joined_text(texts), answer.finish, tokens)


def _takes_text(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if is_open or "text" not in line.keys_of_first("choices"):
        return is_open and ("text" in line.keys_of_first("choices") or not line.get("choices"))
    if isinstance(line.get("usage"), dict):
        return False
    return finish_of((line.decode("choices", _TEXT_CHOICES) or [_TextChoice()])[0].finish_reason) is None


def _text(line: Fields) -> Chunk:
    choices = (line.decode("choices", _TEXT_CHOICES) if "choices" in line else None) or []
    parts = [
        Part(
            index=choice.index,
            texts=(("text", choice.text),) if choice.text else (),
            lists=_lists(choice.logprobs, choice.text),
            finish=finish_of(choice.finish_reason),
        )
        for choice in choices
    ]
    return Chunk(_identity(line), _look_elsewhere(line, parts) if parts else parts, head_of(line, _HEAD))


def _whole_text(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    choices = []
    for answer in answers:
        texts, lists = answer.whole()
        text = texts.get("text", "")
        choices.append({"index": answer.index, "text": text, "finish_reason": answer.finish, "logprobs": lists or None})
    return {**head, "object": "text_completion", "choices": msgspec.Raw(msgspec.json.encode(choices))}


CHAT = Protocol(
    "openai_chunks", _takes_chat, _identity, _chat, _whole_chat, ("choices", "object"), format="openai_chat"
)
TEXT = Protocol(
    "openai_text_chunks", _takes_text, _identity, _text, _whole_text, ("choices",), format="openai_completions"
)
