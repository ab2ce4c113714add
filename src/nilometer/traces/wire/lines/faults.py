"""What is wrong with a line whose values have other types than its format has, in words."""

import re
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError

__all__ = ["FAULTS", "reason_of", "type_fault"]

FAULTS = (
    TraceFormatError,
    msgspec.MsgspecError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
"""What a line of another shape than its format's may raise; it costs that line alone."""

_CURE = "Repair the line, or say where its values stand with `--columns`."
_TYPES = {
    "dict": "an object",
    "list": "a list",
    "str": "a text",
    "bool": "a truth value",
    "int": "a number",
    "float": "a number",
    "NoneType": "null",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_OF_TEXTS = {"lower", "upper", "strip", "startswith", "endswith", "encode", "partition", "rpartition", "isascii"}
_EXPECTED = re.compile(r"Expected `(\w+)[^`]*`, got `(\w+)`(?: - at `\$(\S+)`)?")
_WORDED = (
    (re.compile(r"string indices must be"), ("an object", "str")),
    (re.compile(r"list indices must be"), ("an object", "list")),
    (re.compile(r"'(\w+)' object is not (?:subscriptable|iterable)"), ("a list or an object", "")),
    (re.compile(r"cannot unpack non-iterable (\w+) object"), ("a list", "")),
    (re.compile(r"after \* must be an iterable, not (\w+)"), ("a list", "")),
    (re.compile(r"'(\w+)' object is not a mapping"), ("an object", "")),
    (re.compile(r"object of type '(\w+)' has no len"), ("a list", "")),
    (re.compile(r"unhashable type: '(\w+)'"), ("a text", "")),
    (re.compile(r"not supported between instances of '(\w+)' and '(?:int|float)'"), ("a number", "")),
    (re.compile(r"must be a string or a real number, not '(\w+)'"), ("a number", "")),
)


def reason_of(exc: Exception, format: str) -> str:
    """Say what is wrong with a line of a format: the rule, what came, and what to do.

    Examples
    --------
    >>> reason_of(KeyError("text"), "plain")
    'not the shape of plain: `text` is missing. Repair the line, or say where its values stand with `--columns`.'
    """
    if isinstance(exc, TraceFormatError):
        return str(exc)
    known = "" if format == "unknown" else f"not the shape of {format}: "
    return f"{known}{_fault(exc)} {_CURE}"


def _fault(exc: Exception) -> str:
    match exc:
        case RecursionError():
            return "it is nested too deeply."
        case KeyError(args=(str(key), *_)):
            return f"`{key:.60}` is missing."
        case IndexError():
            return "a list is empty or shorter than the one beside it."
        case AttributeError():
            return _stands("a text" if exc.name in _OF_TEXTS else "an object", type(exc.obj).__name__, exc.obj)
        case msgspec.MsgspecError():
            return type_fault(exc)
    return _worded(exc)


def _worded(exc: Exception) -> str:
    for pattern, (wanted, came) in _WORDED:
        found = pattern.search(str(exc))
        if found:
            return _stands(wanted, came or found[1])
    return "a value has a type, or lies in a range, that the format does not have."


def type_fault(exc: Exception, key: str = "") -> str:
    """Say which value below a key has another type than it must have.

    Examples
    --------
    >>> type_fault(msgspec.ValidationError("Expected `str | null`, got `int` - at `$[0].text`"), "choices")
    '`choices[0].text` must be a text, got a number.'
    """
    found = _EXPECTED.search(str(exc))
    if not found:
        return f"{f'`{key}`' if key else 'a value'} is no JSON of the shape that the format has."
    place = f"{key}{found[3] or ''}".removeprefix(".")
    return f"{f'`{place}`' if place else 'a value'} must be {_typed(found[1])}, got {_typed(found[2])}."


def _typed(name: str) -> str:
    return _TYPES.get(name, f"of type {name}")


def _stands(wanted: str, came: str, value: Any = None) -> str:
    shown = "" if value is None or isinstance(value, dict | list) else f", {value!r:.40}"
    return f"{wanted} must stand where {_typed(came)} stands{shown}."
