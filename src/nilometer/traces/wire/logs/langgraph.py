"""States of LangGraph: lists of LangChain's messages, under ``values`` or under the name of a node."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...batch import Trace
from ..lines.context import Context, joined_text
from ..lines.line import Line
from .langchain import is_langchain, message_fields, message_trace

__all__ = ["is_langgraph", "parse_langgraph"]

_ANSWERS = ("response", "body", "raw_response", "output", "outputs", "result", "completion", "answer", "choices")
_OWN = ("values", "messages", "next", "config", "parent_config", "created_at", "tasks", "interrupts")


def is_langgraph(line: Line) -> bool:
    """Return whether the line is a state, or what one node has added to it; a request beside its answer is none."""
    return not any(key in line for key in _ANSWERS) and bool(_messages(line))


def parse_langgraph(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace for every answer of a model among the messages; the last words of the user are its prompt.

    Later states of a thread repeat the messages of the former; their ids do, too, and are counted.
    """
    prompt = None
    outer = {key: text for key, text in context.attributes.items() if key not in _OWN}
    for place, message in enumerate(_messages(line)):
        fields = message_fields(message)
        if fields is None:
            prompt = _said(message) or prompt
            continue
        own = replace(context, trace_id=None, fallback_id=f"{context.fallback_id}.{place}", attributes=dict(outer))
        trace = message_trace(fields, {}, own)
        trace.prompt = prompt
        trace.attributes = own.attributes
        yield trace


def _messages(line: Line) -> list[Any]:
    """Return the messages of a state; none if it holds any that are not LangChain's."""
    holders = [line.plain()] if "messages" in line else [line.get("values")] if "values" in line else _nodes(line)
    lists = [holder.get("messages") for holder in holders if isinstance(holder, Mapping)]
    found = [message for messages in lists if isinstance(messages, list) for message in messages]
    are_known = all(isinstance(message, dict) and is_langchain(Line(message)) for message in found)
    return found if are_known else []


def _nodes(line: Line) -> list[Any]:
    """Return what nodes have added: every value is an object with messages."""
    keys = list(line)
    if not keys or len(keys) > 1 or not line.is_nested(keys[0]):
        return []
    return [line.get(keys[0])]


def _said(message: Mapping[str, Any]) -> str | None:
    """Return the text of a message of the user; None if another one spoke."""
    fields = message.get("kwargs") or message.get("data") or message
    name = (message.get("id") or [""])[-1] if "lc" in message else message.get("type")
    return joined_text(fields.get("content")) if name in ("human", "HumanMessage") else None
