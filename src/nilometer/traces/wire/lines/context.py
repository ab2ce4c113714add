"""What is known about a response from outside it, and the small readers of values that every format needs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

from ...batch import Trace
from .checks import checked
from .line import Line

__all__ = [
    "Context",
    "finish_reason",
    "joined_text",
    "last_user_text",
    "microseconds",
    "number",
    "prompt_text",
    "scalars",
    "token_count",
]

_COUNTS = ("completion_tokens", "output_tokens")
_REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "stop_criteria": "stop",
    "complete": "stop",
    "end_turn": "stop",
    "endoftext": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "limit": "length",
    "token_limit": "length",
    "safety": "content_filter",
}
_USERS = ("user", "human")
_SECONDS = 1e11
_UNITS = {_SECONDS: 1_000_000, 1e14: 1e3, 1e17: 1.0}
"""Microseconds per unit, by the size below which a number is in that unit; above all of them it is in nanoseconds."""
_LATEST = 1e20


@dataclass(slots=True)
class Context:
    """What is known about a response from outside it: the line's number, the request, the metadata."""

    fallback_id: str
    k: int | None = None
    temperature: float | None = None
    prompt: str | None = None
    trace_id: str | None = None
    prompt_id: str | None = None
    time: int | None = None
    provider: str | None = None
    correct: float | None = None
    top_tokens: bool = False
    """Whether the texts of the alternatives are wanted."""
    attributes: dict[str, str] = field(default_factory=dict)

    def complete(self, trace: Trace) -> Trace:
        """Fill what the response itself did not say."""
        trace.prompt_id = self.prompt_id or trace.prompt_id
        trace.time = self.time if trace.time is None else trace.time
        trace.provider = trace.provider or self.provider
        trace.temperature = self.temperature if trace.temperature is None else trace.temperature
        trace.prompt = self.prompt if trace.prompt is None else trace.prompt
        trace.correct = self.correct if trace.correct is None else trace.correct
        trace.attributes = {**self.attributes, **trace.attributes}
        return checked(trace)


def prompt_text(body: Line) -> str | None:
    """Return the prompt of a request: the last user message, or the plain prompt."""
    for key in ("prompt", "input", "messages", "contents"):
        value = body.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and isinstance(value[-1], dict):
            return last_user_text(value)
    return None


def last_user_text(messages: Any) -> str | None:
    """Return the text of the last message of the user in a conversation; None if there is none."""
    items = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    users = [item.get("content", item.get("parts")) for item in items if item.get("role") in _USERS]
    return joined_text(users[-1]) or None if users else None


def joined_text(content: Any) -> str | None:
    """Return the text of a message's content: a text, parts with a ``text`` each, or an object with ``parts``."""
    if isinstance(content, dict):
        content = content.get("parts", [content])
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict)]
    return "".join(text for text in texts if isinstance(text, str))


def finish_reason(value: Any) -> str | None:
    """Return why an answer ended in OpenAI's words (``stop``, ``length``, ``content_filter``), or as it was given."""
    if isinstance(value, dict):
        value = value.get("type", value.get("reason"))
    if not isinstance(value, str):
        return None if value is None else str(value)
    word = value.lower().removeprefix("finishreason.")
    return _REASONS.get(word, word) or None


def token_count(usage: Any, *names: str) -> int | None:
    """Return the number of tokens of the answer that a provider counted, without those of hidden reasoning.

    Raises
    ------
    TraceFormatError
        If the count is no whole number.
    """
    if not isinstance(usage, dict):
        return None
    value = next((usage[name] for name in names or _COUNTS if usage.get(name) is not None), None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TraceFormatError(f"the number of tokens must be a whole number >= 0, got {value!r:.60}.")
    hidden = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    reasoning = hidden.get("reasoning_tokens") if isinstance(hidden, dict) else None
    return max(value - reasoning, 0) if isinstance(reasoning, int) else value


def scalars(values: Any) -> dict[str, str]:
    """Return the texts, numbers and truth values of an object as attributes; none if it is no object."""
    if not isinstance(values, dict):
        return {}
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | float | bool)}
    return {
        str(key): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in plain.items()
    }


def number(value: Any) -> float | None:
    """Return a number, or the number that a text spells; None if it is neither."""
    if isinstance(value, str):
        return _parsed(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def microseconds(value: Any) -> int | None:
    """Read a time as microseconds since 1970; None if it is none.

    A number, or the text of one, is taken as seconds, milliseconds, microseconds or nanoseconds by its size: seconds
    up to the year 5138. Any other text is read as ISO 8601, without a zone as UTC.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        moment = _moment(value)
        if moment is not None:
            return int(moment.timestamp() * 1_000_000)
        value = _parsed(value)
    if not isinstance(value, int | float) or not abs(value) < _LATEST:
        return None
    size = next((limit for limit in _UNITS if abs(value) < limit), 0.0)
    return int(value * 1_000_000) if size == _SECONDS else int(value * _UNITS.get(size, 1e-3))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
