"""How results show themselves: a short text, a chart, a table and HTML in a notebook; and which text may be shown.

Imports point left, and a result stands left of the pages that draw it. `Displayed` is the only way back: its methods
look ``nilometer.pages`` up when they are called, and nothing else does.
"""

import importlib
import math
import unicodedata
from collections.abc import Mapping, Sequence, Set
from typing import Any

__all__ = ["Displayed", "finite", "plain_cell", "safe_cell", "visible_text"]

_JOINERS = "\u200c\u200d"
"""Zero-width characters that Persian, Indic scripts and emoji need; they cannot turn or hide other text."""
_MOST_CHARACTERS, _MOST_NAMES = 60, 3
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a cell begins that a spreadsheet takes for a formula, or that was kept from it."""


class Displayed:
    """A result that shows itself.

    ``plot`` gives the chart of the pages, ``frame`` the table, ``repr`` one short line; a notebook shows table and
    chart. A class that inherits from this needs one row in ``nilometer.pages.results``.

    Examples
    --------
    >>> from nilometer import NotEnoughData, SliceEstimates
    >>> few = NotEnoughData(slice="a", n=1, reason="One response.", needed="Record more.")
    >>> "One response." in SliceEstimates([few])._repr_html_()
    True
    """

    __slots__ = ()

    def plot(self) -> Any:
        """Draw the result as an Altair chart, the same as in the pages; None where there is nothing to draw."""
        return _pages().plot_result(self)

    def frame(self) -> Any:
        """Return the numbers of the table that a notebook shows, as a pandas data frame."""
        return _pages().frame_result(self)

    def _repr_html_(self) -> str:
        return str(_pages().show_result(self))

    def __repr__(self) -> str:
        fields = [(name, getattr(self, name)) for name in getattr(self, "__dataclass_fields__", ())]
        said = [f"{name}={_short(value)}" for name, value in fields if not _is_empty(value)]
        return f"{type(self).__name__}({', '.join(said)})"


def _pages() -> Any:
    return importlib.import_module("nilometer.pages")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | Sequence | Mapping) and len(value) == 0)


def _short(value: Any) -> str:
    """Numbers and short texts as they are, collections by their length, the rest by its type."""
    if isinstance(value, str):
        return repr(value if len(value) <= _MOST_CHARACTERS else f"{value[:_MOST_CHARACTERS]}…")
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, tuple) and len(value) <= _MOST_NAMES and all(isinstance(item, str) for item in value):
        return _short(", ".join(value))
    if isinstance(value, Sequence | Mapping | Set):
        return f"<{len(value):,}>"
    return f"<{type(value).__name__}>"


def visible_text(text: str) -> str:
    r"""Write the characters that act instead of being read as escapes; all other text is unchanged.

    Terminal escapes and other control characters, marks that turn the direction of writing, invisible characters, lone
    surrogates and noncharacters become ``\x1b``, ``\u202e`` and the like. Line feeds, tabs and the joiners of emoji and
    Persian stay; a carriage return before a line feed goes.

    Examples
    --------
    >>> print(visible_text("gcd\x1b[2J"))
    gcd\x1b[2J
    >>> visible_text("Zürich 東京")
    'Zürich 東京'
    """
    if text.isprintable():
        return text
    return "".join(_escape(char) if _acts(char) else char for char in text.replace("\r\n", "\n"))


def _acts(char: str) -> bool:
    if char in "\n\t" or char.isprintable():
        return False
    code = ord(char)
    if (code & 0xFFFE) == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return True
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in _JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def safe_cell(value: Any) -> Any:
    """Return a cell of a CSV file that no spreadsheet takes for a formula: such a text begins with an apostrophe.

    Numbers stay as they are. ``plain_cell`` gives the text back.

    Examples
    --------
    >>> safe_cell("=1+2"), safe_cell("'quoted'"), safe_cell(-1.5)
    ("'=1+2", "''quoted'", -1.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def plain_cell(text: str) -> str:
    """Return the text that ``safe_cell`` was given; all others are unchanged.

    Examples
    --------
    >>> plain_cell("'=1+2"), plain_cell("''quoted'"), plain_cell("'tis"), plain_cell("-x")
    ('=1+2', "'quoted'", "'tis", '-x')
    """
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULAS) else text


def finite(value: Any) -> Any:
    """Copy nested dictionaries and lists with None for every number that is not finite, as JSON needs it.

    Examples
    --------
    >>> finite({"accuracy": [0.5, float("nan")]})
    {'accuracy': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
