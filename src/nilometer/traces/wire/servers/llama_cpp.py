"""Native answers of llama.cpp: /completion, new builds and old."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, number, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_llama_cpp", "parse_llama_cpp"]


def is_llama_cpp(line: Line) -> bool:
    """Return whether the line is an answer of llama.cpp's /completion."""
    return "completion_probabilities" in line or ("tokens_predicted" in line and "content" in line)


def parse_llama_cpp(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one /completion answer.

    Linear probabilities (``post_sampling_probs``, and the builds that know only ``probs``) become logarithms.
    """
    settings = line.get("generation_settings") or {}
    identity = str(context.trace_id or context.fallback_id)
    prompt = line.get("prompt")
    trace = Trace(
        trace_id=identity,
        prompt_id=identity,
        model=line.get("model"),
        provider="llama.cpp",
        temperature=number(settings.get("temperature")),
        finish_reason=_reason(line),
        prompt=prompt if isinstance(prompt, str) else None,
        answer=line.get("content"),
    )
    listed = find_listed({"completion_probabilities": line.get("completion_probabilities")})
    counted = token_count({"tokens": line.get("tokens_predicted")}, "tokens")
    filled = with_logprobs(trace, listed, context, k=settings.get("n_probs") or None, counted=counted)
    if filled.chosen_logprobs is None:
        filled.k = None
    if filled.logprobs_mode != "processed":
        filled.logprobs_mode = "processed" if settings.get("post_sampling_probs") else "raw"
    yield filled


def _reason(line: Line) -> str | None:
    if line.get("stop") is False:  # pieces of a stream that broke off
        return None
    return "length" if line.get("stop_type") == "limit" or line.get("stopped_limit") else "stop"
