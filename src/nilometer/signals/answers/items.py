"""Answers that are texts, sets of items or bags of words, in the form in which equal ones are equal."""

import ast
import json
import re
import unicodedata
from collections.abc import Hashable, Mapping, Set as AbstractSet
from typing import Any

from .announced import body_start, formal_regions

__all__ = ["EDGES", "canonical_answer", "parse_items", "parse_text", "parse_tokens"]

EDGES = " \t\r\n.\"'`*,;:!()[]{}"
_NOTHING = {"none", "nothing", "n/a", "empty", "no items", "[]", "{}", "null", "∅", "no items found"}
_BULLET = re.compile(r"^[ \t]*(?:[-*•–]|\d+[.)])[ \t]+(.+)$", re.MULTILINE)
_LIST = re.compile(r"\[[^\[\]]*\]")
_LEAD = re.compile(
    r"^.*?\b(?:answers?|items?|are|is|list|entities|names|labels|tags|keywords)\b[^:\n,]{0,40}:\s*", re.IGNORECASE
)
_WORDY = 8
"""A part with more words than this is a sentence, no item."""


def parse_text(text: str) -> str | None:
    """Fold case, white space, outer quotes and points away; answers that differ only in these are one answer.

    None for a text with nothing in it.

    Examples
    --------
    >>> parse_text(' "New   York." ')
    'new york'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(EDGES) or None


def parse_items(text: str) -> frozenset[str] | None:
    r"""Read a list of items as a set: a JSON list, bullets, one item a line, or separated by commas or semicolons.

    Bullets, numbers before items, case and outer punctuation do not count. "none" is the empty set, which is an
    answer; an empty text and a text of sentences are none.

    Examples
    --------
    >>> sorted(parse_items("- Paris\n- Lyon")), sorted(parse_items('["Paris", "lyon"]')), parse_items("none")
    (['lyon', 'paris'], ['lyon', 'paris'], frozenset())
    """
    start = body_start(text)
    if start is None or not text[start:].strip():
        return None
    body = text[start:].strip()
    if (parse_text(body) or body) in _NOTHING or body in ("[]", "{}"):
        return frozenset()
    parts = _listed(body)
    if parts is None:
        return None
    items = {folded for part in parts if (folded := parse_text(part)) is not None}
    return frozenset(items - _NOTHING)


def _listed(body: str) -> list[str] | None:
    """The parts of a list in whatever form it is written."""
    marked = formal_regions(body)
    if marked and not body.startswith("["):
        body = body[marked[-1].start : marked[-1].end].strip()
    lists = _LIST.findall(body)
    if lists:
        return _literal(lists[-1])
    if body.startswith(("[", "{")):
        return None
    body = body.strip("`\n ")
    bullets = _BULLET.findall(body)
    if bullets:
        return list(bullets)
    lines = [_LEAD.sub("", line) for line in body.splitlines()]
    parts = [re.sub(r"^\s*and\s+", "", part) for line in lines for part in re.split(r"[,;]", line)]
    if any(len(part.split()) > _WORDY for part in parts):
        return None
    return parts


def _literal(text: str) -> list[str] | None:
    """Items of a JSON or Python list; of a list of neither, what stands between the commas."""
    for load in (json.loads, ast.literal_eval):
        try:
            loaded = load(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return [item if isinstance(item, str) else json.dumps(item, sort_keys=True) for item in loaded]
    inside = text[1:-1]
    return inside.split(",") if inside.strip() and not re.search(r"[\"']", inside) else None


def parse_tokens(text: str) -> tuple[str, ...] | None:
    """Read a text as a bag of words, sorted: lower case, without punctuation and English articles (as in SQuAD).

    Examples
    --------
    >>> parse_tokens("The Eiffel Tower, the tower.")
    ('eiffel', 'tower', 'tower')
    """
    words = re.findall(r"\w+", re.sub(r"['’]", "", text.casefold()))
    return tuple(sorted(word for word in words if word not in {"a", "an", "the"})) if text.strip() else None


def canonical_answer(value: Any) -> Hashable | None:
    """Return a JSON value as an answer that can be compared: lists and sets as sets, objects as their JSON text.

    Examples
    --------
    >>> sorted(canonical_answer(["oslo", "bergen"])), canonical_answer({"b": 1, "a": [2]}), canonical_answer(None)
    (['bergen', 'oslo'], '{"a": [2], "b": 1}', None)
    """
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=list)
    if isinstance(value, list | AbstractSet):
        return frozenset(canonical_answer(item) for item in value)
    return value if isinstance(value, Hashable) else str(value)
