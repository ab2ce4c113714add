"""Prediction intervals for the accuracy of a new slice, from slices that were left out one at a time."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_SLICES", "Residuals", "fit_residuals", "logit", "prediction_interval", "wilson_interval"]

LEAST_SLICES = 4
"""Fewer left-out families give no usable spread: with 3 the 95 % t factor is 4.3 on two degrees of freedom."""

Floats = NDArray[np.float64]

_DRAWN = 10.0


class Residuals(NamedTuple):
    """How far the estimates of left-out slices were off, on the logit scale."""

    n_families: int
    bias: float
    """Mean over families of the mean of logit(realised) - logit(estimated)."""
    spread: float
    """Standard deviation of a new slice of a new family, sampling noise of its realised accuracy included."""
    between: float
    """Standard deviation of the family means."""
    noise: float
    """Mean sampling variance of the realised accuracies, logit scale."""


def logit(share: Floats | float) -> Floats:
    r"""Log-odds of an accuracy, drawn in from 0 and 1 by half a success and half a failure in ten.

    .. math:: \log \frac{10 a + 1/2}{10 (1 - a) + 1/2}

    The plain logit would let one slice at 0 or 1 decide the spread of all; this one is finite there and
    nearly the plain one between .2 and .8.

    Examples
    --------
    >>> logit(np.array([0.0, 0.5, 1.0])).round(2).tolist()
    [-3.04, 0.0, 3.04]
    """
    share = np.asarray(share, dtype=np.float64)
    return np.log(_DRAWN * share + 0.5) - np.log(_DRAWN * (1 - share) + 0.5)


def _from_logit(value: float) -> float:
    """Undo :func:`logit`, cut to [0, 1]."""
    from scipy.special import expit

    return float(np.clip((float(expit(value)) * (_DRAWN + 1) - 0.5) / _DRAWN, 0.0, 1.0))


def _noise(share: Floats | float, n: Floats | float) -> Floats:
    """Sampling variance of ``logit(share)`` for n responses, by the delta method."""
    share = np.clip(np.asarray(share, dtype=np.float64), 0.02, 0.98)
    slope = _DRAWN / (_DRAWN * share + 0.5) + _DRAWN / (_DRAWN * (1 - share) + 0.5)
    return np.asarray(slope**2 * share * (1 - share) / np.maximum(n, 1))


def fit_residuals(estimated: Floats, realized: Floats, n: Floats, *, families: NDArray[Any] | None = None) -> Residuals:
    r"""Summarise the residuals of K slices, each estimated without the labels of its family.

    Slices of one family (levels of a task, tenants of a product) err together, so K slices are not K
    independent looks. With family means :math:`\bar r_f` of :math:`m_f` slices each, their variance
    :math:`S_b^2` over the F families and the pooled variance :math:`S_w^2` inside them, a new slice of a
    new family has the variance

    .. math:: s^2 = S_b^2 + S_w^2 \Big(1 - \tfrac1F \sum_f \tfrac1{m_f}\Big)

    With one slice per family this is the variance of the residuals.

    Parameters
    ----------
    estimated
        Shape (K,), estimates in [0, 1], each from the other slices.
    realized
        Shape (K,), accuracies by labels.
    n
        Shape (K,), labels behind each.
    families
        Shape (K,), family of each slice; None makes each slice its own family.

    References
    ----------
    Searle, Casella and McCulloch (1992), "Variance Components", sec. 3.6 (analysis of variance, unbalanced).

    Examples
    --------
    >>> fit_residuals(np.array([0.5, 0.5]), np.array([0.6, 0.4]), np.array([50.0, 50.0])).bias.__round__(6)
    0.0
    """
    residual = logit(realized) - logit(estimated)
    names, place, sizes = np.unique(
        np.arange(residual.size) if families is None else families, return_inverse=True, return_counts=True
    )
    means = np.bincount(place, residual) / sizes
    between = float(means.std(ddof=1)) if names.size > 1 else float("inf")
    inside = float(((residual - means[place]) ** 2).sum()) / max(residual.size - names.size, 1)
    spread = float(np.sqrt(between**2 + inside * (1 - float((1 / sizes).mean()))))
    return Residuals(int(names.size), float(means.mean()), spread, between, float(_noise(realized, n).mean()))


def prediction_interval(
    estimate: float, residuals: Residuals, *, n: int, confidence_level: float = 0.95, widen: float = 1.0
) -> tuple[float, float]:
    r"""Interval for the accuracy of one new slice of n responses.

    .. math:: \operatorname{logit} \hat a + \bar r \pm t_{F-1}\, \sqrt{s^2 + \tfrac1F S_b^2 + e}

    F is the number of families, ``s`` and ``S_b`` are those of :func:`fit_residuals`. ``s`` already holds the
    sampling noise of the labelled slices; ``e`` adds what a smaller slice has beyond that and is never negative.
    The interval is widened to hold the estimate itself.

    Parameters
    ----------
    estimate
        Estimated accuracy in [0, 1].
    residuals
        From at least ``LEAST_SLICES`` left-out families.
    n
        Responses in the slice.
    confidence_level
        In (0, 1).
    widen
        Factor on the half-width, above 1 outside the support of the labelled slices.

    Raises
    ------
    ValueError
        If there are fewer than ``LEAST_SLICES`` families.

    References
    ----------
    Higgins, Thompson and Spiegelhalter (2009), "A re-evaluation of random-effects meta-analysis", sec. 4.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.5, between=0.5, noise=0.02)
    >>> low, high = prediction_interval(0.5, residuals, n=100)
    >>> round(low, 2), round(high, 2)
    (0.14, 0.86)
    """
    from scipy.stats import t

    k = residuals.n_families
    if k < LEAST_SLICES:
        raise ValueError(f"`residuals` must come from >= {LEAST_SLICES} families, got {k}.")
    variance = residuals.spread**2 + residuals.between**2 / k + max(float(_noise(estimate, n)) - residuals.noise, 0.0)
    half = float(t.ppf(0.5 + confidence_level / 2, k - 1)) * float(np.sqrt(variance)) * widen
    centre = float(logit(estimate)) + residuals.bias
    return min(_from_logit(centre - half), estimate), max(_from_logit(centre + half), estimate)


def wilson_interval(share: float, n: float, *, confidence_level: float = 0.95) -> tuple[float, float]:
    """Interval for an accuracy known from n labels alone, by Wilson's score.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> low, high = wilson_interval(0.5, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence_level / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
