"""Gemini and Vertex AI: generateContent, in camel and snake case."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...batch import Trace
from ..lines.context import Context, finish_reason, joined_text, microseconds, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_gemini", "parse_gemini"]


def is_gemini(line: Line) -> bool:
    """Return whether the line is an answer of generateContent; without candidates it was blocked."""
    return bool(line.keys_of_first("candidates")) or ("promptFeedback" in line and "usageMetadata" in line)


def parse_gemini(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per candidate; the log-probabilities are those before temperature as far as is documented."""
    candidates = line.items("candidates")
    many = len(candidates) > 1
    base = context.trace_id or _either(line, "responseId", "response_id") or context.fallback_id
    usage = _either(line, "usageMetadata", "usage_metadata")
    counted = None if many else token_count(usage, "candidatesTokenCount", "candidates_token_count")
    for number, candidate in enumerate(candidates):
        index = candidate.get("index", number)
        trace = Trace(
            trace_id=f"{base}#{index}" if many else str(base),
            prompt_id=str(base),
            time=microseconds(_either(line, "createTime", "create_time")),
            model=_either(line, "modelVersion", "model_version"),
            provider="google",
            finish_reason=finish_reason(candidate.get("finishReason", candidate.get("finish_reason"))),
            answer=joined_text(_spoken(candidate.get("content"))),
        )
        yield with_logprobs(trace, find_listed(candidate), context, counted=counted)


def _either(line: Line, *names: str) -> Any:
    return next((line.get(name) for name in names if name in line), None)


def _spoken(content: Any) -> Any:
    """Leave out the parts that are thoughts."""
    if not isinstance(content, Mapping) or not isinstance(content.get("parts"), list):
        return content
    return [part for part in content["parts"] if not (isinstance(part, Mapping) and part.get("thought"))]
