"""Weak slices that nobody named: conjunctions of attributes with many expected errors, confirmed by labels."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats, Strings
from nilometer.traces import index_slices

__all__ = ["WeakSlice", "benjamini_hochberg", "cluster_embeddings", "confirm_weak_slices", "find_weak_slices"]

_MOST_VALUES = 50


class WeakSlice(NamedTuple):
    """A part of the traffic with many expected errors."""

    conditions: tuple[tuple[str, str], ...]
    """Attribute and value; all of them hold."""
    n: int
    expected_error: float
    score: float
    """SliceLine's: above 0 if it is worse than all traffic by more than its size costs."""
    n_labels: int = 0
    realized_error: float | None = None
    p_value: float | None = None
    """Of "no more errors than in the rest", after Benjamini and Hochberg."""

    @property
    def name(self) -> str:
        """The conditions in words."""
        return ", ".join(f"{key}={value}" for key, value in self.conditions)


def find_weak_slices(
    error: Floats,
    attributes: Mapping[str, Any],
    *,
    depth: int = 2,
    least: int = 30,
    most: int = 20,
    alpha: float = 0.99,
) -> tuple[WeakSlice, ...]:
    r"""Find the conjunctions of attribute values with the highest SliceLine score.

    .. math:: \text{score} = \alpha \Big(\frac{\bar e_S}{\bar e} - 1\Big) - (1 - \alpha) \Big(\frac n{|S|} - 1\Big)

    All conjunctions of up to ``depth`` attributes with at least ``least`` responses are tried. One that contains a
    simpler slice with an equal or higher score is left out. What is found on expected errors is a suspicion;
    ``confirm_weak_slices`` tests it on labels that were not used to find it.

    Parameters
    ----------
    error
        Shape (n,), expected error of each response: 1 − probability of a correct answer.
    attributes
        By key, shape (n,), lists, arrays or ``SliceIndex``; keys with more than 50 values are left out, as they name
        responses rather than slices.
    depth
        Largest number of conditions.
    least
        Fewest responses of a slice.
    most
        Slices returned.
    alpha
        Weight of the error against the size, in (0, 1]. SliceLine's 0.95 leaves out slices below a twentieth of traffic
        unless they have twice the errors; 0.99 lets them in.

    Raises
    ------
    ValueError
        If an attribute or the error is not of the same length, or an error is missing.

    References
    ----------
    Sagadeeva and Boehm (2021), "SliceLine", SIGMOD, sec. 2.

    Examples
    --------
    >>> error = np.tile([0.1, 0.1, 0.1, 0.9], 50)
    >>> attributes = {"kind": np.tile(["a", "a", "b", "b"], 50), "size": np.tile(["s", "l", "s", "l"], 50)}
    >>> find_weak_slices(error, attributes)[0].name
    'kind=b, size=l'
    """
    error = np.asarray(error, dtype=np.float64)
    if np.isnan(error).any():
        raise ValueError(f"`error` must have no NaN, got {int(np.isnan(error).sum())}.")
    base = float(error.mean()) if error.size else 0.0
    if not base > 0:
        return ()
    singles = _single_conditions(attributes, len(error), least)
    found: list[WeakSlice] = []
    masks: dict[tuple[tuple[str, str], ...], Bools] = {}
    for size in range(1, depth + 1):
        for group in combinations(singles, size):
            if len({key for key, _ in group}) < size:
                continue
            mask = singles[group[0]] if size == 1 else masks.get(group[:-1], _NONE) & singles[group[-1]]
            n = int(mask.sum())
            if n < least:
                continue
            masks[group] = mask
            mean = float(error[mask].mean())
            score = alpha * (mean / base - 1) - (1 - alpha) * (len(error) / n - 1)
            found.append(WeakSlice(group, n, mean, score))
    found.sort(key=lambda one: (-one.score, len(one.conditions), one.conditions))
    kept: list[WeakSlice] = []
    for one in found:
        inside = any(set(other.conditions) < set(one.conditions) for other in kept)
        if one.score > 0 and not inside and len(kept) < most:
            kept.append(one)
    return tuple(kept)


_NONE = np.zeros(1, dtype=np.bool_)


def _single_conditions(attributes: Mapping[str, Any], n: int, least: int) -> dict[tuple[str, str], Bools]:
    singles: dict[tuple[str, str], Bools] = {}
    for key in sorted(attributes):
        index = index_slices(attributes[key])
        if len(index) != n:
            raise ValueError(f"`attributes` must have {n} values like `error`, got {len(index)} for {key!r}.")
        if len(index.names) > _MOST_VALUES:
            continue
        wanted = [(i, name) for i, name in enumerate(index.names) if index.counts[i] >= least]
        singles |= {(key, name): index.codes == i for i, name in wanted}
    return singles


def confirm_weak_slices(
    slices: Sequence[WeakSlice], correct: Floats, attributes: Mapping[str, Any], *, least: int = 10
) -> tuple[WeakSlice, ...]:
    """Test on labels whether found slices have more errors than the rest of the traffic.

    Fisher's exact test, one-sided, of errors inside against outside; p-values are adjusted by Benjamini and
    Hochberg, so that of the slices called weak at 0.1 no more than a tenth are expected to be false. Slices with fewer
    than ``least`` labels get no p-value.

    Parameters
    ----------
    slices
        From ``find_weak_slices``, found without these labels.
    correct
        Shape (n,), labels, NaN where there is none; at least 0.5 counts as correct.
    attributes
        As for ``find_weak_slices``.
    least
        Fewest labels of a slice to test it.

    Examples
    --------
    >>> slices = (WeakSlice((("kind", "b"),), 20, 0.5, 1.0),)
    >>> kinds, correct = np.repeat(["a", "b"], 20), np.repeat([1.0, 0.0], 20)
    >>> confirm_weak_slices(slices, correct, {"kind": kinds})[0].p_value < 1e-6
    True
    """
    from scipy.stats import fisher_exact

    known = ~np.isnan(correct)
    wrong = known & (np.nan_to_num(correct, nan=1.0) < 0.5)
    indexes = {key: index_slices(values) for key, values in attributes.items()}
    tested, p_values = [], []
    for one in slices:
        inside = np.all([indexes[key].is_in(value) for key, value in one.conditions], axis=0)
        n, errors = int((inside & known).sum()), int((inside & wrong).sum())
        rest, rest_errors = int((~inside & known).sum()), int((~inside & wrong).sum())
        one = one._replace(n_labels=n, realized_error=errors / n if n else None)
        tested.append(one)
        table = [[errors, n - errors], [rest_errors, rest - rest_errors]]
        p_values.append(float(fisher_exact(table, alternative="greater").pvalue) if n >= least and rest else np.nan)
    adjusted = benjamini_hochberg(np.array(p_values))
    return tuple(
        one._replace(p_value=None if np.isnan(p) else float(p)) for one, p in zip(tested, adjusted, strict=True)
    )


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Adjust p-values for the false discovery rate; NaN stays and does not count.

    References
    ----------
    Benjamini and Hochberg (1995), "Controlling the false discovery rate".

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.04, 0.04]
    """
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    raised = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return adjusted


def cluster_embeddings(embeddings: Floats, n_clusters: int, *, seed: int = 0) -> Strings:
    """Name a cluster for every response by k-means on its embedding scaled to length 1.

    Put the names beside the attributes, as a key of their own, and ``find_weak_slices`` looks at them too.

    Parameters
    ----------
    embeddings
        Shape (n, dim), of the prompts.
    n_clusters
        From 1 to n.
    seed
        Of the start.

    Examples
    --------
    >>> names = cluster_embeddings(np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]), 2)
    >>> bool(names[0] == names[1] and names[2] == names[3] and names[0] != names[2])
    True
    """
    from sklearn.cluster import KMeans

    if not 1 <= n_clusters <= len(embeddings):
        raise ValueError(f"`n_clusters` must lie in 1 to {len(embeddings)}, got {n_clusters}.")
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = KMeans(n_clusters, n_init=4, random_state=seed).fit_predict(embeddings / np.where(length > 0, length, 1.0))
    return np.array([f"cluster {i}" for i in found])
