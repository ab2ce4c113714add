"""Where a text announces an answer: reasoning set aside, formal marks, phrases that lead up to a value."""

import re
from typing import NamedTuple

__all__ = ["Region", "announced_regions", "body_start", "closing_regions", "formal_regions"]


class Region(NamedTuple):
    """A part of a text that should hold the answer."""

    start: int
    end: int
    is_strict: bool = False
    """Whether the value must stand at its very start, as after "a score of"."""


_REASONING = re.compile(r"</(?:think|thinking|thought|reasoning|reflection)>|<\|channel\|>final<\|message\|>", re.I)
_OPENED = re.compile(r"<(?:think|thinking|thought|reasoning|reflection)>|<\|channel\|>analysis", re.I)
_TAGS = "answer|final_answer|final|result|score|rating|grade|label|verdict|choice|output|decision|prediction"
_FORMAL = re.compile(
    r"\\(?:boxed|fbox)\s*\{(?P<boxed>(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
    rf"|<(?P<tag>{_TAGS})>(?P<tagged>.*?)</(?P=tag)>"
    r"|\[\[(?P<bracketed>[^\[\]\n]*)\]\]"
    r"|^[ \t]*#{4}[ \t]*(?P<hashed>[^\n]+)"
    rf"|[\"'](?:{_TAGS}|answers|rank|category|class|preferred|preference|winner|value)[\"']\s*:\s*"
    r"(?P<keyed>\[[^\]]*\]|\"(?:[^\"\\]|\\.)*\"|'[^'\n]*'|[^,}\n]+)",
    re.I | re.S | re.M,
)
_NOUNS = (
    r"answer|result|solution|verdict|choice|decision|prediction|label|class|classification|category|output|total|"
    r"conclusion|sum|preference|winner|antwort|lösung|ergebnis|réponse|respuesta|risposta|resposta|ответ|sentiment|"
    r"option|response|candidate|assistant|model|one|selection|pick|value|estimate|count|number|remainder|"
    r"difference|product|average|probability|cost|price|amount|percentage|age|length|area|volume|distance|speed|weight|"
    r"height|width|perimeter|radius|ratio|mean|median|divisor|gcd|"
    r"factor|multiple|quotient|root"
)
_SCORES = r"score|rating|grade|mark|rank|points?|stars?|rated|scored|evaluation|assessment|bewertung|note|punktzahl"
_IS = (
    r"(?:\bis\b|\bwas\b|\bare\b|\b(?:would|should|will|must)\s+be\b|\bist\b|\best\b|\bes\b|=|:|：|→|->|"
    r"\bequals\b|\bcomes\s+to\b|\s[-–—]\s)"
)
_ASIDE = r"(?:\s*\([^()\n]{0,40}\))?[^.!?:=\n\d()]{0,60}?(?:\([^()\n]{0,40}\))?"
_NUMBERED = r"[^.!?:=\n]{0,60}?"
_WORD = r"(?!(?:a|an|as|at|of|with|is)\b)[^\W\d_]+"
_OBJECT = (
    rf"(?:\s+(?:(?:the|this|that|my)\s+{_WORD}(?:\s+{_WORD})?|(?:it|this|that)\b(?!['’]|\s+is\b)|them|you|myself))?"
)
_ARTICLE = (
    r"(?:\s+(?:(?-i:a|an)|the|as|at|with|for|of|on|option|choice|response|answer|assistant|model|candidate|label)\b)*"
)
_GIVING = (
    r"give|gives|gave|giving|rate|rates|rated|score|scored|assign|award|grade|graded|choose|chose|pick|picked|select|"
    r"selected|go(?:ing)?\s+with|say|said|answer|prefer|preferred|vote\s+for|opt\s+for|estimate|guess|predict|"
    r"think|believe|(?:it|this|that)(?:\s+(?:is|must\s+be)|['’]s)|settle\s+on|lean\s+towards?|deserves?|merits?|gets?|earns?|receives?|conclude|favou?r|recommend"
)
_LED = re.compile(
    rf"(?P<loose>\b(?:{_NOUNS})\b\s*(?:\*\*|__)?{_NUMBERED}{_IS})"
    rf"|答案(?:是|为|[:：])?|答え(?:は|[:：])?"
    rf"|(?P<strict>\b(?:{_SCORES})\b\s*(?:\*\*|__)?(?:{_ASIDE}{_IS}|\s+of\b)|\b(?:remainder|total|result)\s+of\b"
    rf"|\b(?:{_GIVING})\b{_OBJECT}{_ARTICLE}"
    rf"|\b(?:{_NOUNS}|{_SCORES})\b(?=[\s*_(\"'\[]+(?:[-+−]?\d|[A-J]\b)))",
    re.I,
)
_CLOSING = re.compile(
    r"(?:\b(?:so|thus|therefore|hence|finally|but|overall|in\s+total|ultimately|makes|leaves)\b[,:]?|[;:=—→]|\n)"
    r"(?=[^\n;:=—→]{1,60}$)",
    re.I,
)
_SENTENCE_END = re.compile(r"[.!?。](?=\s|$|[*_\"'`)\]}])|\n|$")
_GAP = re.compile(r"[\s*_`>]*")


def body_start(text: str) -> int | None:
    """Return where the answer begins after reasoning in tags; None if the reasoning never ended."""
    ends = [match.end() for match in _REASONING.finditer(text)]
    opened = [match.start() for match in _OPENED.finditer(text)]
    if opened and (not ends or opened[-1] > ends[-1]):
        return None
    return ends[-1] if ends else 0


def formal_regions(text: str, start: int = 0) -> list[Region]:
    r"""List the places marked for an answer: ``\boxed{}``, ``####``, ``[[ ]]``, tags, and answer keys of JSON."""
    found = []
    for match in _FORMAL.finditer(text, start):
        name = next(name for name in ("boxed", "tagged", "bracketed", "hashed", "keyed") if match[name] is not None)
        found.append(Region(*match.span(name)))
    return found


def announced_regions(text: str, start: int = 0) -> list[Region]:
    """List the places that a phrase leads up to, such as "the answer is" or "a score of", to the end of the line."""
    found = []
    at = start
    while (match := _LED.search(text, at)) is not None:
        begin = _GAP.match(text, match.end()).end()  # type: ignore[union-attr]
        found.append(Region(begin, _sentence_end(text, begin), is_strict=match["strict"] is not None))
        at = max(match.start() + 1, match.end() - 1) if match["strict"] else match.end()
    return found


def closing_regions(text: str, start: int = 0) -> list[Region]:
    """List the ends of a text after "so", "but", a semicolon, an equals sign or a line break."""
    body_end = len(text.rstrip(" \t\r\n.*_`\"'!"))
    matches = _CLOSING.finditer(text[:body_end], start)
    return [Region(match.end(), body_end, is_strict=True) for match in matches]


def _sentence_end(text: str, start: int) -> int:
    found = _SENTENCE_END.search(text, start)
    return found.start() if found else len(text)
