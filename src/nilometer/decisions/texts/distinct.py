"""Samples with equal ones merged, and the weight of each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Floats, Ints

__all__ = ["DistinctTexts", "distinct_texts"]


class DistinctTexts(NamedTuple):
    """Texts with equal ones merged."""

    texts: list[str]
    """Distinct texts in order of first appearance."""
    positions: Ints
    """(texts as given,): number of each in ``texts``."""
    first: Ints
    """(distinct,): first position of each."""
    counts: Ints
    """(distinct,): how often each was given."""
    weights: Floats
    """(distinct,): shares that sum to 1."""
    n_effective: float
    """1 / Σ w² before merging."""


def distinct_texts(
    texts: Sequence[str], evidence: tuple[ArrayLike | None, ArrayLike | None] | None = None, *, name: str = "hypotheses"
) -> DistinctTexts:
    """Merge equal texts and give each its share of the weight.

    Parameters
    ----------
    texts
        At least one string.
    evidence
        Weights and logprobs as in `mbr`, at most one of the two; ``None`` counts.
    name
        What messages call the texts.

    Raises
    ------
    ValueError
        If there is no text, both are given, or their lengths or values are unusable.
    TypeError
        If something is not a string.

    Examples
    --------
    >>> distinct_texts(["b", "a", "b"]).weights.round(3)
    array([0.667, 0.333])
    """
    if isinstance(texts, str):
        raise TypeError(f"`{name}` must be a list of strings, got one string. Put it in a list.")
    numbers: dict[str, int] = {}
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"`{name}` must hold strings, got {type(text).__name__} at {i}.")
        numbers.setdefault(text, len(numbers))
    if not numbers:
        raise ValueError(f"`{name}` must hold at least one text, got none.")
    positions = np.array([numbers[text] for text in texts], dtype=np.int64)
    first = np.unique(positions, return_index=True)[1].astype(np.int64)
    counts = np.bincount(positions)
    weights, logprobs = evidence or (None, None)
    if weights is not None and logprobs is not None:
        raise ValueError("`weights` and `logprobs` must not both be given.")
    if logprobs is not None:
        best = np.full(len(numbers), -np.inf)
        np.maximum.at(best, positions, _checked(logprobs, len(positions), "logprobs"))
        shares = single = _shares(
            np.exp(best - best.max()) if best.max() > -np.inf else np.zeros(len(best)), "logprobs"
        )
    else:
        given = np.ones(len(positions)) if weights is None else _checked(weights, len(positions), "weights")
        single = _shares(given, "weights")
        shares = np.bincount(positions, single).astype(np.float64)
    return DistinctTexts(list(numbers), positions, first, counts, shares, 1.0 / float(single @ single))


def _checked(values: ArrayLike, n: int, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"`{name}` must have one number for each of the {n} texts, got shape {array.shape}.")
    bad = np.isnan(array) | ((array > 0) if name == "logprobs" else (array < 0) | np.isinf(array))
    if bad.any():
        rule = "at most 0" if name == "logprobs" else "finite and >= 0"
        raise ValueError(f"`{name}` must be {rule}, got {array[bad][0]} at {int(np.flatnonzero(bad)[0])}.")
    return array


def _shares(values: Floats, name: str) -> Floats:
    top = values.max()
    if not top > 0:
        raise ValueError(f"`{name}` must not all be zero probability.")
    scaled = values / top
    return np.asarray(scaled / scaled.sum())
