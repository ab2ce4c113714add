"""Averages of the distance table over neighbouring prompts."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Bools, Floats, Ints

__all__ = ["Neighbours", "PromptIndex", "smoothed_sums"]

CHUNK_ROWS = 4096
FEW = 8
"""Up to so many prompts at once are searched without scikit-learn, whose call alone costs longer."""


class Neighbours(NamedTuple):
    """Fitted prompts near each asked one."""

    rows: Ints
    """(prompts, k) row numbers, nearest first."""
    weights: Floats
    """(prompts, k), summing to 1 per prompt."""


class PromptIndex:
    """Exact Euclidean neighbours among fitted prompts.

    One matrix product in float32 finds candidates and a bound on its rounding keeps all that could be among
    the k nearest; these few are compared in float64. Many prompts at once go to scikit-learn.

    Parameters
    ----------
    fitted
        (prompts, dim), finite.
    """

    def __init__(self, fitted: Floats) -> None:
        self.fitted = fitted
        self._small = fitted.astype(np.float32)
        self._squares = np.einsum("nd,nd->n", fitted, fitted)
        largest = float(np.sqrt(self._squares.max())) if len(fitted) else 0.0
        self._rounding = 4.0 * fitted.shape[1] * 2.0**-24 * largest

    def nearest(self, prompts: ArrayLike, *, k: int, weighting: str = "uniform") -> Neighbours:
        """Find the k nearest fitted prompts.

        Raises
        ------
        ValueError
            If the vectors differ in length or are not finite.
        """
        rows = np.asarray(prompts, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.fitted.shape[1] or not np.isfinite(rows).all():
            shape = f"(prompts, {self.fitted.shape[1]})"
            raise ValueError(f"`prompts` must be finite {shape}, got shape {rows.shape}.")
        found = [self._one(row, k) for row in rows] if len(rows) <= FEW else self._many(rows, k)
        indices = np.stack([pair[0] for pair in found]) if len(found) else np.empty((0, k), dtype=np.int64)
        distances = np.stack([pair[1] for pair in found]) if len(found) else np.empty((0, k))
        if weighting == "uniform":
            return Neighbours(indices, np.full(indices.shape, 1.0 / k))
        width = np.where(distances[:, -1:] > 0, distances[:, -1:], 1.0)
        weights = np.exp(-0.5 * (distances / width) ** 2)
        return Neighbours(indices, weights / weights.sum(axis=1, keepdims=True))

    def _one(self, row: Floats, k: int) -> tuple[Ints, Floats]:
        # einsum rather than @: for one row, waking a pool of BLAS threads costs more than the product
        coarse = self._squares - 2.0 * np.einsum("nd,d->n", self._small, row.astype(np.float32))
        limit = np.partition(coarse, k - 1)[k - 1] + 2.0 * self._rounding * float(np.sqrt(row @ row))
        near = np.flatnonzero(coarse <= limit)
        gaps = self.fitted[near] - row
        distances = np.sqrt(np.einsum("nd,nd->n", gaps, gaps))
        order = np.argsort(distances, kind="stable")[:k]
        return near[order], distances[order]

    def _many(self, rows: Floats, k: int) -> list[tuple[Ints, Floats]]:
        from sklearn.neighbors import NearestNeighbors

        distances, indices = NearestNeighbors(n_neighbors=k).fit(self.fitted).kneighbors(rows)
        return list(zip(indices, distances, strict=True))


def smoothed_sums(sums: Floats, present: Bools, near: Neighbours, *, pairs: Bools) -> tuple[Floats, Floats | None]:
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
