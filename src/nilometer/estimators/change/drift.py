"""Change between a reference and later traffic: of scores, of the mix of slices, and of accuracy by both."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Floats, Strings

from ..labelled.sample import sums_and_sizes
from .means import MeanChange, MeanSums, compare_means

__all__ = [
    "AccuracyChange",
    "ScoreDrift",
    "SliceChange",
    "decompose_change",
    "holm",
    "mean_change",
    "permuted_mean_change",
    "score_drift",
]

_MOST_CLUSTERS, _BATCH = 200, 2000
_MOST_PAIRS = 100_000
"""Product of the sample sizes up to which p-values are exact; beyond it the asymptotic one is as good."""


class ScoreDrift(NamedTuple):
    """How far two samples of scores are apart."""

    ks: float
    """Kolmogorov-Smirnov: the largest gap of the two distribution functions, in [0, 1]."""
    wasserstein: float
    """Mean shift of the sorted scores, in the unit of the score."""
    p_value: float
    """Of the Kolmogorov-Smirnov statistic, if nothing changed and responses are independent."""


def score_drift(reference: Floats, monitored: Floats) -> ScoreDrift | None:
    """Compare the distribution of a score in two stretches of traffic; None if one has fewer than 2.

    References
    ----------
    Hodges (1958), "The significance probability of the Smirnov two-sample test".

    Examples
    --------
    >>> score_drift(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])).ks
    0.0
    """
    before, after = np.sort(reference[~np.isnan(reference)]), np.sort(monitored[~np.isnan(monitored)])
    m, n = sorted((before.size, after.size))
    if m < 2:
        return None
    values = np.sort(np.concatenate([before, after]))
    gaps = np.abs(
        np.searchsorted(before, values, side="right") / before.size
        - np.searchsorted(after, values, side="right") / after.size
    )
    ks = float(gaps.max())
    wasserstein = float(gaps[:-1] @ np.diff(values))
    if m * n <= _MOST_PAIRS:
        return ScoreDrift(ks, wasserstein, _exact_p_value(int(np.ceil(ks * m * n - 1e-6)), m, n))
    return ScoreDrift(ks, wasserstein, _asymptotic_p_value(ks, m, n))


def _asymptotic_p_value(ks: float, m: int, n: int) -> float:
    from scipy.stats import kstwo

    return float(kstwo.sf(ks, round(m * n / (m + n))))


@lru_cache(maxsize=100_000)
def _exact_p_value(pairs: int, m: int, n: int) -> float:
    """Share of the orders of m + n values in which the distribution functions are ``pairs / (m n)`` or more apart.

    An order is a path from (0, 0) to (m, n). Counted are the paths that reach the edge of the band around the
    diagonal, row by row and as shares, so that nothing overflows. scipy's own changes the filters of warnings, which
    threads share.
    """
    apart = pairs / (m * n)
    place = np.arange(n + 1) / n
    every, outside = np.ones(n + 1), (place >= apart - 1e-12).astype(np.float64)
    for i in range(1, m + 1):
        step = i / (i + n)
        every = step * np.cumsum(every)
        low, high = np.searchsorted(place, [i / m - apart + 1e-12, i / m + apart - 1e-12])
        reached = np.cumsum(np.concatenate([every[low - 1 : low] if low else [0.0], step * outside[low:high]]))[1:]
        outside = every.copy()
        outside[low:high] = reached
    return float(outside[-1])


def mean_change(
    reference: Floats,
    monitored: Floats,
    *,
    reference_clusters: NDArray[Any] | None = None,
    clusters: NDArray[Any] | None = None,
) -> MeanChange | None:
    """Change of the mean of a score, and the two-sided p-value of no change (Welch's t).

    Responses to one prompt or of one user go as one if the clusters are given. None if a side has fewer than 2.

    Parameters
    ----------
    reference, monitored
        Shape (n,), scores such as the probability of a correct answer; NaN is left out.
    reference_clusters, clusters
        Shape (n,), cluster of each response of either side.

    References
    ----------
    Welch (1947). Donner and Klar (2000), "Design and Analysis of Cluster Randomization Trials", for clusters.

    Examples
    --------
    >>> found = mean_change(np.array([0.9, 0.8, 0.7, 0.9]), np.array([0.3, 0.4, 0.2, 0.3]))
    >>> round(found.change, 3), found.p_value < 0.001
    (-0.525, True)
    """
    return compare_means(_spread(reference, reference_clusters), _spread(monitored, clusters))


def permuted_mean_change(
    reference: Floats,
    monitored: Floats,
    *,
    reference_clusters: NDArray[Any],
    clusters: NDArray[Any],
    n_permutations: int,
    rng: np.random.Generator,
) -> float | None:
    r"""P-value of "nothing changed" by shuffling whole clusters between the sides; None if a side has fewer than two.

    .. math:: p = (1 + \#\{b : |t_b| \ge |t|\}) / (1 + B)

    with Welch's t of :func:`mean_change`. It holds for any number of clusters and any distribution, where Welch's own
    p-value is far too small with a handful of prompts whose answers are alike. It is never below 1 / (B + 1). Of a
    side with more than 200 clusters, 200 are drawn.

    Parameters
    ----------
    reference, monitored
        Shape (n,), scores; NaN is left out.
    reference_clusters, clusters
        Shape (n,), cluster of each response of either side.
    n_permutations
        B.
    rng
        Draws and shuffles.

    References
    ----------
    Janssen (1997), "Studentized permutation tests", Statistics & Probability Letters 36.

    Examples
    --------
    >>> one, other = np.array([0.9, 0.8, 0.7, 0.9]), np.array([0.3, 0.4, 0.2, 0.3])
    >>> names, rng = np.arange(4), np.random.default_rng(0)
    >>> shared = {"reference_clusters": names, "clusters": names, "n_permutations": 999, "rng": rng}
    >>> permuted_mean_change(one, other, **shared) < 0.05  # 2 of the 70 ways to share them out are as far apart
    True
    """
    before, after = (_cluster_sums(*side, rng=rng) for side in ((reference, reference_clusters), (monitored, clusters)))
    if min(len(before), len(after)) < 2:
        return None
    both, n_before = np.concatenate([before, after]), len(before)
    both[:, 0] -= both[:, 1] * both[:, 0].sum() / both[:, 1].sum()  # centred: squares stay exact
    moments = np.stack([both[:, 0], both[:, 1], both[:, 0] ** 2, both[:, 0] * both[:, 1], both[:, 1] ** 2], axis=1)
    chosen = np.zeros((1, len(both)))
    chosen[0, :n_before] = 1
    observed = float(_welch(chosen, moments, n_before)[0]) * (1 - 1e-9)
    beyond = 0
    for start in range(0, n_permutations, _BATCH):
        size = min(_BATCH, n_permutations - start)
        chosen = np.zeros((size, len(both)))
        first = np.argsort(rng.random(chosen.shape), axis=1)[:, :n_before]
        np.put_along_axis(chosen, first, 1.0, axis=1)
        beyond += int((_welch(chosen, moments, n_before) >= observed).sum())
    return (1 + beyond) / (1 + n_permutations)


def _cluster_sums(values: Floats, clusters: NDArray[Any], *, rng: np.random.Generator) -> Floats:
    """Sum and number of the known values of each cluster, of at most 200 clusters."""
    known = ~np.isnan(values)
    sums: Floats = np.stack(sums_and_sizes(values[known], np.asarray(clusters)[known]), axis=1)
    return sums if len(sums) <= _MOST_CLUSTERS else rng.choice(sums, _MOST_CLUSTERS, replace=False, axis=0)


def _welch(chosen: Floats, moments: Floats, n_chosen: int) -> Floats:
    """|t| of the chosen clusters (rows of 0 and 1) against the others; infinite where nothing varies but means do."""
    means, variances = [], []
    for mask, n in ((chosen, n_chosen), (1 - chosen, chosen.shape[1] - n_chosen)):
        total, size, squares, products, sizes = (mask @ moments).T
        mean = total / size
        means.append(mean)
        variances.append(np.maximum(n / (n - 1) * (squares - 2 * mean * products + mean**2 * sizes) / size**2, 0))
    change, error = np.abs(means[0] - means[1]), np.sqrt(variances[0] + variances[1])
    return np.asarray(change / np.maximum(error, 1e-12))


def _spread(values: Floats, clusters: NDArray[Any] | None) -> tuple[float, float, int] | None:
    """Mean, squared standard error, and independent parts of one side."""
    if clusters is None:
        return MeanSums.of(values).finish()
    known = ~np.isnan(values)
    own = values[known]
    parts = np.unique(np.asarray(clusters)[known], return_inverse=True)[1]
    n_parts = int(parts.max(initial=-1)) + 1
    if n_parts < 2:
        return None
    mean = float(own.mean())
    sums = np.bincount(parts, own - mean)
    return mean, float(n_parts / (n_parts - 1) * (sums**2).sum() / own.size**2), n_parts


def holm(p_values: Floats) -> Floats:
    """Adjust p-values so that the chance of any false alarm among them is the level at most.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


class SliceChange(NamedTuple):
    """What one slice adds to a change of the accuracy of all traffic; ``mix + within`` is its share of it."""

    slice: str
    share_before: float
    share_after: float
    accuracy_before: float | None
    accuracy_after: float | None
    mix: float
    within: float


class AccuracyChange(NamedTuple):
    """A change of the accuracy of all traffic, split into the mix of slices and what happened inside them."""

    before: float
    after: float
    mix: float
    within: float
    slices: tuple[SliceChange, ...]


def decompose_change(
    shares: tuple[Floats, Floats], accuracies: tuple[Floats, Floats], *, names: Strings
) -> AccuracyChange:
    r"""Split a change of accuracy into the mix of slices and the change within slices; the parts add up exactly.

    .. math:: a_1 - a_0 = \sum_s (w_{1s} - w_{0s}) \Big(\frac{a_{0s} + a_{1s}}2 - \frac{a_0 + a_1}2\Big)
              + \sum_s \frac{w_{0s} + w_{1s}}2 (a_{1s} - a_{0s})

    A slice that came or went has no change within: its one accuracy counts for both sides.

    Parameters
    ----------
    shares
        Before and after, each of shape (S,) with sum 1.
    accuracies
        Before and after, each of shape (S,); NaN is allowed where the share is 0.
    names
        Shape (S,), slices.

    Raises
    ------
    ValueError
        If shares do not sum to 1, or an accuracy is missing where there is traffic.

    References
    ----------
    Kitagawa (1955), "Components of a difference between two rates", JASA 50.

    Examples
    --------
    >>> shares = (np.array([0.5, 0.5]), np.array([0.2, 0.8]))
    >>> accuracies = (np.array([0.9, 0.5]), np.array([0.9, 0.4]))
    >>> found = decompose_change(shares, accuracies, names=np.array(["easy", "hard"]))
    >>> round(found.after - found.before, 3), round(found.mix, 3), round(found.within, 3)
    (-0.2, -0.135, -0.065)
    """
    w0, w1 = shares
    for name, share in (("before", w0), ("after", w1)):
        if not np.isclose(share.sum(), 1):
            raise ValueError(f"`shares` must sum to 1, got {share.sum():g} {name}.")
    a0, a1 = (np.where(weight > 0, accuracy, np.nan) for weight, accuracy in zip(shares, accuracies, strict=True))
    if np.isnan(a0[w0 > 0]).any() or np.isnan(a1[w1 > 0]).any():
        raise ValueError("`accuracies` must be known for every slice with traffic.")
    a0, a1 = np.where(np.isnan(a0), a1, a0), np.where(np.isnan(a1), a0, a1)
    a0, a1 = np.nan_to_num(a0), np.nan_to_num(a1)  # in neither stretch
    before, after = float(w0 @ a0), float(w1 @ a1)
    mix = (w1 - w0) * ((a0 + a1) / 2 - (before + after) / 2)
    within = (w0 + w1) / 2 * (a1 - a0)
    rows = tuple(
        SliceChange(
            str(names[i]),
            float(w0[i]),
            float(w1[i]),
            float(a0[i]) if w0[i] > 0 else None,
            float(a1[i]) if w1[i] > 0 else None,
            float(mix[i]),
            float(within[i]),
        )
        for i in range(len(names))
    )
    return AccuracyChange(before, after, float(mix.sum()), float(within.sum()), rows)
