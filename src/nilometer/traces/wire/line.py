"""One JSON object of a trace file, decoded key by key on demand, and what its envelope says about it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

from ..batch import Trace
from ..labels import LABEL_COLUMNS, parse_correct

__all__ = ["Context", "Line", "microseconds", "prompt_text", "scalars", "unwrap"]

_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TOP: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Line:
    """A JSON object whose values are decoded only when they are asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._first_keys: dict[str, frozenset[str]] = {}

    @classmethod
    def parse(cls, data: bytes | msgspec.Raw) -> "Line":
        """Read the keys of a JSON object."""
        try:
            return cls(_TOP.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            lenient = _with_literals(bytes(data))
            if lenient is None:
                raise TraceFormatError(f"not a JSON object ({exc}).") from exc
            return cls(lenient)

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
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise TraceFormatError(f"`{key}` has an unexpected shape ({exc}).") from exc

    def keys_of_first(self, key: str) -> frozenset[str]:
        """Return the keys of the first object in the list under a key; none if it is no list of objects.

        Every reader of choices asks for it, so the values are skipped, not decoded, and the answer is kept.
        """
        if key not in self._first_keys:
            self._first_keys[key] = _keys_of_first(self._values.get(key))
        return self._first_keys[key]

    def child(self, key: str) -> "Line | None":
        """Return the object under a key, None if it is no object."""
        value = self._values.get(key)
        if isinstance(value, msgspec.Raw):
            return Line.parse(value) if bytes(value).lstrip()[:1] == b"{" else None
        return Line(value) if isinstance(value, dict) else None


def _with_literals(data: bytes) -> dict[str, Any] | None:
    """Read what Python's json module writes and JSON has not: NaN and Infinity."""
    if b"Infinity" not in data and b"NaN" not in data:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _keys_of_first(value: Any) -> frozenset[str]:
    if isinstance(value, msgspec.Raw):
        try:
            value = _OBJECTS.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return frozenset()
    first = value[0] if isinstance(value, list) and value else None
    return frozenset(first) if isinstance(first, dict) else frozenset()


@dataclass(slots=True)
class Context:
    """What is known about a response from outside it: the line's number, the request, the metadata."""

    fallback_id: str
    k: int | None = None
    temperature: float | None = None
    prompt: str | None = None
    trace_id: str | None = None
    time: int | None = None
    provider: str | None = None
    correct: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    def complete(self, trace: Trace) -> Trace:
        """Fill what the response itself did not say."""
        trace.time = self.time if trace.time is None else trace.time
        trace.provider = trace.provider or self.provider
        trace.temperature = self.temperature if trace.temperature is None else trace.temperature
        trace.prompt = self.prompt if trace.prompt is None else trace.prompt
        trace.correct = self.correct if trace.correct is None else trace.correct
        trace.attributes = {**self.attributes, **trace.attributes}
        return trace


_SURE_LABELS = ("correct", "is_correct")
_RESPONSE_KEYS = ("response", "response_body", "completion", "output")
_REQUEST_KEYS = ("request", "request_body", "kwargs", "model_parameters", "optional_params", "body", "params")
_META_KEYS = ("metadata", "attributes", "tags", "extra")
_OWN = {
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "system_fingerprint",
    "service_tier",
    "error",
    "status",
    "text",
    "content",
    "done",
    "done_reason",
    "created_at",
    "stop",
    "type",
    "index",
    "prompt",
    "question",
    "answer",
    "temperature",
    "top_p",
    "trace_id",
    "prompt_id",
    "request_id",
    "custom_id",
    "provider",
    "tokens_predicted",
    "output_text",
    "total_duration",
    "eval_count",
    "eval_duration",
    "load_duration",
    "thinking",
    "messages",
    "prompt_eval_count",
    "prompt_eval_duration",
    "generation_settings",
    "id_slot",
    "tokens_cached",
    "truncated",
    "top_logprobs",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "store",
    "background",
    "truncation",
    "max_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "instructions",
    "previous_response_id",
    "presence_penalty",
    "frequency_penalty",
    "sequence_number",
}


def unwrap(line: Line, fallback_id: str) -> tuple[Line, Context]:
    """Take a response out of its envelope (a request beside it, a batch body, metadata) and keep what that says."""
    context = Context(fallback_id)
    if "call_type" in line and "model_parameters" in line:
        return _litellm(line, context)
    inner = line
    for key in _RESPONSE_KEYS:
        child = inner.child(key)
        if child is not None and not any(own in inner for own in ("choices", "meta_info", "done", "epoch")):
            _note(context, inner, skip={key})
            inner = child.child("body") or child
            break
    _note(context, inner, skip=set())
    return inner, context


def _litellm(line: Line, context: Context) -> tuple[Line, Context]:
    """Take apart LiteLLM's standard logging payload; its bookkeeping (costs, counts, keys) is no slice."""
    context.trace_id = line.get("id")
    context.time = microseconds(line.get("startTime"))
    context.provider = line.get("custom_llm_provider")
    context.prompt = prompt_text(line)
    _request(context, line.child("model_parameters"))
    own = {name: line.get(name) for name in ("model_group", "end_user") if line.get(name)}
    metadata = line.get("metadata") or {}
    asked = {**(metadata.get("spend_logs_metadata") or {}), **(metadata.get("requester_metadata") or {})}
    context.attributes.update(scalars(own) | scalars(metadata) | scalars(asked))
    response = line.child("response")
    if response is None:
        raise TraceFormatError("a LiteLLM entry without a `response` object holds no answer.")
    return response, context


def _note(context: Context, line: Line, skip: set[str]) -> None:
    for key in line:
        if key in skip or key in {"choices", "completion_probabilities", "meta_info"}:
            continue
        if key in _REQUEST_KEYS:
            _request(context, line.child(key))
        elif key in _META_KEYS:
            context.attributes.update(scalars(line.get(key)))
        elif key in LABEL_COLUMNS and context.correct is None:
            _verdict(context, key, line.get(key))
        elif key in {"trace_id", "custom_id"}:
            context.trace_id = str(line.get(key))
        elif key in {"prompt", "question"} and isinstance(line.get(key), str):
            context.prompt = line.get(key)
        elif key == "temperature":
            context.temperature = _number(line.get(key))
        elif key not in _OWN:
            context.attributes.update(scalars({key: line.get(key)}))


def _verdict(context: Context, key: str, value: Any) -> None:
    """Take an inline label; a word under a name that often means something else stays an attribute."""
    if isinstance(value, dict):  # one label per model, which the format's reader takes
        return
    try:
        context.correct = parse_correct(value)
    except TraceFormatError:
        if key in _SURE_LABELS:
            raise
        context.attributes.update(scalars({key: value}))


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
    context.attributes.update(scalars(body.get("metadata")))


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


def scalars(values: Any) -> dict[str, str]:
    """Return the texts, numbers and truth values of an object as attributes; none if it is no object."""
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
