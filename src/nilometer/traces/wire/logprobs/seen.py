"""Numbers that look like log-probabilities where no reader looks for them: said, never passed over."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..lines.line import unquoted

__all__ = ["seen_logprobs"]

_NAME = re.compile(r"log_?(its?_?)?prob|likelihood|token_?(score|prob)", re.IGNORECASE)
_OTHER = re.compile(r"avg|average|mean|cumulative|cum_|sum|total|prompt|input|prefill|max|num|return", re.IGNORECASE)
_MOST = 3000
_SHOWN_KEYS = 4


def seen_logprobs(value: Any) -> str | None:
    """Return where in a JSON value numbers look like log-probabilities, and in which shape; None if nowhere.

    Sums, averages, and those of the prompt do not count.

    Examples
    --------
    >>> seen_logprobs({"answer": "4", "meta": {"scores": [{"piece": "4", "logprob": -0.1}]}})
    '`meta.scores[*].logprob` (a number in each of a list of objects)'
    >>> seen_logprobs({"answer": "4", "avg_logprob": -0.1}) is None
    True
    """
    waiting: list[tuple[str, Any]] = [("", value)]
    for path, item in waiting:
        if len(waiting) > _MOST:
            return None
        for key, inner in _entries(item):
            place = f"{path}{key}" if key.startswith("[") or not path else f"{path}.{key}"
            shape = _shape(inner, place) if _NAME.search(key) and not _OTHER.search(key) else None
            if shape is not None:
                return f"`{place}` ({shape})"
            waiting.append((place, inner))
    return None


def _entries(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object or the first entries of a list hold; JSON text is opened."""
    item = unquoted(item)
    if isinstance(item, Mapping):
        yield from ((key if key.isprintable() else ascii(key), value) for key, value in item.items())
    elif isinstance(item, list):
        yield from (("[*]", value) for value in item[:2] if isinstance(value, dict | list | str))


def _shape(value: Any, place: str) -> str | None:
    """Describe numbers below zero, a list or an object that holds some, or the printed form of such; else None."""
    if isinstance(value, str) and "logprob=" in value:
        return "the text of a Python object"
    value = unquoted(value)
    if isinstance(value, float) and value <= 0 and "[*]" in place:
        return "a number in each of a list of objects"
    if not isinstance(value, list | Mapping) or not _holds_numbers(value):
        return None
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, Mapping):
        keys = ", ".join(list(first)[:_SHOWN_KEYS])
        return f"{'a list of objects' if isinstance(value, list) else 'an object'} with the keys {keys}"
    return "a list of lists" if isinstance(first, list) else "a list of numbers"


def _holds_numbers(value: Any, depth: int = 6) -> bool:
    if isinstance(value, float):
        return value < 0
    inner = value.values() if isinstance(value, Mapping) else value[:50] if isinstance(value, list) else ()
    return depth > 0 and any(_holds_numbers(item, depth - 1) for item in inner)
