"""LiteLLM's standard logging payload."""

from collections.abc import Iterator

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context, microseconds, number, prompt_text, scalars
from ..lines.line import Line
from ..servers.table import parse_response

__all__ = ["is_litellm", "parse_litellm"]


def is_litellm(line: Line) -> bool:
    """Return whether the line is an entry of LiteLLM's log."""
    return "call_type" in line and "model_parameters" in line


def parse_litellm(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of the response in the entry; its bookkeeping (costs, counts, keys) is no slice.

    A failed call holds none.
    """
    context.trace_id = line.get("id")
    context.time = microseconds(line.get("startTime"))
    context.provider = line.get("custom_llm_provider")
    context.prompt = prompt_text(line)
    settings = line.get("model_parameters") or {}
    context.temperature = number(settings.get("temperature"))
    asked = settings.get("top_logprobs")
    context.k = asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else None
    own = {name: line.get(name) for name in ("model_group", "end_user") if line.get(name)}
    metadata = line.get("metadata") or {}
    asked_by = {**(metadata.get("spend_logs_metadata") or {}), **(metadata.get("requester_metadata") or {})}
    context.attributes = scalars(own) | scalars(metadata) | scalars(asked_by)
    response = line.child("response")
    if line.get("status") == "failure":
        return
    if response is None:
        raise TraceFormatError("a LiteLLM entry without a `response` object holds no answer.")
    yield from parse_response(response, context)
