"""Slices that have labels of their own: one line each from the rule's probabilities to the accuracy of new traffic."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats, Int, Ints
from nilometer.traces import SliceIndex

from ..residuals import sampling_noise
from .rules.slope import log_odds

__all__ = ["KnownSlices", "KnownSums", "fit_known_slices", "known_accuracy", "known_columns", "known_interval"]


_SMALLEST = 1e-3
"""Probabilities are cut to [0.001, 0.999] before their log-odds are taken."""
_CENTRE = np.array([0.0, 1.0])
"""Intercept and slope of a slice that follows the common rule exactly."""
_VARIANCES, _VARIANCE_SLICES = np.array([1.0, 0.1]), 2.0
"""Prior of the spread of lines between slices, worth two slices; it decides only where few slices are labelled."""
_DRIFT, _DRIFT_WEIGHT = 0.3, 4.0
"""Prior of the uncertain share of a change: a move of the estimate is off by 30 %, worth four average slices."""
_FLOOR = 0.01
"""Standard deviation that even an unchanged slice with many labels keeps."""
_MOST_LABELS = 200
"""Labels of a slice from which the spread between slices is learned; more of them do not change it."""
_ROUNDS, _STEPS = 20, 4


class KnownSlices(NamedTuple):
    """What the labels of each slice say beyond the common rule."""

    names: tuple[str, ...]
    line: Floats
    """Shape (slices, 2): intercept and slope of the log-odds of a correct answer on those of the rule."""
    covariance: Floats
    """Shape (slices, 2, 2), uncertainty of the line."""
    labelled: Floats
    """Shape (slices,), mean of the fitted probabilities over the labelled responses."""
    n_labels: Ints
    drift: float
    """Standard deviation of a change of the estimate, as a share of that change."""

    def take(self, rows: Ints) -> "KnownSlices":
        """Return the selected slices."""
        names = tuple(self.names[i] for i in rows) if self.names else ()
        return KnownSlices(
            names, self.line[rows], self.covariance[rows], self.labelled[rows], self.n_labels[rows], self.drift
        )


class KnownSums(NamedTuple):
    """Sums over the responses of every known slice, shape (slices,) each; those of two batches add up."""

    n: Floats
    p: Floats
    slope: Floats
    """Sum of p (1 - p)."""
    moment: Floats
    """Sum of p (1 - p) x."""


def fit_known_slices(p: Floats, correct: Floats, slices: SliceIndex) -> KnownSlices:
    r"""Fit a line of its own to every labelled slice, drawn towards the common rule.

    .. math:: \operatorname{logit} P(y_i = 1) = a_s + b_s x_i, \quad x_i = \operatorname{logit} p_i, \quad
        (a_s, b_s) \sim N(m, \operatorname{diag}(v))

    m and v are learned over the slices by EM with Laplace's approximation; :math:`a = 0, b = 1` is the rule itself. A
    slice with few labels follows the other slices, one with many its own. The share of a change that is uncertain is
    learned by fitting each slice on its surer half and estimating the other, and the other way round.

    Parameters
    ----------
    p
        Shape (n,), the rule's probability of a correct answer for every labelled response.
    correct
        Shape (n,), labels in [0, 1].
    slices
        Shape (n,), slice of each response; names without a response follow the prior.

    Raises
    ------
    ValueError
        If a probability or label is outside [0, 1] or not a number.

    References
    ----------
    Breslow and Clayton (1993), "Approximate inference in generalized linear mixed models", JASA 88.

    Examples
    --------
    >>> from nilometer.traces import index_slices
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(400)
    >>> known = fit_known_slices(p, (rng.random(400) < p) * 1.0, index_slices(np.arange(400) % 4))
    >>> bool(np.abs(known.line - [0, 1]).max() < 0.5)
    True
    """
    for name, values in (("p", p), ("correct", correct)):
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"`{name}` must lie in [0, 1], got {values.min():g} to {values.max():g}.")
    place, n_slices = slices.codes, len(slices.names)
    x, few = log_odds(p, edge=_SMALLEST), slices.thin(_MOST_LABELS)
    centre, variances = _fit_prior(x[few], correct[few], place[few])
    start = np.tile(centre, (n_slices, 1))
    line, covariance = _fit_lines(x, correct, place, start=start, prior=(centre, variances), steps=4 * _STEPS)
    sums = _sums(line, place, x)
    labelled = sums.p / np.maximum(sums.n, 1)
    drift = _fit_drift(x, correct, place, prior=(centre, variances), n_slices=n_slices)
    return KnownSlices(slices.names, line, covariance, labelled, slices.counts, drift)


def known_columns(
    known: KnownSlices, place: Int[Ints, " responses"], p: Float[Floats, " responses"]
) -> tuple[Float[Floats, " responses"], Float[Floats, " responses"], Float[Floats, " responses"]]:
    """What each response adds to the sums of its known slice beside n, each of shape (n,).

    Parameters
    ----------
    known
        The fitted lines.
    place
        Shape (n,), number of the known slice of each response.
    p
        Shape (n,), the rule's probability of a correct answer.
    """
    return _columns(known.line, place, log_odds(p, edge=_SMALLEST))


def known_accuracy(known: KnownSlices, sums: KnownSums) -> tuple[Floats, Floats]:
    r"""Accuracy of new traffic of each known slice, and the standard deviation of its error; NaN without responses.

    .. math:: \hat a = \frac1n \sum_i \sigma(a_s + b_s x_i), \quad
        \operatorname{var} = g^\top \Sigma_s g + \kappa^2 (\hat a - \hat a_{\text{labelled}})^2 + 0.01^2

    with g the gradient of :math:`\hat a` in the line and :math:`\kappa` the drift. Without a change of the
    log-probabilities this is the accuracy of the labels, smoothed. The sampling of the n answers is not in it.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = sums.p / sums.n
        gradient = np.stack([sums.slope, sums.moment], axis=1) / sums.n[:, None]
    variance = np.einsum("si,sij,sj->s", gradient, known.covariance, gradient)
    deviation = np.sqrt(variance + (known.drift * (accuracy - known.labelled)) ** 2 + _FLOOR**2)
    return np.asarray(accuracy), np.asarray(deviation)


def known_interval(
    accuracy: float, deviation: float, *, n: float, n_labels: int, confidence_level: float = 0.95, simultaneous: int = 1
) -> tuple[float, float, float]:
    r"""Interval for the accuracy of n new responses of a known slice, and the standard deviation that it is made of.

    .. math:: \hat a \pm t \sqrt{\operatorname{var} + \hat a (1 - \hat a) / n}

    with t Student's quantile of :math:`c^{1/m}` for m intervals that hold together (Šidák), on as many degrees of
    freedom as the slice has labels; cut to [0, 1].

    Examples
    --------
    >>> low, high, _ = known_interval(0.5, 0.03, n=400, n_labels=100, confidence_level=0.9)
    >>> round(low, 2), round(high, 2)
    (0.44, 0.56)
    """
    from scipy.special import stdtrit

    spread = float(np.sqrt(deviation**2 + sampling_noise(accuracy, n)))
    half = float(stdtrit(n_labels, 0.5 + confidence_level ** (1 / simultaneous) / 2)) * spread
    return max(accuracy - half, 0.0), min(accuracy + half, 1.0), spread


def _columns(line: Floats, place: Ints, x: Floats) -> tuple[Floats, Floats, Floats]:
    from scipy.special import expit

    p = np.asarray(expit(line[place, 0] + line[place, 1] * x))
    slope = np.asarray(p * (1 - p))
    return p, slope, np.asarray(slope * x)


def _sums(line: Floats, place: Ints, x: Floats) -> KnownSums:
    parts = (np.ones(len(x)), *_columns(line, place, x))
    return KnownSums(*(np.bincount(place, part, len(line)).astype(np.float64) for part in parts))


def _fit_lines(
    x: Floats, correct: Floats, place: Ints, *, start: Floats, prior: tuple[Floats, Floats], steps: int
) -> tuple[Floats, Floats]:
    """Posterior mode and covariance of every line, by Newton's method with bounded steps."""
    from scipy.special import expit

    centre, variances = prior
    line, n = start, len(start)
    for _ in range(steps):
        p = expit(line[place, 0] + line[place, 1] * x)
        residual, weight = correct - p, p * (1 - p)
        pull = (line - centre) / variances
        gradient = np.stack([np.bincount(place, residual, n), np.bincount(place, residual * x, n)], axis=1) - pull
        cross = np.bincount(place, weight * x, n)
        information = np.empty((n, 2, 2))
        information[:, 0, 0] = np.bincount(place, weight, n) + 1 / variances[0]
        information[:, 1, 1] = np.bincount(place, weight * x * x, n) + 1 / variances[1]
        information[:, 0, 1] = information[:, 1, 0] = cross
        covariance = np.linalg.inv(information)
        step = np.einsum("sij,sj->si", covariance, gradient)
        line = line + step * np.minimum(1.0, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
    return np.asarray(line), np.asarray(covariance)


def _fit_prior(x: Floats, correct: Floats, place: Ints) -> tuple[Floats, Floats]:
    """Mean and variance of the lines over slices with labels, by EM."""
    used, place = np.unique(place, return_inverse=True)
    centre, variances = _CENTRE, _VARIANCES
    line = np.tile(centre, (len(used), 1))
    for _ in range(_ROUNDS if len(used) else 0):
        line, covariance = _fit_lines(x, correct, place, start=line, prior=(centre, variances), steps=_STEPS)
        pull = len(used) / variances
        centre = (line.sum(axis=0) / variances + _CENTRE) / (pull + 1)
        spread = ((line - centre) ** 2 + np.diagonal(covariance, axis1=1, axis2=2)).sum(axis=0)
        variances = (spread + _VARIANCE_SLICES * _VARIANCES) / (len(used) + _VARIANCE_SLICES)
    return centre, variances


def _fit_drift(x: Floats, correct: Floats, place: Ints, *, prior: tuple[Floats, Floats], n_slices: int) -> float:
    r"""Share of a change that is uncertain: each half of a slice, by confidence, estimated from the other."""
    order = np.lexsort((x, place))
    rank = np.empty(len(x))
    rank[order] = np.arange(len(x)) - np.searchsorted(place[order], place[order])
    counts = np.bincount(place, minlength=n_slices)
    half = 2 * place + (rank >= counts[place] / 2)
    start = np.tile(prior[0], (2 * n_slices, 1))
    line, covariance = _fit_lines(x, correct, half, start=start, prior=prior, steps=4 * _STEPS)
    other = half ^ 1
    own, moved = _sums(line, half, x), _sums(line, other, x)
    usable = (own.n >= 3) & (moved.n >= 3)
    if not usable.any():
        return _DRIFT
    n = moved.n[usable]
    fitted = KnownSlices((), line, covariance, own.p / np.maximum(own.n, 1), counts, 0.0)
    accuracy, deviation = (values[usable] for values in known_accuracy(fitted, moved))
    realized = np.bincount(other, correct, 2 * n_slices)[usable] / n
    noise = deviation**2 + sampling_noise(realized, n)
    change = (accuracy - fitted.labelled[usable]) ** 2
    weight = 1 / (noise + 0.003)
    prior_weight = _DRIFT_WEIGHT * float((weight * change**2).mean()) + 1e-12
    excess = float((weight * change * ((realized - accuracy) ** 2 - noise)).sum()) + prior_weight * _DRIFT**2
    return float(np.sqrt(max(excess / (float((weight * change**2).sum()) + prior_weight), 0.1**2)))
