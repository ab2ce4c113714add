"""How the accuracy of a slice moves with its mean confidence: slopes learned on left-out families."""

import numpy as np

from nilometer.arrays import Floats

__all__ = ["LOGIT_SLOPE", "anchored_slope", "difference_slope", "log_odds", "scaled_logit"]


LOGIT_SLOPE = 1.6
"""Slope of logit accuracy on logit mean confidence in a simulation where P(features | correct) stays the same."""

_LOGIT_PRIOR, _LINE_PRIOR, _LEAST_SPREAD = 0.3, 0.5, 0.05


def log_odds(share: Floats | float, *, edge: float = 0.01) -> Floats:
    """Log-odds of a share or probability that is first cut to [edge, 1 - edge]."""
    share = np.clip(np.asarray(share, dtype=np.float64), edge, 1 - edge)
    return np.asarray(np.log(share) - np.log1p(-share))


def _ridge_slope(x: Floats, y: Floats, *, prior: float, deviation: float) -> float:
    """Slope of y on x through the origin with a normal prior; the posterior mean, never negative."""
    noise = max(float(np.mean((y - prior * x) ** 2)), _LEAST_SPREAD**2) if x.size else 1.0
    precision = 1 / deviation**2
    return max((prior * precision + float(x @ y) / noise) / (precision + float(x @ x) / noise), 0.0)


def difference_slope(left_out: Floats, accuracy: float) -> float:
    """Slope of accuracy on mean confidence over left-out slices, both as differences to ``accuracy``; 1 without any.

    References
    ----------
    Guillory et al. (2021), "Predicting with Confidence on Unseen Distributions", arXiv 2107.03315.

    Examples
    --------
    >>> difference_slope(np.empty((0, 2)), 0.5)
    1.0
    """
    return _ridge_slope(left_out[:, 0] - accuracy, left_out[:, 1] - accuracy, prior=1.0, deviation=_LINE_PRIOR)


def anchored_slope(left_out: Floats, accuracy: float) -> float:
    """Logit slope of accuracy on mean confidence over left-out slices, drawn towards ``LOGIT_SLOPE``.

    Examples
    --------
    >>> anchored_slope(np.empty((0, 2)), 0.5)
    1.6
    """
    x, y = log_odds(left_out[:, 0]) - log_odds(accuracy), log_odds(left_out[:, 1]) - log_odds(accuracy)
    return _ridge_slope(x, y, prior=LOGIT_SLOPE, deviation=_LOGIT_PRIOR)


def scaled_logit(mean_confidence: float, accuracy: float, slope: float) -> float:
    r"""Accuracy at ``mean_confidence`` on a logit line through the labelled accuracy.

    .. math:: \operatorname{logit} \hat a = \operatorname{logit} a_S + \beta
        (\operatorname{logit} \bar p_T - \operatorname{logit} a_S)

    Examples
    --------
    >>> round(scaled_logit(0.6, 0.5, 1.6), 3)
    0.657
    """
    from scipy.special import expit

    return float(expit(log_odds(accuracy) + slope * (log_odds(mean_confidence) - log_odds(accuracy))))
