"""Text Generation Inference: /generate, as Hugging Face endpoints and SageMaker answer too."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...batch import Trace
from ..lines.context import Context, finish_reason, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_tgi", "parse_tgi"]


def is_tgi(line: Line) -> bool:
    """Return whether the line is a whole answer of /generate; with ``token`` it is the last event of a stream."""
    return "generated_text" in line and "token" not in line


def parse_tgi(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one answer, and of each other sequence that ``best_of`` drew."""
    details = line.get("details") or {}
    others = details.get("best_of_sequences") or []
    base = str(context.trace_id or context.fallback_id)
    for number, sequence in enumerate([{**details, "generated_text": line.get("generated_text")}, *others]):
        yield _sequence(f"{base}#{number}" if others else base, base, sequence, context=context)


def _sequence(identity: str, base: str, sequence: Mapping[str, Any], *, context: Context) -> Trace:
    trace = Trace(
        trace_id=identity,
        prompt_id=base,
        provider="tgi",
        finish_reason=finish_reason(sequence.get("finish_reason")),
        answer=sequence.get("generated_text"),
    )
    counted = token_count(sequence, "generated_tokens")
    return with_logprobs(trace, find_listed({"details": sequence}), context, counted=counted)
