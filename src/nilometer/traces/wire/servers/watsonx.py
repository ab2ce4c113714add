"""IBM watsonx.ai: /ml/v1/text/generation."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason, microseconds, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_watsonx", "parse_watsonx"]


def is_watsonx(line: Line) -> bool:
    """Return whether the line holds the results of a text generation."""
    return "generated_text" in line.keys_of_first("results")


def parse_watsonx(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per result."""
    results = line.items("results")
    base = str(context.trace_id or line.get("id") or context.fallback_id)
    for number, result in enumerate(results):
        trace = Trace(
            trace_id=f"{base}#{number}" if len(results) > 1 else base,
            prompt_id=base,
            time=microseconds(line.get("created_at")),
            model=line.get("model_id") or line.get("model"),
            provider="watsonx",
            finish_reason=finish_reason(result.get("stop_reason")),
            answer=result.get("generated_text"),
        )
        yield with_logprobs(trace, find_listed(result), context, counted=token_count(result, "generated_token_count"))
