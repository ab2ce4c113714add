"""Results of UQLM, which keep one list per column."""

from collections.abc import Iterator
from typing import Any

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context, number
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import read_listed

__all__ = ["is_uqlm", "parse_uqlm"]


def is_uqlm(line: Line) -> bool:
    """Tell whether the line is a result: prompts and responses as lists."""
    return isinstance(line.get("responses"), list) and isinstance(line.get("prompts"), list)


def parse_uqlm(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per response, and per sampled response where the result keeps them."""
    columns = {name: line.items(name) for name in _COLUMNS if name in line}
    n = len(columns["responses"])
    for name, values in columns.items():
        if len(values) != n:
            raise TraceFormatError(f"`{name}` must have one entry per response, got {len(values)} for {n}.")
    context.temperature = number(line.get("temperature")) if "temperature" in line else context.temperature
    for row in range(n):
        own = {name: values[row] for name, values in columns.items()}
        yield from _answers(own, f"{context.fallback_id}/{row}", context)


_COLUMNS = ("prompts", "responses", "logprobs", "sampled_responses", "multiple_logprobs", "sampled_logprobs")


def _answers(own: dict[str, Any], prompt_id: str, context: Context) -> Iterator[Trace]:
    samples = own.get("sampled_responses") or []
    given = own.get("sampled_logprobs") or own.get("multiple_logprobs") or [None] * len(samples)
    pairs = [(own["responses"], own.get("logprobs")), *zip(samples, given, strict=False)]
    for place, (answer, logprobs) in enumerate(pairs):
        trace = Trace(
            trace_id=f"{prompt_id}#{place}" if samples else prompt_id,
            prompt_id=prompt_id,
            prompt=own["prompts"] if isinstance(own["prompts"], str) else None,
            answer=answer,
        )
        yield with_logprobs(trace, read_listed(logprobs, {}) if logprobs else None, context)
