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
_USERS = ("human", "HumanMessage")


def is_langgraph(line: Line) -> bool:
    """Return whether the line is a state, or what one node has added to it; a request beside its answer is none."""
    return not any(key in line for key in _ANSWERS) and bool(_messages(line))


def parse_langgraph(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace for every answer of a model among the messages; the last words of the user are its prompt.

    Later states of a thread repeat the messages of the former; their ids do, too, and are counted.
    """
    prompt = None
    for place, message in enumerate(_messages(line)):
        fields = message_fields(message)
        if fields is None:
            asked = message_fields(message, _USERS) or {}
            prompt = joined_text(asked.get("content")) or prompt
            continue
        own = replace(context, trace_id=None, fallback_id=f"{context.fallback_id}.{place}", attributes={})
        trace = message_trace(fields, {}, own)
        trace.prompt = prompt
        trace.attributes = own.attributes
        yield trace


def _messages(line: Line) -> list[Any]:
    """Return the messages of a state; none if it holds any that are not LangChain's."""
    if "messages" in line:
        found = line.get("messages")
    else:
        holder = line.get("values") if "values" in line else _node(line)
        found = holder.get("messages") if isinstance(holder, Mapping) else None
    if not isinstance(found, list):
        return []
    are_known = all(isinstance(message, dict) and is_langchain(Line(message)) for message in found)
    return found if are_known else []


def _node(line: Line) -> Any:
    """Return what the one node of an update has added; None where there are several, or it is no object."""
    keys = list(line)
    return line.get(keys[0]) if len(keys) == 1 and line.is_nested(keys[0]) else None
