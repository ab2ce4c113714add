"""Choosing the value that a text states as its answer among all that stand in it."""

import math
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .announced import Region, announced_regions, body_start, closing_regions, formal_regions
from .candidates import Candidate, Finder
from .fields import Place, check_place, find_place
from .labels import label_finder
from .numbers import find_numbers

__all__ = ["Found", "Parser", "Reader", "parse_label", "parse_number", "placed"]

Parser = Callable[[str], Hashable | None]
"""Takes an answer's text, returns its value, or None where it has none."""

_FILL = (
    r"(?:[\s*_\"'`:=(\[{<$\\#~≈>≥→,-]|\b(?:approximately|about|around|roughly|exactly|only|just|a|an|the|of|is|be|as|to|at|"
    r"that|it|probably|clearly|definitely|therefore|still|score|rating|grade|option|choice|response|assistant|answer|"
    r"model|candidate|label|number|letter|text|mathrm|mathbf|simply|really|solid|strong|weak|low|high|perfect|full|clear|good|fair|total|[a-z]\s*=)\b|[a-zA-Z]\s*=)*"
)
_FILLER = re.compile(_FILL, re.IGNORECASE)
_LETTER_FILL = re.compile(
    r"(?:[\s*_\"'`:=(\[{<$\\#~→,-]|\b(?:the|of|is|be|as|to|with|option|choice|response|assistant|answer|model|candidate|"
    r"label|letter|text|mathrm|mathbf|clearly|definitely|probably|that)\b)*",
    re.IGNORECASE,
)
_EDGE = " \t\r\n.\"'`*_,;:!?()[]{}<>$\\#~&|=≈-–—€£$¥"
_REASONS = re.compile(r"\b(?:because|since|based|due|for|considering|given|if|when|with|out)\b", re.IGNORECASE)
_OPERATOR = re.compile(r"[\s*]*[-+*/×÷^−]\s*[\d(]")
_UNIT_WORDS = re.compile(r"\s*[^\W\d_]+(?:\s+(?:(?:per|a|an)\s+)?[^\W\d_]+)?")
_ABOUT = re.compile(
    r"(?:an?(?:\s+(?:solid|strong|weak|clear|good|fair|perfect|high|low|full))?|about|around|approximately|approx\.?|roughly|nearly|almost|exactly|~)",
    re.IGNORECASE,
)
_LISTED = re.compile(r"[\s*_$]*(?:(?:[^\W\d_]+\s*)?(?:,|;|\band\b|&))?[\s*_$]*", re.IGNORECASE)
_NAMED = re.compile(
    r"[\s*_)\"'`]*\s(?:is|was)\s+(?:(?:the|my)\s+(?:\w+\s+)?(?:answer|score|rating|grade|result|choice|solution|pick)"
    r"|correct|right)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"[\s*_)\]}\"'`$\\]*(?:$|[.,;:!?\n/—–+*×=<-]|(?:stars?|points?|pts|out|because|since|as|for|overall|on|to|and|but|due|"
    r"given|in|total|percent|remains?|left|here)\b)",
    re.IGNORECASE,
)
_VERBS = {
    "is",
    "are",
    "was",
    "were",
    "has",
    "have",
    "had",
    "reasons",
    "facts",
    "claims",
    "do",
    "does",
    "out",
    "of",
    "and",
}
_UNSOLVED = re.compile(r"(?:\d*[a-z]\s*[-+*/]|[-+*/]\s*\d*[a-z]\b)[^.\n;=]*=[\s*_$]*$")
_EQUALS = re.compile(
    r"(?:=|≈|\d\s*(?:[-+*/×÷^]|times|plus|minus|divided by|multiplied by)\s*\d[\d.,]*\s+(?:is|equals|makes)\b|\bequals)"
    r"[\s*_$\\({\[]*$"
)
_MORE = re.compile(
    r"[\s*_)\"'`]*(?:$|[.,;:!?\n—–-]|because\b|since\b|as\b|and\b|for\b|is\b|wins?\b|was\b|over\b|instead\b|due\b|it\b)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"[\s*_)\"'`]*\s(?:(?:wins|outperforms|beats|surpasses)\b|(?:is|was|seems|looks|appears)\s+(?:to\s+be\s+)?(?:\w+\s+){0,2}?"
    r"(?:more|better|best|correct|right|preferred|preferable|superior|winner|stronger|winning|true)\b)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s+(?:it|because|since|as|for)\b", re.IGNORECASE)
_OPENS = re.compile(r"[)\]*_\"'`}\s]*(?:$|[.,;:!)\]—–\n]|\s-\s)")


class Found(NamedTuple):
    """The answer of a text and where it begins."""

    value: Hashable
    start: int


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one kind of value off texts; calling it returns the value, or None.

    Looked for are, in this order: a text that is the value and nothing else; marked places (boxed, ``####``,
    ``[[ ]]``, tags, answer keys of JSON); phrases that announce a value ("the answer is", "a score of", "I prefer");
    the value as the first or last word. A value elsewhere in prose is no answer, nor is one end of a range.
    """

    candidates: Finder
    accepts: Callable[[Hashable], bool]
    field: str | None = None
    pattern: str | None = None
    is_letters: bool = False
    """Whether the values are words or letters, which sentences hold by chance."""

    def __call__(self, text: str) -> Hashable | None:
        """Return the value that a text states, or None."""
        found = self.find(text)
        return None if found is None else found.value

    def find(self, text: str) -> Found | None:
        """Return the value that a text states and where it begins, or None."""
        place = find_place(text, field=self.field, pattern=self.pattern)
        if place is None:
            return None
        one = _Search(self, text, place).chosen()
        if one is None or one.is_open or not self.accepts(one.value):
            return None
        return Found(one.value, one.start)


class _Search:
    """The candidates of one text."""

    def __init__(self, reader: Reader, text: str, place: Place) -> None:
        self.is_letters, self.text = reader.is_letters, text
        self.is_placed = reader.field is not None or reader.pattern is not None
        start = place.start if self.is_placed else body_start(text)
        self.region = None if start is None else Region(start, place.end)
        found = [] if start is None else reader.candidates(text)
        self.found = [one for one in found if start is not None and start <= one.first and one.start < place.end]

    def chosen(self) -> Candidate | None:
        """Return the candidate that is meant; an open one where the text leaves it open."""
        if self.region is None or not self.found:
            return None
        whole = self.whole(self.region)
        if whole is not None:
            return whole
        if self.is_placed:
            return self.stated(self.region)
        for regions in (formal_regions, announced_regions):
            for region in reversed(regions(self.text, self.region.start)):
                one = self.stated(region)
                if one is not None:
                    return one
        return self.subject() or self.closing() or self.opening() or self.alone()

    def _before(self, one: Candidate) -> str:
        """What stands close before a candidate."""
        return self.text[max(0, one.first - 80) : one.first]

    def within(self, region: Region) -> list[Candidate]:
        return [one for one in self.found if region.start <= one.start < max(region.end, region.start + 1)]

    def whole(self, region: Region) -> Candidate | None:
        """The only candidate of a region that holds nothing else but marks and a unit."""
        inside = self.within(region)
        if not inside:
            return None
        before = self.text[region.start : inside[0].first].strip(_EDGE)
        after = self.text[inside[0].end : region.end].strip(_EDGE)
        is_bare = not before or (not self.is_letters and _ABOUT.fullmatch(before) is not None)
        return inside[0] if len(inside) == 1 and is_bare and (not after or self._is_unit(after)) else None

    def _is_unit(self, after: str) -> bool:
        return (
            not self.is_letters
            and _UNIT_WORDS.fullmatch(after) is not None
            and not _VERBS & set(after.casefold().split())
        )

    def stated(self, region: Region) -> Candidate | None:
        """The candidate at the start of a region, the result of an equation in it, or the only one."""
        inside = self.within(region)
        if not inside:
            return None
        first = inside[0]
        if self.text[region.start : region.end].rstrip(" .*_$").endswith("="):
            return inside[-1]._replace(is_open=True)
        before, after = self.text[region.start : first.first], self.text[first.end : region.end]
        filler = _LETTER_FILL if self.is_letters else _FILLER
        if filler.fullmatch(before) and self._stands(first, after, region):
            result = self._result(inside, after)
            listed = len(inside) > 1 and _LISTED.fullmatch(self.text[first.end : inside[1].first])
            return result or (first._replace(is_open=True) if listed else first)
        if region.is_strict or _REASONS.search(before):
            return None
        strong = [one for one in inside if not one.is_weak]
        if strong and "=" in self.text[region.start : strong[-1].start]:
            return self._result(inside, self.text[region.start : region.end]) or None
        return strong[0] if len({one.value for one in strong}) == 1 else None

    def _stands(self, one: Candidate, after: str, region: Region) -> bool:
        """Whether a candidate is no article and counts nothing: "a noble gas" is not A, "give 3 reasons" not 3."""
        if self.is_letters:
            return not one.is_weak or after.startswith(")") or _MORE.match(after) is not None
        return not region.is_strict or _ENDS.match(after) is not None

    def _result(self, inside: Sequence[Candidate], after: str) -> Candidate | None:
        """The last number after an equals sign, where the region holds a sum."""
        if self.is_letters or not (_OPERATOR.match(after) or "=" in after):
            return None
        equals = [one for one in inside if self._before(one).rstrip(" *_$\\({[").endswith(("=", "≈"))]
        return equals[-1] if equals else None

    def subject(self) -> Candidate | None:
        """The value that is named as the answer; of labels, the one that is said to be better, or to win."""
        says = _SUBJECT if self.is_letters else _NAMED
        praised = [one for one in self.found if not one.is_open and says.match(self.text, one.end)]
        return praised[-1] if praised else None

    def closing(self) -> Candidate | None:
        """The value that ends the text after a connective, a semicolon, an equals sign, or on a line of its own."""
        for region in reversed(closing_regions(self.text, self.region.start if self.region else 0)):
            one = self.whole(region)
            if one is not None and not (self.is_letters and one.is_weak and self.text[one.start].islower()):
                return one
        return None if self.is_letters else self.equation()

    def equation(self) -> Candidate | None:
        """The result of the only equation, or of the last one where it stands in the last line."""
        results = [one for one in self.found if _EQUALS.search(self._before(one))]
        results = [one for one in results if not _UNSOLVED.search(self._before(one))]
        last_line = len(self.text.rstrip()) - len(self.text.rstrip().rsplit("\n", 1)[-1])
        if len(results) == 1 or (results and results[-1].start >= last_line):
            return results[-1]
        return None

    def opening(self) -> Candidate | None:
        """The value that opens the text before a stop, a comma or a line break."""
        first = self.found[0]
        start = self.region.start if self.region else 0
        if self.text[start : first.first].strip(_EDGE):
            return None
        if _OPENS.match(self.text, first.end):
            return first
        is_capital = self.is_letters and not first.is_weak and self.text[first.start].isupper()
        is_letter = is_capital and first.end - first.start == 1 and _GOES_ON.match(self.text, first.end) is not None
        return first if is_letter else None

    def alone(self) -> Candidate | None:
        """The one value in bold, or the only label of several letters that the text holds."""
        bold = [
            one for one in self.found if self._before(one).endswith("**") and self.text[one.end : one.end + 2] == "**"
        ]
        if len({one.value for one in bold}) == 1:
            return bold[-1]
        words = [one for one in self.found if self.is_letters and one.end - one.start > 1 and not one.is_weak]
        others = {one.value for one in self.found if not one.is_weak}
        return words[-1] if words and len(others) == 1 else None


def parse_number(
    low: float = -math.inf, high: float = math.inf, *, field: str | None = None, pattern: str | None = None
) -> Reader:
    """Return a reader of the number that a text states, within [low, high]; "4/5" and "4 out of 5" are 4.

    Read are signs, thousands and decimals of the main locales, percent, currencies, units, powers and number words.

    Parameters
    ----------
    low, high
        A number outside is no answer.
    field, pattern
        Where the number stands: a JSON key, or a regular expression (its first group, or what follows it).

    Examples
    --------
    >>> read = parse_number(0, 5)
    >>> read("There are 3 facts, so a rating of 4."), read("0,5"), read("1,200"), read("There are 3 facts.")
    (4.0, 0.5, None, None)
    """
    return Reader(find_numbers, lambda value: low <= float(value) <= high, field, pattern)  # type: ignore[arg-type]


def parse_label(labels: Sequence[Hashable], *, field: str | None = None, pattern: str | None = None) -> Reader:
    """Return a reader of the label of a scale that a text states.

    Case counts only for labels of one letter, and there only in prose; a total ("4/5", "4 out of 5") is no label.

    Parameters
    ----------
    labels
        The scale.
    field, pattern
        Where the label stands: a JSON key, or a regular expression (its first group, or what follows it).

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
    scale = set(labels)
    numeric = all(isinstance(label, int | float) for label in labels)
    return Reader(label_finder(labels), lambda value: value in scale, field, pattern, not numeric)


def placed(parser: Parser, *, field: str | None = None, pattern: str | None = None) -> Parser:
    """Return a parser that reads only the part of a text at a field or a pattern; None where that part is missing.

    Examples
    --------
    >>> placed(str.upper, field="city")('{"city": "Oslo", "land": "Norway"}')
    'OSLO'
    """
    check_place(field, pattern)
    if field is None and pattern is None:
        return parser
    if isinstance(parser, Reader):
        return replace(parser, field=field, pattern=pattern)

    def read(text: str) -> Hashable | None:
        place = find_place(text, field=field, pattern=pattern)
        return (
            None
            if place is None or not text[place.start : place.end].strip()
            else parser(text[place.start : place.end])
        )

    return read
