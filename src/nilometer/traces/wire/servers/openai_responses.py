"""The OpenAI Responses API: a response object, or the event that completes a stream."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...batch import Trace
from ..lines.context import Context, microseconds, number, token_count
from ..lines.line import Line
from ..logprobs.clean import Listed
from ..logprobs.fill import with_logprobs
from ..logprobs.tokens import listed_tokens
from .choices import provider_of

__all__ = ["is_openai_responses", "parse_openai_responses"]

_UNFINISHED = ("queued", "in_progress")


def is_openai_responses(line: Line) -> bool:
    """Return whether the line is a response object or an event of its stream."""
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
    parts = _parts(line)
    incomplete = (line.get("incomplete_details") or {}).get("reason")
    identity = context.trace_id or line.get("id") or context.fallback_id
    trace = Trace(
        trace_id=str(identity),
        prompt_id=str(identity),
        time=microseconds(line.get("created_at")),
        model=line.get("model"),
        provider=provider_of(line),
        model_fingerprint=line.get("system_fingerprint"),
        temperature=number(line.get("temperature")),
        finish_reason=incomplete or _reason(line, parts),
        answer="".join(part.get("text") or part.get("refusal") or "" for part in parts),
    )
    asked = line.get("top_logprobs") or None
    yield with_logprobs(trace, _listed(parts), context, k=context.k or asked, counted=token_count(line.get("usage")))


def _reason(line: Line, parts: list[Mapping[str, Any]]) -> str | None:
    status: str | None = line.get("status")
    if status != "completed":
        return status
    return "refusal" if parts and all(part.get("refusal") for part in parts) else "stop"


def _parts(line: Line) -> list[Mapping[str, Any]]:
    return [
        part
        for item in line.items("output")
        if item.get("type", "message") == "message"
        for part in item.get("content") or []
    ]


def _listed(parts: list[Mapping[str, Any]]) -> Listed | None:
    given = [part["logprobs"] for part in parts if part.get("logprobs")]
    return listed_tokens([token for tokens in given for token in tokens]) if given else None
