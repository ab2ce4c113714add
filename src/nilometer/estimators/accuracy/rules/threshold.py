"""Slice accuracy from scores without labels of the slice: thresholded confidence."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats

__all__ = ["Threshold", "fit_threshold", "thresholded_accuracy"]


class Threshold(NamedTuple):
    """A fitted average-thresholded-confidence rule."""

    value: float
    sign: int
    """+1 if high scores speak for a correct answer, -1 if against."""
    tie_share: float
    """Share of the scores equal to ``value`` that counts as correct; makes the source accuracy exact."""


def fit_threshold(
    score: Floats, correct: Floats, *, sign: int | None = None, weights: Floats | None = None
) -> Threshold:
    r"""Fit the threshold of average thresholded confidence (ATC) on labelled responses.

    .. math:: t:\; \frac1n \sum_i \mathbf 1[s_i > t] + w\,\frac1n \sum_i \mathbf 1[s_i = t] = \bar a

    The share of signed scores above t equals the accuracy :math:`\bar a` of the labelled responses exactly;
    where scores tie at t, the fraction w of the ties counts. With weights both shares are weighted.

    Parameters
    ----------
    score
        Shape (n,), any confidence score without NaN.
    correct
        Shape (n,), labels in [0, 1].
    sign
        Whether high (+1) or low (-1) scores mean correct; None takes the side of the larger class mean.
    weights
        Shape (n,), weight of each response; None weighs all alike.

    Raises
    ------
    ValueError
        If nothing is given or a score is NaN.

    References
    ----------
    Garg et al. (2022), "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", arXiv 2201.04234.

    Examples
    --------
    >>> fit_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])).sign
    1
    """
    if score.size == 0 or np.isnan(score).any():
        raise ValueError(f"`score` must hold at least one number and no NaN, got {score.size} values.")
    weights = np.ones(len(score)) if weights is None else weights
    wanted = float(weights @ correct)
    if sign is None:
        weight = weights * (correct - wanted / weights.sum())
        sign = 1 if float(weight @ score) >= 0 else -1
    signed = sign * score
    order = np.argsort(-signed, kind="stable")
    reached = np.cumsum(weights[order])
    place = min(int(np.searchsorted(reached, wanted, side="right")), len(order) - 1)
    value = float(signed[order[place]])
    above, ties = (float(weights[side].sum()) for side in (signed > value, signed == value))
    return Threshold(value, sign, float(np.clip((wanted - above) / ties, 0, 1)))


def thresholded_accuracy(score: Floats, threshold: Threshold) -> float:
    """Share of scores on the correct side of a threshold: the ATC estimate of accuracy, in [0, 1].

    Examples
    --------
    >>> score, correct = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> thresholded_accuracy(score, fit_threshold(score, correct))
    0.5
    """
    signed = threshold.sign * score
    return float(((signed > threshold.value) + threshold.tie_share * (signed == threshold.value)).mean())
