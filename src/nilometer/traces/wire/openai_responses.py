"""The OpenAI Responses API: a response object, or the event that completes a stream."""

from collections.abc import Iterator

import msgspec

from ..batch import Trace
from .line import Context, Line, microseconds
from .openai_chat import ChatLogprobs, chat_logprobs, provider_of

__all__ = ["is_openai_responses", "parse_openai_responses"]


_UNFINISHED = ("queued", "in_progress")


def is_openai_responses(line: Line) -> bool:
    """Tell whether the line is a response object or an event of its stream."""
    kind = line.get("type")
    return line.get("object") == "response" or (isinstance(kind, str) and kind.startswith("response."))


def parse_openai_responses(line: Line, context: Context) -> Iterator[Trace]:
    """Yield one trace per response; of a stream's events only the completing one holds it."""
    if line.get("object") != "response":
        inner = line.child("response")
        if inner is None:
            return
        line = inner
    if line.get("status") in _UNFINISHED:
        return
    parts = [
        part
        for item in line.get("output") or []
        if item.get("type", "message") == "message"
        for part in item.get("content") or []
    ]
    listed = [part["logprobs"] for part in parts if part.get("logprobs") is not None]
    tokens = [token for logprobs in listed for token in logprobs] if listed else None
    parsed = chat_logprobs(msgspec.convert({"content": tokens}, ChatLogprobs), context.k or line.get("top_logprobs"))
    usage = line.get("usage") or {}
    incomplete = (line.get("incomplete_details") or {}).get("reason")
    identity = context.trace_id or line.get("id") or context.fallback_id
    yield Trace(
        trace_id=str(identity),
        prompt_id=str(identity),
        time=microseconds(line.get("created_at")),
        model=line.get("model"),
        provider=provider_of(line),
        model_fingerprint=line.get("system_fingerprint"),
        temperature=line.get("temperature"),
        finish_reason=incomplete or ("stop" if line.get("status") == "completed" else line.get("status")),
        n_tokens=len(parsed[1]) if parsed else usage.get("output_tokens"),
        k=parsed[0].top.shape[1] if parsed else context.k,
        chosen_logprobs=parsed[0].chosen if parsed else None,
        top_logprobs=parsed[0].top if parsed else None,
        tokens=parsed[1] if parsed else None,
        answer="".join(part.get("text") or "" for part in parts),
    )
