"""Parsers and scales by the names that people write on a command line or in a file."""

from collections.abc import Callable, Sequence
from typing import Any

from nilometer.errors import ConfigError

from .items import parse_items, parse_text, parse_tokens
from .kinds import parse_answer
from .reader import Parser, parse_label, parse_number

__all__ = ["PARSERS", "number_or_text", "parse_scale", "parser_for"]

PARSERS = ("answer", "number", "label", "items", "tokens", "text", "raw")
"""Names that ``parser_for`` knows."""


def parse_scale(text: str | None) -> tuple[Any, ...] | None:
    """Read the labels of a scale: ``1-5`` is the whole numbers, ``a,b,c`` the texts; numbers stay numbers.

    Raises
    ------
    ConfigError
        For fewer than two labels.

    Examples
    --------
    >>> parse_scale("1-5"), parse_scale("low, high"), parse_scale("0,0.5,1")
    ((1, 2, 3, 4, 5), ('low', 'high'), (0, 0.5, 1))
    """
    if text is None:
        return None
    low, dash, high = text.partition("-")
    if dash and low.strip().isdigit() and high.strip().isdigit():
        scale: tuple[Any, ...] = tuple(range(int(low), int(high) + 1))
    else:
        scale = tuple(number_or_text(part.strip()) for part in text.split(",") if part.strip())
    if len(set(scale)) < 2:
        raise ConfigError(f"`--labels` must name at least two labels (1-5 or a,b,c), got {text!r}.")
    return scale


def parser_for(name: str | None, labels: Sequence[Any] | None, kind: str) -> Parser:
    """Return the parser of a name, or without one that fits the kind of answer and the scale.

    Parameters
    ----------
    name
        One of ``PARSERS``, or None.
    labels
        The scale, if there is one.
    kind
        ``number``, ``set``, ``text`` or another kind of a rule.

    Raises
    ------
    ConfigError
        If the name is unknown, or it is ``label`` and there is no scale.

    Examples
    --------
    >>> parser_for(None, None, "number")("I would say 4.5"), parser_for("label", ("a", "b"), "zero_one")("It is b.")
    (4.5, 'b')
    """
    if name is None:
        name = {"set": "items", "number": "number", "text": "raw"}.get(kind, "answer") if labels is None else "label"
    if name == "label" and labels is None:
        raise ConfigError("`--parse label` needs the scale (`--labels`).")
    made: dict[str, Callable[[], Parser]] = {
        "label": lambda: parse_label(labels or ()),
        "number": parse_number,
        "items": lambda: parse_items,
        "tokens": lambda: parse_tokens,
        "text": lambda: parse_text,
        "answer": lambda: parse_answer,
        "raw": lambda: str,
    }
    if name not in made:
        raise ConfigError(f"`--parse` must be one of {', '.join(PARSERS)}, got {name!r}.")
    return made[name]()


def number_or_text(text: str) -> Any:
    """Return the number that a text is, whole where it can be, else the text.

    Examples
    --------
    >>> number_or_text("3"), number_or_text("0.5"), number_or_text("low")
    (3, 0.5, 'low')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
