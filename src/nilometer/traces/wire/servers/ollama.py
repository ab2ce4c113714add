"""Native answers of Ollama: /api/chat and /api/generate."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, microseconds, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_ollama", "parse_ollama"]


def is_ollama(line: Line) -> bool:
    """Return whether the line is an answer of Ollama's own API."""
    return "done" in line and (line.child("message") is not None or isinstance(line.get("response"), str))


def parse_ollama(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one whole answer; the parts of a streamed one are joined before.

    Builds that copy a linear probability into ``logprob`` give positive values, which are refused.
    """
    message = line.get("message") or {}
    identity = str(context.trace_id or context.fallback_id)
    trace = Trace(
        trace_id=identity,
        prompt_id=identity,
        time=microseconds(line.get("created_at")),
        model=line.get("model"),
        provider="ollama",
        finish_reason=line.get("done_reason"),
        answer=message.get("content") if message else line.get("response"),
    )
    listed = find_listed({"logprobs": line.get("logprobs") or None})
    yield with_logprobs(trace, listed, context, counted=token_count({"n": line.get("eval_count")}, "n"))
