"""Runs exported from LangSmith."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ..lines.context import Context, last_user_text, microseconds, number, scalars
from ..lines.line import Line
from ..servers.table import is_response, parse_response
from .langchain import is_langchain, message_fields, message_trace, parse_langchain

__all__ = ["is_langsmith", "parse_langsmith"]

_BOOKKEEPING = ("ls_", "LANGSMITH_", "revision_id", "lc_")


def is_langsmith(line: Line) -> bool:
    """Return whether the line is a run."""
    return "run_type" in line and ("outputs" in line or "inputs" in line)


def parse_langsmith(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of a run of a model; chains, tools and retrievers hold none, nor do runs that failed."""
    for child in line.items("child_runs"):
        yield from _child(child, context)
    outputs = line.child("outputs")
    if line.get("run_type") != "llm" or outputs is None:
        return
    extra = line.get("extra") or {}
    settings = extra.get("invocation_params") or {}
    metadata = extra.get("metadata") or {}
    context.trace_id = str(line.get("id") or context.fallback_id)
    context.time = microseconds(line.get("start_time"))
    context.temperature = number(settings.get("temperature", metadata.get("ls_temperature")))
    asked = settings.get("top_logprobs")
    context.k = asked if isinstance(asked, int) and asked > 0 else None
    context.prompt = _prompt(line.get("inputs"))
    own = {key: text for key, text in scalars(metadata).items() if not key.startswith(_BOOKKEEPING)}
    session = {"session": line.get("session_name")} if line.get("session_name") else {}
    context.attributes = own | scalars(session)
    for trace in _answers(outputs, context):
        trace.model = trace.model or metadata.get("ls_model_name") or settings.get("model")
        trace.provider = trace.provider or metadata.get("ls_provider")
        yield trace


def _child(child: Any, context: Context) -> Iterator[Trace]:
    run = Line(child) if isinstance(child, dict) else None
    if run is not None and is_langsmith(run):
        own = Context(context.fallback_id, top_tokens=context.top_tokens)
        yield from (own.complete(trace) for trace in parse_langsmith(run, own))


def _answers(outputs: Line, context: Context) -> Iterator[Trace]:
    if is_langchain(outputs):
        yield from parse_langchain(outputs, context)
    elif is_response(outputs):
        yield from parse_response(outputs, context)
    else:
        messages = [outputs.get("output"), outputs.get("message"), outputs.plain()]
        fields = next((own for own in map(_spoken, messages) if own is not None), None)
        if fields is not None:
            yield message_trace(fields, {}, context)


def _spoken(message: Any) -> Any:
    """Return the fields of an answer's message: LangChain's, or one of role and content."""
    fields = message_fields(message)
    if fields is not None or not isinstance(message, dict) or message.get("role") not in (None, "assistant"):
        return fields
    return {**message, "response_metadata": message} if isinstance(message.get("content"), str) else None


def _prompt(inputs: Any) -> str | None:
    """Return what the user asked last, in a run's messages or prompts."""
    if not isinstance(inputs, dict):
        return None
    messages = inputs.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], list):
        messages = messages[0]
    if isinstance(messages, list):
        return last_user_text([_turn(message) for message in messages])
    prompts = inputs.get("prompts") or [inputs.get("prompt")]
    return prompts[0] if isinstance(prompts, list) and isinstance(prompts[0], str) else None


def _turn(message: Any) -> Any:
    """Return a LangChain message as role and content; one without a name counts as the user's."""
    if not isinstance(message, dict) or "role" in message:
        return message
    fields = message.get("kwargs") or message.get("data") or message
    named = message.get("id") if isinstance(message.get("id"), list) else None
    kind = str((named or [fields.get("type") or message.get("type")])[-1]).lower()
    return {"role": "user" if kind in ("human", "humanmessage", "none") else kind, "content": fields.get("content")}
