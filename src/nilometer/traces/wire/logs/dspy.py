"""Calls in the history of a DSPy language model."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, microseconds, number, prompt_text, token_count
from ..lines.line import Line, unquoted
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed
from ..servers.table import is_response, parse_response

__all__ = ["is_dspy", "parse_dspy"]


def is_dspy(line: Line) -> bool:
    """Return whether the line is one call of the history."""
    return isinstance(line.get("outputs"), list) and "kwargs" in line and ("messages" in line or "prompt" in line)


def parse_dspy(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per output, from the response where the history keeps it as JSON."""
    settings = line.get("kwargs") or {}
    context.trace_id = str(line.get("uuid") or context.fallback_id)
    context.time = microseconds(line.get("timestamp"))
    context.temperature = number(settings.get("temperature"))
    context.prompt = prompt_text(line)
    context.attributes = {}
    response = _response(line.get("response"))
    if response is not None:
        yield from parse_response(response, context)
        return
    outputs = line.items("outputs")
    for place, output in enumerate(outputs):
        own = output if isinstance(output, dict) else {"text": output}
        trace = Trace(
            trace_id=f"{context.trace_id}#{place}" if len(outputs) > 1 else context.trace_id,
            prompt_id=context.trace_id,
            model=line.get("response_model") or line.get("model"),
            answer=own.get("text"),
        )
        counted = token_count(line.get("usage")) if len(outputs) == 1 else None
        yield with_logprobs(trace, find_listed(own), context, counted=counted)


def _response(value: Any) -> Line | None:
    value = unquoted(value)
    return Line(value) if isinstance(value, dict) and is_response(Line(value)) else None
