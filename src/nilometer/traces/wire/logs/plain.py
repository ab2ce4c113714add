"""Lines with the column names of the trace schema."""

from collections.abc import Iterator
from typing import Any

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ...labels import LABEL_COLUMNS, parse_correct
from ...schema import TRACE_SCHEMA
from ..lines.checks import count
from ..lines.context import Context, last_user_text, microseconds
from ..lines.line import Line
from ..logprobs.clean import Listed
from ..logprobs.fill import with_logprobs

__all__ = ["is_plain", "parse_plain"]

_LISTS = ("chosen_logprobs", "top_logprobs", "top_tokens", "time")
_KNOWN = {field.name for field in TRACE_SCHEMA} - {*_LISTS, "attributes", "trace_id", "correct"}


def is_plain(line: Line) -> bool:
    """Return whether the line has the column names of the trace schema; answers of other models may have no id."""
    if "chosen_logprobs" in line or ("trace_id" in line and "answer" in line):
        return True
    if "prompt_id" in line and "answer" in line and not any("logprob" in name for name in line):
        return True
    return "top_logprobs" in line and "logprob" not in line


def parse_plain(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of a line with the schema's column names; ``top_logprobs`` may be nested or flat."""
    values = {key: line.get(key) for key in _KNOWN if key in line}
    trace = Trace(trace_id=str(line.get("trace_id") or context.fallback_id), **values)
    trace.time = microseconds(line.get("time"))
    trace.correct = next((parse_correct(line.get(name)) for name in LABEL_COLUMNS if name in line), None)
    if isinstance(trace.prompt, list):
        trace.prompt = last_user_text(trace.prompt)
    context.attributes = {
        key: text for key, text in context.attributes.items() if key not in _KNOWN and key not in _LISTS
    }
    yield with_logprobs(trace, _listed(line), context, k=count("k", trace.k)) if "chosen_logprobs" in line else trace


def _listed(line: Line) -> Listed | None:
    chosen = line.get("chosen_logprobs")
    if chosen is None:
        return None
    if not isinstance(chosen, list):
        raise TraceFormatError(f"`chosen_logprobs` must be a list, got {chosen!r:.60}.")
    rows = _rows(line.items("top_logprobs"), len(chosen))
    names = line.items("top_tokens")
    flat = [value for row in rows for value in row]
    tokens = line.items("tokens")
    return Listed(chosen, flat, [len(row) for row in rows], tokens, names if len(names) == len(flat) else ())


def _rows(top: list[Any], n_tokens: int) -> list[list[Any]]:
    if any(isinstance(row, list) for row in top):
        return [row or [] for row in top]
    if not top:
        return []
    if not n_tokens or len(top) % n_tokens:
        raise TraceFormatError(f"`top_logprobs` must hold tokens * k values, got {len(top)} for {n_tokens} tokens.")
    k = len(top) // n_tokens
    return [top[i * k : (i + 1) * k] for i in range(n_tokens)]
