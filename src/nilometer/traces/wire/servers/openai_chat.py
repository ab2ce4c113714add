"""OpenAI chat completions, as OpenAI, vLLM, SGLang, llama.cpp and every compatible server answer."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason, microseconds, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from .choices import provider_of, read_choices

__all__ = ["is_openai_chat", "parse_openai_chat"]


def is_openai_chat(line: Line) -> bool:
    """Return whether the line is a chat completion."""
    return "message" in line.keys_of_first("choices")


def parse_openai_chat(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice; several choices share the ``prompt_id``."""
    choices = read_choices(line, with_names=context.top_tokens)
    base = context.trace_id or line.get("id") or context.fallback_id
    many = len(choices) > 1
    for choice in choices:
        trace = Trace(
            trace_id=f"{base}#{choice.number}" if many else str(base),
            prompt_id=str(base),
            time=microseconds(line.get("created")),
            model=line.get("model"),
            model_fingerprint=line.get("system_fingerprint"),
            provider=line.get("provider") or provider_of(line),
            finish_reason=finish_reason(choice.finish_reason),
            answer=choice.text,
        )
        yield with_logprobs(trace, choice.listed, context, counted=None if many else token_count(line.get("usage")))
