"""Where the user says that an answer stands: a key of a JSON object, or a regular expression."""

import json
import re
from typing import NamedTuple

from nilometer.errors import ConfigError

__all__ = ["Place", "check_place", "find_place"]

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\\n]|\\.)*)\'(?=\s*:)')
_COLON = re.compile(r"\s*:\s*")


class Place(NamedTuple):
    """Start and end of the part of a text that holds the answer."""

    start: int
    end: int


def check_place(field: str | None, pattern: str | None) -> None:
    """Refuse a field together with a pattern, and what is no regular expression.

    Raises
    ------
    ConfigError
        If both are given, or the pattern does not compile.
    """
    if field is not None and pattern is not None:
        raise ConfigError("`field` and `pattern` must not both be given.")
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise ConfigError(f"`pattern` must be a regular expression, got {pattern!r} ({exc}).") from exc


def find_place(text: str, *, field: str | None = None, pattern: str | None = None) -> Place | None:
    """Return where the value of a field, or the last match of a pattern, stands; None where there is none.

    Examples
    --------
    >>> find_place('{"score": 3, "max_score": 5}', field="score"), find_place("Grade: 4", pattern="Grade: ")
    (Place(start=10, end=11), Place(start=7, end=8))
    """
    check_place(field, pattern)
    if field is not None:
        return _of_key(text, field)
    if pattern is None:
        return Place(0, len(text))
    matches = [*re.finditer(pattern, text)]
    if not matches:
        return None
    last = matches[-1]
    return Place(*last.span(1)) if last.re.groups and last.start(1) >= 0 else Place(last.end(), len(text))


def _of_key(text: str, field: str) -> Place | None:
    """The value of the last key of this name; keys inside strings are none."""
    starts = []
    start = max(text.find("{"), 0)
    for match in _STRING.finditer(text, start):
        colon = _COLON.match(text, match.end())
        if (match[1] if match[1] is not None else match[2]) == field and colon:
            starts.append(colon.end())
    if not starts:
        bare = re.compile(rf"(?<![\w\"'-]){re.escape(field)}\s*[:=]\s*", re.IGNORECASE)
        starts = [match.end() for match in bare.finditer(text)]
    return _value(text, starts[-1]) if starts else None


def _value(text: str, start: int) -> Place:
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        stop = re.compile(r"[,}\n]|$").search(text, start + 1)
        end = stop.start() if stop else len(text)
    if text[start : start + 1] == '"':
        return Place(start + 1, end - 1 if text[end - 1] == '"' and end > start + 1 else end)
    return Place(start, max(end, start))
