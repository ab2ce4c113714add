"""Native streams of the servers that run models themselves: llama.cpp, Ollama, SGLang and TGI."""

from collections.abc import Sequence
from typing import Any

import msgspec

from .chunks import RAW, Protocol, finish_of, given, head_of, lists_in, no_key, text_of, whole_single
from .parts import Answer, Chunk, Fields, Part

__all__ = ["NATIVE"]

_META: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _takes_llama(line: Fields, is_open: bool) -> bool:  # noqa: FBT001 - the shape of every protocol
    if "stop" not in line or not isinstance(line.get("stop"), bool) or "content" not in line:
        return False
    ours = any(name in line for name in ("completion_probabilities", "tokens_predicted", "id_slot", "index"))
    return ours and (line.get("stop") is False or is_open)


def _llama(line: Fields) -> Chunk:
    content, index = line.get("content"), line.get("index", 0)
    part = Part(
        index=index if isinstance(index, int) else 0,
        texts=(("content", text_of(content)),) if content else (),
        lists=lists_in(line, ("completion_probabilities",)),
        finish="stop" if line.get("stop") else None,
    )
    skipped = {"content", "completion_probabilities", "tokens", "index"}
    return Chunk(None, [part], head_of(line, [name for name in line if name not in skipped]))


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
        texts=(("response", text_of(text)),) if text else (),
        lists=lists_in(line, ("logprobs",)),
        finish=(line.get("done_reason") or "stop") if line.get("done") else None,
        extra={"tool_calls": message["tool_calls"]} if message.get("tool_calls") else None,
    )
    return Chunk(
        _ollama_key(line), [part], head_of(line, [n for n in line if n not in {"message", "response", "logprobs"}])
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
        texts=(("text", text_of(text)),) if text else (),
        lists=given({name: meta[name] for name in _SGLANG_LISTS if name in meta}),
        finish=reason.get("type") if isinstance(reason, dict) else finish_of(reason),
    )
    head = {"meta": {name: value for name, value in meta.items() if name not in _SGLANG_LISTS}}
    return Chunk(_sglang_key(line), [part], {**head_of(line, ("model",)), **head})


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
    lists = {"tokens": msgspec.Raw(b"[" + bytes(line.decode("token", RAW)) + b"]")}
    if line.get("top_tokens"):
        lists["top_tokens"] = msgspec.Raw(b"[" + bytes(line.decode("top_tokens", RAW)) + b"]")
    text = "" if token.get("special") else text_of(token["text"])
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


NATIVE: tuple[Protocol, ...] = (
    Protocol("ollama", _takes_ollama, _ollama_key, _ollama, whole_single("response"), ("done",), has_ids=False),
    Protocol("sglang", _takes_sglang, _sglang_key, _sglang, _whole_sglang, ("meta_info",)),
    Protocol("tgi", _takes_tgi, no_key, _tgi, _whole_tgi, ("token",), has_ids=False),
    Protocol("llama_cpp", _takes_llama, no_key, _llama, whole_single("content"), ("stop",), has_ids=False),
)
"""Tried in this order."""
