"""Native answers of SGLang: /generate."""

from collections.abc import Iterator

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context, finish_reason, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_sglang", "parse_sglang"]


def is_sglang(line: Line) -> bool:
    """Return whether the line is an answer of SGLang's /generate."""
    return "meta_info" in line


def parse_sglang(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one /generate answer; its log-probabilities are after temperature unless greedy."""
    meta = line.get("meta_info")
    if not isinstance(meta, dict):
        raise TraceFormatError(f"`meta_info` must be an object, got {meta!r:.60}.")
    temperature = context.temperature
    identity = str(context.trace_id or meta.get("id") or context.fallback_id)
    trace = Trace(
        trace_id=identity,
        prompt_id=identity,
        model=line.get("model"),
        provider="sglang",
        logprobs_mode="unknown" if temperature is None else "raw" if temperature == 0 else "processed",
        finish_reason=finish_reason(meta.get("finish_reason")),
        answer=line.get("text"),
    )
    yield with_logprobs(trace, find_listed({"meta_info": meta}), context, counted=token_count(meta))
