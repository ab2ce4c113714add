"""One JSON object of a trace file, decoded key by key on demand."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

from .faults import type_fault

__all__ = ["Line", "decode_json", "unquoted"]

_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TOP: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.")
_REPR = re.compile(rb"\s*[A-Z][A-Za-z_]*\([a-z_]+=")
_PAIR = 12


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
        except _FAULTS as exc:
            value = _leniently(bytes(data), exc)
            if not isinstance(value, dict):
                raise TraceFormatError(f"not a JSON object ({_said(exc)}).{_printed(bytes(data))}") from exc
            return cls(value)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        """Decode the value of one key."""
        value = self._values.get(key, default)
        if isinstance(value, msgspec.Raw):
            try:
                value = decode_json(value)
            except TraceFormatError as exc:
                raise TraceFormatError(f"`{key}` cannot be read: {exc}") from exc
        return default if value is None else value

    def raw(self, key: str) -> Any:
        """Return the value of one key as it stands: undecoded where the line came from bytes."""
        return self._values.get(key)

    def is_nested(self, key: str) -> bool:
        """Tell, without decoding it, whether an object or a list stands under a key."""
        value = self._values.get(key)
        if isinstance(value, msgspec.Raw):
            return memoryview(value)[:1].tobytes() in (b"{", b"[")
        return isinstance(value, dict | list)

    def items(self, key: str) -> list[Any]:
        """Return the list under a key, empty where there is none.

        Raises
        ------
        TraceFormatError
            If something else stands there.
        """
        value = self.get(key)
        if value is not None and not isinstance(value, list):
            raise TraceFormatError(f"`{key}` must be a list, got {_named(value)}.")
        return value or []

    def decode(self, key: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Decode the value of one key into a typed structure, leaving out what the type does not name."""
        value = self._values[key]
        raw = value if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise TraceFormatError(type_fault(exc, key)) from exc

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

    def plain(self) -> dict[str, Any]:
        """Return all values decoded."""
        return {key: self.get(key) for key in self._values}


def decode_json(data: bytes | msgspec.Raw | str) -> Any:
    """Read JSON, with what Python's json module writes beyond it: NaN, Infinity and lone surrogates.

    Raises
    ------
    TraceFormatError
        If it is no JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except _FAULTS as exc:
        raw = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
        value = _leniently(raw, exc)
        if value is None:
            raise TraceFormatError(f"not JSON ({_said(exc)}).{_printed(raw)}") from exc
        return value


def unquoted(value: Any) -> Any:
    """Read a value that is the JSON text of an object or a list; any other comes back as it is.

    Examples
    --------
    >>> unquoted('{"a": 1}'), unquoted("an answer"), unquoted(None)
    ({'a': 1}, 'an answer', None)
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return decode_json(value)
    except TraceFormatError:  # an answer may begin with a bracket
        return value


def _said(exc: Exception) -> str:
    """Say in words why JSON could not be read."""
    if isinstance(exc, UnicodeDecodeError):
        return "the bytes are not UTF-8"
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)


def _printed(data: bytes) -> str:
    """Say what to do about a Python object that was printed instead of written as JSON; empty for anything else."""
    if _REPR.match(data):
        return " It is a Python repr: write `response.model_dump_json()` instead of printing the object."
    if data.lstrip()[:2] == b"{'":
        return " It is a printed Python dict: write `json.dumps(...)` instead."
    return ""


def _leniently(data: bytes, fault: Exception) -> Any:
    if isinstance(fault, RecursionError) or not any(mark in data for mark in (b"Infinity", b"NaN", b"\\u")):
        return None
    mended = _ESCAPE.sub(_whole_escape, data)
    try:
        return json.loads(mended)
    except (ValueError, RecursionError):
        return None


def _whole_escape(match: re.Match[bytes]) -> bytes:
    """Keep pairs of surrogates and other escapes; half of a pair becomes U+FFFD."""
    text = match[0]
    return rb"\ufffd" if text[:3].lower() == rb"\ud" and len(text) != _PAIR else text


def _named(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}.get(type(value), "a number")


def _keys_of_first(value: Any) -> frozenset[str]:
    if isinstance(value, msgspec.Raw):
        try:
            value = _OBJECTS.decode(value)
        except _FAULTS as exc:
            value = _leniently(bytes(value), exc)
    first = value[0] if isinstance(value, list) and value else None
    return frozenset(first) if isinstance(first, dict) else frozenset()
