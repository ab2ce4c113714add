"""The label-free estimate as a prior, and what labels make of it."""

import numpy as np

from nilometer.arrays import Floats

from ..estimate import Estimate, NotEnoughData
from .sample import LabelledAccuracy

__all__ = ["combine", "draw_accuracies", "prior_spread"]

_GRID = 1999
_EDGE = 5e-3
_UNBELIEVED = 1e-13
_DF, _SPREADS = 4.0, 15
_LEAST_SIZE, _LEAST_SPREAD, _FLAT = 0.3, 1e-6, 0.02


def combine(
    estimate: Estimate, labelled: LabelledAccuracy, *, confidence_level: float = 0.95, finite: bool = True
) -> LabelledAccuracy:
    r"""Accuracy of a slice from its label-free estimate and its labels together.

    The prior has the estimate :math:`e` as its mean, and the spread :math:`s` on d degrees of freedom that its interval
    was made from (``interval_spread``; without them what the interval says on 4 degrees):

    .. math:: a \mid \nu \sim \operatorname{Beta}(e \nu, (1 - e) \nu), \quad
        \nu = \frac{e (1 - e)}{\sigma^2} - 1, \quad \frac{d s^2}{\sigma^2} \sim \chi^2_d

    so that an estimate near 0 or 1 is not pulled to the middle; one part in fifty of the prior is flat, so that
    labels win that contradict it outright. The likelihood is that of :math:`n_{\text{eff}}` labels with the
    labelled accuracy. The posterior is summed on a grid of accuracies, exactly but for the grid. With ``finite``
    the accuracy asked for is that of the N responses: n of them are known, the others are drawn with the unknown
    accuracy.

    With no spread in the prior the estimate stays, with an infinite one the labels decide.

    Parameters
    ----------
    estimate
        Of the same slice, made without these labels.
    labelled
        From any estimator of this family.
    confidence_level
        Of the interval.
    finite
        Whether the accuracy of just these N responses is asked for.

    References
    ----------
    Gelman et al. (2013), "Bayesian Data Analysis", 3rd ed., sec. 2.4 (beta prior), 3.7 (grid), 8.3 (finite population).

    Examples
    --------
    >>> estimate = Estimate(slice="a", n=500, accuracy=0.7, low=0.5, high=0.85, confidence_level=0.95, method="atc")
    >>> from .sample import labelled_mean
    >>> labels = labelled_mean(np.array([1.0] * 8 + [0.0] * 12 + [np.nan] * 480))
    >>> both = combine(estimate, labels)
    >>> labels.accuracy < both.accuracy < estimate.accuracy, both.high - both.low < labels.high - labels.low
    (True, True)
    """
    if np.isinf(labelled.n_effective):
        return labelled
    grid = (np.arange(_GRID) + 0.5) / _GRID
    n = labelled.n_effective
    if finite:  # undo the correction for the finite slice, which is made below for the whole posterior
        n = n * labelled.n / (labelled.n - 1 + n) if labelled.n > 1 else n
    correct = n * labelled.accuracy
    log_density = _log_prior(grid, estimate) + correct * np.log(grid) + (n - correct) * np.log1p(-grid)
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean, spread = _finite(grid, labelled) if finite else (grid, np.full(_GRID, 1.0 / _GRID))
    centre = float(density @ mean)
    variance = float(density @ ((mean - centre) ** 2 + spread**2))
    half = (1 - confidence_level) / 2
    low, high = (_quantile(density, mean, spread, at=at) for at in (half, 1 - half))
    return LabelledAccuracy(
        accuracy=centre,
        low=min(low, centre),
        high=max(high, centre),
        standard_error=float(np.sqrt(variance)),
        confidence_level=confidence_level,
        n=labelled.n,
        n_labels=labelled.n_labels,
        n_effective=centre * (1 - centre) / max(variance, 1e-12),
        method=f"{labelled.method} with prior {estimate.method}",
        weight=labelled.weight,
    )


def prior_spread(estimate: Estimate) -> tuple[float, float]:
    """Spread of an estimate as a prior, and its degrees of freedom: what its interval was made from.

    An estimate that does not carry them is taken to have a Student t on 4 degrees of freedom.

    Examples
    --------
    >>> shared = {"slice": "a", "n": 9, "accuracy": 0.5, "confidence_level": 0.95, "method": "x"}
    >>> prior_spread(Estimate(**shared, low=0.2, high=0.8, spread=0.1, degrees=6.0))
    (0.1, 6.0)
    """
    from scipy.special import stdtrit

    if estimate.spread is not None and estimate.degrees is not None:
        return max(estimate.spread, _LEAST_SPREAD), estimate.degrees
    half = max(estimate.accuracy - estimate.low, estimate.high - estimate.accuracy)
    return max(half / float(stdtrit(_DF, 0.5 + estimate.confidence_level / 2)), _LEAST_SPREAD), _DF


def _prior(estimate: Estimate) -> tuple[float, Floats]:
    """Mean of the prior, and one size of Beta for each of equally probable spreads."""
    from scipy.special import chdtri

    spread, degrees = prior_spread(estimate)
    shares = (np.arange(_SPREADS) + 0.5) / _SPREADS
    variances = spread**2 * (degrees / chdtri(degrees, shares) if np.isfinite(degrees) else np.ones(_SPREADS))
    mean = float(np.clip(estimate.accuracy, _EDGE, 1 - _EDGE))
    return mean, np.maximum(mean * (1 - mean) / variances - 1, _LEAST_SIZE)


def _log_prior(grid: Floats, estimate: Estimate) -> Floats:
    from scipy.special import betaln, logsumexp

    mean, sizes = _prior(estimate)
    a, b = mean * sizes[:, None], (1 - mean) * sizes[:, None]
    believed = logsumexp((a - 1) * np.log(grid) + (b - 1) * np.log1p(-grid) - betaln(a, b), axis=0)
    return np.asarray(np.logaddexp(believed - np.log(_SPREADS) + np.log1p(-_FLAT), np.log(_FLAT)))


def _finite(grid: Floats, labelled: LabelledAccuracy) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the accuracy of N responses, n of them known, if the rest has ``grid``."""
    n, size = labelled.n_labels, labelled.n
    rest = size - n
    return (n * labelled.accuracy + rest * grid) / size, np.sqrt(rest * grid * (1 - grid)) / size


def _quantile(density: Floats, mean: Floats, spread: Floats, *, at: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import ndtr

    believed = density > _UNBELIEVED  # the sums over all others are below 1e-9
    density, mean, scale = density[believed], mean[believed], np.maximum(spread[believed], 0.5 / _GRID)

    def below(x: float) -> float:
        return float(density @ ndtr((x - mean) / scale)) - at

    if below(0.0) >= 0:
        return 0.0
    return 1.0 if below(1.0) <= 0 else float(brentq(below, 0.0, 1.0, xtol=1e-6))


def draw_accuracies(estimate: Estimate | NotEnoughData, n: int, *, rng: np.random.Generator) -> Floats:
    """Draw accuracies that a slice may have, from the prior that ``combine`` uses; uniform if it is not known.

    Examples
    --------
    >>> unknown = NotEnoughData(slice="a", n=10, reason="no labels.", needed="Label some.")
    >>> draw_accuracies(unknown, 3, rng=np.random.default_rng(0)).round(2).tolist()
    [0.64, 0.27, 0.04]
    """
    if isinstance(estimate, NotEnoughData):
        return rng.random(n)
    mean, sizes = _prior(estimate)
    size = rng.choice(sizes, n)
    return np.where(rng.random(n) < _FLAT, rng.random(n), rng.beta(mean * size, (1 - mean) * size))
