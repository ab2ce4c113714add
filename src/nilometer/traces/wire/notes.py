"""What an envelope says about the response in it: request, metadata, labels, slice keys."""

from typing import Any

from nilometer.errors import TraceFormatError

from ..labels import LABEL_COLUMNS, parse_correct
from .lines.context import Context, number, prompt_text, scalars
from .lines.line import Line

__all__ = ["note"]

_SURE_LABELS = ("correct", "is_correct")
_REQUEST_KEYS = ("request", "request_body", "kwargs", "model_parameters", "optional_params", "body", "params")
_IDS = ("trace_id", "custom_id", "key")
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
    "modelVersion",
    "model_version",
    "responseId",
    "response_id",
    "createTime",
    "create_time",
    "generated_text",
    "model_id",
    "finish_reason",
    "finished",
    "status_code",
    "code",
    "message",
    "key",
}


def note(context: Context, line: Line, skip: str | None = None) -> None:
    """Add what a line says beside the response, which stands under the key `skip`."""
    for key in line:
        if key == skip or key in {"choices", "completion_probabilities", "meta_info"}:
            continue
        if key in _REQUEST_KEYS:
            _request(context, line.child(key))
        elif key in _META_KEYS:
            context.attributes.update(scalars(line.get(key)))
        elif key in LABEL_COLUMNS and context.correct is None:
            _verdict(context, key, line.get(key))
        elif key in _IDS:
            context.trace_id = _identity(line.get(key)) or context.trace_id
        elif key == "prompt_id":
            context.prompt_id = _identity(line.get(key))
        elif key in {"prompt", "question"} and isinstance(line.get(key), str):
            context.prompt = line.get(key)
        elif key == "temperature":
            context.temperature = number(line.get(key))
        elif key not in _OWN and not line.is_nested(key):
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
    context.temperature = number(body.get("temperature", context.temperature))
    asked = next(
        (body.get(key) for key in ("top_logprobs", "n_probs", "top_logprobs_num", "logprobs") if body.get(key)),
        None,
    )
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        context.k = asked
    context.prompt = prompt_text(body) or context.prompt
    context.attributes.update(scalars(body.get("metadata")))


def _identity(value: Any) -> str | None:
    """Return an id given as text or number; anything else is none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
