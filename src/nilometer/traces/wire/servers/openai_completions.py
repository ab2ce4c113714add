"""Legacy text completions of OpenAI, vLLM, SGLang, llama.cpp, llama-cpp-python and MLX."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason, microseconds, token_count
from ..lines.line import Line
from ..logprobs.clean import Listed
from ..logprobs.fill import with_logprobs
from .choices import Choice, provider_of, read_choices

__all__ = ["is_openai_completions", "parse_openai_completions"]


def is_openai_completions(line: Line) -> bool:
    """Return whether the line is a text completion."""
    return "text" in line.keys_of_first("choices")


def parse_openai_completions(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice.

    The alternatives come as an object keyed by text with up to k + 1 entries, the sampled token among them;
    two alternatives with the same text have collapsed into one there, which cannot be undone. Of an echoed prompt
    (more tokens than the usage counts, the first without a probability) only what follows is the answer.
    """
    choices = read_choices(line, with_names=context.top_tokens)
    base = context.trace_id or line.get("id") or context.fallback_id
    counted = token_count(line.get("usage")) if len(choices) == 1 else None
    for choice in choices:
        text, listed = _without_prompt(choice, counted)
        trace = Trace(
            trace_id=f"{base}#{choice.number}" if len(choices) > 1 else str(base),
            prompt_id=str(base),
            time=microseconds(line.get("created")),
            model=line.get("model"),
            model_fingerprint=line.get("system_fingerprint"),
            provider=provider_of(line),
            finish_reason=finish_reason(choice.finish_reason),
            answer=text,
        )
        yield with_logprobs(trace, listed, context, counted=counted)


def _without_prompt(choice: Choice, counted: int | None) -> tuple[str | None, Listed | None]:
    listed, text = choice.listed, choice.text
    if listed is None or counted is None or len(listed.chosen) <= counted or listed.chosen[0] is not None:
        return text, listed
    answer = "".join(map(str, listed.tokens[len(listed.chosen) - counted :]))
    kept = answer if text is not None and answer and text.endswith(answer) else text
    return kept, listed.last(counted)
