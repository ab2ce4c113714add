"""The slices of one family spread further apart than their estimates: a slope for the differences between them."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats, Int, Ints

from .slope import log_odds

__all__ = ["LevelSlope", "fit_level_slope", "spread_levels"]


_EDGE = 0.02
"""Accuracies are cut to [0.02, 0.98] before their log-odds are taken."""
_PRIOR_DEVIATION = 0.3
"""Standard deviation of the slope around 1 before any labelled family is seen."""
_LEAST_NOISE = 0.05


class LevelSlope(NamedTuple):
    """Slope for the slices of a new family, and for those of each labelled family from the others alone."""

    new: float
    left_out: Floats
    """Shape (families,)."""


def fit_level_slope(
    estimated: Float[Floats, " slices"], realized: Float[Floats, " slices"], families: Int[Ints, " slices"]
) -> LevelSlope:
    r"""Slope of the accuracies of a family's slices on their estimates, both around the mean of the family.

    .. math:: \beta = \frac{1/\tau^2 + \sum x y / \nu}{1/\tau^2 + \sum x^2 / \nu}, \quad
        x = \operatorname{logit} e_s - \overline{\operatorname{logit} e}_f, \quad
        y = \operatorname{logit} a_s - \overline{\operatorname{logit} a}_f

    the posterior mean under :math:`\beta \sim N(1, 0.3^2)`, with :math:`\nu` the mean square of :math:`y - x`. An
    estimator that averages over responses compresses: easy levels of a task come out too low and hard ones too high,
    so the slope is usually above 1. Never negative; 1 without a family of two slices.

    Parameters
    ----------
    estimated
        Shape (slices,), estimates that never saw the family of the slice.
    realized
        Shape (slices,), accuracies by labels.
    families
        Shape (slices,), number of the family of each slice.

    References
    ----------
    Gelman and Hill (2007), "Data Analysis Using Regression and Multilevel/Hierarchical Models", sec. 12.6, for slopes
    inside groups.

    Examples
    --------
    >>> fit_level_slope(np.array([0.4, 0.6]), np.array([0.4, 0.6]), np.array([0, 0])).new
    1.0
    """
    x, y = (_inside(log_odds(values, edge=_EDGE), families) for values in (estimated, realized))
    counted = np.bincount(families)[families] > 1 if families.size else np.zeros(0, dtype=bool)
    parts = (x * y, x * x, (y - x) ** 2, np.ones(len(x)))
    own = np.stack([np.bincount(families, np.where(counted, part, 0.0)) for part in parts]).astype(np.float64)
    total = own.sum(axis=1, keepdims=True)
    return LevelSlope(float(_slope(total)[0]), _slope(total - own))


def _slope(sums: Floats) -> Floats:
    """Posterior mean from the sums of x y, x x, (y - x)^2 and 1, each of shape (families,)."""
    noise = np.maximum(sums[2] / np.maximum(sums[3], 1), _LEAST_NOISE**2)
    prior = 1 / _PRIOR_DEVIATION**2
    return np.asarray(np.maximum((prior + sums[0] / noise) / (prior + sums[1] / noise), 0.0))


def spread_levels(estimated: Floats, families: Ints, slope: Floats | float) -> Floats:
    r"""Spread the estimates of the slices of every family around their mean by a slope.

    .. math:: \operatorname{logit} e_s' = \overline{\operatorname{logit} e}_f +
        \beta\, (\operatorname{logit} e_s - \overline{\operatorname{logit} e}_f)

    A family of one slice keeps its estimate, and so do all with a slope of 1.

    Parameters
    ----------
    estimated
        Shape (slices,), estimates in [0, 1].
    families
        Shape (slices,), number of the family of each slice.
    slope
        From :func:`fit_level_slope`, one for all or one for each slice.

    Examples
    --------
    >>> spread_levels(np.array([0.4, 0.6, 0.9]), np.array([0, 0, 1]), 2.0).round(3).tolist()
    [0.308, 0.692, 0.9]
    """
    from scipy.special import expit

    odds = log_odds(estimated, edge=_EDGE)
    inside = _inside(odds, families)
    moved = (np.asarray(slope) - 1) * inside
    return np.asarray(np.where(moved == 0, estimated, expit(odds + moved)))


def _inside(values: Floats, families: Ints) -> Floats:
    """Differences to the mean of the family."""
    if not values.size:
        return values
    counts = np.maximum(np.bincount(families), 1)
    return np.asarray(values - (np.bincount(families, values) / counts)[families])
