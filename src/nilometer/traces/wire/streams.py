"""Streamed answers put together again: chunks of chat and text completions, and Ollama's parts."""

from collections.abc import Iterator
from typing import Any, Protocol

from nilometer.errors import TraceFormatError

from ..batch import Trace
from .lines.context import Context
from .lines.line import Line
from .servers.ollama import parse_ollama
from .servers.openai_chat import parse_openai_chat
from .servers.openai_completions import parse_openai_completions

__all__ = ["ChatChunks", "Joiner", "OllamaParts", "TextChunks", "joiners"]


_HEAD = ("id", "created", "model", "system_fingerprint")


class Joiner(Protocol):
    """Collects the parts of streamed answers and gives back whole ones."""

    name: str

    def takes(self, line: Line) -> bool:
        """Tell whether the line is a part of a stream of this kind."""

    def add(self, line: Line, context: Context) -> Iterator[Trace]:
        """Take one part; yield the traces of a response that it completes."""

    def rest(self) -> Iterator[Trace]:
        """Yield the responses whose stream broke off; their finish reason stays unknown."""


def joiners() -> tuple[Joiner, ...]:
    """Return one fresh joiner per kind of stream."""
    return ChatChunks(), TextChunks(), OllamaParts()


class ChatChunks:
    """Chunks of chat completions, by response id; whole when each choice has a finish reason.

    Examples
    --------
    >>> chunks = ChatChunks()
    >>> chunk = {"id": "a", "choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]}
    >>> [trace.answer for trace in chunks.add(Line(chunk), Context("x"))]
    ['4']
    """

    name = "openai_chunks"

    def __init__(self) -> None:
        self._open: dict[str, tuple[dict[str, Any], dict[int, dict[str, Any]], Context]] = {}

    def takes(self, line: Line) -> bool:
        """Tell whether the line is a chunk of a chat completion."""
        return line.get("object") == "chat.completion.chunk" or "delta" in line.keys_of_first("choices")

    def add(self, line: Line, context: Context) -> Iterator[Trace]:
        """Take one chunk; yield the traces of a response that it completes."""
        response_id = line.get("id")
        if not isinstance(response_id, str):
            raise TraceFormatError("a chunk must have an `id` to be joined with the others of its response.")
        choices = line.get("choices") or []
        if not choices and response_id not in self._open:
            return
        head, joined, _ = self._open.setdefault(response_id, ({}, {}, context))
        head.update(_head(line))
        for choice in choices:
            _extend(joined.setdefault(choice.get("index", 0), {"content": "", "logprobs": []}), choice)
        if joined and all(choice.get("finish_reason") for choice in joined.values()):
            yield from self._close(response_id)

    def rest(self) -> Iterator[Trace]:
        """Yield the responses whose stream broke off."""
        for response_id in list(self._open):
            yield from self._close(response_id)

    def _close(self, response_id: str) -> Iterator[Trace]:
        head, joined, context = self._open.pop(response_id)
        choices = [
            {
                "index": index,
                "message": {"content": choice["content"]},
                "finish_reason": choice.get("finish_reason"),
                "logprobs": {"content": choice["logprobs"]} if choice["logprobs"] else None,
            }
            for index, choice in sorted(joined.items())
        ]
        yield from map(context.complete, parse_openai_chat(Line({**head, "choices": choices}), context))


def _head(line: Line) -> dict[str, Any]:
    """Return what a chunk says of the whole response; engines send some of it only with the last one."""
    return {name: line.get(name) for name in _HEAD if line.get(name) is not None}


def _extend(choice: dict[str, Any], chunk: dict[str, Any]) -> None:
    delta, logprobs = chunk.get("delta") or {}, chunk.get("logprobs") or {}
    choice["content"] += delta.get("content") or ""
    choice["logprobs"] += (logprobs.get("reasoning_content") or []) + (logprobs.get("content") or [])
    choice["finish_reason"] = chunk.get("finish_reason") or choice.get("finish_reason")


class TextChunks:
    """Chunks of legacy text completions: parts without a finish reason, and what follows under the same id."""

    name = "openai_text_chunks"
    _LISTS = ("tokens", "token_logprobs", "top_logprobs")

    def __init__(self) -> None:
        self._open: dict[str, tuple[dict[str, Any], dict[int, dict[str, Any]], Context]] = {}

    def takes(self, line: Line) -> bool:
        """Tell whether the line is a chunk of a text completion."""
        if "text" not in line.keys_of_first("choices") or not isinstance(line.get("id"), str):
            return False
        return line.get("id") in self._open or line.get("choices")[0].get("finish_reason") is None

    def add(self, line: Line, context: Context) -> Iterator[Trace]:
        """Take one chunk; yield the traces of a response that it completes."""
        response_id = line.get("id")
        head, joined, _ = self._open.setdefault(response_id, ({}, {}, context))
        head.update(_head(line))
        for chunk in line.get("choices"):
            index = chunk.get("index", 0)
            choice = joined.setdefault(index, {"index": index, "text": "", "logprobs": {}})
            choice["text"] += chunk.get("text") or ""
            choice["finish_reason"] = chunk.get("finish_reason")
            for name in self._LISTS:
                choice["logprobs"].setdefault(name, []).extend((chunk.get("logprobs") or {}).get(name) or [])
        if all(choice["finish_reason"] for choice in joined.values()):
            yield from self._close(response_id)

    def rest(self) -> Iterator[Trace]:
        """Yield the responses whose stream broke off."""
        for response_id in list(self._open):
            yield from self._close(response_id)

    def _close(self, response_id: str) -> Iterator[Trace]:
        head, joined, context = self._open.pop(response_id)
        line = Line({**head, "choices": [joined[index] for index in sorted(joined)]})
        yield from map(context.complete, parse_openai_completions(line, context))


class OllamaParts:
    """Parts of Ollama's streamed answers, which carry no id: those of one model and kind follow each other."""

    name = "ollama"

    def __init__(self) -> None:
        self._open: dict[Any, tuple[list[str], list[Any], Context, dict[str, Any]]] = {}

    def takes(self, line: Line) -> bool:
        """Tell whether the line is an unfinished part, or the end of one that was begun."""
        if "done" not in line or not ("message" in line or "response" in line):
            return False
        return not line.get("done") or line.get("model") in self._open

    def add(self, line: Line, context: Context) -> Iterator[Trace]:
        """Take one part; yield the trace that it completes."""
        model = line.get("model")
        texts, tokens, _, head = self._open.setdefault(model, ([], [], context, {"model": model}))
        texts.append((line.get("message") or {}).get("content") or line.get("response") or "")
        tokens.extend(line.get("logprobs") or [])
        head.update({key: line.get(key) for key in ("created_at", "done_reason", "eval_count") if key in line})
        if line.get("done"):
            yield from self._close(model)

    def rest(self) -> Iterator[Trace]:
        """Yield the answers whose stream broke off."""
        for model in list(self._open):
            yield from self._close(model)

    def _close(self, model: Any) -> Iterator[Trace]:
        texts, tokens, context, head = self._open.pop(model)
        line = Line({**head, "response": "".join(texts), "logprobs": tokens})
        yield from map(context.complete, parse_ollama(line, context))
