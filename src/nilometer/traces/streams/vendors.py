"""Streams of services and tools with shapes of their own: Gemini, watsonx, Cohere, LangChain."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .chunks import RAW, Protocol, finish_of, given, head_of, no_key, text_of
from .parts import Answer, Chunk, Fields, Part

__all__ = ["VENDORS"]

_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def _either(fields: Mapping[str, Any] | Fields, *names: str) -> Any:
    return next((fields.get(name) for name in names if name in fields), None)


def _index(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _gemini_key(line: Fields) -> str | None:
    identity = _either(line, "responseId", "response_id")
    return identity if isinstance(identity, str) and identity else None


def _takes_gemini(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    """Tell a piece by its lack of a finish reason; without an id it cannot be told from a whole answer."""
    if _gemini_key(line) is None:
        return False
    first = line.keys_of_first("candidates")
    if is_open:
        return bool(first) or "usageMetadata" in line or "usage_metadata" in line
    if not first:
        return False
    reasons = [_either(candidate, "finishReason", "finish_reason") for candidate in line.get("candidates")]
    return any(reason is None or (isinstance(reason, str) and finish_of(reason) is None) for reason in reasons)


_CANDIDATES = (("chosenCandidates", "chosen_candidates"), ("topCandidates", "top_candidates"))


def _gemini(line: Fields) -> Chunk:
    parts = []
    for place, candidate in enumerate(line.get("candidates") or []):
        content, listed = candidate.get("content") or {}, _either(candidate, "logprobsResult", "logprobs_result") or {}
        said = [part for part in content.get("parts") or [] if not part.get("thought") and part.get("text")]
        reason = _either(candidate, "finishReason", "finish_reason")
        lists = {names[0]: msgspec.Raw(msgspec.json.encode(_either(listed, *names))) for names in _CANDIDATES}
        parts.append(
            Part(
                index=_index(candidate.get("index"), place),
                texts=tuple(("text", text_of(part["text"])) for part in said),
                lists=given(lists),
                finish=None if reason is None else finish_of(str(reason)),
            )
        )
    return Chunk(_gemini_key(line), parts, head_of(line, [name for name in line if name != "candidates"]))


def _whole_gemini(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    candidates = []
    for answer in answers:
        texts, lists = answer.whole()
        content = {"role": "model", "parts": [{"text": texts.get("text", "")}]}
        listed = {"logprobsResult": lists} if lists else {}
        candidates.append({"index": answer.index, "content": content, "finishReason": answer.finish, **listed})
    return {**head, "candidates": msgspec.Raw(msgspec.json.encode(candidates))}


def _takes_watsonx(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if "results" not in line or "generated_text" not in line.keys_of_first("results"):
        return False
    return is_open or str(line.get("results")[0].get("stop_reason")).lower() == "not_finished"


def _watsonx(line: Fields) -> Chunk:
    parts = []
    for place, result in enumerate(line.decode("results", _OBJECTS)):
        text, reason = (msgspec.json.decode(result.get(name, b"null")) for name in ("generated_text", "stop_reason"))
        parts.append(
            Part(
                index=place,
                texts=(("generated_text", text_of(text)),) if text else (),
                lists=given({name: result[name] for name in ("generated_tokens",) if name in result}),
                finish=finish_of(reason),
            )
        )
    return Chunk(None, parts, head_of(line, [name for name in line if name != "results"]))


def _whole_watsonx(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    results = []
    for answer in answers:
        texts, lists = answer.whole()
        results.append({"generated_text": texts.get("generated_text", ""), "stop_reason": answer.finish, **lists})
    return {**head, "results": msgspec.Raw(msgspec.json.encode(results))}


_COHERE = ("message-start", "content-start", "content-delta", "content-end", "message-end")


def _takes_cohere(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    return "type" in line and line.get("type") in _COHERE and (is_open or "delta" in line or "index" in line)


def _cohere(line: Fields) -> Chunk:
    delta = line.get("delta") or {}
    message = delta.get("message") or {}
    content = message.get("content") or {}
    text = content.get("text") if isinstance(content, dict) else None
    listed = line.decode("logprobs", RAW) if line.get("logprobs") else None
    part = Part(
        texts=(("text", text_of(text)),) if text else (),
        lists=None if listed is None else {"logprobs": msgspec.Raw(b"[" + bytes(listed) + b"]")},
        finish=finish_of(delta.get("finish_reason")),
        has_role="role" in message,
    )
    return Chunk(None, [part], head_of(line, ("id",)) | {name: delta[name] for name in ("usage",) if delta.get(name)})


def _whole_cohere(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    texts, lists = answers[0].whole()
    message = {"role": "assistant", "content": [{"type": "text", "text": texts.get("text", "")}]}
    return {**head, "message": message, "finish_reason": answers[0].finish, **lists}


def _message(line: Fields) -> Mapping[str, Any] | None:
    """Return the fields of a piece of LangChain's, however it was dumped."""
    if line.get("type") == "AIMessageChunk":
        inner = line.get("data")
        return inner if isinstance(inner, dict) else {name: line.get(name) for name in line}
    name = line.get("id") if "lc" in line else None
    return line.get("kwargs") if isinstance(name, list) and name[-1:] == ["AIMessageChunk"] else None


def _langchain_reason(fields: Mapping[str, Any]) -> str | None:
    metadata = fields.get("response_metadata") or {}
    reason = _either(metadata, "finish_reason", "done_reason", "stop_reason")
    return None if reason is None else finish_of(str(reason))


def _takes_langchain(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if not ("type" in line or "lc" in line):
        return False
    fields = _message(line)
    return isinstance(fields, Mapping) and bool(fields.get("id")) and (is_open or _langchain_reason(fields) is None)


def _langchain_key(line: Fields) -> str | None:
    fields = _message(line) if "type" in line or "lc" in line else None
    identity = fields.get("id") if isinstance(fields, Mapping) else None
    return identity if isinstance(identity, str) else None


def _langchain(line: Fields) -> Chunk:
    fields = _message(line) or {}
    content, metadata = fields.get("content"), dict(fields.get("response_metadata") or {})
    said = [content] if isinstance(content, str) else [part.get("text") for part in content or []]
    listed = metadata.pop("logprobs", None)
    lists = listed if isinstance(listed, Mapping) else {"content": listed}
    part = Part(
        texts=tuple(("content", text_of(text)) for text in said if text),
        lists=given({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in lists.items()}),
        finish=_langchain_reason(fields),
    )
    usage = {"usage_metadata": fields["usage_metadata"]} if fields.get("usage_metadata") else {}
    return Chunk(_langchain_key(line), [part], {"id": fields.get("id"), "response_metadata": metadata, **usage})


def _whole_langchain(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    texts, lists = answers[0].whole()
    metadata = msgspec.Raw(msgspec.json.encode({**head.get("response_metadata", {}), "logprobs": lists or None}))
    return {**head, "type": "ai", "content": texts.get("content", ""), "response_metadata": metadata}


VENDORS: tuple[Protocol, ...] = (
    Protocol(
        "gemini",
        _takes_gemini,
        _gemini_key,
        _gemini,
        _whole_gemini,
        ("candidates", "usageMetadata", "usage_metadata"),
        format="gemini",
    ),
    Protocol(
        "watsonx", _takes_watsonx, no_key, _watsonx, _whole_watsonx, ("results",), has_ids=False, format="watsonx"
    ),
    Protocol("cohere", _takes_cohere, no_key, _cohere, _whole_cohere, ("type",), has_ids=False, format="cohere"),
    Protocol(
        "langchain", _takes_langchain, _langchain_key, _langchain, _whole_langchain, ("type", "lc"), format="langchain"
    ),
)
"""Tried in this order."""
