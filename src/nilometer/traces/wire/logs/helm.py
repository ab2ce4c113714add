"""Request states of HELM's scenario_state.json."""

from collections.abc import Iterator

from ...batch import Trace
from ..lines.context import Context, finish_reason, microseconds, number
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_helm", "parse_helm"]


def is_helm(line: Line) -> bool:
    """Return whether the line is one request state, or the request and its result alone."""
    result = line.child("result")
    return result is not None and "completions" in result and "request" in line


def parse_helm(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per completion; the instance is the prompt, its split and perturbation are attributes."""
    result, request = line.get("result"), line.get("request") or {}
    instance = line.get("instance") or {}
    completions = result.get("completions") or []
    base = str(instance.get("id") or context.trace_id or context.fallback_id)
    trial = f"/{line.get('train_trial_index')}" if line.get("train_trial_index") else ""
    own = {"split": instance.get("split"), "perturbation": (instance.get("perturbation") or {}).get("name")}
    context.attributes = {key: value for key, value in own.items() if isinstance(value, str)}
    context.temperature = number(request.get("temperature"))
    context.prompt = request.get("prompt") or context.prompt
    for place, completion in enumerate(completions):
        trace = Trace(
            trace_id=f"{base}{trial}#{place}" if len(completions) > 1 else f"{base}{trial}",
            prompt_id=base,
            time=microseconds(result.get("request_datetime")),
            model=request.get("model"),
            provider="helm",
            finish_reason=finish_reason(completion.get("finish_reason")),
            answer=completion.get("text"),
        )
        yield with_logprobs(trace, find_listed(completion), context, k=request.get("top_k_per_token"))
