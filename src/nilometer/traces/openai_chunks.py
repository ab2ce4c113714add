"""Streamed chat completions, put together again: dumps of chunks and raw server-sent events."""

from collections.abc import Iterator

from nilometer.errors import TraceFormatError

from .batch import Trace
from .line import Context, Line
from .openai_chat import parse_openai_chat

__all__ = ["ChunkJoiner", "is_chunk"]


def is_chunk(line: Line) -> bool:
    """Tell whether the line is one chunk of a streamed chat completion."""
    choices = line.get("choices")
    if line.get("object") == "chat.completion.chunk":
        return True
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict) and "delta" in choices[0]


class ChunkJoiner:
    """Collects chunks by response id; a response is complete when each of its choices has a finish reason.

    Examples
    --------
    >>> joiner = ChunkJoiner()
    >>> chunk = {"id": "a", "choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]}
    >>> [trace.answer for trace in joiner.add(Line(chunk), Context("x"))]
    ['4']
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[dict[str, object], dict[int, dict[str, object]], Context]] = {}

    def add(self, line: Line, context: Context) -> Iterator[Trace]:
        """Take one chunk; yield the traces of a response that it completes."""
        response_id = line.get("id")
        if not isinstance(response_id, str):
            raise TraceFormatError("a chunk must have an `id` to be joined with the others of its response.")
        head = {key: line.get(key) for key in ("id", "created", "model", "system_fingerprint")}
        choices = line.get("choices") or []
        if not choices and response_id not in self._open:
            return
        _, joined, _ = self._open.setdefault(response_id, (head, {}, context))
        for choice in choices:
            _extend(joined.setdefault(choice.get("index", 0), {"content": "", "logprobs": []}), choice)
        if joined and all(choice.get("finish_reason") for choice in joined.values()):
            yield from self._close(response_id)

    def rest(self) -> Iterator[Trace]:
        """Yield the responses whose stream broke off; their finish reason stays unknown."""
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
        yield from parse_openai_chat(Line({**head, "choices": choices}), context)


def _extend(choice: dict[str, object], chunk: dict[str, object]) -> None:
    delta = chunk.get("delta") or {}
    logprobs = chunk.get("logprobs") or {}
    if isinstance(delta, dict):
        choice["content"] = str(choice["content"]) + (delta.get("content") or "")
    if isinstance(logprobs, dict) and isinstance(choice["logprobs"], list):
        choice["logprobs"] += (logprobs.get("reasoning_content") or []) + (logprobs.get("content") or [])
    choice["finish_reason"] = chunk.get("finish_reason") or choice.get("finish_reason")
