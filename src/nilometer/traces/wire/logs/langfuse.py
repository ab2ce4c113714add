"""Observations exported from Langfuse."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, joined_text, last_user_text, microseconds, number, scalars, token_count
from ..lines.line import Line, unquoted
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed
from ..servers.table import is_response, parse_response

__all__ = ["is_langfuse", "parse_langfuse"]

_KINDS = ("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EMBEDDING", "EVALUATOR", "GUARDRAIL")


def is_langfuse(line: Line) -> bool:
    """Return whether the line is an observation."""
    return line.get("type") in _KINDS and ("traceId" in line or "trace_id" in line)


def parse_langfuse(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of a generation; spans and events hold none.

    The output is a whole response, a message, or a text; log-probabilities are looked for in it and in the metadata,
    which is where an application may put them: Langfuse itself does not ask for them.
    """
    output = unquoted(line.get("output"))
    if line.get("type") != "GENERATION" or output is None:
        return
    settings = _object(_either(line, "modelParameters", "model_parameters"))
    metadata = _object(line.get("metadata"))
    context.trace_id = str(line.get("id") or context.fallback_id)
    context.time = microseconds(_either(line, "startTime", "start_time"))
    context.temperature = number(settings.get("temperature"))
    asked = settings.get("top_logprobs")
    context.k = asked if isinstance(asked, int) and asked > 0 else None
    context.prompt = _prompt(unquoted(line.get("input")))
    own = {name: line.get(name) for name in ("name", "environment", "userId", "sessionId") if line.get(name)}
    context.attributes = scalars(metadata) | scalars(own)
    kept = next((found for found in _responses(output, metadata) if is_response(found)), None)
    if kept is not None:
        traces = list(parse_response(kept, context))
    else:
        traces = [_message(line, output, metadata, context=context)]
    for trace in traces:
        trace.model = trace.model or _either(line, "model", "providedModelName", "provided_model_name")
        yield trace


def _responses(output: Any, metadata: dict[str, Any]) -> Iterator[Line]:
    """Yield where an application keeps the whole response: the output, its choices alone, or the metadata."""
    if isinstance(output, dict):
        yield Line(output)
    if isinstance(output, list) and output and isinstance(output[0], dict) and "message" in output[0]:
        yield Line({"choices": output})
    for name in ("response", "raw_response"):
        inner = _object(metadata.get(name))
        if inner:
            yield Line(inner)


def _message(line: Line, output: Any, metadata: dict[str, Any], *, context: Context) -> Trace:
    content = output.get("content", output.get("text")) if isinstance(output, dict) else output
    usage = _either(line, "usageDetails", "usage_details", "usage")
    trace = Trace(
        trace_id=str(context.trace_id), prompt_id=str(_either(line, "traceId", "trace_id")), answer=joined_text(content)
    )
    listed = find_listed(output) if isinstance(output, dict) else None
    counted = token_count(usage, "output", "completion_tokens", "output_tokens")
    return with_logprobs(trace, listed or find_listed(metadata), context, counted=counted)


def _prompt(given: Any) -> str | None:
    if isinstance(given, dict):
        given = given.get("messages", given.get("prompt", given.get("input")))
    return given if isinstance(given, str) else last_user_text(given)


def _either(line: Line, *names: str) -> Any:
    return next((line.get(name) for name in names if line.get(name) is not None), None)


def _object(value: Any) -> dict[str, Any]:
    value = unquoted(value)
    return value if isinstance(value, dict) else {}
