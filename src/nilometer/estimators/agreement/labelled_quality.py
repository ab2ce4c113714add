"""A few labels on top of agreement: prediction-powered accuracies, and the choice from both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats, Ints
from nilometer.errors import NotEnoughDataError

from ..labelled.sample import score_interval
from .quality import ModelQualities

__all__ = ["LabelledQualities", "label_qualities"]

LEAST_LABELS = 2
TRUSTED_LABELS = 20
"""Labels per candidate from which agreement is no longer asked; chosen with the priors below."""
_SLOPE_SCALE, _SPREAD_SCALE = 0.05, 0.2
"""Half-normal prior of the accuracy per standard deviation of agreement, half-Cauchy prior of what it leaves open.

Chosen among nine pairs on the recorded corpus, CNN/DailyMail and the WMT sets; RouterBench was held out.
"""
_RIDGE = 5.0
"""Labels per candidate at which half of the measured slope of all candidates is believed."""
_POOLING = 10.0
"""Labels at which a candidate's own slope weighs as much as that of all."""


@dataclass(frozen=True)
class LabelledQualities:
    """Accuracies of candidates from labels on some prompts and a proxy on all."""

    measured: ModelQualities
    """Prediction-powered accuracies: unbiased whatever the proxy is worth."""
    combined: ModelQualities
    """Posterior accuracies with agreement as the prior's ranking; for choosing, not for reporting."""
    low: Floats
    """(candidates,) lower ends of Wilson intervals of ``measured`` at its effective number of labels."""
    high: Floats
    n_labels: Ints
    """(candidates,) labels used."""
    proxy_slope: float
    """Accuracy per standard deviation of the proxy, pooled over candidates; 0 where the proxy says nothing."""
    proxy_scale: float
    """Standard deviation of the proxy within a candidate, in the proxy's unit."""
    n_effective: Floats
    """(candidates,) labels that would give the same variance without the proxy."""

    @property
    def accuracy(self) -> Floats:
        """(candidates,) prediction-powered accuracy."""
        return self.measured.quality

    @property
    def chosen(self) -> ModelQualities:
        """What the choice goes by: ``combined`` below twenty labels per candidate, ``measured`` from there on.

        Agreement helps while labels are few. It misses the model that is right where the others are wrong, so
        it gives way early.
        """
        return self.combined if self.n_labels.min() < TRUSTED_LABELS else self.measured

    @property
    def best(self) -> str:
        """The candidate to choose."""
        return self.chosen.best


class _Measured(NamedTuple):
    accuracy: Floats
    covariance: Floats
    plain_variance: Floats
    n_labels: Ints
    slope: float
    scale: float


def label_qualities(
    proxies: ArrayLike,
    scores: ArrayLike,
    *,
    candidates: Sequence[str],
    quality: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> LabelledQualities:
    r"""Accuracy of every candidate from b labels, sharpened by a proxy on all N prompts.

    A candidate is a model or a rule that picks one answer per prompt. With the proxy :math:`f` and a slope
    :math:`\lambda_p` (the regression of the candidate's scores on its proxies, drawn to that of all candidates
    where labels are few), the accuracy is

    .. math:: \hat\theta_p = \frac1b \sum_{i \le b} (y_{ip} - \lambda_p f_{ip})
              + \frac{\lambda_p}{N} \sum_{i \le N} f_{ip}

    It stays unbiased for a worthless proxy, and its variance falls by the squared correlation of proxy and
    score. The slope is the candidate's own, since a model that is right where the others are wrong gains
    nothing from agreement.

    ``combined`` is the posterior under :math:`\theta_p \sim N(a + c\,q_p, \tau^2)`, where q is the label-free
    quality, :math:`c \ge 0`: with few labels the choice is that of agreement, with many that of the labels; c
    and :math:`\tau` are averaged over their posterior. See ``chosen`` for when it is used.

    Parameters
    ----------
    proxies
        (prompts, candidates) any number that is higher for better answers, such as minus the distance sum of
        the chosen answer; known for all prompts, NaN where there is no answer.
    scores
        (prompts, candidates) in [0, 1]; NaN where not labelled.
    candidates
        Their names.
    quality
        (candidates,) label-free quality; None for a prior that ranks nobody.
    confidence_level
        Coverage of the intervals.

    Raises
    ------
    NotEnoughDataError
        If a candidate has fewer than two labels.
    ValueError
        For shapes that disagree or scores outside [0, 1].

    References
    ----------
    Angelopoulos, Duchi, Zrnic (2023), "PPI++: Efficient Prediction-Powered Inference", sec. 3,
    arXiv:2311.01453. DerSimonian and Laird (1986) for the random-effects view of ``combined``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((400, 2)) < [0.8, 0.6]
    >>> proxy = truth + 0.3 * rng.normal(size=(400, 2))
    >>> scores = np.where(np.arange(400)[:, None] < 40, truth, np.nan)
    >>> found = label_qualities(proxy, scores, candidates=["a", "b"])
    >>> found.best, bool(found.n_effective[0] > 100)
    ('a', True)
    """
    f, y, q = _checked(proxies, scores, candidates=candidates, quality=quality)
    measured = _prediction_powered(f, y)
    names, n = tuple(candidates), len(y)
    variance = np.maximum(np.diag(measured.covariance), 1e-12)
    gain = np.where(measured.plain_variance > 0, measured.plain_variance / variance, 1.0)
    effective = measured.n_labels * np.clip(gain, 1.0, n / measured.n_labels)
    p = np.clip(measured.accuracy, 0.0, 1.0)
    bounds = [score_interval(a, b, confidence_level=confidence_level) for a, b in zip(p, effective, strict=True)]
    mean, covariance = _posterior(measured, q, n)
    least = float(measured.n_labels.min())
    return LabelledQualities(
        ModelQualities(names, -p, measured.covariance, n, least, confidence_level),
        ModelQualities(names, -mean, covariance, n, least, confidence_level),
        np.array([low for low, _ in bounds]),
        np.array([high for _, high in bounds]),
        measured.n_labels,
        measured.slope,
        measured.scale,
        effective,
    )


def _checked(
    proxies: ArrayLike, scores: ArrayLike, *, candidates: Sequence[str], quality: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    f, y = np.asarray(proxies, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] != len(candidates) or f.shape != y.shape:
        raise ValueError(f"`proxies` and `scores` must be (prompts, {len(candidates)}), got {f.shape} and {y.shape}.")
    known = y[~np.isnan(y)]
    if known.size and not (known.min() >= 0.0 and known.max() <= 1.0):
        raise ValueError(f"`scores` must lie in [0, 1], got {known.min():g} to {known.max():g}.")
    counts = (~np.isnan(y)).sum(axis=0)
    for name, count in zip(candidates, counts, strict=True):
        if count < LEAST_LABELS:
            raise NotEnoughDataError(f"{name} has {count} labels.", f"Label {LEAST_LABELS} of its answers or more.")
    q = np.zeros(len(candidates)) if quality is None else np.asarray(quality, dtype=np.float64)
    if q.shape != (len(candidates),) or not np.isfinite(q).all():
        raise ValueError(f"`quality` must be {len(candidates)} finite numbers, got {quality!r}.")
    return f, y, q


def _prediction_powered(proxies: Floats, scores: Floats) -> _Measured:
    """Regression estimator per candidate; its covariance from the influence of every prompt."""
    labelled = ~np.isnan(scores)
    y = np.where(labelled, scores, 0.0)
    f, scale = _standardised(proxies)
    n, counts = len(y), labelled.sum(axis=0)
    means = y.sum(axis=0) / counts
    mean_f = (f * labelled).sum(axis=0) / counts
    gap_y, gap_f = (y - means) * labelled, (f - mean_f) * labelled
    together, below = (gap_y * gap_f).sum(axis=0), (gap_f * gap_f).sum(axis=0)
    pooled = max(float(together.sum() / (below.sum() + _RIDGE * len(means))), 0.0)
    slope = np.maximum((together + _POOLING * pooled) / (below + _POOLING), 0.0)
    accuracy = means + slope * (f.mean(axis=0) - mean_f)
    inflated = n / np.sqrt(counts * (counts - 1.0))
    leverage = np.minimum(gap_f**2 / (below + _POOLING), 0.5)  # a slope hides part of its own residuals
    influence = inflated * (gap_y - slope * gap_f) / (1.0 - leverage) + slope * (f - f.mean(axis=0))
    plain = (inflated * gap_y) ** 2
    covariance = influence.T @ influence / n**2
    return _Measured(accuracy, covariance, plain.sum(axis=0) / n**2, counts, pooled, scale)


def _standardised(proxies: Floats) -> tuple[Floats, float]:
    """Centred proxies on one scale for all candidates, and the scale; a missing answer has its candidate's mean."""
    present = ~np.isnan(proxies)
    counts = np.maximum(present.sum(axis=0), 1)
    f = np.where(present, proxies, 0.0)
    mean = f.sum(axis=0) / counts
    f = np.where(present, f - mean, 0.0)
    scale = float(np.sqrt((f**2).sum() / max(int(present.sum()), 1)))
    return (f / scale, scale) if scale > 0 else (f, 1.0)


def _posterior(measured: _Measured, quality: Floats, n_prompts: int) -> tuple[Floats, Floats]:
    """Mean and covariance of the accuracies, averaged over a grid of slope and spread."""
    m, spread = len(quality), float(quality.std())
    q = (quality - quality.mean()) / spread if spread > 0 else np.zeros(m)
    noise = _steady(measured, n_prompts)
    slopes = np.linspace(0.0, 3.0 * _SLOPE_SCALE, 31) if spread > 0 else np.zeros(1)
    taus = np.geomspace(0.01, 3.0 * _SPREAD_SCALE, 31)
    gaps = measured.accuracy - 0.5 - slopes[:, None] * q
    weights, means, covariances = [], [], []
    for tau in taus:
        prior = tau**2 * np.eye(m) + 1.0
        precision = np.linalg.inv(prior + noise)
        gain = prior @ precision
        fit = np.einsum("si,ij,sj->s", gaps, precision, gaps) - np.linalg.slogdet(precision)[1]
        density = np.log(tau) - np.log1p((tau / _SPREAD_SCALE) ** 2)  # on a logarithmic grid
        weights.append(density - 0.5 * (fit + (slopes / _SLOPE_SCALE) ** 2))
        means.append(0.5 + slopes[:, None] * q + gaps @ gain.T)
        covariances.append(prior - gain @ prior)
    w = np.exp(np.array(weights) - np.max(weights))
    w /= w.sum()
    centre = np.einsum("ts,tsi->i", w, np.array(means))
    apart = np.array(means) - centre
    inside = np.einsum("t,tij->ij", w.sum(axis=1), np.array(covariances))
    return centre, inside + np.einsum("ts,tsi,tsj->ij", w, apart, apart)


def _steady(measured: _Measured, n_prompts: int) -> Floats:
    """Covariance with two pseudo-labels, so that a few equal labels do not look like certainty."""
    p = (measured.accuracy.clip(0, 1).mean() * measured.n_labels.mean() + 1) / (measured.n_labels.mean() + 2)
    typical = p * (1 - p) * (0.5 * np.eye(len(measured.accuracy)) + 0.5)
    b = np.sqrt(np.outer(measured.n_labels, measured.n_labels))
    return np.asarray((measured.covariance * (b - 1) + 2.0 * typical / b) / (b + 1))
