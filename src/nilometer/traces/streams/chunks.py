"""What every protocol of streams says of itself, and the small readers they share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from nilometer.errors import TraceFormatError

from .parts import Answer, Chunk, Fields

__all__ = [
    "EMPTY",
    "NULLS",
    "RAW",
    "Protocol",
    "finish_of",
    "given",
    "head_of",
    "lists_in",
    "no_key",
    "text_of",
    "whole_single",
]

EMPTY = msgspec.Raw()
"""What stands for a field that is not there."""
NULLS = (b"", b"null", b"[]", b"{}")
RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
_NOT_YET = {"", "null", "none", "not_finished", "finish_reason_unspecified"}
"""What some servers write, in any case, for a finish reason that is still to come."""


class Protocol(NamedTuple):
    """One way of sending an answer in pieces."""

    name: str
    takes: Callable[[Fields, bool], bool]
    """Whether a line belongs to it; the second argument: whether a stream with the line's id is open."""
    key: Callable[[Fields], str | int | None]
    chunk: Callable[[Fields], Chunk]
    whole: Callable[[dict[str, Any], Sequence[Answer]], dict[str, Any]]
    """Write the answer as the server would have without streaming."""
    marks: tuple[str, ...]
    """A line of it has at least one of these keys."""
    has_ids: bool = True
    format: str = ""
    """Name of the wire format in which the whole answer is written."""


def given(lists: dict[str, msgspec.Raw] | None) -> dict[str, msgspec.Raw] | None:
    """Return the lists that are neither null nor empty; None if there is none."""
    if not lists:
        return None
    kept = {name: value for name, value in lists.items() if bytes(value) not in NULLS}
    return kept or None


def lists_in(line: Fields, names: Sequence[str]) -> dict[str, msgspec.Raw] | None:
    """Return the lists that stand under these names; None if there is none."""
    return given({name: line.decode(name, RAW) for name in names if name in line})


def finish_of(reason: str | None) -> str | None:
    """Return why an answer ended; None while it goes on."""
    return None if reason is None or reason.lower() in _NOT_YET else reason


def head_of(line: Fields, names: Sequence[str]) -> dict[str, Any]:
    """Return the values of these names that are not null."""
    return {name: value for name in names if name in line and (value := line.get(name)) is not None}


def text_of(value: Any) -> str:
    """Return the text of a piece.

    Raises
    ------
    TraceFormatError
        If it is no text.
    """
    if not isinstance(value, str):
        raise TraceFormatError(f"the text of a piece must be a text, got {value!r:.40}.")
    return value


def no_key(line: Fields) -> None:
    """Return the key of a protocol without ids."""


def whole_single(field: str) -> Callable[[dict[str, Any], Sequence[Answer]], dict[str, Any]]:
    """Return what writes an answer of one choice: its text under `field`, its lists beside it."""

    def whole(head: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
        texts, lists = answers[0].whole()
        return {**head, field: texts.get(field, ""), **lists}

    return whole
