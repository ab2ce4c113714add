"""Results of promptfoo."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, scalars, token_count
from ..lines.line import Line, unquoted
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed, read_listed
from ..servers.table import is_response, parse_response

__all__ = ["is_promptfoo", "parse_promptfoo"]


def is_promptfoo(line: Line) -> bool:
    """Return whether the line is one result: a provider's response beside the variables of its test."""
    return {"vars", "response"} <= set(line) and any(name in line for name in ("success", "gradingResult", "provider"))


def parse_promptfoo(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one result, from the raw response where it is kept; whether it passed is the label."""
    response = line.get("response") or {}
    if response.get("output") is None and response.get("raw") is None and (line.get("error") or response.get("error")):
        return
    provider = line.get("provider")
    name = provider.get("id") if isinstance(provider, dict) else provider
    test, prompt = line.get("testIdx"), line.get("prompt")
    base = context.fallback_id if test is None else f"test {test}"
    context.trace_id = str(line.get("id") or f"{base}/{name}/{line.get('promptIdx', 0)}")
    context.prompt = prompt.get("raw") if isinstance(prompt, dict) else prompt
    success = line.get("success")
    context.correct = float(success) if isinstance(success, bool) else None
    context.attributes = scalars(line.get("vars")) | scalars({"provider_id": name})
    raw = _raw(response.get("raw"))
    traces = list(parse_response(raw, context)) if raw is not None else [_answer(response, context)]
    for trace in traces:
        trace.prompt_id = base
        yield trace


def _answer(response: dict[str, Any], context: Context) -> Trace:
    output = response.get("output")
    trace = Trace(trace_id=str(context.trace_id), answer=output if isinstance(output, str) else None)
    given = response.get("logProbs")
    listed = read_listed(given, response) if given else find_listed(response)
    return with_logprobs(trace, listed, context, counted=token_count(response.get("tokenUsage"), "completion"))


def _raw(value: Any) -> Line | None:
    value = unquoted(value)
    return Line(value) if isinstance(value, dict) and is_response(Line(value)) else None
