"""One JSON object of a trace file, decoded key by key on demand, and what its envelope says about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

from .batch import Trace
from .labels import LABEL_COLUMNS, parse_correct

__all__ = ["Context", "Line", "microseconds", "prompt_text", "unwrap"]

_TOP: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Line:
    """A JSON object whose values are decoded only when they are asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @classmethod
    def parse(cls, data: bytes | msgspec.Raw) -> "Line":
        """Read the keys of a JSON object."""
        try:
            return cls(_TOP.decode(data))
        except msgspec.DecodeError as exc:
            raise TraceFormatError(f"not a JSON object ({exc}).") from exc

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        """Decode the value of one key."""
        value = self._values.get(key, default)
        if isinstance(value, msgspec.Raw):
            return msgspec.json.decode(value)
        return default if value is None else value

    def decode(self, key: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Decode the value of one key into a typed structure, leaving out what the type does not name."""
        value = self._values[key]
        raw = value if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError as exc:
            raise TraceFormatError(f"`{key}` has an unexpected shape ({exc}).") from exc

    def child(self, key: str) -> "Line | None":
        """Return the object under a key, None if it is no object."""
        value = self._values.get(key)
        if isinstance(value, msgspec.Raw):
            return Line.parse(value) if bytes(value).lstrip()[:1] == b"{" else None
        return Line(value) if isinstance(value, dict) else None


@dataclass(slots=True)
class Context:
    """What is known about a response from outside it: the line's number, the request, the metadata."""

    fallback_id: str
    k: int | None = None
    temperature: float | None = None
    prompt: str | None = None
    trace_id: str | None = None
    correct: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    def complete(self, trace: Trace) -> Trace:
        """Fill what the response itself did not say."""
        trace.temperature = self.temperature if trace.temperature is None else trace.temperature
        trace.prompt = self.prompt if trace.prompt is None else trace.prompt
        trace.correct = self.correct if trace.correct is None else trace.correct
        trace.attributes = {**self.attributes, **trace.attributes}
        return trace


_RESPONSE_KEYS = ("response", "response_body", "completion", "output")
_REQUEST_KEYS = ("request", "request_body", "kwargs", "model_parameters", "optional_params", "body", "params")
_META_KEYS = ("metadata", "attributes", "tags", "extra")
_OWN = {
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "error", "status",
    "text", "content", "done", "done_reason", "created_at", "stop", "type", "index", "prompt", "question", "answer",
    "temperature", "top_p", "trace_id", "prompt_id", "request_id", "custom_id", "provider", "tokens_predicted",
    "output_text", "total_duration", "eval_count", "eval_duration", "load_duration", "thinking", "messages",
    "prompt_eval_count", "prompt_eval_duration", "generation_settings", "id_slot", "tokens_cached", "truncated",
}  # fmt: skip


def unwrap(line: Line, fallback_id: str) -> tuple[Line, Context]:
    """Take a response out of its envelope (a request beside it, a batch body, metadata) and keep what that says."""
    context = Context(fallback_id)
    inner = line
    for key in _RESPONSE_KEYS:
        child = inner.child(key)
        if child is not None and not any(own in inner for own in ("choices", "meta_info", "done", "epoch")):
            _note(context, inner, skip={key})
            inner = child.child("body") or child
            break
    _note(context, inner, skip=set())
    return inner, context


def _note(context: Context, line: Line, skip: set[str]) -> None:
    for key in line:
        if key in skip or key in {"choices", "completion_probabilities", "meta_info"}:
            continue
        if key in _REQUEST_KEYS:
            _request(context, line.child(key))
        elif key in _META_KEYS:
            context.attributes.update(_scalars(line.get(key)))
        elif key in LABEL_COLUMNS and context.correct is None:
            context.correct = parse_correct(line.get(key))
        elif key in {"trace_id", "custom_id"}:
            context.trace_id = str(line.get(key))
        elif key in {"prompt", "question"} and isinstance(line.get(key), str):
            context.prompt = line.get(key)
        elif key == "temperature":
            context.temperature = _number(line.get(key))
        elif key not in _OWN:
            context.attributes.update(_scalars({key: line.get(key)}))


def _request(context: Context, request: Line | None) -> None:
    if request is None:
        return
    body = request.child("body") or request
    context.temperature = _number(body.get("temperature", context.temperature))
    asked = next(
        (body.get(key) for key in ("top_logprobs", "n_probs", "top_logprobs_num", "logprobs") if body.get(key)),
        None,
    )
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        context.k = asked
    context.prompt = prompt_text(body) or context.prompt
    context.attributes.update(_scalars(body.get("metadata")))


def prompt_text(body: Line) -> str | None:
    """Return the prompt of a request: the last user message, or the plain prompt."""
    for key in ("prompt", "input", "messages"):
        value = body.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and isinstance(value[-1], dict):
            users = [item.get("content") for item in value if isinstance(item, dict) and item.get("role") == "user"]
            return users[-1] if users and isinstance(users[-1], str) else None
    return None


def _scalars(values: Any) -> dict[str, str]:
    if not isinstance(values, dict):
        return {}
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | float | bool)}
    return {
        str(key): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in plain.items()
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def microseconds(value: Any) -> int | None:
    """Read a time given in seconds since 1970 or as an ISO 8601 text; None if it is neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value * 1_000_000)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
