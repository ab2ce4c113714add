"""Averages of the distance table over neighbouring prompts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Neighbours", "find_neighbours", "smoothed_sums"]

Floats = NDArray[np.float64]

CHUNK_ROWS = 4096


class Neighbours(NamedTuple):
    """Fitted prompts near each asked one."""

    rows: NDArray[np.int64]
    """(prompts, k) row numbers, nearest first."""
    weights: Floats
    """(prompts, k), summing to 1 per prompt."""


def find_neighbours(fitted: Floats, prompts: ArrayLike, *, k: int, weighting: str) -> Neighbours:
    """Find the k nearest fitted prompts by Euclidean distance, exactly.

    Raises
    ------
    ValueError
        If the vectors differ in length or are not finite.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = np.asarray(prompts, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != fitted.shape[1] or not np.isfinite(rows).all():
        raise ValueError(f"`prompts` must be finite (prompts, {fitted.shape[1]}), got shape {rows.shape}.")
    distances, indices = NearestNeighbors(n_neighbors=k).fit(fitted).kneighbors(rows)
    if weighting == "uniform":
        return Neighbours(indices, np.full(indices.shape, 1.0 / k))
    width = np.where(distances[:, -1:] > 0, distances[:, -1:], 1.0)
    weights = np.exp(-0.5 * (distances / width) ** 2)
    return Neighbours(indices, weights / weights.sum(axis=1, keepdims=True))


def smoothed_sums(
    sums: Floats, present: NDArray[np.bool_], near: Neighbours, *, pairs: NDArray[np.bool_]
) -> tuple[Floats, Floats | None]:
    """Distance sums averaged over neighbours, and how often both of a pair are present.

    Returns
    -------
    tuple
        ``(sums (prompts, models), counts (prompts, models, models) or None if nothing is missing)``.
    """
    n, m = len(near.rows), sums.shape[1]
    means = np.empty((n, m))
    counts = None if present.all() else np.empty((n, m, m))
    for start in range(0, n, CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        weights = near.weights[part]
        means[part] = np.einsum("nk,nkm->nm", weights, sums[near.rows[part]])
        if counts is not None:
            here = present[near.rows[part]].astype(np.float64)
            counts[part] = np.einsum("nk,nki,nkj->nij", weights, here, here, optimize=True) * pairs
    return means, counts
