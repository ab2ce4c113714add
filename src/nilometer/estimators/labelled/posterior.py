"""The label-free estimate as a prior, and what labels make of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from nilometer.arrays import Floats

from ..estimate import Estimate, NotEnoughData
from ..roots import Rise, rising_roots
from .sample import LabelledAccuracy

__all__ = ["combine", "combine_slices", "draw_accuracies", "prior_spread"]

_SIZE = 1999
_GRID = (np.arange(_SIZE) + 0.5) / _SIZE
_LOG_GRID = np.stack([np.log(_GRID), np.log1p(-_GRID)])
_ROOT_GRID = np.sqrt(_GRID * (1 - _GRID))
_STEP = np.full(_SIZE, 1.0 / _SIZE)
_BATCH = 8
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
    return combine_slices([estimate], [labelled], confidence_levels=[confidence_level], finite=finite)[0]


def combine_slices(
    estimates: Sequence[Estimate],
    labelled: Sequence[LabelledAccuracy],
    *,
    confidence_levels: Sequence[float],
    finite: bool = True,
) -> list[LabelledAccuracy]:
    """Do for many slices what :func:`combine` does for one, a few at a time, so that what they need fits the cache.

    Parameters
    ----------
    estimates, labelled, confidence_levels
        One of each for every slice, as in :func:`combine`.
    finite
        As there.

    Examples
    --------
    >>> estimate = Estimate(slice="a", n=500, accuracy=0.7, low=0.5, high=0.85, confidence_level=0.95, method="atc")
    >>> from .sample import labelled_mean
    >>> labels = labelled_mean(np.array([1.0] * 8 + [0.0] * 12 + [np.nan] * 480))
    >>> combine_slices([estimate], [labels], confidence_levels=[0.95])[0] == combine(estimate, labels)
    True
    """
    found = list(labelled)
    open_ = [i for i, one in enumerate(labelled) if np.isfinite(one.n_effective)]
    for start in range(0, len(open_), _BATCH):
        rows = open_[start : start + _BATCH]
        own = [(estimates[i], labelled[i], confidence_levels[i]) for i in rows]
        for i, one in zip(rows, _combined(own, finite=finite), strict=True):
            found[i] = one
    return found


def _combined(own: Sequence[tuple[Estimate, LabelledAccuracy, float]], *, finite: bool) -> Iterator[LabelledAccuracy]:
    """Combine estimate, labels and level of a few slices."""
    density = np.stack([_density(estimate, labelled, finite=finite) for estimate, labelled, _ in own])
    mean, spread = _finite([labelled for _, labelled, _ in own]) if finite else (_GRID[None], _STEP[None])
    centre = (density * mean).sum(axis=1)
    variance = (density * ((mean - centre[:, None]) ** 2 + spread**2)).sum(axis=1)
    levels = np.array([level for _, _, level in own])
    ends = _ends(density, mean, spread, centre=centre, variance=variance, confidence_levels=levels)
    numbers = zip(own, centre.tolist(), variance.tolist(), ends.tolist(), strict=True)
    for (estimate, labelled, level), accuracy, square, (low, high) in numbers:
        yield LabelledAccuracy(
            accuracy=accuracy,
            low=min(low, accuracy),
            high=max(high, accuracy),
            standard_error=square**0.5,
            confidence_level=level,
            n=labelled.n,
            n_labels=labelled.n_labels,
            n_effective=accuracy * (1 - accuracy) / max(square, 1e-12),
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


def _density(estimate: Estimate, labelled: LabelledAccuracy, *, finite: bool) -> Floats:
    """Probability of every accuracy on the grid, given the estimate and the labels."""
    from scipy.special import betaln

    n = labelled.n_effective
    if finite and labelled.n > 1:  # undo the correction for the finite slice, which is made later for the whole
        n = n * labelled.n / (labelled.n - 1 + n)
    mean, sizes = _prior(estimate)
    a, b = mean * sizes, (1 - mean) * sizes
    believed = np.exp(np.stack([a - 1, b - 1], axis=1) @ _LOG_GRID - betaln(a, b)[:, None]).sum(axis=0)
    log_likelihood = np.array([n * labelled.accuracy, n * (1 - labelled.accuracy)]) @ _LOG_GRID
    density = (believed * ((1 - _FLAT) / _SPREADS) + _FLAT) * np.exp(log_likelihood - log_likelihood.max())
    return np.asarray(density / density.sum())


def _finite(labelled: Sequence[LabelledAccuracy]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the accuracy of N responses, n of them known, if the rest has that of the grid.

    Shape (slices, grid).
    """
    sums = np.array([(one.n_labels, one.n, one.accuracy) for one in labelled], dtype=np.float64)
    n, size, accuracy = sums.T[:, :, None]
    rest = size - n
    return (n * accuracy + rest * _GRID) / size, np.asarray(_ROOT_GRID * (np.sqrt(rest) / size))


def _ends(
    density: Floats, mean: Floats, spread: Floats, *, centre: Floats, variance: Floats, confidence_levels: Floats
) -> Floats:
    """Ends of the central intervals of mixtures of normals, weighted by the densities, shape (slices, 2)."""
    from scipy.special import ndtr, ndtri

    density = np.where(density > _UNBELIEVED, density, 0.0)  # the sums over all others are below 1e-9
    kept = np.flatnonzero(density.any(axis=0))
    within = slice(kept[0], kept[-1] + 1)
    density, mean, per = density[:, within], mean[:, within], 1 / np.maximum(spread[:, within], 0.5 / _SIZE)
    shares = 0.5 + np.outer(confidence_levels, [-0.5, 0.5])
    centres, peaks = (mean * per)[:, None], (density * per / (2 * np.pi) ** 0.5)[..., None]
    bends, weights, scales = peaks * per[..., None], density[..., None], per[:, None]

    def missing(x: Floats) -> Rise:
        z = x[..., None] * scales - centres
        heights = np.exp(-0.5 * z * z)
        sums = (ndtr(z) @ weights, heights @ peaks, (heights * z) @ bends)
        below, slope, bend = (one[..., 0] for one in sums)
        return Rise(below - shares, slope, -bend)

    off, deviation, quantiles = mean - centre[:, None], np.maximum(np.sqrt(variance), 1e-3)[:, None], ndtri(shares)
    skewness = (density * off * (off * off + 3 / per**2)).sum(axis=1)[:, None] / deviation**3
    start = centre[:, None] + deviation * (quantiles + np.clip(skewness, -1, 1) * (quantiles**2 - 1) / 6)
    return rising_roots(missing, start, low=0.0, high=1.0, tolerance=1e-5 * deviation)


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
