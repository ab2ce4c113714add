"""Answers as the gateway reads and writes them: the text and usage of one, a completion of its own, one as a stream."""

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from ..capture.strip import EventCutter
from .upstream import Whole

__all__ = ["StreamMeter", "Tokens", "answer_text", "answer_tokens", "as_events", "completion"]


class Tokens(NamedTuple):
    """Tokens of a call."""

    prompt: int
    answer: int


class _Message(msgspec.Struct):
    content: Any = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: Any = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)


def answer_text(whole: Whole) -> tuple[str | None, str | None]:
    """Text and finish reason of an answer's first choice; None where there is none."""
    answer = _decoded(whole.body)
    if answer is None or not answer.choices or whole.status != 200:
        return None, None
    first = answer.choices[0]
    content = first.message.content
    reason = first.finish_reason
    return content if isinstance(content, str) else None, reason if isinstance(reason, str) else None


def answer_tokens(body: bytes) -> Tokens | None:
    """Tokens that an answer says it took; None if it does not say."""
    answer = _decoded(body)
    usage = None if answer is None else answer.usage
    return None if usage is None else Tokens(usage.prompt_tokens, usage.completion_tokens)


def _decoded(body: bytes) -> _Answer | None:
    try:
        return _ANSWERS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class StreamMeter:
    """Counts the tokens of a stream as it passes: those of its usage where it ends with one, else one an event.

    Parameters
    ----------
    n_prompt
        Tokens of the prompt, about.
    """

    def __init__(self, n_prompt: int) -> None:
        self._cutter = EventCutter()
        self._n_prompt, self._n_events = n_prompt, 0
        self._usage: Tokens | None = None

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        for event in self._cutter.feed(part):
            if b'"usage"' in event:
                self._usage = answer_tokens(event[event.find(b"{") :].strip()) or self._usage
            self._n_events += b'"delta"' in event

    def tokens(self) -> Tokens:
        """Tokens so far."""
        return Tokens(self._n_prompt, self._n_events) if self._usage is None else self._usage


def completion(text: str, wholes: Sequence[Whole], *, model: str, facts: dict[str, Any]) -> Whole:
    """Make an answer of the gateway's own, with the usage of all the answers that it was made from."""
    tokens = [one for whole in wholes if (one := answer_tokens(whole.body)) is not None]
    n_prompt, n_answer = sum(one.prompt for one in tokens), sum(one.answer for one in tokens)
    body = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": n_prompt, "completion_tokens": n_answer, "total_tokens": n_prompt + n_answer},
        "nilometer": facts,
    }
    data = msgspec.json.encode(body, enc_hook=str)
    return Whole(model, [(b"content-type", b"application/json")], data)


def as_events(body: bytes, *, with_usage: bool) -> Iterator[bytes]:
    r"""Yield a whole answer as the server-sent events of a stream.

    Examples
    --------
    >>> body = b'{"id": "a", "choices": [{"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}]}'
    >>> list(as_events(body, with_usage=False))[-1]
    b'data: [DONE]\n\n'
    """
    answer: dict[str, Any] = msgspec.json.decode(body)
    usage, choices = answer.pop("usage", None), answer.pop("choices", [])
    head = {**answer, "object": "chat.completion.chunk"}
    for choice in choices:
        message = {"role": "assistant", **(choice.get("message") or {})}
        own = {"index": choice.get("index", 0), "logprobs": choice.get("logprobs")}
        yield _event({**head, "choices": [{**own, "delta": message, "finish_reason": None}]})
        last = {"index": own["index"], "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield _event({**head, "choices": [last]})
    if with_usage and usage is not None:
        yield _event({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
