"""From the text of an answer to the value it means: parsers that return None where there is none."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence

from nilometer.signals import final_answer

__all__ = [
    "Parser",
    "label_text",
    "parse_answer",
    "parse_items",
    "parse_label",
    "parse_number",
    "parse_text",
    "parse_tokens",
]

Parser = Callable[[str], Hashable | None]
"""Takes an answer's text, returns its value, or None where it has none."""

_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
_DENOMINATOR = re.compile(r"(?:/|\bout of|\bof)\s*$")
_EDGES = " \t\r\n.\"'`*,;:!()[]{}"
_NOTHING = {"", "none", "nothing", "n/a", "empty", "no items"}


def parse_number(low: float = -math.inf, high: float = math.inf) -> Parser:
    """Return a parser for the last number of a text that lies in [low, high] and is no denominator ("4/5" is 4).

    Examples
    --------
    >>> read = parse_number(0, 5)
    >>> read("I would give 4 out of 5."), read("1,200"), read("no idea")
    (4.0, None, None)
    """

    def read(text: str) -> float | None:
        found = None
        for match in _NUMBER.finditer(text):
            if not _DENOMINATOR.search(text, max(0, match.start() - 12), match.start()):
                found = float(match.group().replace(",", "").replace("−", "-"))
        return found if found is not None and low <= found <= high and math.isfinite(found) else None

    return read


def parse_label(labels: Sequence[Hashable]) -> Parser:
    """Return a parser for the labels of a scale: the whole text, or else the last label that stands by itself.

    Case counts only for labels of one letter; a denominator ("4/5", "4 out of 5") is no label.

    Raises
    ------
    ValueError
        If there are fewer than two different labels.

    Examples
    --------
    >>> read = parse_label(["positive", "negative"])
    >>> read("**Positive**"), read("It is not positive but negative."), read("mixed")
    ('positive', 'negative', None)
    """
    if len(set(labels)) < 2:
        raise ValueError(f"`labels` must hold at least 2 different labels, got {list(labels)!r}.")
    forms = {_folded(label_text(label)): label for label in labels}
    listed = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    standing = re.compile(rf"(?<![\w.])(?:{listed})(?!\w|\.\d)")

    def read(text: str) -> Hashable | None:
        whole = text.strip(_EDGES)
        for form in (whole, whole.casefold()):
            if form in forms:
                return forms[form]
        same = text if all(len(form) == 1 for form in forms) else text.casefold()
        last = None
        for match in standing.finditer(same):
            if not _DENOMINATOR.search(same, max(0, match.start() - 12), match.start()):
                last = forms[match.group()]
        return last

    return read


def label_text(label: Hashable) -> str:
    """Write a label as a model would: 3.0 as 3."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _folded(text: str) -> str:
    return text if len(text) == 1 else text.casefold()


def parse_text(text: str) -> str | None:
    """Fold case, white space, outer quotes and points away; answers that differ only in these are one answer.

    Examples
    --------
    >>> parse_text(' "New   York." ')
    'new york'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)


def parse_answer(text: str) -> str | None:
    r"""Read the final answer: the line after the last "Answer:" or "answer is", else the whole text, as ``parse_text``.

    Reasonings of different words that end in one answer are one answer by it, as self-consistency needs.

    Examples
    --------
    >>> parse_answer("3 + 4 = 7. Answer: 7"), parse_answer("So the answer is\n**7**.")
    ('7', '7')
    """
    return parse_text(final_answer(text))


def parse_items(text: str) -> frozenset[str] | None:
    r"""Read a list of items as a set: a JSON list, one item a line, or separated by commas or semicolons.

    Bullets, numbers before items, case and outer punctuation do not count. "none" and an empty text are the
    empty set, which is an answer.

    Examples
    --------
    >>> sorted(parse_items("- Paris\n- Lyon")), sorted(parse_items('["Paris", "lyon"]')), parse_items("none")
    (['lyon', 'paris'], ['lyon', 'paris'], frozenset())
    """
    inside = text.strip().removeprefix("```json").strip("`\n ")
    if inside.startswith("["):
        try:
            loaded = json.loads(inside)
        except ValueError:
            return None
        parts = [item if isinstance(item, str) else json.dumps(item, sort_keys=True) for item in loaded]
    else:
        lines = [re.sub(r"^\s*(?:[-*•]|\d+[.)])\s+", "", line) for line in inside.splitlines()]
        parts = [part for line in lines for part in re.split(r"[,;]", line)]
    items = {parse_text(part) or "" for part in parts}
    return frozenset(items - _NOTHING)


def parse_tokens(text: str) -> tuple[str, ...]:
    """Read a text as a bag of words, sorted: lower case, without punctuation and English articles (as in SQuAD).

    Examples
    --------
    >>> parse_tokens("The Eiffel Tower, the tower.")
    ('eiffel', 'tower', 'tower')
    """
    words = re.findall(r"\w+", re.sub(r"['’]", "", text.casefold()))
    return tuple(sorted(word for word in words if word not in {"a", "an", "the"}))
