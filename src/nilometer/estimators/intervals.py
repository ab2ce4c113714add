"""Prediction intervals for the accuracy of a new slice, from families of slices that were left out one at a time."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Float, Floats, Ints

__all__ = [
    "LEAST_SLICES",
    "Residuals",
    "conformal_interval",
    "error_unit",
    "fit_residuals",
    "interval_spread",
    "logit",
    "pool_residuals",
    "prediction_interval",
    "sampling_noise",
    "spread_interval",
]

LEAST_SLICES = 4
"""Fewer left-out families give no usable spread: with 3 the 95 % t factor is 4.3 on two degrees of freedom."""

_FLOOR = 0.1
"""Added to e (1 - e) in the unit of the error; see ``error_unit``."""
_DRAWN = 10.0
"""Answers to which the half success and half failure of ``logit`` are added."""
_VARIANCES = np.geomspace(1e-4, 9.0, 160)
"""Grid of squared spreads: 0.01 to 3 units, where a unit is 0.32 to 0.59 of accuracy; steps of 7 %."""


class Residuals(NamedTuple):
    """How far the estimates of left-out slices were off, in units of :func:`error_unit`."""

    n_families: int
    bias: float
    """Mean over families of the mean of (realised - estimated) / unit."""
    spread: float
    """Root mean square of a new slice of a new family, sampling noise of its realised accuracy included."""
    noise: float
    """The part of ``spread**2`` that the sampling of the realised accuracies makes, families weighted equally."""
    degrees: float
    """Degrees of freedom of ``spread``: families - 1, more after pooling."""
    scores: tuple[tuple[float, float], ...] = ()
    """Absolute residual in units, and weight, of every slice, smallest first; the weights of a family add to one."""
    prior_spread: float = 0.2
    """What ``spread`` is expected to be, noise aside, where the families leave it open."""
    prior_degrees: float = 2.0
    """Degrees of freedom of that expectation: it weighs as much as so many families."""


def error_unit(estimate: Floats | float) -> Floats:
    r"""Scale of the error of an estimated accuracy: :math:`\sqrt{e (1 - e) + 1/10}`.

    Errors are smaller near 0 and 1, but do not vanish there: answers that are wrong with confidence pull a
    high estimate down. On the choice half of the corpora this scale gave the shortest intervals that cover;
    on the logit scale a few slices near 0 or 1 decide the spread of all.

    Examples
    --------
    >>> error_unit(np.array([0.0, 0.5])).round(3).tolist()
    [0.316, 0.592]
    """
    estimate = np.asarray(estimate, dtype=np.float64)
    return np.asarray(np.sqrt(estimate * (1 - estimate) + _FLOOR))


def logit(share: Floats | float) -> Floats:
    r"""Log-odds of an accuracy, moved away from 0 and 1 by half a success and half a failure in ten.

    .. math:: \log \frac{10 a + 1/2}{10 (1 - a) + 1/2}

    The plain logit would let one slice at 0 or 1 decide the spread of all; this one is finite there and
    nearly the plain one between .2 and .8.

    Examples
    --------
    >>> logit(np.array([0.0, 0.5, 1.0])).round(2).tolist()
    [-3.04, 0.0, 3.04]
    """
    share = np.asarray(share, dtype=np.float64)
    return np.asarray(np.log(_DRAWN * share + 0.5) - np.log(_DRAWN * (1 - share) + 0.5))


def sampling_noise(share: Floats | float, n: Floats | float) -> Floats:
    """Sampling variance of a share among n responses, half a success and half a failure added."""
    n = np.maximum(np.asarray(n, dtype=np.float64), 1.0)
    share = (np.asarray(share) * n + 0.5) / (n + 1)
    return np.asarray(share * (1 - share) / n)


def fit_residuals(
    estimated: Float[Floats, " slices"],
    realized: Float[Floats, " slices"],
    n: Floats | Ints,
    *,
    families: NDArray[Any] | None = None,
) -> Residuals:
    r"""Summarise the residuals of K slices, each estimated without the labels of its family.

    Slices of one family (levels of a task, tenants of a product) err together, so K slices are not K
    independent looks. With family means :math:`\bar r_f` of :math:`m_f` slices each, their variance
    :math:`S_b^2` over the F families, their mean :math:`\bar r` and the pooled variance :math:`S_w^2` inside
    them, a new slice of a new family has the mean square

    .. math:: s^2 = \bar r^2 + S_b^2 + S_w^2 \Big(1 - \tfrac1F \sum_f \tfrac1{m_f}\Big)

    The bias counts as spread and is not subtracted: with a handful of families it is known no better than that.
    It has F - 1 degrees of freedom, however many slices a family has: what is new is the family.
    The part of it that is sampling noise of the realised accuracies :math:`a` is the mean of :math:`a (1 - a) / n`
    under Jeffreys' posterior, for which one label is enough.

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
    unit = error_unit(estimated)
    residual = (realized - estimated) / unit
    names, place, sizes = np.unique(
        np.arange(residual.size) if families is None else families, return_inverse=True, return_counts=True
    )
    means = np.bincount(place, residual) / sizes
    between = float(means.var(ddof=1)) if names.size > 1 else float("inf")
    pooled = float(((residual - means[place]) ** 2).sum()) / max(residual.size - names.size, 1)
    inside = pooled * (1 - float((1 / sizes).mean()))
    spread = float(np.sqrt(float(means.mean()) ** 2 + between + inside))
    degrees = float(max(names.size - 1, 1))
    order = np.argsort(np.abs(residual), kind="stable")
    scores = zip(np.abs(residual)[order].tolist(), (1 / sizes[place])[order].tolist(), strict=True)
    noise = float((_sampling(realized, n) / unit**2 / sizes[place]).sum() / names.size)
    return Residuals(int(names.size), float(means.mean()), spread, noise, degrees, tuple(scores))


def _sampling(share: Float[Floats, " slices"], n: Floats | Ints) -> Float[Floats, " slices"]:
    """Mean of a (1 - a) / n under Jeffreys' posterior of the accuracy a behind a share of n labels."""
    return np.asarray((n * share + 0.5) * (n * (1 - share) + 0.5) / (n * (n + 1) * (n + 2)))


def pool_residuals(own: Residuals, others: Sequence[Residuals]) -> Residuals:
    r"""Shrink the spread of one model towards those of others, to the extent that they agree.

    With :math:`d` degrees of freedom of its own, and :math:`d_0`, :math:`s_0` fitted to the log variances of all,

    .. math:: \tilde s^2 = \frac{d_0 s_0^2 + d s^2}{d_0 + d}

    on :math:`d_0 + d` degrees of freedom. Models that differ much give :math:`d_0` near zero and change nothing.

    References
    ----------
    Smyth (2004), "Linear Models and Empirical Bayes Methods for Assessing Differential Expression", sec. 6.2.

    Examples
    --------
    >>> few = Residuals(4, 0.0, 0.5, 0.01, 3.0)
    >>> pool_residuals(few, [few._replace(spread=s) for s in (0.4, 0.5, 0.6)]).degrees > 3
    True
    """
    from scipy.special import polygamma, psi

    every = [own, *others]
    if len(every) < 3:
        return own
    degrees = np.array([one.degrees for one in every])
    log_variance = 2 * np.log(np.maximum([one.spread for one in every], 1e-3)) - psi(degrees / 2) + np.log(degrees / 2)
    excess = float(log_variance.var(ddof=1) - polygamma(1, degrees / 2).mean())
    prior_degrees = 2 * _inverse_trigamma(excess) if excess > 0 else float(degrees.sum())
    prior = np.exp(log_variance.mean() + psi(prior_degrees / 2) - np.log(prior_degrees / 2))
    total = prior_degrees + own.degrees
    spread = float(np.sqrt((prior_degrees * prior + own.degrees * own.spread**2) / total))
    return own._replace(spread=spread, degrees=float(total))


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method on 1 / trigamma, as Smyth (2004) does."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1 - trigamma / value) / float(polygamma(2, x))
    return x


def prediction_interval(
    estimate: float,
    residuals: Residuals,
    *,
    n: float,
    confidence_level: float = 0.95,
    simultaneous: int = 1,
    label_noise: float = 0.0,
) -> tuple[float, float]:
    r"""Interval for the accuracy of one new slice of n responses.

    .. math:: \hat a \pm h, \quad \int \Big(2 \Phi\Big(\frac{h}{\sqrt{u^2 \tau^2 + e + v}}\Big) - 1\Big)^m
        p(\tau^2 \mid s^2) \, d\tau^2 = c, \quad
        p(\tau^2 \mid s^2) \propto p_0(\tau^2) \,
        (\tau^2 + e_0)^{-d/2} \exp\Big(\frac{-d s^2}{2 (\tau^2 + e_0)}\Big), \quad u = \sqrt{\hat a (1 - \hat a) + 1/10}

    :math:`s^2`, its degrees of freedom d and the part :math:`e_0` of it that is noise come from :func:`fit_residuals`;
    :math:`e` is the sampling noise of this slice, :math:`v` the variance of its estimate over labels drawn again,
    m the number of intervals that hold together. :math:`p_0` is the scaled inverse chi square with :math:`s_0 = 0.2` on
    :math:`d_0 = 2` degrees (``prior_spread``, ``prior_degrees``), what left-out families of the choice halves of the
    corpora had: it keeps the interval
    honest where noise hides the spread. Without noise and for m = 1 this is Student's t on :math:`d_0 + d` degrees.
    Cut to [0, 1].

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
    simultaneous
        Number of slices whose intervals shall all hold together; 1 is this one alone. Exact if the errors of the
        slices are independent, on the safe side if slices of a family err together (Šidák's inequality).
    label_noise
        Standard deviation of the estimate over labels drawn again.

    Raises
    ------
    ValueError
        If there are fewer than ``LEAST_SLICES`` families.

    References
    ----------
    Higgins, Thompson and Spiegelhalter (2009), "A re-evaluation of random-effects meta-analysis", sec. 4, with the
    spread integrated out. Stoline and Ury (1979), Technometrics 21, for m > 1 without noise.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.25, noise=0.02, degrees=4.0)
    >>> low, high = prediction_interval(0.5, residuals, n=100)
    >>> round(low, 2), round(high, 2)
    (0.19, 0.81)
    """
    half = _half_width(
        estimate,
        residuals,
        n=n,
        confidence_level=confidence_level,
        simultaneous=simultaneous,
        label_noise=label_noise,
    )
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


def interval_spread(
    estimate: float, residuals: Residuals, *, n: float, confidence_level: float = 0.95, label_noise: float = 0.0
) -> tuple[float, float]:
    """Scale and degrees of freedom of the Student t that has the interval of :func:`prediction_interval`, uncut.

    The degrees are those of the residuals and of their prior together. Whoever needs the estimate as a prior takes
    these: the two ends of the interval may be cut at 0 or 1.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.25, noise=0.02, degrees=4.0)
    >>> spread, degrees = interval_spread(0.5, residuals, n=100)
    >>> round(spread, 3), degrees
    (0.129, 6.0)
    """
    from scipy.special import stdtrit

    half = _half_width(
        estimate, residuals, n=n, confidence_level=confidence_level, simultaneous=1, label_noise=label_noise
    )
    degrees = residuals.degrees + residuals.prior_degrees
    return half / float(stdtrit(degrees, 0.5 + confidence_level / 2)), degrees


def spread_interval(
    estimate: float, spread: float, degrees: float, *, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Interval of a Student t around an estimate, cut to [0, 1]; undoes :func:`interval_spread`.

    Examples
    --------
    >>> low, high = spread_interval(0.5, 0.129, 6.0)
    >>> round(low, 2), round(high, 2)
    (0.18, 0.82)
    """
    from scipy.special import stdtrit

    half = spread * float(stdtrit(degrees, 0.5 + confidence_level / 2))
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


def _half_width(
    estimate: float, residuals: Residuals, *, n: float, confidence_level: float, simultaneous: int, label_noise: float
) -> float:
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    if residuals.n_families < LEAST_SLICES:
        raise ValueError(f"`residuals` must come from >= {LEAST_SLICES} families, got {residuals.n_families}.")
    weights = _spread_weights(residuals)
    variance = _VARIANCES * float(error_unit(estimate)) ** 2 + float(sampling_noise(estimate, n)) + label_noise**2
    scale = np.sqrt(variance)

    def missing(half: float) -> float:
        inside = np.log1p(-2 * np.exp(log_ndtr(-half / scale)))
        return float(weights @ np.exp(simultaneous * inside)) - confidence_level

    return float(brentq(missing, 1e-6, 1e3, xtol=1e-6))


def _spread_weights(residuals: Residuals) -> Floats:
    """Posterior of the squared spread without noise, on the grid ``_VARIANCES``, which is even in its logarithm."""
    whole = _VARIANCES + max(residuals.noise, 0.0)
    log = -residuals.prior_degrees / 2 * (np.log(_VARIANCES) + residuals.prior_spread**2 / _VARIANCES)
    log -= residuals.degrees / 2 * (np.log(whole) + residuals.spread**2 / whole)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def conformal_interval(
    estimate: float, residuals: Residuals, *, confidence_level: float = 0.95
) -> tuple[float, float] | None:
    r"""Distribution-free interval for a slice of a new family; None with too few families for the level.

    Every left-out slice weighs :math:`1 / (m_f (F + 1))`, the new one :math:`1 / (F + 1)` at infinity; the
    half-width is the weighted quantile of the absolute residuals in units. Needs
    :math:`F \ge c / (1 - c)` families: 9 at 90 %, 19 at 95 %.

    References
    ----------
    Lee, Barber and Willett (2023), "Distribution-free inference with hierarchical data", arXiv 2306.06342.

    Examples
    --------
    >>> conformal_interval(0.5, Residuals(4, 0.0, 0.25, 0.02, 3.0)) is None
    True
    """
    if not residuals.scores or residuals.n_families < confidence_level / (1 - confidence_level) - 1e-9:
        return None
    half = _conformal_size(residuals.scores, residuals.n_families, confidence_level) * float(error_unit(estimate))
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


@lru_cache(maxsize=64)
def _conformal_size(scores: tuple[tuple[float, float], ...], n_families: int, confidence_level: float) -> float:
    """Weighted quantile of the absolute residuals: the same for all slices with the same residuals."""
    sizes, weights = np.array(scores).T
    reached = np.cumsum(weights) / (n_families + 1)
    return float(sizes[int(np.searchsorted(reached, confidence_level - 1e-9))])
