"""Recordings of a browser or a proxy (HTTP Archive): the bodies of the answers, each beside its request."""

import base64
import binascii
from typing import Any

import msgspec

__all__ = ["har_answers"]

_REQUESTS = ("messages", "prompt", "input", "inputs", "contents", "text")
"""A request to a language model has one of these keys."""


class _Body(msgspec.Struct, gc=False):
    text: str | None = None
    encoding: str | None = None


class _Response(msgspec.Struct, gc=False):
    content: _Body | None = None


class _Posted(msgspec.Struct, gc=False):
    text: str | None = None


class _Request(msgspec.Struct, gc=False):
    postData: _Posted | None = None  # noqa: N815 - as the format spells it


class _Entry(msgspec.Struct, gc=False):
    response: _Response
    request: _Request


class _Log(msgspec.Struct, gc=False):
    entries: list[_Entry]


_LOG: msgspec.json.Decoder[_Log] = msgspec.json.Decoder(_Log)


def har_answers(log: msgspec.Raw) -> list[msgspec.Raw] | None:
    """Return an object with ``request`` and ``response`` for every entry; None if it is no such recording.

    The response is the text of the body, which holds JSON or server-sent events, and null where the request was none
    to a language model or the body was not recorded, so that the line is counted as one without an answer.

    Examples
    --------
    >>> entry = {"request": {"postData": {"text": '{"prompt": "2+2?"}'}}, "response": {"content": {"text": "{}"}}}
    >>> bytes(har_answers(msgspec.Raw(msgspec.json.encode({"entries": [entry]})))[0])
    b'{"request":{"prompt":"2+2?"},"response":"{}"}'
    """
    try:
        entries = _LOG.decode(log).entries
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return [msgspec.Raw(msgspec.json.encode(_answer(entry))) for entry in entries]


def _answer(entry: _Entry) -> dict[str, Any]:
    posted = entry.request.postData
    request = _object(posted.text if posted is not None else None)
    is_asked = any(name in request for name in _REQUESTS)
    return {"request": request, "response": _text(entry.response.content) if is_asked else None}


def _object(text: str | None) -> dict[str, Any]:
    """Return the JSON object that a text spells, an empty one for any other."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(body: _Body | None) -> str | None:
    if body is None or not body.text or body.encoding != "base64":
        return None if body is None else body.text or None
    try:
        return base64.b64decode(body.text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None
