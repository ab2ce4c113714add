"""The protocols of streams: how a line of each is recognised, taken apart, and the whole answer written."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from .parts import Answer, Chunk, Fields, Part

__all__ = ["CHAT", "PROTOCOLS", "ChatChunk", "Protocol", "chat_chunk", "chunk_of"]


class Protocol(NamedTuple):
    """One way of sending an answer in pieces."""

    name: str
    takes: Callable[[Fields, bool], bool]
    """Whether a line belongs to it; the second argument: whether a stream with the line's id is open."""
    key: Callable[[Fields], str | int | None]
    chunk: Callable[[Fields], Chunk]
    whole: Callable[[dict[str, Any], Sequence[Answer]], dict[str, Any]]
    """Write the answer as the server would have without streaming."""
    has_ids: bool = True
    format: str = ""
    """Name of the wire format in which the whole answer is written."""


_EMPTY = msgspec.Raw()
_NULLS = (b"", b"null", b"[]")


class _Delta(msgspec.Struct, gc=False):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: msgspec.Raw = _EMPTY
    function_call: msgspec.Raw = _EMPTY


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    index: int = 0
    logprobs: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None


class _Content(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: msgspec.Raw = _EMPTY
    refusal: msgspec.Raw = _EMPTY

    def lists(self) -> dict[str, msgspec.Raw]:
        given = {"content": self.content, "refusal": self.refusal}
        return {name: value for name, value in given.items() if value is not _EMPTY}


class _TypedChoice(msgspec.Struct, gc=False):
    delta: _Delta
    index: int = 0
    logprobs: _Content | None = None
    finish_reason: str | None = None


class ChatChunk(msgspec.Struct, gc=False):
    """A chunk of a chat completion whose model and time are known from an earlier one."""

    choices: list[_TypedChoice]
    id: str | int | None = None
    usage: msgspec.Raw = _EMPTY
    system_fingerprint: msgspec.Raw = _EMPTY

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
            and delta.tool_calls is _EMPTY
            and delta.function_call is _EMPTY
            and self.usage is _EMPTY
        )
        return choice if is_plain else None


class _TextChoice(msgspec.Struct, gc=False):
    text: str | None = None
    index: int = 0
    logprobs: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None


_HEAD = ("id", "created", "model", "system_fingerprint", "usage", "provider")
_NOT_YET = {"", "null", "None"}
"""What some servers write for a finish reason that is still to come."""
_CHAT: msgspec.json.Decoder[ChatChunk] = msgspec.json.Decoder(ChatChunk)
_CHOICES: msgspec.json.Decoder[list[_Choice] | None] = msgspec.json.Decoder(list[_Choice] | None)
_TEXT_CHOICES: msgspec.json.Decoder[list[_TextChoice] | None] = msgspec.json.Decoder(list[_TextChoice] | None)
_RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
_META: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def chat_chunk(data: bytes) -> ChatChunk | None:
    """Read a chunk of a chat completion in one pass; None where it is anything else or leaves any doubt."""
    if data.find(b'"delta"', 0, 800) < 0:
        return None
    try:
        return _CHAT.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def chunk_of(chunk: ChatChunk) -> Chunk:
    """Return what a typed chunk says, as any protocol's."""
    head: dict[str, Any] = {"id": chunk.id} if chunk.id else {}
    for name in ("usage", "system_fingerprint"):
        value = getattr(chunk, name)
        if bytes(value) not in _NULLS:
            head[name] = value
    parts = [
        _chat_part(_Choice(c.delta, c.index, None if c.logprobs is None else c.logprobs.lists(), c.finish_reason))
        for c in chunk.choices
    ]
    return Chunk(chunk.id or None, parts, head)


def _chat_part(choice: _Choice) -> Part:
    delta = choice.delta or _Delta()
    texts: tuple[tuple[str, str], ...] = ()
    if delta.content:
        texts = (("content", delta.content if isinstance(delta.content, str) else _spelled(delta.content)),)
    thought = delta.reasoning_content or delta.reasoning
    if thought:
        texts = (*texts, ("reasoning_content", thought))
    if delta.refusal:
        texts = (*texts, ("refusal", delta.refusal))
    calls = next((call for call in (delta.tool_calls, delta.function_call) if bytes(call) not in _NULLS), None)
    return Part(
        index=choice.index,
        texts=texts,
        lists=_given(choice.logprobs),
        finish=_finish(choice.finish_reason),
        has_role=delta.role is not None,
        extra=None if calls is None else {"tool_calls": calls},
    )


def _spelled(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _given(lists: dict[str, msgspec.Raw] | None) -> dict[str, msgspec.Raw] | None:
    """Return the lists that are neither null nor empty; None if there is none."""
    if not lists:
        return None
    kept = {name: value for name, value in lists.items() if bytes(value) not in _NULLS}
    return kept or None


def _finish(reason: str | None) -> str | None:
    return None if reason is None or reason in _NOT_YET else reason


def _identity(line: Fields) -> str | int | None:
    value = line.get("id")
    return value if isinstance(value, str | int) and value != "" else None


def _head(line: Fields, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if name in line and (value := line.get(name)) is not None}


def _takes_chat(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    first = line.keys_of_first("choices")
    if line.get("object") == "chat.completion.chunk" or "delta" in first:
        return True
    return is_open and "choices" in line and not first and line.get("choices") == []


def _chat(line: Fields) -> Chunk:
    choices = (line.decode("choices", _CHOICES) if "choices" in line else None) or []
    return Chunk(_identity(line), [_chat_part(choice) for choice in choices], _head(line, _HEAD))


def _whole_chat(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    choices = []
    for answer in answers:
        texts, lists = answer.whole()
        content = texts.get("content", texts.get("refusal", None if answer.extra else ""))
        message = {"role": "assistant", "content": content, **answer.extra}
        if "reasoning_content" in texts:
            message["reasoning_content"] = texts["reasoning_content"]
        choices.append(
            {"index": answer.index, "message": message, "finish_reason": answer.finish, "logprobs": lists or None}
        )
    return {**head, "object": "chat.completion", "choices": msgspec.Raw(msgspec.json.encode(choices))}


def _takes_text(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if is_open or "text" not in line.keys_of_first("choices"):
        return is_open and ("text" in line.keys_of_first("choices") or not line.get("choices"))
    if isinstance(line.get("usage"), dict):
        return False
    return _finish((line.decode("choices", _TEXT_CHOICES) or [_TextChoice()])[0].finish_reason) is None


def _text(line: Fields) -> Chunk:
    choices = (line.decode("choices", _TEXT_CHOICES) if "choices" in line else None) or []
    parts = [
        Part(
            index=choice.index,
            texts=(("text", choice.text),) if choice.text else (),
            lists=_given(choice.logprobs),
            finish=_finish(choice.finish_reason),
        )
        for choice in choices
    ]
    return Chunk(_identity(line), parts, _head(line, _HEAD))


def _whole_text(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    choices = []
    for answer in answers:
        texts, lists = answer.whole()
        text = texts.get("text", "")
        choices.append({"index": answer.index, "text": text, "finish_reason": answer.finish, "logprobs": lists or None})
    return {**head, "object": "text_completion", "choices": msgspec.Raw(msgspec.json.encode(choices))}


def _raw_lists(line: Fields, names: Sequence[str]) -> dict[str, msgspec.Raw] | None:
    return _given({name: line.decode(name, _RAW) for name in names if name in line})


def _takes_llama(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if "stop" not in line or not isinstance(line.get("stop"), bool) or "content" not in line:
        return False
    ours = any(name in line for name in ("completion_probabilities", "tokens_predicted", "id_slot", "index"))
    return ours and (line.get("stop") is False or is_open)


def _llama(line: Fields) -> Chunk:
    content, index = line.get("content"), line.get("index", 0)
    part = Part(
        index=index if isinstance(index, int) else 0,
        texts=(("content", _text_of(content)),) if content else (),
        lists=_raw_lists(line, ("completion_probabilities",)),
        finish="stop" if line.get("stop") else None,
    )
    skipped = {"content", "completion_probabilities", "tokens", "index"}
    return Chunk(None, [part], _head(line, [name for name in line if name not in skipped]))


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the text of a piece must be a text, got {type(value).__name__}")
    return value


def _whole_single(field: str) -> Callable[[dict[str, Any], Sequence[Answer]], dict[str, Any]]:
    def whole(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
        texts, lists = answers[0].whole()
        return {**head, field: texts.get(field, ""), **lists}

    return whole


def _takes_ollama(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if not isinstance(line.get("done"), bool) or not ("message" in line or "response" in line):
        return False
    return not line.get("done") or is_open


def _ollama_key(line: Fields) -> str | None:
    model = line.get("model")
    return model if isinstance(model, str) else None


def _ollama(line: Fields) -> Chunk:
    message = line.get("message")
    message = message if isinstance(message, dict) else {}
    text = message.get("content") or line.get("response")
    part = Part(
        texts=(("response", _text_of(text)),) if text else (),
        lists=_raw_lists(line, ("logprobs",)),
        finish=(line.get("done_reason") or "stop") if line.get("done") else None,
        extra={"tool_calls": message["tool_calls"]} if message.get("tool_calls") else None,
    )
    return Chunk(
        _ollama_key(line), [part], _head(line, [n for n in line if n not in {"message", "response", "logprobs"}])
    )


def _meta(line: Fields) -> dict[str, Any]:
    return line.decode("meta_info", _META) if isinstance(line.get("meta_info"), dict) else {}


def _takes_sglang(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    meta = line.get("meta_info")
    return (
        isinstance(meta, dict)
        and "text" in line
        and (is_open or ("finish_reason" in meta and not meta["finish_reason"]))
    )


def _sglang_key(line: Fields) -> str | int | None:
    identity = (line.get("meta_info") or {}).get("id")
    return identity if isinstance(identity, str | int) else None


_SGLANG_LISTS = ("output_token_logprobs", "output_top_logprobs")


def _sglang(line: Fields) -> Chunk:
    meta, text = _meta(line), line.get("text")
    reason = msgspec.json.decode(meta["finish_reason"]) if "finish_reason" in meta else None
    part = Part(
        texts=(("text", _text_of(text)),) if text else (),
        lists=_given({name: meta[name] for name in _SGLANG_LISTS if name in meta}),
        finish=reason.get("type") if isinstance(reason, dict) else _finish(reason),
    )
    head = {"meta": {name: value for name, value in meta.items() if name not in _SGLANG_LISTS}}
    return Chunk(_sglang_key(line), [part], {**_head(line, ("model",)), **head})


def _whole_sglang(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    texts, lists = answers[0].whole()
    meta = head.pop("meta", {})
    meta.setdefault("id", None)
    return {**head, "text": texts.get("text", ""), "meta_info": msgspec.Raw(msgspec.json.encode({**meta, **lists}))}


def _takes_tgi(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    token = line.get("token")
    return isinstance(token, dict) and "text" in token and "generated_text" in line


def _tgi(line: Fields) -> Chunk:
    token, details = line.get("token"), line.get("details")
    details = details if isinstance(details, dict) else {}
    whole = line.get("generated_text")
    lists = {"tokens": msgspec.Raw(b"[" + bytes(line.decode("token", _RAW)) + b"]")}
    if line.get("top_tokens"):
        lists["top_tokens"] = msgspec.Raw(b"[" + bytes(line.decode("top_tokens", _RAW)) + b"]")
    text = "" if token.get("special") else _text_of(token["text"])
    part = Part(
        texts=(("generated_text", text),) if text else (),
        lists=lists,
        finish=str(details.get("finish_reason") or "stop") if whole is not None else None,
    )
    return Chunk(None, [part], {"details": details, **({} if whole is None else {"generated_text": whole})})


def _whole_tgi(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    texts, lists = answers[0].whole()
    details = {**head.get("details", {}), "finish_reason": answers[0].finish, **lists}
    text = head.get("generated_text", texts.get("generated_text", ""))
    return {"generated_text": text, "details": msgspec.Raw(msgspec.json.encode(details))}


def _no_key(line: Fields) -> None:
    return None


CHAT = Protocol("openai_chunks", _takes_chat, _identity, _chat, _whole_chat, format="openai_chat")
PROTOCOLS: tuple[Protocol, ...] = (
    CHAT,
    Protocol("openai_text_chunks", _takes_text, _identity, _text, _whole_text, format="openai_completions"),
    Protocol("ollama", _takes_ollama, _ollama_key, _ollama, _whole_single("response"), has_ids=False),
    Protocol("sglang", _takes_sglang, _sglang_key, _sglang, _whole_sglang),
    Protocol("tgi", _takes_tgi, _no_key, _tgi, _whole_tgi, has_ids=False),
    Protocol("llama_cpp", _takes_llama, _no_key, _llama, _whole_single("content"), has_ids=False),
)
"""Tried in this order."""
