"""One word for what a number rests on."""

import re
from collections.abc import Iterable
from typing import Any, Literal

from nilometer.estimators import Estimate, NotEnoughData, SliceEstimates

__all__ = ["Basis", "basis_of", "headline_rows"]

Basis = Literal["labels", "logprobs", "both", "models", "average", "nothing"]
"""``labels``: labels of the slice alone; ``logprobs``: log-probabilities alone, read by labels of other slices;
``both``: log-probabilities and labels of the slice; ``models``: labels of other models; ``average``: the accuracy of
all labels, because log-probabilities showed no skill; ``nothing``: the accuracy is not known."""

_WORDS: tuple[tuple[str, Basis], ...] = (
    ("own labels", "both"),
    ("ppi++", "labels"),
    ("labels", "labels"),
    ("stratified", "labels"),
    ("cross_model", "models"),
    ("constant", "average"),
)
_PARTS = re.compile(r" \+ | with prior ")


def basis_of(row: Estimate | NotEnoughData | None) -> Basis:
    """Say in one word what an accuracy rests on.

    Examples
    --------
    >>> shared = {"slice": "a", "n": 9, "accuracy": 0.5, "low": 0.4, "high": 0.6, "confidence_level": 0.95}
    >>> [basis_of(Estimate(**shared, method=name)) for name in ("combined[monotone]", "ppi++", "ppi++ with prior x")]
    ['logprobs', 'labels', 'both']
    """
    if not isinstance(row, Estimate):
        return "nothing"
    words = {_word(part) for part in _PARTS.split(row.method)}
    return words.pop() if len(words) == 1 else "both"


def _word(method: str) -> Basis:
    return next((word for sign, word in _WORDS if sign in method), "logprobs")


def headline_rows(estimates: Iterable[Estimate | NotEnoughData]) -> list[dict[str, Any]]:
    """Plain values of every slice, the same for every verb: those of ``SliceEstimates.to_dicts`` and ``basis``."""
    rows = tuple(estimates)
    plain = SliceEstimates(rows).to_dicts()
    return [{**values, "basis": basis_of(row)} for values, row in zip(plain, rows, strict=True)]
