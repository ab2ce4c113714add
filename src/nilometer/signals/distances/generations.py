"""Distances between models that gave several outputs to each prompt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import ArrayLike, Floats

from .embeddings import DistanceSums, distance_sums

__all__ = ["generation_sums"]

CHUNK_VALUES = 1 << 20


def generation_sums(embeddings: ArrayLike, *, exclude: Sequence[tuple[int, int]] = ()) -> DistanceSums:
    r"""Sum over the other models of the mean squared distance between their outputs and this model's.

    With the mean :math:`\mu_i` of model i's generations and their mean squared distance :math:`s_i^2` from it,

    .. math:: D_i = \sum_{j \ne i} \frac1{G_i G_j} \sum_{g, h} \lVert \lambda_{ig} - \lambda_{jh} \rVert^2
              = \sum_{j \ne i} \lVert \mu_i - \mu_j \rVert^2 + s_i^2 + s_j^2

    so all pairs of generations count and none is visited. Time is ``O(prompts · models · generations · dim)``.

    Differs from the published code, which compares only the g-th generation with the g-th: the expectation
    is the same, the variance here is never larger.

    Parameters
    ----------
    embeddings
        (prompts, models, generations, dim). A vector of only NaN is a missing generation; a model without any
        is missing.
    exclude
        Pairs of model numbers whose distance is left out.

    Raises
    ------
    ValueError
        If the array is not four-dimensional, or a vector is partly NaN or infinite.

    Examples
    --------
    >>> generation_sums([[[[0.0], [2.0]], [[1.0], [1.0]], [[1.0], [1.0]]]]).sums
    array([[2., 1., 1.]])
    """
    array: NDArray[Any] = np.asarray(embeddings)
    if array.ndim != 4:
        raise ValueError(f"`embeddings` must have shape (prompts, models, generations, dim), got {array.shape}.")
    n, m = array.shape[:2]
    means, spread = np.full((n, m, array.shape[3]), np.nan), np.zeros((n, m))
    step = max(1, CHUNK_VALUES // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        means[rows], spread[rows] = _moments(array[rows].astype(np.float64))
    sums, present = distance_sums(means, exclude=exclude)
    pairs = ~np.eye(m, dtype=bool)
    for i, j in exclude:
        pairs[i, j] = pairs[j, i] = False
    partners = present.astype(np.float64) @ pairs
    return DistanceSums(np.where(present, sums + partners * spread + spread @ pairs, 0.0), present)


def _moments(chunk: Floats) -> tuple[Floats, Floats]:
    """Mean of each model's generations (NaN without any) and their mean squared distance from it."""
    missing = np.asarray(np.isnan(chunk).all(axis=3))
    weights = (~missing).astype(np.float64)
    counts = np.asarray(weights.sum(axis=2))
    chunk[missing] = 0.0
    share = weights / np.maximum(counts, 1.0)[:, :, None]
    mean = np.asarray(np.einsum("nmg,nmgd->nmd", share, chunk))
    gaps = (chunk - mean[:, :, None]) * weights[..., None]
    spread = np.einsum("nmg,nmgd,nmgd->nm", share, gaps, gaps)
    return np.asarray(np.where((counts == 0)[:, :, None], np.nan, mean)), np.asarray(spread)
