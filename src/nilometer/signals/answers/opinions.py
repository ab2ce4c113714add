"""Second opinions as numbers: whether others give the same answer, and how sure an answer says that it is."""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from nilometer.arrays import Floats, Ints

from ..tokens.features import FEATURES, Feature
from .kinds import ANSWER_KINDS, parse_answer

__all__ = [
    "AGREEMENT_KINDS",
    "STATED_CONFIDENCE",
    "agreement",
    "agreement_column",
    "draw_agreement",
    "feature_named",
    "opinion_columns",
    "opinion_of",
    "parse_stated",
    "stated_confidence",
]


_AGREES = "agrees_with:"
STATED_CONFIDENCE = "stated_confidence"
"""Column of profiles: the confidence that the answer itself states, NaN where it states none."""
AGREEMENT_KINDS = ("answer", "exact", *sorted(ANSWER_KINDS))
"""How two answers are compared: by the final answer, letter by letter, or by a kind of ``ANSWER_KINDS``."""

_WORDS = r"confiden(?:ce|t)|probability|certain(?:ty)?|likelihood|sure(?:ness)?|sicherheit|confiance|confianza"
_NUMBER = r"(?P<{0}>\d+(?:[.,]\d+)?)\s*(?P<{0}_unit>%|percent\b|/\s*100?\b|out of 100?\b)?"
_STATED = re.compile(
    rf"\b(?:{_WORDS})\b(?:\s+(?:score|level|rating))?[\s\"'*_`]*(?:\((?:[^()\n]{{0,30}})\))?[\s\"'*_`]*"
    rf"(?::|=|：|\bis\b|\bof\b|\bat\b|->|→)?[\s\"'*_`~≈]*(?:about|around|roughly|approximately)?\s*{_NUMBER.format('after')}"
    rf"|{_NUMBER.format('before')}\s*(?:{_WORDS})\b",
    re.IGNORECASE,
)


def agreement_column(model: str) -> str:
    """Name the column of profiles that says how far a model agrees with each answer.

    Examples
    --------
    >>> agreement_column("small"), opinion_of(agreement_column("small"))
    ('agrees_with:small', 'small')
    """
    return f"{_AGREES}{model}"


def opinion_of(column: str) -> str:
    """Name the model whose agreement a column holds; empty for any other column."""
    return column.removeprefix(_AGREES) if column.startswith(_AGREES) else ""


def opinion_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Keep the names of columns that hold second opinions or stated confidences.

    Examples
    --------
    >>> opinion_columns(["max", "agrees_with:b", "stated_confidence"])
    ('agrees_with:b', 'stated_confidence')
    """
    return tuple(name for name in names if name.startswith(_AGREES) or name == STATED_CONFIDENCE)


def feature_named(name: str) -> Feature:
    """Return the entry of a feature, also of a second opinion, which no table lists.

    Raises
    ------
    KeyError
        If there is no such feature.
    """
    if name in FEATURES or not opinion_columns([name]):
        return FEATURES[name]
    if name == STATED_CONFIDENCE:
        return Feature(name, "c", 0.0, 1.0, "probability", 1, "confidence that the answer states")
    formula, doc = "mean 1[a = b]", f"share of the answers of {opinion_of(name)} that equal this one"
    return Feature(name, formula, 0.0, 1.0, "agreement", 1, doc)


def agreement(
    own: Sequence[str | None],
    other: Sequence[Sequence[str]],
    *,
    kind: str = "answer",
    read: Callable[[str], object] | None = None,
) -> Floats:
    r"""Share of another model's answers to a prompt that equal this one, for every response.

    .. math:: a_i = \frac{1}{m_i} \sum_{j=1}^{m_i} 1[v(o_{ij}) = v(y_i)]

    with v the value that is read from an answer. In [0, 1], high is agreement; NaN where the other model was not asked
    (:math:`m_i = 0`). An answer from which nothing can be read agrees with none.

    Parameters
    ----------
    own
        Shape (n,), texts of the answers, None where there is none.
    other
        Shape (n,), the other model's answers to the same prompt, any number of each.
    kind
        How answers are compared, a name of ``AGREEMENT_KINDS``.
    read
        Reads the value of an answer instead of ``kind``; None or an empty text means that there is none.

    Raises
    ------
    ValueError
        If the lengths differ or the kind is unknown.

    References
    ----------
    Wang et al. (2023), "Self-Consistency Improves Chain of Thought Reasoning in Language Models", for agreement between
    draws of one model.

    Examples
    --------
    >>> agreement(["The answer is 7.", "9"], [["7", "8"], []])
    array([0.5, nan])
    """
    if len(own) != len(other):
        raise ValueError(f"`own` and `other` must be equally long, got {len(own):,} and {len(other):,}.")
    value = _reader(kind) if read is None else read
    found = np.full(len(own), np.nan)
    for i, (mine, theirs) in enumerate(zip(own, other, strict=True)):
        if theirs:
            wanted = value(mine) if mine else None
            found[i] = np.mean([bool(wanted) and value(text) == wanted for text in theirs])
    return found


def draw_agreement(answers: Sequence[str | None], prompts: Ints, *, kind: str = "answer") -> Floats:
    """Share of the other draws of the same prompt that equal each answer, shape (n,); NaN for a single draw.

    Parameters
    ----------
    answers
        Shape (n,), texts of the answers, None where there is none.
    prompts
        Shape (n,), number of the prompt of each answer.
    kind
        How answers are compared, a name of ``AGREEMENT_KINDS``.

    Examples
    --------
    >>> draw_agreement(["7", "7", "8", "1"], np.array([0, 0, 0, 1]))
    array([0.5, 0.5, 0. , nan])
    """
    if len(answers) != len(prompts):
        raise ValueError(f"`answers` and `prompts` must be equally long, got {len(answers):,} and {len(prompts):,}.")
    if not len(prompts):
        return np.empty(0)
    read = _reader(kind)
    values = [read(text) if text else "" for text in answers]
    number = np.unique([str(value) for value in values], return_inverse=True)[1]
    prompt = np.unique(prompts, return_inverse=True)[1]
    _, cell, same = np.unique(prompt * (number.max() + 1) + number, return_inverse=True, return_counts=True)
    others = np.bincount(prompt)[prompt] - 1
    equal = np.where([bool(value) for value in values], same[cell] - 1, 0)
    return np.where(others > 0, equal / np.maximum(others, 1), np.nan)


def _reader(kind: str) -> Callable[[str], object]:
    if kind not in AGREEMENT_KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(AGREEMENT_KINDS)}, got {kind!r}.")
    if kind == "answer":
        return _final
    return str.strip if kind == "exact" else ANSWER_KINDS[kind]


def _final(text: str) -> str | None:
    """Final answer, folded; numbers by their value, so that 1,200 and 1200.0 are one."""
    found = parse_answer(text)
    if found is None:
        return None
    plain = found.replace(",", "")
    if re.fullmatch(r"[-+]?\d+(?:\.\d+)?", plain):
        return f"{float(plain):g}" if len(plain) < 15 else plain
    return found


def parse_stated(text: str) -> float | None:
    """Read the confidence that an answer states, in [0, 1]; None where it states none.

    The last number beside a word such as "confidence", "probability" or "certain" counts: with a per cent sign or above
    1 it is divided by 100, with "/10" or "out of 10" by ten.

    Examples
    --------
    >>> parse_stated("Answer: C. Confidence: 85%"), parse_stated("I am 0.9 certain."), parse_stated("The answer is 7.")
    (0.85, 0.9, None)
    """
    found = None
    for match in _STATED.finditer(text):
        side = "after" if match["after"] is not None else "before"
        value = _share(float(match[side].replace(",", ".")), match[f"{side}_unit"] or "")
        found = found if value is None else value
    return found


def _share(value: float, unit: str) -> float | None:
    if unit.endswith("10"):
        value /= 10
    elif unit or value > 1:
        value /= 100
    return value if 0 <= value <= 1 else None


def stated_confidence(answers: Sequence[str | None]) -> Floats:
    """Read the confidence that each answer states, shape (n,), in [0, 1]; NaN where it states none.

    Examples
    --------
    >>> stated_confidence(["7, confidence 0.8", None])
    array([0.8, nan])
    """
    found = [None if text is None else parse_stated(text) for text in answers]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
