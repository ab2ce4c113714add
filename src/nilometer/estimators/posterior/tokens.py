"""The distribution over labels at the place where a response states its score, from the tokens listed there."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nilometer.signals import find_place, label_text, parse_label

__all__ = ["ListedToken", "ScoreMasses", "listed_tokens", "score_masses", "score_place"]

_LEAD = " \t\r\n▁ĠĊ*_\"'`#:=([{<"
_TRAIL = " \t\r\n▁ĠĊ*_\"'`,;:)]}>"
_ROUNDING = 1e-9
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_WORDS)}


class ListedToken(NamedTuple):
    """A token that was generated and the probabilities listed at its place."""

    text: str
    listed: tuple[tuple[str, float], ...]
    """Texts and probabilities, the generated token among them."""


def listed_tokens(
    texts: Sequence[str], logprobs: Sequence[float], *, top_texts: Sequence[str | None], top_logprobs: Any
) -> list[ListedToken]:
    """Put the tokens of an answer beside their alternatives; a text listed twice counts once.

    Parameters
    ----------
    texts, logprobs
        Of the tokens that were generated; NaN where unknown.
    top_texts, top_logprobs
        Of their alternatives, (tokens, k) row-major; None and NaN where fewer were given.

    Examples
    --------
    >>> listed_tokens(["4"], [-0.1], top_texts=["4", "5"], top_logprobs=[-0.1, -2.3])[0].listed[1][0]
    '5'
    """
    with np.errstate(over="ignore"):
        own = np.exp(np.minimum(np.asarray(logprobs, dtype=np.float64), 0.0)).tolist()
        others = np.exp(np.minimum(np.asarray(top_logprobs, dtype=np.float64), 0.0)).reshape(len(texts), -1).tolist()
    names = iter(top_texts)
    found = []
    for text, p, row in zip(texts, own, others, strict=True):
        listed = {text: p}
        for name, other in [(next(names), value) for value in row]:
            if name is not None:
                listed.setdefault(name, other)
        found.append(ListedToken(text, tuple((name, value) for name, value in listed.items() if value > 0)))
    return found


class ScoreMasses(NamedTuple):
    """What the tokens say about the labels."""

    masses: dict[Hashable, float]
    open_labels: tuple[Hashable, ...]
    largest_open: float


def score_place(text: str, labels: Sequence[Hashable], *, field: str | None = None, pattern: str | None = None) -> int:
    """Return where the score starts in a text, as ``parse_label`` finds it; -1 where there is none.

    Parameters
    ----------
    text
        The answer.
    labels
        The scale.
    field
        Name of a key in a JSON answer; the score is its value.
    pattern
        Regular expression: the score is its first group, or what follows the match if it has no group.

    Examples
    --------
    >>> score_place('{"reason": "4 of 5 facts", "score": 3}', range(1, 6), field="score")
    36
    >>> score_place("Of 5 facts 3 are right. Score: 4/5", range(1, 6))
    31
    """
    if field is None and pattern is None:
        found = parse_label(labels).find(text)
        return -1 if found is None else found.start
    place = find_place(text, field=field, pattern=pattern)
    return -1 if place is None else place.start


def score_masses(tokens: Sequence[ListedToken], place: int, labels: Sequence[Hashable]) -> ScoreMasses | None:
    r"""Return the probability of each label at a place of the text; None if no listed token begins a label there.

    Variants of a token ("4", " 4", "**4", "four") add up. A label of several tokens gets the product along the
    path that was generated; of a path that was not generated only the first token is known, so that a token
    that begins several labels ("1" of 1 and 10) leaves them open instead of guessing.

    Parameters
    ----------
    tokens
        The whole answer.
    place
        Where the score starts, in characters of the joined tokens.
    labels
        The scale.

    Examples
    --------
    >>> tokens = [ListedToken("7", (("7", 0.5), ("1", 0.2), ("8", 0.25)))]
    >>> found = score_masses(tokens, 0, range(1, 11))
    >>> found.masses, found.open_labels
    ({7: 0.5, 8: 0.25}, (1, 2, 3, 4, 5, 6, 9, 10))
    """
    index, offset = _token_at(tokens, place)
    if index is None:
        return None
    first = tokens[index]
    lead = first.text[:offset] if first.text[:offset].strip(_LEAD) else ""
    walk = _Walk(tokens, {_plain(label_text(label)): label for label in labels})
    walk.step(index, prefix="", mass=1.0, lead=lead)
    if not walk.masses:
        return None
    smallest = min((p for _, p in first.listed), default=0.0)
    left = tuple(label for label in labels if label not in walk.masses or label in walk.open)
    return ScoreMasses(walk.masses, left, max([smallest, *walk.open.values()]))


def _token_at(tokens: Sequence[ListedToken], place: int) -> tuple[int | None, int]:
    """Index of the token that holds a character, skipping tokens that are only white space or marks, and the offset."""
    start = 0
    for index, token in enumerate(tokens):
        end = start + len(token.text)
        if end > place and token.text[max(0, place - start) :].strip(_LEAD):
            return index, max(0, place - start)
        start = end
    return None, 0


def _plain(text: str) -> str:
    return text if len(text) == 1 else text.casefold()


class _Walk:
    """Spreads probability over labels along the tokens that were generated."""

    def __init__(self, tokens: Sequence[ListedToken], labels: dict[str, Hashable]) -> None:
        self._tokens, self._labels = tokens, labels
        self.masses: dict[Hashable, float] = {}
        self.open: dict[Hashable, float] = {}

    def step(self, index: int, *, prefix: str, mass: float, lead: str = "") -> None:
        """Take the alternatives at one token as continuations of a prefix that has probability ``mass``."""
        generated = self._tokens[index].text
        for text, p in self._tokens[index].listed:
            key, ended = self._key(text.removeprefix(lead) if lead else text, prefix)
            longer = [] if ended else [form for form in self._labels if form != key and form.startswith(key)]
            if not key:
                continue
            if not longer:
                self._add(key, mass * p)
            elif text != generated:
                self._leave_open(key, longer, mass * p)
            elif index + 1 < len(self._tokens):
                self.step(index + 1, prefix=key, mass=mass * p)
            else:
                self._add(key, mass * p)
        if prefix:
            unlisted = mass * max(0.0, 1.0 - math.fsum(p for _, p in self._tokens[index].listed))
            self._leave_open(prefix, [form for form in self._labels if form.startswith(prefix)], unlisted)

    def _key(self, text: str, prefix: str) -> tuple[str, bool]:
        """Text of the label so far, and whether it ends here."""
        if not prefix:
            inner = text.lstrip(_LEAD)
            plain = _plain(inner.rstrip(_TRAIL))
            if plain.endswith(".") and not any("." in form for form in self._labels):
                plain = plain.rstrip(".")
            plain = _NUMBER_WORDS.get(plain, plain) if plain not in self._labels else plain
            return plain, len(inner.rstrip(_TRAIL)) < len(inner)
        joined = _plain(prefix + text.rstrip(_TRAIL))
        if joined != prefix and any(form.startswith(joined) for form in self._labels):
            return joined, text.rstrip(_TRAIL) != text
        # a letter or digit makes another word or number of the prefix; anything else ends it
        return ("", True) if text[:1].isalnum() else (prefix.rstrip("."), True)

    def _add(self, key: str, mass: float) -> None:
        key = key if key in self._labels else key.rstrip(".")
        if key in self._labels and mass > 0:
            label = self._labels[key]
            self.masses[label] = self.masses.get(label, 0.0) + mass

    def _leave_open(self, key: str, longer: list[str], mass: float) -> None:
        for form in {key, *longer} & set(self._labels) if mass > _ROUNDING else ():
            label = self._labels[form]
            self.open[label] = self.open.get(label, 0.0) + mass
