"""AI21's completions, as Bedrock answers them."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_ai21", "parse_ai21"]


def is_ai21(line: Line) -> bool:
    """Return whether the line holds completions of AI21."""
    return "data" in line.keys_of_first("completions")


def parse_ai21(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per completion; the log-probabilities are those after the sampling parameters."""
    completions = line.items("completions")
    base = str(context.trace_id or line.get("id") or context.fallback_id)
    prompt = line.get("prompt") or {}
    for number, completion in enumerate(completions):
        data = completion.get("data") or {}
        trace = Trace(
            trace_id=f"{base}#{number}" if len(completions) > 1 else base,
            prompt_id=base,
            provider="ai21",
            logprobs_mode="processed",
            finish_reason=finish_reason(completion.get("finishReason")),
            prompt=prompt.get("text") if isinstance(prompt, dict) else prompt,
            answer=data.get("text"),
        )
        yield with_logprobs(trace, find_listed(data), context)
