"""Legacy text completions of OpenAI, vLLM, SGLang and llama-cpp-python."""

from collections.abc import Iterator

from ..batch import Trace
from .line import Context, Line, microseconds
from .logprobs import clean_logprobs
from .openai_chat import provider_of

__all__ = ["is_openai_completions", "parse_openai_completions"]


def is_openai_completions(line: Line) -> bool:
    """Tell whether the line is a text completion."""
    return "text" in line.keys_of_first("choices")


def parse_openai_completions(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice.

    The alternatives come as an object keyed by text with up to k + 1 entries, the sampled token among them;
    two alternatives with the same text have collapsed into one there, which cannot be undone.
    """
    choices = line.get("choices")
    base = context.trace_id or line.get("id") or context.fallback_id
    for number, choice in enumerate(choices):
        logprobs = choice.get("logprobs") or {}
        chosen = logprobs.get("token_logprobs")
        listed = [list((top or {}).values()) for top in logprobs.get("top_logprobs") or [{} for _ in chosen or ()]]
        flat = [value for values in listed for value in values]
        counts = [len(values) for values in listed]
        clean = clean_logprobs(chosen, flat, counts, k=context.k, sampled_added=True) if chosen else None
        yield Trace(
            trace_id=f"{base}#{choice.get('index', number)}" if len(choices) > 1 else str(base),
            prompt_id=str(base),
            time=microseconds(line.get("created")),
            model=line.get("model"),
            model_fingerprint=line.get("system_fingerprint"),
            provider=provider_of(line),
            finish_reason=choice.get("finish_reason"),
            n_tokens=len(chosen) if chosen else None,
            k=clean.top.shape[1] if clean else context.k,
            chosen_logprobs=clean.chosen if clean else None,
            top_logprobs=clean.top if clean else None,
            tokens=logprobs.get("tokens"),
            answer=choice.get("text"),
        )
