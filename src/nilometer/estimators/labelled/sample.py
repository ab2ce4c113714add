"""The accuracy of a slice from labels of some of its responses, by simple random sampling."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Bools, Floats, Ints
from nilometer.errors import NotEnoughDataError

__all__ = [
    "Found",
    "LabelledAccuracy",
    "check_sample",
    "cluster_sums",
    "finish",
    "labelled_mean",
    "score_interval",
    "score_intervals",
    "size_by_design",
    "sizes_by_design",
    "sums_and_sizes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledAccuracy:
    """The accuracy of one slice from labels, with its interval. All accuracies lie in [0, 1]."""

    accuracy: float
    low: float
    high: float
    standard_error: float
    confidence_level: float
    n: int
    """Responses in the slice."""
    n_labels: int
    n_effective: float
    """Labels drawn at random from unlimited traffic that would be as informative; infinite if all are labelled."""
    method: str
    weight: float = 0.0
    """Weight of the predictions: 0 for labels alone."""


def labelled_mean(
    correct: Floats, *, clusters: NDArray[Any] | None = None, finite: bool = True, confidence_level: float = 0.95
) -> LabelledAccuracy:
    r"""Accuracy of a slice of N responses of which n, drawn at random, have labels.

    The estimate is their mean. With ``finite`` it speaks of these N responses and the variance is
    :math:`(1 - n/N)\, s^2 / n`; otherwise of the traffic that they came from, without the first factor. The
    interval is Wilson's with :math:`n (N - 1) / (N - n)` labels, so it closes when all are labelled.

    Responses to one prompt or of one user err together. ``clusters`` says which belong together; with the
    sums :math:`e_g` of the deviations in the G labelled clusters the variance is
    :math:`\frac{G}{G - 1} \sum_g e_g^2 / n^2`, and the interval uses t with G − 1 degrees of freedom.

    Parameters
    ----------
    correct
        Shape (N,), labels in [0, 1], NaN where there is none.
    clusters
        Shape (N,), cluster of each response; give it if labels were drawn cluster by cluster, or if the
        estimate shall speak of other traffic.
    finite
        Whether the accuracy of just these N responses is asked for.
    confidence_level
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If fewer than 2 responses, or fewer than 2 clusters, have labels.

    References
    ----------
    Cochran (1977), "Sampling Techniques", ch. 2, 9. Wilson (1927). Korn and Graubard (1998), Survey
    Methodology 24, for score intervals with an effective sample size.

    Examples
    --------
    >>> correct = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1] + [np.nan] * 10)
    >>> found = labelled_mean(correct)
    >>> round(found.accuracy, 2), round(found.low, 2), round(found.high, 2), round(found.n_effective, 2)
    (0.7, 0.48, 0.86, 19.0)
    """
    known = check_sample(correct, confidence_level=confidence_level)
    n, size, labels = int(known.sum()), len(correct), correct[known]
    mean = float(labels.mean())
    left = 1 - n / size if finite else 1.0
    variance = left * float(labels.var(ddof=1)) / n
    effective = float(_plain_sizes(np.array([n]), np.array([size]), finite=finite).item())
    if clusters is None:
        return finish(Found(mean, variance, effective), known, method="labels", confidence_level=confidence_level)
    sums, _ = cluster_sums(labels - mean, np.asarray(clusters)[known])
    clustered = left * len(sums) / (len(sums) - 1) * float((sums**2).sum()) / n**2
    if variance > 0 and clustered > 0:
        effective *= variance / clustered
    found = Found(mean, clustered, effective, len(sums) - 1)
    return finish(found, known, method="labels, clustered", confidence_level=confidence_level)


def check_sample(correct: Floats, *, least: int = 2, confidence_level: float = 0.95) -> Bools:
    """Return which responses have labels; refuse labels outside [0, 1] and fewer than ``least``."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"`confidence_level` must lie in (0, 1), got {confidence_level}.")
    known = ~np.isnan(correct)
    labels = correct[known]
    if labels.size and (labels.min() < 0 or labels.max() > 1):
        raise ValueError(f"`correct` must lie in [0, 1], got {labels.min():g} to {labels.max():g}.")
    if labels.size < least:
        raise NotEnoughDataError(
            f"{labels.size} of {len(correct)} responses have labels.",
            f"Label at least {least - labels.size} more of them.",
        )
    return np.asarray(known)


def cluster_sums(values: Floats, clusters: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the sum of ``values`` in each cluster, and the size of each.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than 2 clusters.

    Examples
    --------
    >>> cluster_sums(np.array([1.0, 2.0, 4.0]), np.array(["a", "b", "a"]))[0].tolist()
    [5.0, 2.0]
    """
    sums, sizes = sums_and_sizes(values, clusters)
    if sums.size < 2:
        raise NotEnoughDataError("all labels are in one cluster.", "Label responses of at least one more cluster.")
    return sums, sizes


def sums_and_sizes(values: Floats, clusters: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the sum of ``values`` in each cluster, and the size of each, of however few."""
    names, place = np.unique(clusters, return_inverse=True)
    sums = np.bincount(place, values, names.size).astype(np.float64)
    return sums, np.bincount(place, minlength=names.size).astype(np.float64)


def score_interval(
    accuracy: float, n_effective: float, *, df: float = np.inf, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Wilson's score interval for an accuracy that is worth ``n_effective`` labels, with a t factor.

    Examples
    --------
    >>> [round(end, 3) for end in score_interval(0.5, 100.0)]
    [0.404, 0.596]
    >>> score_interval(0.5, np.inf)
    (0.5, 0.5)
    """
    low, high = score_intervals(
        *np.array([[accuracy], [n_effective]], dtype=np.float64),
        df=np.array([df], dtype=np.float64),
        levels=confidence_level,
    )
    return low.item(), high.item()


def score_intervals(accuracy: Floats, n: Floats, *, df: Floats, levels: Floats | float) -> tuple[Floats, Floats]:
    """Ends of :func:`score_interval` for many accuracies at once, each of shape (slices,)."""
    from scipy.special import ndtri, stdtrit

    quantile, normal, closed = 0.5 + np.asarray(levels) / 2, np.isinf(df), np.isinf(n)
    z2 = np.where(normal, ndtri(quantile), stdtrit(np.where(normal, 1.0, df), quantile)) ** 2
    n = np.where(closed, 1.0, n)
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    inside = np.maximum(accuracy * (1 - accuracy), 0.0) / n + z2 / (4 * n**2)
    half = np.sqrt(z2 * inside) / (1 + z2 / n)
    low = np.where(closed, accuracy, np.maximum(0.0, np.minimum(centre - half, accuracy)))
    return low, np.where(closed, accuracy, np.minimum(1.0, np.maximum(centre + half, accuracy)))


class Found(NamedTuple):
    """What an estimator of this family found, before the interval is made."""

    accuracy: float
    variance: float
    n_effective: float
    df: float = np.inf
    """Degrees of freedom behind the variance; infinite where Wilson's normal quantile will do."""
    weight: float = 0.0


def finish(found: Found, known: Bools, *, method: str, confidence_level: float) -> LabelledAccuracy:
    """Draw the accuracy into [0, 1] and give it its score interval: the last step of every estimator here."""
    accuracy = float(np.clip(found.accuracy, 0, 1))
    low, high = score_interval(accuracy, found.n_effective, df=found.df, confidence_level=confidence_level)
    return LabelledAccuracy(
        accuracy=accuracy,
        low=low,
        high=high,
        standard_error=float(np.sqrt(max(found.variance, 0.0))),
        confidence_level=confidence_level,
        n=len(known),
        n_labels=int(known.sum()),
        n_effective=found.n_effective,
        method=method,
        weight=found.weight,
    )


def size_by_design(accuracy: float, variance: float, n: int, *, size: int, finite: bool) -> float:
    """Labels drawn at random from unlimited traffic that would have ``variance``.

    Where the variance is not known (all labels alike) it is that of a simple random sample of n of ``size``.

    Examples
    --------
    >>> round(size_by_design(0.5, 0.0025, 51, size=1000, finite=False))
    102
    """
    own = np.array([[accuracy], [variance], [n], [size]], dtype=np.float64)
    return float(sizes_by_design(*own[:3], size=own[3], finite=finite).item())


def sizes_by_design(accuracy: Floats, variance: Floats, n: Floats, *, size: Floats, finite: bool) -> Floats:
    """Give :func:`size_by_design` of many slices, each argument of shape (slices,)."""
    accuracy = np.clip(accuracy, 0, 1)
    plain = _plain_sizes(n, size, finite=finite)
    simple = accuracy * (1 - accuracy) / np.maximum(n - 1, 1) * (1 - n / size if finite else 1.0)
    unknown = (variance <= 0) | (simple <= 0)
    bounded, divided = np.where(unknown, 0.0, plain), np.where(unknown, 1.0, variance)
    return np.where(unknown, plain, bounded * simple / divided)


def _plain_sizes(n: Floats | Ints, size: Floats | Ints, *, finite: bool) -> Floats:
    return np.where(n >= size, np.inf, n * (size - 1) / np.maximum(size - n, 1)) if finite else n.astype(np.float64)
