"""Spans of OpenInference and Phoenix, which keep the raw response of a server."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, number, prompt_text, scalars
from ..lines.line import Line, unquoted
from ..servers.table import parse_response

__all__ = ["is_openinference", "parse_openinference"]


def is_openinference(line: Line) -> bool:
    """Return whether the line is a span of an OpenInference (Phoenix) export."""
    if "attributes.output.value" in line or "attributes.openinference.span.kind" in line:
        return True
    if "attributes" not in line:
        return False
    attributes = _attributes(line)
    return not attributes.keys().isdisjoint(("output.value", "openinference.span.kind")) or bool(_nested_output(line))


def parse_openinference(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of the raw response that the span keeps in ``output.value``.

    The slice keys are the span's metadata, session and user, not its own bookkeeping.
    """
    value = _object(_span_value(line, "output.value") or _nested_output(line))
    if not value:
        return
    settings = _object(_span_value(line, "llm.invocation_parameters"))
    context.temperature = number(settings.get("temperature")) if "temperature" in settings else context.temperature
    context.k = settings["top_logprobs"] if isinstance(settings.get("top_logprobs"), int) else context.k
    own = line.get("context") or {}
    span_id = line.get("context.span_id") or own.get("span_id") or line.get("spanId") or line.get("span_id")
    context.trace_id = context.trace_id or (span_id.removeprefix("0x") if isinstance(span_id, str) else span_id)
    context.prompt = prompt_text(Line(_object(_span_value(line, "input.value")))) or context.prompt
    kept = {name.partition(".")[0]: _span_value(line, name) for name in ("session.id", "user.id")}
    context.attributes = scalars(_object(_span_value(line, "metadata"))) | scalars(kept)
    yield from parse_response(Line(value), context)


def _span_value(line: Line, name: str) -> Any:
    """Return an attribute of a span, however the export spells it: flat, nested, or as a column."""
    attributes = _attributes(line)
    value = line.get(f"attributes.{name}", attributes.get(name))
    if value is None:
        head, _, rest = name.partition(".")
        inner = line.get(f"attributes.{head}") or attributes.get(head)
        value = inner.get(rest) if rest and isinstance(inner, dict) else None
    return value


def _attributes(line: Line) -> dict[str, Any]:
    """Return the attributes of a span, which OTLP writes as a list of keys and typed values."""
    attributes = line.get("attributes") or {}
    if isinstance(attributes, list):
        pairs = [pair for pair in attributes if isinstance(pair, dict) and isinstance(pair.get("value"), dict)]
        return {str(pair.get("key")): next(iter(pair["value"].values()), None) for pair in pairs}
    return attributes if isinstance(attributes, dict) else {}


def _object(value: Any) -> dict[str, Any]:
    """Read an attribute that holds an object, or the JSON text of one; empty if it is neither."""
    value = unquoted(value)
    return value if isinstance(value, dict) else {}


def _nested_output(line: Line) -> Any:
    output = _attributes(line).get("output")
    return output.get("value") if isinstance(output, dict) else None
