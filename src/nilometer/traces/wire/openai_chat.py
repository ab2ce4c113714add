"""OpenAI chat completions, as OpenAI, vLLM, SGLang, llama.cpp and every compatible server answer."""

from collections.abc import Iterator

import msgspec

from ..batch import Trace
from .line import Context, Line, microseconds
from .logprobs import TokenLogprobs, clean_logprobs

__all__ = ["ChatLogprobs", "chat_logprobs", "is_openai_chat", "parse_openai_chat", "provider_of"]


class _Alternative(msgspec.Struct, gc=False):
    logprob: float | str | None = None


class _Token(msgspec.Struct, gc=False):
    token: str = ""
    logprob: float | str | None = None
    top_logprobs: list[_Alternative] | None = None


class ChatLogprobs(msgspec.Struct):
    """The ``logprobs`` object of one choice."""

    content: list[_Token] | None = None
    refusal: list[_Token] | None = None
    reasoning_content: list[_Token] | None = None


class _Message(msgspec.Struct):
    content: str | list[dict[str, object]] | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message = msgspec.field(default_factory=_Message)
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


_CHOICES: msgspec.json.Decoder[list[_Choice]] = msgspec.json.Decoder(list[_Choice])


def is_openai_chat(line: Line) -> bool:
    """Tell whether the line is a chat completion."""
    return "message" in line.keys_of_first("choices")


def parse_openai_chat(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice; several choices share the ``prompt_id``."""
    choices = line.decode("choices", _CHOICES)
    base = context.trace_id or line.get("id") or context.fallback_id
    for choice in choices:
        many = len(choices) > 1
        parsed = chat_logprobs(choice.logprobs, context.k)
        content = choice.message.content
        text = content if isinstance(content, str) else _parts(content)
        usage = line.get("usage") or {}
        yield Trace(
            trace_id=f"{base}#{choice.index}" if many else str(base),
            prompt_id=str(base),
            time=microseconds(line.get("created")),
            model=line.get("model"),
            model_fingerprint=line.get("system_fingerprint"),
            provider=line.get("provider") or provider_of(line),
            finish_reason=choice.finish_reason,
            n_tokens=len(parsed[1]) if parsed else None if many else usage.get("completion_tokens"),
            k=parsed[0].top.shape[1] if parsed else context.k,
            chosen_logprobs=parsed[0].chosen if parsed else None,
            top_logprobs=parsed[0].top if parsed else None,
            tokens=parsed[1] if parsed else None,
            answer=text,
        )


def chat_logprobs(logprobs: ChatLogprobs | None, k: int | None) -> tuple[TokenLogprobs, list[str]] | None:
    """Return clean log-probabilities and token texts of a ``logprobs`` object, None if it lists no tokens at all.

    Tokens of the reasoning come before those of the answer, as the model wrote them. An empty list of tokens
    is an empty answer, not a missing one.
    """
    if logprobs is None:
        return None
    parts = [logprobs.reasoning_content, logprobs.content or logprobs.refusal or logprobs.content]
    if all(part is None for part in parts):
        return None
    listed = [token for part in parts for token in part or ()]
    rows = [token.top_logprobs or () for token in listed]
    alternatives = [other.logprob for row in rows for other in row]
    counts = [len(row) for row in rows]
    clean = clean_logprobs([token.logprob for token in listed], alternatives, counts, k=k, sampled_first=True)
    return clean, [token.token for token in listed]


def _parts(content: list[dict[str, object]] | None) -> str | None:
    if content is None:
        return None
    return "".join(str(part.get("text", "")) for part in content)


def provider_of(line: Line) -> str | None:
    """Name the engine that wrote a response, by what only it writes; None if nothing tells."""
    fingerprint = line.get("system_fingerprint")
    if isinstance(fingerprint, str) and fingerprint.startswith("vllm-"):
        return "vllm"
    if any(name in line for name in ("prompt_logprobs", "kv_transfer_params", "prompt_token_ids")):
        return "vllm"
    return "llama.cpp" if "timings" in line else None
