"""How far the estimates of left-out slices were off, and the noise in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Float, Floats, Ints
from nilometer.errors import NotEnoughDataError

__all__ = ["LEAST_SLICES", "Residuals", "error_unit", "fit_residuals", "logit", "pool_residuals", "sampling_noise"]

LEAST_SLICES = 4
"""Fewer left-out families give no usable spread: with 3 the 95 % t factor is 4.3 on two degrees of freedom."""

_FLOOR = 0.1
"""Added to e (1 - e) in the unit of the error; see ``error_unit``."""
_DRAWN = 10.0
"""Answers to which the half success and half failure of ``logit`` are added."""


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
    nearly the plain one between 0.2 and 0.8.

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

    Raises
    ------
    NotEnoughDataError
        If there is no slice.

    References
    ----------
    Searle, Casella and McCulloch (1992), "Variance Components", sec. 3.6 (analysis of variance, unbalanced).

    Examples
    --------
    >>> fit_residuals(np.array([0.5, 0.5]), np.array([0.6, 0.4]), np.array([50.0, 50.0])).bias.__round__(6)
    0.0
    """
    if not estimated.size:
        raise NotEnoughDataError("residuals need at least one slice, got none.", "Label responses of some slices.")
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
