"""The usual line of a log, read in one pass: a chat completion with nothing around it."""

from typing import Any, Literal

import msgspec

from ..lines.line import Line
from .choices import Whole, usual_choices

__all__ = ["usual_chat"]


class _Response(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Fields that say nothing about slices, labels or the request; any other leads to the plain path."""

    choices: list[Whole]
    object: Literal["chat.completion"]
    id: str
    created: int
    model: str
    usage: dict[str, Any] | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    prompt_logprobs: msgspec.UnsetType | None = msgspec.UNSET
    prompt_token_ids: msgspec.UnsetType | None = msgspec.UNSET
    kv_transfer_params: msgspec.UnsetType | None = msgspec.UNSET


_RESPONSE: msgspec.json.Decoder[_Response] = msgspec.json.Decoder(_Response)
_HEAD = ("id", "created", "model", "usage", "system_fingerprint")
_MARKS = ("prompt_logprobs", "prompt_token_ids", "kv_transfer_params")
"""Fields by whose presence vLLM is known."""


def usual_chat(data: bytes) -> Line | None:
    """Read a chat completion in one typed pass; None where it is anything else or leaves any doubt.

    Examples
    --------
    >>> usual_chat(b'{"choices": [], "object": "chat.completion", "id": "a", "created": 1, "model": "m", "tenant": 1}')
    """
    try:
        response = _RESPONSE.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    choices = usual_choices(response.choices)
    if not choices:
        return None
    values: dict[str, Any] = {name: getattr(response, name) for name in _HEAD}
    values |= {name: None for name in _MARKS if getattr(response, name) is not msgspec.UNSET}
    return Line({**values, "choices": choices})
