"""Scores of hypotheses against pseudo-references, a block at a time, and their weighted means."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats

from .utilities import TextUtility

__all__ = ["ExpectedUtilities", "expected_utilities", "score_block", "score_pairs", "text_blocks"]


BLOCK_TEXTS = 1024
"""Texts on one side of a block of the utility matrix."""
BLOCK_CHARACTERS = 1 << 21
"""Characters on one side of a block, unless one text is longer."""


class ExpectedUtilities(NamedTuple):
    """What the whole utility matrix comes to."""

    means: Floats
    """(hypotheses,): mean utility under the weights of the references."""
    with_itself: Floats
    """(hypotheses,): utility of each for itself; 0 if the references are other texts."""
    n_calls: int
    """Scores computed."""


def expected_utilities(
    utility: TextUtility, hypotheses: list[str], references: list[str] | None, *, weights: Float[Floats, " references"]
) -> ExpectedUtilities:
    """Mean utility of each hypothesis; only blocks of the matrix are held.

    Parameters
    ----------
    utility
        What scores.
    hypotheses, references
        Distinct texts; ``None`` means the hypotheses themselves.
    weights
        (references,) shares that sum to 1.

    Raises
    ------
    ValueError
        If a score is not finite or the utility gives another number of them.

    Examples
    --------
    >>> from nilometer.decisions import TEXT_UTILITIES
    >>> expected_utilities(TEXT_UTILITIES["rouge1"], ["a b", "a"], None, weights=np.array([0.5, 0.5])).means.round(3)
    array([0.833, 0.833])
    """
    if utility.expected is not None:
        means, with_itself = utility.expected(hypotheses, references or hypotheses, weights)
        return ExpectedUtilities(means, with_itself, 0)
    means, with_itself, n_calls = np.zeros(len(hypotheses)), np.zeros(len(hypotheses)), 0
    mirrored = references is None and utility.symmetric
    columns_of = list(text_blocks(hypotheses if references is None else references))
    for a, rows in enumerate(text_blocks(hypotheses)):
        for b, columns in enumerate(columns_of):
            if mirrored and b < a:
                continue
            diagonal = references is None and a == b
            others = None if diagonal else (references or hypotheses)[columns]
            scores, calls = score_block(utility, hypotheses[rows], others)
            n_calls += calls
            means[rows] += scores @ weights[columns]
            if diagonal:
                with_itself[rows] = scores.diagonal()
            elif mirrored:
                means[columns] += weights[rows] @ scores
    return ExpectedUtilities(means, with_itself, n_calls)


def text_blocks(texts: list[str]) -> Iterator[slice]:
    """Yield consecutive runs of texts, few and short enough for one side of a block.

    Examples
    --------
    >>> list(text_blocks(["a"] * 1500))
    [slice(0, 1024, None), slice(1024, 1500, None)]
    """
    start = size = 0
    for i, text in enumerate(texts):
        if i > start and (i - start == BLOCK_TEXTS or size + len(text) > BLOCK_CHARACTERS):
            yield slice(start, i)
            start, size = i, 0
        size += len(text)
    yield slice(start, len(texts))


def score_block(utility: TextUtility, hypotheses: list[str], references: list[str] | None) -> tuple[Floats, int]:
    """Score all pairs, and count the scores asked for.

    Raises
    ------
    ValueError
        If a score is not finite or the utility gives another number of them.

    Examples
    --------
    >>> from nilometer.decisions import pairwise_utility
    >>> score_block(pairwise_utility(lambda h, r: float(h == r), symmetric=True), ["a", "b"], None)
    (array([[1., 0.],
           [0., 1.]]), 3)
    """
    columns = hypotheses if references is None else references
    shape = (len(hypotheses), len(columns))
    if utility.matrix is not None:
        scores = np.asarray(utility.matrix(hypotheses, references), dtype=np.float64)
        if scores.shape != shape or not np.isfinite(scores).all():
            raise ValueError(f"`utility` must give finite scores of shape {shape}, got {_what(scores)}.")
        return scores, scores.size
    half = references is None and utility.symmetric
    i, j = np.triu_indices(shape[0]) if half else np.divmod(np.arange(shape[0] * shape[1]), max(shape[1], 1))
    values = score_pairs(utility, [(hypotheses[a], columns[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)])
    scores = np.empty(shape)
    scores[i, j] = values
    if half:
        scores[j, i] = values
    return scores, len(values)


def score_pairs(utility: TextUtility, pairs: list[tuple[str, str]]) -> Float[Floats, " pairs"]:
    """Score a list of (hypothesis, reference) with a utility that is made of pairs.

    Raises
    ------
    ValueError
        If a score is not finite or the utility gives another number of them.
    TypeError
        If the utility has neither a matrix nor pairs.

    Examples
    --------
    >>> from nilometer.decisions import pairwise_utility
    >>> score_pairs(pairwise_utility(lambda h, r: float(h == r)), [("a", "a"), ("a", "b")])
    array([1., 0.])
    """
    if utility.pairs is None:
        raise TypeError(f"`utility` must have a `matrix` or `pairs`, got neither in {utility.name!r}.")
    if not pairs:
        return np.zeros(0)
    values = np.asarray(utility.pairs(pairs), dtype=np.float64)
    if values.shape != (len(pairs),) or not np.isfinite(values).all():
        raise ValueError(f"`utility` must give {len(pairs)} finite scores for as many pairs, got {_what(values)}.")
    return values


def _what(scores: Floats) -> str:
    bad = scores[~np.isfinite(scores)]
    return f"{bad[0]}" if bad.size else f"shape {scores.shape}"
