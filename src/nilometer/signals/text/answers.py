"""What an answer says in the end: texts reduced to what is compared."""

import re
from collections.abc import Callable

__all__ = ["ANSWER_KINDS", "final_answer", "read_answer"]

_ANSWER = re.compile(r"answer\s*(?:is|:)\s*", re.IGNORECASE)


def final_answer(text: str) -> str:
    """Return what follows the last "Answer:" or "answer is", or the whole text without it.

    Examples
    --------
    >>> final_answer("3x = 9 Answer: 3.")
    '3'
    """
    *before, last = _ANSWER.split(text)
    line = last.split("\n", 1)[0] if before else text
    return line.strip().strip(".\"'`* ").strip()


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.IGNORECASE)
    return found[-1].lower() if found else ""


def _number(text: str) -> str:
    return _last(r"-?\d[\d,]*(?:\.\d+)?", text).replace(",", "").removesuffix(".0")


def _sequence(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", text.rsplit(":", 1)[-1].lower()))


ANSWER_KINDS: dict[str, Callable[[str], str]] = {
    "choice": lambda text: _last(r"\b[a-j]\b", text),
    "number": _number,
    "sequence": _sequence,
    "text": lambda text: " ".join(text.lower().split()),
    "word": lambda text: _last(r"[\w:]+", text),
    "yes_no": lambda text: _last(r"\b(?:yes|no)\b", text),
}
"""How the final answer is read off a text: its last choice letter, number, word, yes or no; its sequence; all of it."""


def read_answer(text: str | None, kind: str) -> str:
    """Return the part of an answer that decides whether two answers are the same; empty if there is none.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> read_answer("That makes 1,200.0 in all.", "number"), read_answer(None, "number")
    ('1200', '')
    """
    if kind not in ANSWER_KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(ANSWER_KINDS)}, got {kind!r}.")
    return ANSWER_KINDS[kind](final_answer(text)) if text else ""
