"""vLLM's ``RequestOutput`` objects written as JSON."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_vllm_output", "parse_vllm_output"]


def is_vllm_output(line: Line) -> bool:
    """Return whether the line is a request with its finished outputs."""
    return {"text", "token_ids"} <= line.keys_of_first("outputs")


def parse_vllm_output(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per output; alternatives stand by token id, the sampled one always among them."""
    outputs = line.items("outputs")
    base = str(context.trace_id or line.get("request_id") or context.fallback_id)
    for number, output in enumerate(outputs):
        index = output.get("index", number)
        trace = Trace(
            trace_id=f"{base}#{index}" if len(outputs) > 1 else base,
            prompt_id=base,
            provider="vllm",
            finish_reason=finish_reason(output.get("finish_reason")),
            prompt=line.get("prompt"),
            answer=output.get("text"),
        )
        yield with_logprobs(trace, find_listed(output), context, counted=len(output.get("token_ids") or ()) or None)
