"""Stratified labels: strata cut by predicted correctness, allocation of a budget, and the accuracy they give."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Floats, Ints
from nilometer.errors import NotEnoughDataError

from .sample import Found, LabelledAccuracy, check_sample, finish, size_by_design

__all__ = ["StratumSums", "cut_strata", "neyman_allocation", "stratified_mean", "stratified_mean_of_sums"]

_LEAST = 2
_DRAWN = 2.0
"""Responses of average accuracy added to each stratum when its spread is estimated."""


def cut_strata(p_correct: Floats, n_strata: int) -> Ints:
    r"""Cut responses into strata of like predicted correctness; 0 is the least sure.

    The cuts divide the cumulated :math:`\sqrt{p (1 - p)}` evenly, which is nearly the best for Neyman
    allocation when f is right. Ties stay together, so there may be fewer strata.

    References
    ----------
    Särndal, Swensson and Wretman (1992), "Model Assisted Survey Sampling", sec. 12.4 (equal aggregate sigma).

    Examples
    --------
    >>> cut_strata(np.array([0.1, 0.2, 0.8, 0.9]), 2).tolist()
    [0, 0, 1, 1]
    """
    if n_strata < 1:
        raise ValueError(f"`n_strata` must be >= 1, got {n_strata}.")
    values, place = np.unique(p_correct, return_inverse=True)
    spread = np.sqrt(np.clip(values * (1 - values), 1e-4, None)) * np.bincount(place)
    middle = (np.cumsum(spread) - spread / 2) / spread.sum()
    _, strata = np.unique((middle * n_strata).astype(np.int64), return_inverse=True)
    return np.asarray(strata[place], dtype=np.int64)


def neyman_allocation(sizes: Ints, spreads: Floats, budget: int) -> Ints:
    r"""Whole numbers of labels per stratum that make the variance of the stratified mean smallest.

    Each next label goes where :math:`N_h S_h / \sqrt{m (m + 1)}` is largest, m being what the stratum has:
    exactly optimal in whole numbers. Every stratum gets 2 first (or all it has), and none more than its size.

    Parameters
    ----------
    sizes
        Shape (H,), responses in each stratum.
    spreads
        Shape (H,), standard deviation of correctness there, such as the square root of p (1 − p).
    budget
        Labels in all.

    Raises
    ------
    NotEnoughDataError
        If the budget does not give 2 labels to every stratum.
    ValueError
        If it is larger than the slice.

    References
    ----------
    Neyman (1934). Wright (2012), "The equivalence of Neyman optimum allocation for sampling and equal
    proportions for apportioning the U.S. House", The American Statistician 66.

    Examples
    --------
    >>> neyman_allocation(np.array([100, 100]), np.array([0.5, 0.1]), 30).tolist()
    [25, 5]
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    given = np.minimum(sizes, _LEAST)
    if budget < given.sum():
        raise NotEnoughDataError(
            f"{budget} labels do not give {_LEAST} to each of {len(sizes)} strata.",
            f"Label at least {int(given.sum())}, or cut fewer strata.",
        )
    if budget > sizes.sum():
        raise ValueError(f"`budget` must be <= {int(sizes.sum())}, the responses there are, got {budget}.")
    rank = sizes * np.maximum(spreads, 1e-6)
    for _ in range(budget - int(given.sum())):
        gain = np.where(given < sizes, rank / np.sqrt(given * (given + 1.0)), -1.0)
        given[int(np.argmax(gain))] += 1
    return given


def stratified_mean(
    correct: Floats, strata: NDArray[Any], *, finite: bool = True, confidence_level: float = 0.95
) -> LabelledAccuracy:
    r"""Accuracy of a slice whose labels were drawn at random inside each stratum.

    .. math:: \hat a = \sum_h \frac{N_h}{N} \bar y_h, \qquad
              \operatorname{Var} = \sum_h \frac{N_h^2}{N^2} \Big(1 - \frac{n_h}{N_h}\Big) \frac{S_h^2}{n_h}

    :math:`S_h^2` counts two more responses of the slice's accuracy in every stratum, so that a few labels
    that agree do not pass for certainty.

    Parameters
    ----------
    correct
        Shape (N,), labels in [0, 1], NaN where there is none.
    strata
        Shape (N,), stratum of each response, labelled or not.
    finite
        Whether the accuracy of just these N responses is asked for.
    confidence_level
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If a stratum has no label.

    References
    ----------
    Cochran (1977), "Sampling Techniques", ch. 5.

    Examples
    --------
    >>> correct = np.array([1, 0, np.nan, np.nan, 1, 1, np.nan, np.nan])
    >>> stratified_mean(correct, np.repeat([0, 1], 4)).accuracy
    0.75
    """
    known = check_sample(correct, confidence_level=confidence_level)
    names, place = np.unique(strata, return_inverse=True)
    n = np.bincount(place[known], minlength=len(names)).astype(np.float64)
    if (n == 0).any():
        empty = names[n == 0][0]
        raise NotEnoughDataError(f"stratum {empty} has no label.", "Label responses of every stratum.")
    sums = StratumSums(
        np.bincount(place).astype(np.float64),
        n,
        np.bincount(place[known], correct[known], minlength=len(names)).astype(np.float64),
        np.bincount(place[known], correct[known] ** 2, minlength=len(names)).astype(np.float64),
    )
    return stratified_mean_of_sums(sums, finite=finite, confidence_level=confidence_level)


class StratumSums(NamedTuple):
    """What is known of H strata, each field of shape (H,)."""

    sizes: Floats
    """Responses."""
    n_labels: Floats
    """At least one in every stratum."""
    totals: Floats
    """Sum of the labels."""
    squares: Floats
    """Sum of their squares."""


def stratified_mean_of_sums(
    sums: StratumSums, *, finite: bool = True, confidence_level: float = 0.95
) -> LabelledAccuracy:
    """Accuracy of a slice from the sums of its strata; see :func:`stratified_mean`."""
    sizes, n, total, squares = sums
    size = int(sizes.sum())
    share = sizes / size
    accuracy = float(share @ (total / n))
    drawn = (total + _DRAWN * accuracy) / (n + _DRAWN)
    spread = np.clip((squares + _DRAWN * accuracy) / (n + _DRAWN) - drawn**2, 0.0, None)
    left = 1 - n / sizes if finite else np.ones_like(n)
    variance = float((share**2 * left * spread / n).sum())
    if not finite:
        variance += float((share * (total / n - accuracy) ** 2).sum()) / size
    effective = size_by_design(accuracy, variance, int(n.sum()), size=size, finite=finite)
    found = Found(accuracy, variance, effective, max(float(n.sum()) - len(sizes), 1.0))
    known = np.arange(size) < n.sum()
    return finish(found, known, method="stratified", confidence_level=confidence_level)
