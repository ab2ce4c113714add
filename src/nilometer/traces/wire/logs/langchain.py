"""Messages and results of LangChain, dumped as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...batch import Trace
from ..lines.context import Context, finish_reason, joined_text, number, scalars, token_count
from ..lines.line import Line
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed

__all__ = ["is_langchain", "message_fields", "message_trace", "parse_langchain"]

_ANSWERS = ("ai", "AIMessage", "AIMessageChunk")
_SPEAKERS = (*_ANSWERS, "human", "HumanMessage", "system", "SystemMessage", "tool", "ToolMessage", "function")
_FIELDS = ("response_metadata", "data", "additional_kwargs")
_GENERATION = {"generation_info", "message"}
_NOTHING: Mapping[str, Any] = {}


def is_langchain(line: Line) -> bool:
    """Return whether the line is a message, however it was dumped, or a result with generations."""
    if "lc" in line and "kwargs" in line:
        return True
    if "generations" in line and _is_result(line.get("generations")):
        return True
    return line.get("type") in _SPEAKERS and any(name in line for name in _FIELDS)


def _is_result(generations: Any) -> bool:
    """Return whether generations are LangChain's: a list for every prompt, or those of one prompt."""
    first = generations[0] if isinstance(generations, list) and generations else None
    return isinstance(first, list) or (isinstance(first, dict) and not _GENERATION.isdisjoint(first))


def parse_langchain(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of an answer, or of each generation of a result; messages of others hold none."""
    if "generations" not in line:
        fields = message_fields(line.plain())
        if fields is not None:
            yield message_trace(fields, {}, context)
        return
    output = line.get("llm_output") or {}
    prompts = line.items("generations")
    if prompts and isinstance(prompts[0], Mapping):
        prompts = [prompts]
    for number_of_prompt, generations in enumerate(prompts):
        for place, generation in enumerate(generations):
            several = len(prompts) > 1 or len(generations) > 1
            trace = message_trace(message_fields(generation.get("message")) or {}, generation, context, output=output)
            base = str(context.trace_id or (context.fallback_id if several else trace.trace_id))
            trace.prompt_id = f"{base}/{number_of_prompt}" if len(prompts) > 1 else base
            trace.trace_id = f"{trace.prompt_id}#{place}" if len(generations) > 1 else trace.prompt_id
            yield trace


def message_fields(message: Any, speakers: Sequence[str] = _ANSWERS) -> Mapping[str, Any] | None:
    """Return the fields of a message, by default of an answer, whatever stands around them; None of another speaker."""
    if not isinstance(message, Mapping):
        return None
    if "lc" in message:
        name = (message.get("id") or [""])[-1]
        fields = message.get("kwargs") or {}
        return fields if name in speakers else None
    if message.get("type") not in speakers:
        return None
    data = message.get("data")
    return data if isinstance(data, Mapping) else message


def message_trace(
    fields: Mapping[str, Any], generation: Mapping[str, Any], context: Context, *, output: Mapping[str, Any] = _NOTHING
) -> Trace:
    """Return the trace of a message and of the generation around it."""
    metadata = fields.get("response_metadata") or {}
    info = generation.get("generation_info") or {}
    identity = str(context.trace_id or metadata.get("id") or fields.get("id") or context.fallback_id)
    content = fields.get("content")
    usage = fields.get("usage_metadata") or metadata.get("token_usage") or output.get("token_usage")
    trace = Trace(
        trace_id=identity,
        prompt_id=identity,
        model=metadata.get("model_name") or metadata.get("model") or output.get("model_name"),
        model_fingerprint=metadata.get("system_fingerprint"),
        provider=metadata.get("model_provider"),
        temperature=number(info.get("temperature")),
        finish_reason=finish_reason(_reason(metadata) or _reason(info)),
        answer=joined_text(content if content is not None else generation.get("text")),
    )
    outer = {key: text for key, text in context.attributes.items() if key not in fields}
    context.attributes = {**outer, **scalars(fields.get("metadata"))}
    listed = find_listed(metadata) or find_listed(info) or find_listed(fields.get("additional_kwargs") or {})
    return with_logprobs(trace, listed, context, counted=token_count(usage))


def _reason(values: Mapping[str, Any]) -> Any:
    return values.get("finish_reason") or values.get("done_reason") or values.get("stop_reason")
