"""The final answer of a text, and the part of it that decides whether two answers are the same."""

import re
from collections.abc import Callable

from .announced import body_start, formal_regions
from .items import parse_text
from .reader import Reader, parse_label, parse_number

__all__ = ["ANSWER_KINDS", "final_answer", "last_value", "parse_answer", "read_answer"]

_ANSWER = re.compile(
    r"(?:answer|antwort|réponse|respuesta|risposta|resposta)\**\s*(?:is|ist|est|es|:)\**\s*|答案(?:是|[:：])\s*", re.I
)


_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")


def final_answer(text: str) -> str:
    r"""Return what is marked as the answer (boxed, ``####``, tags, an answer key), else what follows "answer is".

    The whole text without reasoning in tags where nothing is announced; empty where the reasoning never ended.

    Examples
    --------
    >>> final_answer("3x = 9 Answer: 3."), final_answer(r"So we get \boxed{7}, which fits.")
    ('3', '7')
    """
    start = body_start(text)
    if start is None:
        return ""
    text = text[start:]
    marked = formal_regions(text)
    if marked:
        return _stripped(_TEXT.sub(r"\1", text[marked[-1].start : marked[-1].end]))
    *before, last = _ANSWER.split(text)
    return _stripped(last.split("\n", 1)[0] if before else text)


def _stripped(text: str) -> str:
    return text.strip().strip(".\"'`* ").strip()


def parse_answer(text: str) -> str | None:
    r"""Read the final answer, as ``final_answer`` finds it, folded as by ``parse_text``; None where there is none.

    Reasonings of different words that end in one answer are one answer by it, as self-consistency needs.

    Examples
    --------
    >>> parse_answer("3 + 4 = 7. Answer: 7"), parse_answer("So the answer is\n**7**.")
    ('7', '7')
    """
    return parse_text(final_answer(text))


def _written(reader: Reader) -> Callable[[str], str]:
    """The value that a reader finds, as text; empty if there is none."""

    def read(text: str) -> str:
        value = reader(text)
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        return "" if value is None else str(value).lower()

    return read


def _last_word(text: str) -> str:
    found = re.findall(r"[\w:]+", final_answer(text))
    return found[-1].lower() if found else ""


def _sequence(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", final_answer(text).rsplit(":", 1)[-1].lower()))


ANSWER_KINDS: dict[str, Callable[[str], str]] = {
    "choice": _written(parse_label(list("ABCDEFGHIJ"))),
    "number": _written(parse_number()),
    "sequence": _sequence,
    "text": lambda text: " ".join(final_answer(text).lower().split()),
    "word": _last_word,
    "yes_no": _written(parse_label(["yes", "no"])),
}
"""How an answer is read: the choice letter, number, yes or no that it states; its sequence, last word, all of it."""


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
    return ANSWER_KINDS[kind](text) if text else ""


_LAST = {"choice": r"\b[a-j]\b", "number": r"-?\d[\d,]*(?:\.\d+)?", "yes_no": r"\b(?:yes|no)\b"}


def last_value(text: str, kind: str) -> str:
    """Return the last number, letter, or yes or no of the final answer, announced or not; for graders of short replies.

    Whether a reply is right can be judged by it, since the right answer is known. What a reply says cannot.

    Examples
    --------
    >>> last_value("The letter n occurs 1 time.", "number"), read_answer("The letter n occurs 1 time.", "number")
    ('1', '')
    """
    if kind not in _LAST:
        return read_answer(text, kind)
    found = re.findall(_LAST[kind], final_answer(text), re.IGNORECASE)
    return found[-1].lower().replace(",", "").removesuffix(".0") if found else ""
