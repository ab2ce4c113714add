"""Responses taken out of their envelopes: a request beside them, a batch body, metadata."""

from typing import Any

from nilometer.errors import TraceFormatError

from ..labels import LABEL_COLUMNS, parse_correct
from .lines.context import Context, microseconds, number, prompt_text, scalars
from .lines.line import Line

__all__ = ["unwrap"]

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
            context.temperature = number(line.get(key))
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
    context.temperature = number(body.get("temperature", context.temperature))
    asked = next(
        (body.get(key) for key in ("top_logprobs", "n_probs", "top_logprobs_num", "logprobs") if body.get(key)),
        None,
    )
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        context.k = asked
    context.prompt = prompt_text(body) or context.prompt
    context.attributes.update(scalars(body.get("metadata")))
