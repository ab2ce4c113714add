"""Results of UQLM, which keep one list per column."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context, last_user_text, number
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import read_listed

__all__ = ["is_uqlm", "parse_uqlm"]


def is_uqlm(line: Line) -> bool:
    """Return whether the line is a result: prompts and responses as lists."""
    if {"prompt", "response"} <= set(line):
        return isinstance(line.get("logprob"), list)
    return isinstance(line.get("responses"), list) and isinstance(line.get("prompts"), list)


_COLUMNS = {
    "prompts": ("prompts",),
    "responses": ("responses",),
    "logprobs": ("logprob", "logprobs"),
    "samples": ("sampled_responses",),
    "sampled_logprobs": ("sampled_logprob", "sampled_logprobs", "multiple_logprobs"),
}
"""Names of the columns, those of newer versions first."""
_MANY = {"prompt": "prompts", "response": "responses", "sampled_response": "sampled_responses"}
"""Names of the columns in rows, and in the whole result."""


def parse_uqlm(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per response, and per sampled response where the result keeps them.

    Of a result turned into rows, a line is one response.
    """
    if "responses" not in line:
        line = Line({_MANY.get(key, key): [line.get(key)] for key in line if line.is_nested(key) or key in _MANY})
    columns = {name: _column(line, keys) for name, keys in _COLUMNS.items()}
    n = len(columns["responses"])
    for name, values in columns.items():
        if len(values) not in (0, n):
            raise TraceFormatError(f"`{name}` must have one entry per response, got {len(values)} for {n}.")
    context.temperature = number(context.attributes.pop("temperature", context.temperature))
    for row in range(n):
        own = {name: values[row] for name, values in columns.items() if values}
        yield from _answers(own, f"{context.fallback_id}/{row}", context)


def _column(line: Line, names: Sequence[str]) -> list[Any]:
    return next((line.items(name) for name in names if name in line), [])


def _answers(own: Mapping[str, Any], prompt_id: str, context: Context) -> Iterator[Trace]:
    samples = own.get("samples") or []
    given = own.get("sampled_logprobs") or [None] * len(samples)
    prompt = own.get("prompts")
    pairs = [(own["responses"], own.get("logprobs")), *zip(samples, given, strict=False)]
    for place, (answer, logprobs) in enumerate(pairs):
        trace = Trace(
            trace_id=f"{prompt_id}#{place}" if samples else prompt_id,
            prompt_id=prompt_id,
            prompt=prompt if isinstance(prompt, str) else last_user_text(prompt),
            answer=answer,
        )
        yield with_logprobs(trace, read_listed(logprobs, {}) if logprobs else None, context)
