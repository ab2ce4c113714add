"""Cohere: chat of version 2, and generations as version 1 and Bedrock answer them."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, finish_reason, joined_text, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_cohere", "is_cohere_generations", "parse_cohere", "parse_cohere_generations"]


def is_cohere(line: Line) -> bool:
    """Return whether the line is a chat answer of version 2."""
    return "finish_reason" in line and "choices" not in line and line.child("message") is not None


def parse_cohere(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one chat answer; there are no alternatives, and a piece may hold several tokens."""
    message = line.get("message")
    identity = str(context.trace_id or line.get("id") or context.fallback_id)
    trace = Trace(
        trace_id=identity,
        prompt_id=identity,
        model=line.get("model"),
        provider="cohere",
        finish_reason=finish_reason(line.get("finish_reason")),
        answer=joined_text(message.get("content")),
    )
    yield with_logprobs(trace, find_listed({"logprobs": line.get("logprobs")}), context, counted=_counted(line))


def _counted(line: Line) -> int | None:
    usage: Any = line.get("usage") or line.get("meta") or {}
    return token_count(usage.get("tokens") or usage.get("billed_units"))


def is_cohere_generations(line: Line) -> bool:
    """Return whether the line holds generations with the likelihoods of their tokens."""
    return "text" in line.keys_of_first("generations")


def parse_cohere_generations(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per generation; there are no alternatives. With ``return_likelihoods=ALL`` the prompt counts."""
    generations = line.items("generations")
    base = str(context.trace_id or line.get("id") or context.fallback_id)
    for number, generation in enumerate(generations):
        trace = Trace(
            trace_id=f"{base}#{number}" if len(generations) > 1 else base,
            prompt_id=base,
            model=line.get("model"),
            provider="cohere",
            finish_reason=finish_reason(generation.get("finish_reason")),
            prompt=line.get("prompt"),
            answer=generation.get("text"),
        )
        yield with_logprobs(trace, find_listed(generation), context)
